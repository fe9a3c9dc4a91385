package ledger

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// patience is how long tests wait for what has to happen at last, on a slow machine too.
const patience = 20 * time.Second

// binary returns the path of a Redis program that t cannot do without.
func binary(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("OTPD_TEST_REQUIRE_REDIS") == "1":
		t.Fatalf("there is no %s, and OTPD_TEST_REQUIRE_REDIS is 1", name)
	}
	t.Skipf("there is no %s here to test with", name)
	panic("unreachable")
}

// server is a redis-server of the tests' own, which keeps nothing on disk unless its arguments say so.
type server struct {
	addr    string
	dir     string
	args    []string
	process int // its id
	shell   *exec.Cmd
	stdin   io.Closer
}

// underShell runs a program in the background until its own input ends, as it does when the tests die.
const underShell = `"$@" >>"$LOG" 2>&1 </dev/null & echo $!; cat; kill -9 $!; wait`

// shared is the server that most tests use, each with keys of its own.
var shared struct {
	sync.Mutex
	*server
	dir string
}

func sharedServer(t testing.TB) *server {
	t.Helper()
	binary(t, "redis-server")
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		dir, err := os.MkdirTemp("", "otpd-ledger-")
		if err != nil {
			t.Fatal(err)
		}
		shared.dir = dir
		shared.server = newServer(t, dir)
		shared.start(t)
	}
	return shared.server
}

func stopSharedServer() {
	if shared.server != nil {
		shared.kill()
		_ = os.RemoveAll(shared.dir)
	}
}

// startServer starts a server that ends with the test.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	binary(t, "redis-server")
	s := newServer(t, t.TempDir(), args...)
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

func newServer(t testing.TB, dir string, args ...string) *server {
	t.Helper()
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	return &server{addr: addr, dir: dir, args: append([]string{
		binary(t, "redis-server"), "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "",
	}, args...)}
}

// freeAddr returns a loopback address that nobody listens on. Its port is below those that the system gives
// away by itself, so that it is still free when a server comes back to it.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))); err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// start starts the server, again if it has been killed, and waits until it listens.
func (s *server) start(t testing.TB) {
	t.Helper()
	s.shell = exec.Command("sh", append([]string{"-c", underShell, "sh"}, s.args...)...)
	log := filepath.Join(s.dir, "log")
	s.shell.Env = append(os.Environ(), "LOG="+log)
	stdin, err := s.shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := s.shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.shell.Start(); err != nil {
		t.Fatal(err)
	}
	s.stdin = stdin
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if s.process, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatal(err)
	}
	if !within(patience, func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}) {
		text, _ := os.ReadFile(log)
		t.Fatalf("the server does not listen: %s", text)
	}
}

// kill ends the server at once. It may be dead already.
func (s *server) kill() {
	if s.shell != nil {
		_ = s.stdin.Close()
		_ = s.shell.Wait()
		s.shell = nil
	}
}

func (s *server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.process, signal); err != nil {
		t.Fatal(err)
	}
}

// try sends one command over a connection of its own.
func (s *server) try(args ...string) (rueidis.RedisMessage, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{s.addr}, ForceSingleClient: true, DisableCache: true, DisableRetry: true,
	})
	if err != nil {
		return rueidis.RedisMessage{}, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return client.Do(ctx, client.B().Arbitrary(args[0]).Args(args[1:]...).Build()).ToMessage()
}

// do is try for what has to succeed.
func (s *server) do(t testing.TB, args ...string) rueidis.RedisMessage {
	t.Helper()
	reply, err := s.try(args...)
	if err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%s: %v", args[0], err)
	}
	return reply
}

// number returns the reply to a command that answers with one.
func (s *server) number(t testing.TB, args ...string) int {
	t.Helper()
	reply := s.do(t, args...)
	n, err := reply.AsInt64()
	if err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	return int(n)
}

// info returns one line's value of what INFO says, or nothing if it does not.
func (s *server) info(field string) string {
	reply, err := s.try("INFO", "everything")
	if err != nil {
		return ""
	}
	text, _ := reply.ToString()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// openRedis returns a ledger at url, which ends with the test.
func openRedis(t testing.TB, url string, timeout time.Duration, throttle Throttle) *Redis {
	t.Helper()
	address, err := ParseAddress(url)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRedis(address, timeout, throttle)
	t.Cleanup(r.Close)
	return r
}

// calmly is a timeout for tests in which nothing breaks.
const calmly = 10 * time.Second

func (s *server) open(t testing.TB, throttle Throttle) *Redis {
	t.Helper()
	return openRedis(t, "redis://"+s.addr, calmly, throttle)
}

// replicas are the ledgers of several services that share a server. Each operation comes to the next.
type replicas struct {
	mu   sync.Mutex
	turn int
	all  []*Redis
}

func openReplicas(t testing.TB, n int, throttle Throttle) *replicas {
	t.Helper()
	s := sharedServer(t)
	r := new(replicas)
	for range n {
		r.all = append(r.all, s.open(t, throttle))
	}
	return r
}

func (r *replicas) next() *Redis {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn++
	return r.all[r.turn%len(r.all)]
}

func (r *replicas) Attempt(ctx context.Context, v Verification, right bool) (Outcome, error) {
	return r.next().Attempt(ctx, v, right)
}

func (r *replicas) Resend(ctx context.Context, v Verification, cooldown time.Duration) (Outcome, error) {
	return r.next().Resend(ctx, v, cooldown)
}

func (r *replicas) Revoke(ctx context.Context, v Verification) (Outcome, error) {
	return r.next().Revoke(ctx, v)
}

func (r *replicas) State(ctx context.Context, v Verification) (Outcome, error) {
	return r.next().State(ctx, v)
}

func (r *replicas) Unlock(ctx context.Context, subject string) (Outcome, error) {
	return r.next().Unlock(ctx, subject)
}

func (r *replicas) Withdraw(ctx context.Context, v Verification) error {
	return r.next().Withdraw(ctx, v)
}

func (r *replicas) Refresh(ctx context.Context, v Verification) (Outcome, error) {
	return r.next().Refresh(ctx, v)
}

func (r *replicas) Spend(
	ctx context.Context, key string, now time.Time, windows []Window,
) (wait time.Duration, refund func(context.Context), err error) {
	return r.next().Spend(ctx, key, now, windows)
}

func (r *replicas) Reserve(ctx context.Context, key, value string, ttl time.Duration, now time.Time) (held string, err error) {
	return r.next().Reserve(ctx, key, value, ttl, now)
}

func (r *replicas) Settle(ctx context.Context, key, own, value string, ttl time.Duration, now time.Time) error {
	return r.next().Settle(ctx, key, own, value, ttl, now)
}

func (r *replicas) Ping(ctx context.Context) error { return r.next().Ping(ctx) }

// within reports whether something is so in time.
func within(limit time.Duration, done func() bool) bool {
	for begin := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > limit {
			return false
		}
	}
	return true
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	if !within(patience, done) {
		t.Fatal("never: " + what)
	}
}

// keyNames returns the key of a verification and that of its subject.
func keyNames(v Verification) (verification, subject string) {
	return fmt.Sprintf("otpd:{%s}:%s", tag(v), v.ID), fmt.Sprintf("otpd:{%s}", v.Subject)
}
