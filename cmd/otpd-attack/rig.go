package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// The tenants. The other's name is the beginning of this one's, lest names and identifiers run together.
const (
	mainTenant, mainSecret   = "shopfront", "secret-of-shopfront"
	otherTenant, otherSecret = "shop", "secret-of-shop-alone"
)

// rig is what is started for an attack.
type rig struct {
	dir       string
	binary    string
	keys      []string // signing keys, the first seals
	ledgerURL string
	redis     *redisServer // nil with another ledger
	services  []*process
}

// start starts two replicas, and a third without a cooldown between resends.
func start(ctx context.Context, ledger, binary string) (t *target, err error) {
	dir, err := os.MkdirTemp("", "otpd-attack-")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, binary: binary, ledgerURL: ledger + ":"}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := r.prepare(ctx, ledger); err != nil {
		return nil, err
	}
	t = &target{ledger: ledger, rig: r}
	for _, service := range []struct {
		client **client
		env    string
	}{{&t.main, ""}, {&t.replica, ""}, {&t.hasty, "OTP_RESEND_COOLDOWN_SECONDS=0"}} {
		if *service.client, _, err = r.launch(ctx, r.keys, service.env); err != nil {
			return nil, err
		}
	}
	t.other = t.main.with(otherSecret)
	return t, nil
}

func (r *rig) prepare(ctx context.Context, ledger string) (err error) {
	if r.binary == "" {
		r.binary = filepath.Join(r.dir, "otpd")
		build := exec.CommandContext(ctx, "go", "build", "-o", r.binary, "github.com/otpd/otpd/cmd/otpd")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	for range 2 {
		key, err := otpcontext.GenerateKey()
		if err != nil {
			return err
		}
		r.keys = append(r.keys, key)
	}
	if ledger == redis {
		if r.redis, err = startRedis(ctx, r.dir); err == nil {
			r.ledgerURL = "redis://" + r.redis.addr
		}
	}
	return err
}

// launch starts otpd on a free port, with a variable if that is not empty, and returns a client of it.
func (r *rig) launch(ctx context.Context, keys []string, variable string) (*client, *process, error) {
	cmd := exec.CommandContext(ctx, r.binary)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OTP_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, "OTP_LISTEN_ADDR=127.0.0.1:0", "OTP_ADMIN_ADDR=", "OTP_LEDGER_URL="+r.ledgerURL,
		"OTP_SIGNING_KEY="+keys[0], "OTP_SIGNING_KEY_FALLBACKS="+strings.Join(keys[1:], ","),
		"OTP_API_KEYS="+mainTenant+":"+mainSecret+","+otherTenant+":"+otherSecret)
	if variable != "" {
		cmd.Env = append(cmd.Env, variable)
	}
	p, err := startProcess(cmd)
	if err != nil {
		return nil, nil, err
	}
	r.services = append(r.services, p)
	addr, err := p.listening()
	return newClient("http://"+addr, mainSecret), p, err
}

// close ends all that was started.
func (r *rig) close() {
	for _, service := range r.services {
		service.kill()
	}
	if r.redis != nil {
		r.redis.kill()
	}
	_ = os.RemoveAll(r.dir)
}
