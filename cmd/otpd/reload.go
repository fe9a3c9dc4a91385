package main

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// pollEvery is how often files are looked at for a change. Polling their content works for what
// notification misses: a mounted secret replaced through a symbolic link, or a network file system.
const pollEvery = time.Second

// reload is configuration that lives in files.
type reload struct {
	name  string
	files []string // some may be empty
	apply func() error
}

// reloadUntil applies each reload whenever one of its files has changed, and all of them on SIGHUP,
// until ctx ends. What cannot be applied is logged, and stays as it was.
func reloadUntil(ctx context.Context, log *slog.Logger, reloads []reload) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	seen := make([][][sha256.Size]byte, len(reloads))
	for i, r := range reloads {
		seen[i] = fingerprints(r.files)
	}
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			asked = true
		case <-tick.C:
		}
		for i, r := range reloads {
			now := fingerprints(r.files)
			if !asked && slices.Equal(now, seen[i]) {
				continue
			}
			seen[i] = now
			if err := r.apply(); err != nil {
				log.Error("not reloaded, the old one stays", "what", r.name, "error", err)
				continue
			}
			log.Info("reloaded", "what", r.name)
		}
	}
}

func fingerprints(files []string) [][sha256.Size]byte {
	prints := make([][sha256.Size]byte, len(files))
	for i, file := range files {
		if data, err := os.ReadFile(file); err == nil {
			prints[i] = sha256.Sum256(data)
		}
	}
	return prints
}
