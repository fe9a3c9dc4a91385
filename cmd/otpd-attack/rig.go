package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/token"
)

// Ledgers.
const (
	memory = "memory"
	redis  = "redis"
	none   = "none"
)

// What the default configuration allows.
const (
	maxRetries = 3
	maxResends = 5
)

// target is a service to attack.
type target struct {
	ledger     string
	main       *client
	noCooldown *client // to resend at once; main if nothing was started
	other      *client // the same service for another tenant; nil if there is none
	replica    *client // nil if there is one only
	rig        *rig    // what was started; nil if it was not
}

// newTarget starts a service with a ledger, or takes the one that o names.
func newTarget(ctx context.Context, ledger string, o options) (*target, error) {
	if o.urls == nil {
		return start(ctx, ledger, o.binary)
	}
	t := &target{ledger: ledger, main: newClient(strings.TrimSuffix(o.urls[0], "/"), o.key)}
	t.noCooldown = t.main
	if o.other != "" {
		t.other = t.main.with(o.other)
	}
	if len(o.urls) > 1 {
		t.replica = newClient(strings.TrimSuffix(o.urls[1], "/"), o.key)
	}
	return t, nil
}

func (t *target) close() {
	if t.rig != nil {
		t.rig.close()
	}
}

// someone is an identifier that nobody has used.
func someone() string { return strings.ToLower(rand.Text()) + "@example.com" }

// subject returns what the ledger's keys have for an identifier of the first tenant. An attacker does not
// know it, but for the reader of a log.
func (t *target) subject(identifier string) string {
	if t.rig == nil {
		return "subject"
	}
	return t.rig.sealer().Subjects(mainTenant, identifier)[0]
}

// sealer has the keys that the services were started with.
func (r *rig) sealer() *otpcontext.Sealer {
	ring, err := otpcontext.ParseRing(r.keys)
	if err != nil {
		panic(err) // they are from GenerateKey
	}
	return otpcontext.NewSealer(ring)
}

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
	inbox     *inbox
	mu        sync.Mutex
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
		client    **client
		variables []string
	}{{&t.main, nil}, {&t.replica, nil}, {&t.noCooldown, []string{"OTP_RESEND_COOLDOWN_SECONDS=0"}}} {
		if *service.client, _, err = r.launch(ctx, r.keys, service.variables...); err != nil {
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
	if err := r.writeFiles(); err != nil {
		return err
	}
	if ledger == redis {
		if r.redis, err = startRedis(ctx, r.dir); err == nil {
			r.ledgerURL = "redis://" + r.redis.addr
		}
	}
	return err
}

// Files that otpd reads.
const (
	jwtKeys = "jwt.pem"
	gateway = "gateway.json"
)

// writeFiles opens an inbox, and writes down what services need to know of it, and keys for access tokens.
func (r *rig) writeFiles() (err error) {
	if r.inbox, err = openInbox(); err != nil {
		return err
	}
	var keys []byte
	for _, algorithm := range []string{"EdDSA", "ES256"} { // the first signs
		key, err := token.GenerateKey(algorithm)
		if err != nil {
			return err
		}
		keys = append(keys, key...)
	}
	if err := os.WriteFile(filepath.Join(r.dir, jwtKeys), keys, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, gateway), r.inbox.gateway(), 0o600)
}

// launch starts otpd on a free port, with further variables, and returns a client of it.
func (r *rig) launch(ctx context.Context, keys []string, variables ...string) (*client, *process, error) {
	cmd := exec.CommandContext(ctx, r.binary)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OTP_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, "OTP_LISTEN_ADDR=127.0.0.1:0", "OTP_ADMIN_ADDR=", "OTP_LEDGER_URL="+r.ledgerURL,
		"OTP_SIGNING_KEY="+keys[0], "OTP_SIGNING_KEY_FALLBACKS="+strings.Join(keys[1:], ","),
		"OTP_API_KEYS="+mainTenant+":"+mainSecret+","+otherTenant+":"+otherSecret,
		"OTP_DELIVERY_WEBHOOK_URL="+r.inbox.url, "OTP_DELIVERY_WEBHOOK_SECRETS="+webhookSecret,
		"OTP_SMS_GATEWAY_FILE="+filepath.Join(r.dir, gateway), "OTP_JWT_PRIVATE_KEY_FILE="+filepath.Join(r.dir, jwtKeys))
	cmd.Env = append(cmd.Env, variables...)
	p, err := startProcess(cmd)
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	r.services = append(r.services, p)
	r.mu.Unlock()
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
	if r.inbox != nil {
		r.inbox.close()
	}
	_ = os.RemoveAll(r.dir)
}

// process is a program that was started.
type process struct {
	cmd    *exec.Cmd
	addr   chan string   // gets the address that an otpd listens on, or is closed
	ended  chan struct{} // closed when it has
	stderr strings.Builder
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, addr: make(chan string, 1), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.read(stderr)
		_ = cmd.Wait() // it was killed, or listening says what it wrote
	}()
	return p, nil
}

// read reads the log to its end. Only what comes before the address matters.
func (p *process) read(log io.Reader) {
	defer close(p.addr)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			p.addr <- line.Addr
			break
		}
		fmt.Fprintln(&p.stderr, lines.Text())
	}
	_, _ = io.Copy(io.Discard, log)
}

// listening returns the address of an otpd when it listens.
func (p *process) listening() (string, error) {
	addr, ok := <-p.addr
	if !ok {
		return "", fmt.Errorf("%s ended: %s", p.cmd.Path, strings.TrimSpace(p.stderr.String()))
	}
	return addr, nil
}

// kill ends the process at once, with SIGKILL, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
