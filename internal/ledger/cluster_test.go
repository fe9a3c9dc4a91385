package ledger

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// startCluster starts three nodes that have a third of the slots each, and returns them and their URL.
func startCluster(t testing.TB) (nodes []*server, url string) {
	t.Helper()
	var addrs []string
	for i, last := range []int{5460, 10921, 16383} {
		_, bus, _ := net.SplitHostPort(freeAddr(t))
		node := startServer(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000",
			"--cluster-require-full-coverage", "no")
		host, port, _ := net.SplitHostPort(node.addr)
		node.do(t, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(i*5461), fmt.Sprint(last))
		for _, other := range nodes {
			if _, err := other.try("CLUSTER", "MEET", host, port, bus); err != nil {
				t.Fatal(err)
			}
		}
		nodes, addrs = append(nodes, node), append(addrs, node.addr)
	}
	for _, node := range nodes {
		eventually(t, "the nodes are a cluster", func() bool {
			reply := node.do(t, "CLUSTER", "INFO")
			text, _ := reply.ToString()
			return strings.Contains(text, "cluster_state:ok") && strings.Contains(text, "cluster_size:3") &&
				strings.Contains(text, "cluster_slots_ok:16384")
		})
	}
	return nodes, "redis://" + strings.Join(addrs, ",")
}

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	nodes, url := startCluster(t)
	r := openRedis(t, url, impatience, someThrottle)
	rig{Redis: r}.recovers(t)

	verifications := prepare(90)
	home := make([]int, len(verifications))
	for i, v := range verifications {
		if got, err := wrong.do(r, v); err != nil || got != (Outcome{Admitted, 1, 0}) {
			t.Fatal(got, err)
		}
		key, subject := keyNames(v)
		slot := nodes[0].number(t, "CLUSTER", "KEYSLOT", key)
		if slot != nodes[0].number(t, "CLUSTER", "KEYSLOT", subject) {
			t.Fatal("a verification and its subject are in two slots")
		}
		home[i] = min(slot/5461, 2)
	}
	for i, node := range nodes {
		if node.number(t, "DBSIZE") == 0 {
			t.Errorf("node %d has no keys", i)
		}
	}

	for range 10 {
		id, op := newID(), backup(3).of(version{generation: 1})
		device, undone := deviceKeys(id)
		if nodes[0].number(t, "CLUSTER", "KEYSLOT", device) != nodes[0].number(t, "CLUSTER", "KEYSLOT", undone) {
			t.Fatal("a device and the marks of what was undone are in two slots")
		}
		c := op.command(r, id)
		op.send(t, r, c)
		r.undoCommand(t, c)
		if got, err := op.do(r, id); err != nil || got != (stands{Admitted, version{1, 0, 0b1000, 0, 0}}) {
			t.Errorf("a backup code that was undone = %v, %v", got, err)
		}
	}

	for range 10 {
		key := newID()
		log, marks := spendKeys(key)
		receipt, _ := receiptKeys(key)
		slot := nodes[0].number(t, "CLUSTER", "KEYSLOT", marks)
		if slot != nodes[0].number(t, "CLUSTER", "KEYSLOT", log) || slot != nodes[0].number(t, "CLUSTER", "KEYSLOT", receipt) {
			t.Fatal("what is counted or kept and the marks of what was undone are in two slots")
		}
		r.undoCommand(t, newSpendCommand(key, now, []Window{anHour}))
		spend(t, r, key, 0, 0, anHour)()
		spend(t, r, key, 0, 0, anHour)
		spend(t, r, key, 0, time.Hour, anHour)
		r.undoCommand(t, newReceiptCommand(key, receiptFor, now, "any"))
		reserve(t, r, key, "own", "own")
		settle(t, r, key, "own", "answer")
		reserve(t, r, key, "next", "answer")
		v := newVerification()
		done(t, r, v, resend, Admitted)
		done(t, r, v, withdraw, "")
		done(t, r, v, refresh, Admitted)
		r.undoCommand(t, newCommand(v))
		done(t, r, v, refresh, Superseded)
	}

	const victim = 2
	var lost, served atomic.Int64
	stop := keepBusy(func() {
		begin := time.Now()
		if _, err := right.do(r, newVerification()); err != nil {
			lost.Add(1)
		} else {
			served.Add(1)
		}
		if took := time.Since(begin); took > impatience+slack {
			t.Errorf("an operation took %v", took)
		}
	})
	defer stop()
	nodes[victim].kill()
	eventually(t, "operations fail", func() bool { return lost.Load() > 0 })
	for i, v := range verifications {
		if home[i] == victim {
			rig{Redis: r}.fails(t, right, v)
		} else {
			eventually(t, "the other nodes serve", func() bool {
				got, err := wrong.do(r, v)
				return err == nil && got.Verdict == Admitted
			})
		}
	}
	for _, v := range verifications {
		r.lost.add(newCommand(v))
	}
	eventually(t, "what the other nodes have is taken back", func() bool {
		for i, v := range verifications {
			if key, _ := keyNames(v); home[i] != victim && len(r.lost.of(key)) > 0 {
				return false
			}
		}
		return true
	})
	before := served.Load()
	eventually(t, "the others go on", func() bool { return served.Load() > before+100 })
	nodes[victim].start(t)
	for i, v := range verifications {
		if home[i] == victim {
			eventually(t, "the node serves again", func() bool {
				got, err := right.do(r, v)
				return err == nil && got == Outcome{Admitted, 0, 0} // it had nothing on disk
			})
		}
	}
	stop()
	if err := r.Ping(context.Background()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	eventually(t, "nothing waits to be taken back", func() bool { return r.lost.count.Load() == 0 })
	t.Logf("%d operations went on while a node was gone, %d failed", served.Load(), lost.Load())
}

// startSentinel starts one that watches master under the name mine.
func startSentinel(t testing.TB, master *server) *server {
	t.Helper()
	s := newServer(t, t.TempDir())
	_, port, _ := net.SplitHostPort(s.addr)
	host, masterPort, _ := net.SplitHostPort(master.addr)
	conf := filepath.Join(s.dir, "conf")
	text := fmt.Sprintf("bind 127.0.0.1\nport %s\nsentinel monitor mine %s %s 1\nsentinel down-after-milliseconds mine 1000\n"+
		"sentinel failover-timeout mine 5000\n", port, host, masterPort)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{s.args[0], conf, "--sentinel"}
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// A failover loses what the master had acknowledged and the replica not yet received, and no more.
func TestSentinelFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	master := startServer(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(master.addr)
	replica := startServer(t, "--replicaof", host+" "+port)
	eventually(t, "the replica follows", func() bool { return replica.info("master_link_status") == "up" })
	sentinel := startSentinel(t, master)
	eventually(t, "the sentinel knows the replica", func() bool { return strings.Contains(sentinel.info("master0"), "slaves=1") })

	r := openRedis(t, "redis://"+sentinel.addr+"?master=mine", impatience, someThrottle)
	rig{Redis: r}.recovers(t)
	var mu sync.Mutex
	var acknowledged []Verification
	var failed atomic.Int64
	stop := keepBusy(func() {
		time.Sleep(time.Millisecond) // thousands of uses are enough
		v := newVerification()
		got, err := right.do(r, v)
		switch {
		case err != nil:
			failed.Add(1)
		case got.Verdict == Admitted:
			mu.Lock()
			acknowledged = append(acknowledged, v)
			mu.Unlock()
		default:
			t.Errorf("Attempt = %v", got)
		}
	})
	defer stop()
	eventually(t, "uses are acknowledged", func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) > 500 })
	eventually(t, "the sentinel begins", func() bool { _, err := sentinel.try("SENTINEL", "FAILOVER", "mine"); return err == nil })
	eventually(t, "the replica is the master", func() bool { return replica.info("role") == "master" })
	eventually(t, "the master is a replica", func() bool { return master.info("role") == "slave" })
	mu.Lock()
	before := len(acknowledged)
	mu.Unlock()
	eventually(t, "uses are acknowledged again", func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) > before+500 })
	stop()
	eventually(t, "nothing waits to be taken back", func() bool { return r.lost.count.Load() == 0 })

	var lost int
	for _, v := range acknowledged {
		key, _ := keyNames(v)
		got, err := state.do(r, v)
		switch {
		case err != nil:
			t.Fatal(err)
		case got.Verdict == Used:
		case got == Outcome{Admitted, 0, 0}:
			lost++
		default:
			t.Errorf("%s is %v", key, got)
		}
	}
	if lost == len(acknowledged) {
		t.Error("all uses were lost")
	}
	t.Logf("%d of %d acknowledged uses were lost in the failover, in which %d operations failed", lost, len(acknowledged), failed.Load())
}

// FLUSHALL takes what only the ledger knows: the context's own counts still hold.
func TestFlushAll(t *testing.T) {
	s := startServer(t)
	r := s.open(t, someThrottle)
	tests := []struct {
		name                  string
		before                []operation
		op                    operation
		remembered, forgotten Outcome
	}{
		{"a used code", []operation{right}, right, Outcome{Used, 0, 0}, Outcome{Admitted, 0, 0}},
		{"a revoked verification", []operation{revoke}, right, Outcome{Revoked, 0, 0}, Outcome{Admitted, 0, 0}},
		{"an older code", []operation{resend}, right, Outcome{Superseded, 0, 0}, Outcome{Admitted, 0, 0}},
		{"wrong codes an old context does not tell of", []operation{wrong, wrong, wrong}, right, Outcome{Exhausted, 3, 0}, Outcome{Admitted, 0, 0}},
		{"wrong codes a context tells of", []operation{wrong, wrong, wrong}, right.after(3), Outcome{Exhausted, 3, 0}, Outcome{Exhausted, 3, 0}},
		{"a cooldown the context tells of", nil, resend.cooling(time.Minute), Outcome{Cooling, 0, time.Minute}, Outcome{Cooling, 0, time.Minute}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := newVerification()
			for _, op := range test.before {
				if got, err := op.do(r, v); err != nil || got.Verdict != Admitted {
					t.Fatal(got, err)
				}
			}
			if got, err := test.op.do(r, v); err != nil || got != test.remembered {
				t.Errorf("before = %v, %v; want %v", got, err, test.remembered)
			}
			s.do(t, "FLUSHALL")
			if got, err := test.op.do(r, v); err != nil || got != test.forgotten {
				t.Errorf("after = %v, %v; want %v", got, err, test.forgotten)
			}
			if test.op == right {
				if got, err := right.do(r, v); err != nil || got != (Outcome{Used, 0, 0}) {
					t.Errorf("the second time after = %v, %v", got, err)
				}
			}
		})
	}
}

// FLUSHALL takes what only the ledger knows: what the newest version of a device tells still holds.
func TestFlushAllWithDevices(t *testing.T) {
	s := startServer(t)
	r := s.open(t, someThrottle)
	newest := version{2, 9, 0b11, 5, 2 * time.Minute}
	const later = 2 * time.Minute
	id := newID()
	for _, step := range []deviceStep{
		{code(8).of(version{generation: 1}), stands{Admitted, version{1, 9, 0, 0, 0}}},
		{disable, stands{Admitted, version{1, 9, 0, 0, 0}}},
	} {
		if got, err := step.op.do(r, id); err != nil || got != step.want {
			t.Fatal(got, err)
		}
	}
	s.do(t, "FLUSHALL")
	for i, step := range []deviceStep{
		{code(9).of(newest), stands{Throttled, newest}},
		{code(8).of(newest).later(later), stands{Used, newest}},
		{backup(0).of(newest).later(later), stands{Used, newest}},
		{code(7).of(newest).later(later), stands{Wrong, version{2, 9, 0b11, 6, later + 4*time.Minute}}},
		{backup(5).of(version{generation: 1}).later(time.Hour), stands{Superseded, version{2, 9, 0b11, 6, later + 4*time.Minute}}},
		{code(8).of(version{generation: 2}).later(time.Hour), stands{Used, version{2, 9, 0b11, 6, later + 4*time.Minute}}},
		{code(9).of(version{generation: 2}).later(time.Hour), stands{Admitted, version{2, 10, 0b11, 0, 0}}},
	} {
		if got, err := step.op.do(r, id); err != nil || got != step.want {
			t.Errorf("step %d, %+v = %v, %v; want %v", i+1, step.op, got, err, step.want)
		}
	}
}

// keepBusy has eight clients do something again and again until stop, which waits for them.
func keepBusy(do func()) (stop func()) {
	var stopped atomic.Bool
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for !stopped.Load() {
				do()
			}
		})
	}
	return func() {
		stopped.Store(true)
		running.Wait()
	}
}
