package ledger

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	impatience = 200 * time.Millisecond // the timeout of a ledger in tests in which something breaks
	slack      = 5 * time.Second        // what a slow machine adds to it
)

// rig is a ledger whose way to its server can be broken and repaired.
type rig struct {
	*server
	*proxy
	*Redis
}

var someThrottle = Throttle{After: 5, Factor: time.Minute, Max: time.Hour}

func newRig(t testing.TB, args ...string) rig {
	t.Helper()
	s := startServer(t, args...)
	p := startProxy(t, s.addr)
	r := openRedis(t, "redis://"+p.addr, impatience, someThrottle)
	for _, op := range []operation{wrong, resend, revoke, state, refresh} { // the server has the scripts from now on
		if got, err := op.do(r, newVerification()); err != nil || got.Verdict != Admitted {
			t.Fatal(got, err)
		}
	}
	if _, err := withdraw.do(r, newVerification()); err != nil {
		t.Fatal(err)
	}
	spend(t, r, newID(), 0, 0, anHour)
	reserve(t, r, newID(), "any", "any")
	settle(t, r, newID(), "any", "other")
	if got, err := look.do(r, newID()); err != nil || got.verdict != Admitted {
		t.Fatal(got, err)
	}
	return rig{s, p, r}
}

// breakages are ways in which a server fails: fail begins one and returns what repairs it.
var breakages = []struct {
	name  string
	fail  func(t testing.TB, r rig) (repair func())
	reads bool // the server still answers what writes nothing, or only deletes
}{
	{"replies come late", through(late), false},
	{"connections are reset after a request", through(cut), false},
	{"connections are half open", through(silent), false},
	{"replies are truncated", through(truncated), false},
	{"connections are refused", through(refusing), false},
	{"the server stands still", func(t testing.TB, r rig) func() {
		r.signal(t, syscall.SIGSTOP)
		return func() { r.signal(t, syscall.SIGCONT) }
	}, false},
	{"the server has become a replica", func(t testing.TB, r rig) func() {
		master := startServer(t)
		_, port, _ := net.SplitHostPort(master.addr)
		// Its own data stay, as those of a master that fails over to it would.
		r.server.do(t, "CONFIG", "SET", "replica-serve-stale-data", "yes")
		master.signal(t, syscall.SIGSTOP) // and so they are never synchronized
		r.server.do(t, "REPLICAOF", "127.0.0.1", port)
		return func() { r.server.do(t, "REPLICAOF", "NO", "ONE") }
	}, true},
	{"the server's memory is full", func(t testing.TB, r rig) func() {
		r.server.do(t, "CONFIG", "SET", "maxmemory-policy", "noeviction")
		r.server.do(t, "SET", "filling", strings.Repeat("x", 1<<20))
		r.server.do(t, "CONFIG", "SET", "maxmemory", "1mb")
		return func() {
			r.server.do(t, "CONFIG", "SET", "maxmemory", "0")
			r.server.do(t, "DEL", "filling")
		}
	}, true},
	{"the password is another", func(t testing.TB, r rig) func() {
		r.server.do(t, "ACL", "SETUSER", "tests", "on", "nopass", "~*", "&*", "+@all")
		r.server.do(t, "CONFIG", "SET", "requirepass", "another")
		r.proxy.cutAll() // who is in stays in
		return func() { r.server.asTests(t, "CONFIG", "SET", "requirepass", "") }
	}, false},
	{"the server is loading", func(t testing.TB, r rig) func() {
		r.server.do(t, "CONFIG", "SET", "rdbcompression", "no") // it looks up from loading every 1024 bytes
		r.server.do(t, "EVAL", "for i = 1, 250 do redis.call('SET', i, string.rep('x', 1024)) end", "0")
		r.server.do(t, "SAVE")
		r.server.kill()
		r.server.args = append(r.server.args, "--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
		r.server.start(t)
		return func() {}
	}, false},
}

func through(f fault) func(t testing.TB, r rig) func() {
	return func(t testing.TB, r rig) func() {
		r.proxy.set(t, f)
		return func() { r.proxy.set(t, none) }
	}
}

// asTests is do for a user of the tests' own.
func (s *server) asTests(t testing.TB, args ...string) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	lines := bufio.NewReader(conn)
	for _, command := range [][]string{{"AUTH", "tests", "any"}, args} {
		fmt.Fprintf(conn, "*%d\r\n", len(command))
		for _, arg := range command {
			fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(arg), arg)
		}
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+") {
			t.Fatalf("%s: %q, %v", command[0], line, err)
		}
	}
}

// fails does op and demands that it fails, in time.
func (r rig) fails(t testing.TB, op operation, v Verification) {
	t.Helper()
	begin := time.Now()
	got, err := op.do(r.Redis, v)
	if err == nil || got != (Outcome{}) {
		t.Errorf("%s while it is broken = %v, %v; want an error", op.name, got, err)
	}
	if took := time.Since(begin); took > impatience+slack {
		t.Errorf("%s took %v", op.name, took)
	}
}

func (r rig) recovers(t testing.TB) {
	t.Helper()
	eventually(t, "a ping succeeds", func() bool { return r.Redis.Ping(context.Background()) == nil })
}

// What broke leaves no trace: the same context is as good as it was before. Only wrong codes count, if they
// came to the server.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, breakage := range breakages {
		t.Run(breakage.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ops := []operation{right, wrong, resend}
			verifications := make([]Verification, len(ops))
			for i := range ops {
				verifications[i] = newVerification()
				verifications[i].MaxAttempts = 5
				if got, err := wrong.do(r.Redis, verifications[i]); err != nil || got.Verdict != Admitted {
					t.Fatal(got, err)
				}
			}
			devices, delivery := r.prepareDevices(t), r.prepareDelivery(t)
			repair := breakage.fail(t, r)
			devices.fail(t, r, breakage.reads)
			delivery.fail(t, r)
			for i, op := range ops {
				r.fails(t, op, verifications[i])
				r.fails(t, op, verifications[i])
				r.fails(t, revoke, newVerification())
				if !breakage.reads {
					r.fails(t, state, verifications[i])
					r.fails(t, unlock, verifications[i])
				}
			}
			if err := r.Redis.Ping(context.Background()); err == nil {
				t.Error("Ping succeeds while it is broken")
			}
			repair()
			r.recovers(t)
			for i, op := range ops {
				least, most := 1, 1
				if op == wrong {
					least, most = 2, 4
				}
				got, err := op.do(r.Redis, verifications[i])
				if err != nil || got.Verdict != Admitted || got.Attempts < least || got.Attempts > most {
					t.Errorf("%+v after the repair = %v, %v; want %d to %d attempts", op, got, err, least, most)
				}
			}
			devices.hold(t, r)
			delivery.hold(t, r)
			eventually(t, "nothing waits to be taken back", func() bool { return r.lost.count.Load() == 0 })
		})
	}
}

// However many operations fail, few connections are opened.
func TestNoReconnectStorm(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const clients, each = 200, 20
	for _, breakage := range breakages[:5] {
		t.Run(breakage.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			before := r.accepted.Load()
			repair := breakage.fail(t, r)
			begin := time.Now()
			var running sync.WaitGroup
			for range clients {
				running.Go(func() {
					for range each {
						if got, err := right.do(r.Redis, newVerification()); err == nil {
							t.Errorf("Attempt = %v", got)
						}
					}
				})
			}
			running.Wait()
			most := dialBurst + int64(dialPerSecond*(time.Since(begin)+time.Second)/time.Second)
			if n := r.accepted.Load() - before; n > most {
				t.Errorf("%d connections in %v, want at most %d", n, time.Since(begin), most)
			}
			repair()
			r.recovers(t)
			eventually(t, "nothing waits to be taken back", func() bool { return r.lost.count.Load() == 0 })
		})
	}
}

// The address leads to another server, and the old one, to which the connections still go, takes no
// writes any more.
func TestAddressMoves(t *testing.T) {
	r := newRig(t)
	next := startServer(t)
	host, port, _ := net.SplitHostPort(next.addr)
	r.proxy.lead(next.addr)
	r.server.do(t, "REPLICAOF", host, port)
	r.recovers(t)
	v := newVerification()
	if got, err := right.do(r.Redis, v); err != nil || got != (Outcome{Admitted, 0, 0}) {
		t.Errorf("Attempt = %v, %v", got, err)
	}
	key, _ := keyNames(v)
	if next.number(t, "EXISTS", key) != 1 {
		t.Error("the new server does not know of it")
	}
}
