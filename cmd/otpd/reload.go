package main

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"slices"
	"time"
)

// pollEvery is how often files are looked at for a change. Polling their content works for what
// notification misses: a mounted secret replaced through a symbolic link, or a network file system.
const pollEvery = time.Second

// reload is configuration that lives in files.
type reload struct {
	name  string
	files []string
	seen  [][sha256.Size]byte // fingerprints of the files when they were last read, or just before
	apply func() error
}

// reloadUntil applies each reload whenever one of its files has changed, and all of them whenever
// asked, until ctx ends. What cannot be applied is logged, and stays as it was.
func reloadUntil(ctx context.Context, log *slog.Logger, reloads []reload, asked <-chan os.Signal) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		all := false
		select {
		case <-ctx.Done():
			return
		case <-asked:
			all = true
		case <-tick.C:
		}
		for i := range reloads {
			r := &reloads[i]
			now := fingerprints(r.files)
			if !all && slices.Equal(now, r.seen) {
				continue
			}
			r.seen = now
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
