package ledger

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// An operation that its client has given up, and taken back over another connection, arrives at last.
func TestLateArrivalDoesNothing(t *testing.T) {
	s := sharedServer(t)
	r := s.open(t, someThrottle)
	for _, op := range []operation{right, wrong, resend} {
		v := newVerification()
		if got, err := wrong.do(r, v); err != nil || got.Verdict != Admitted {
			t.Fatal(got, err)
		}
		c := newCommand(v)
		r.lost.add(c)
		if err := r.undo(context.Background(), c.keys[0]); err != nil {
			t.Fatal(err)
		}
		script := attemptLua
		switch op {
		case resend:
			script = resendLua
			c.args = append(c.args, timeArg(v.IssuedAt), "0")
		default:
			c.args = append(c.args, boolArg(op.right), "5", "0", "0", "100", "0", "1000")
		}
		if got, err := r.run(context.Background(), script, c, true); err != nil || got.Verdict != "undone" {
			t.Errorf("%s that arrives after it was taken back = %v, %v", op.name, got, err)
		}
		if got, err := right.do(r, v); err != nil || got != (Outcome{Admitted, 1, 0}) {
			t.Errorf("the verification is %v, %v now", got, err)
		}
	}
}

// What one replica lost is taken back for all of them, whether or not anyone asks.
func TestUndoIsForAllReplicas(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, someThrottle)
	for _, op := range []operation{right, wrong, resend} {
		v := newVerification()
		r.proxy.set(t, cut)
		r.fails(t, op, v)
		r.proxy.set(t, none)
		eventually(t, op.name+" is taken back", func() bool {
			got, err := state.do(other, v)
			return err == nil && got == Outcome{Admitted, 0, 0} && r.lost.count.Load() == 0
		})
		if got, err := right.do(other, v); err != nil || got != (Outcome{Admitted, 0, 0}) {
			t.Errorf("the verification is %v, %v for another replica", got, err)
		}
		r.recovers(t)
	}
}

// Only what has no answer is taken back, in whatever order they came.
func TestUndoLeavesOthersAlone(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, someThrottle)
	v := newVerification()
	r.proxy.set(t, cut)
	r.fails(t, wrong, v)
	if got, err := wrong.do(other, v); err != nil || got != (Outcome{Admitted, 2, 0}) {
		t.Errorf("a wrong code at another replica = %v, %v", got, err)
	}
	r.proxy.set(t, none)
	eventually(t, "one wrong code is taken back", func() bool {
		got, err := state.do(other, v)
		return err == nil && got == Outcome{Admitted, 1, 0}
	})
	if got, err := resend.do(other, v); err != nil || got != (Outcome{Admitted, 1, 0}) {
		t.Errorf("a resend at another replica = %v, %v", got, err)
	}
}

func TestWhatIsLostIsBounded(t *testing.T) {
	r := openRedis(t, "redis://"+freeAddr(t), impatience, Throttle{})
	for range maxLost + 10 {
		r.lost.add(newCommand(newVerification()))
	}
	if n, keys := r.lost.count.Load(), len(r.lost.keys()); n != maxLost || keys != maxLost {
		t.Errorf("%d of %d keys are remembered, want %d", n, keys, maxLost)
	}
}

func TestUndoForgetsWhatHasEnded(t *testing.T) {
	r := openRedis(t, "redis://"+freeAddr(t), impatience, Throttle{}) // it cannot be asked
	v := newVerification()
	v.Now = v.Until.Add(grace + time.Second)
	c := newCommand(v)
	r.lost.add(c)
	if err := r.undo(context.Background(), c.keys[0]); err != nil || r.lost.count.Load() != 0 {
		t.Errorf("undo = %v, and %d are left", err, r.lost.count.Load())
	}
}

// A server that is not there yet is found when it is.
func TestServerComesLate(t *testing.T) {
	dir := t.TempDir()
	s := newServer(t, dir)
	r := openRedis(t, "redis://"+s.addr, impatience, Throttle{})
	v := newVerification()
	for _, op := range []operation{right, wrong, resend, revoke, state, unlock} {
		rig{Redis: r}.fails(t, op, v)
	}
	if err := r.Ping(context.Background()); err == nil {
		t.Error("Ping succeeds before there is a server")
	}
	s.start(t)
	t.Cleanup(s.kill)
	rig{Redis: r}.recovers(t)
	if got, err := right.do(r, v); err != nil || got != (Outcome{Admitted, 0, 0}) {
		t.Errorf("Attempt = %v, %v", got, err)
	}
}

// A server that is started again on its address is found again; what it kept still holds.
func TestServerRestarts(t *testing.T) {
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	r := openRedis(t, "redis://"+s.addr, impatience, someThrottle)
	used, fresh := newVerification(), newVerification()
	if got, err := right.do(r, used); err != nil || got.Verdict != Admitted {
		t.Fatal(got, err)
	}
	s.kill()
	rig{Redis: r}.fails(t, right, fresh)
	s.start(t)
	rig{Redis: r}.recovers(t)
	for v, want := range map[*Verification]string{&used: Used, &fresh: Admitted} {
		if got, err := right.do(r, *v); err != nil || got.Verdict != want {
			t.Errorf("Attempt = %v, %v; want %s", got, err, want)
		}
	}
}

// What happens while the server stands still happens when it goes on, and then counts for nothing.
func TestServerStandsStill(t *testing.T) {
	r := newRig(t)
	verifications := prepare(50)
	r.signal(t, syscall.SIGSTOP)
	for i, v := range verifications[:10] {
		r.fails(t, []operation{right, wrong, resend}[i%3], v)
	}
	r.signal(t, syscall.SIGCONT)
	r.recovers(t)
	for i, v := range verifications {
		if got, err := right.do(r.Redis, v); err != nil || got != (Outcome{Admitted, 0, 0}) {
			t.Errorf("verification %d = %v, %v", i, got, err)
		}
	}
}

func TestEveryKeyExpires(t *testing.T) {
	s := startServer(t)
	r := s.open(t, someThrottle)
	long, short := newVerification(), newVerification()
	short.Until = now.Add(time.Minute)
	longKey, longSubject := keyNames(long)
	shortKey, shortSubject := keyNames(short)
	keeps := func(key string, want time.Duration) {
		t.Helper()
		ttl := time.Duration(s.number(t, "PTTL", key)) * time.Millisecond
		if ttl <= want-patience || ttl > want {
			t.Errorf("%s is kept for %v, want %v", key, ttl, want)
		}
	}
	for _, op := range []operation{wrong, resend, wrong.of(1), revoke} {
		for _, v := range []Verification{long, short} {
			if got, err := op.do(r, v); err != nil || got.Verdict != Admitted {
				t.Fatal(got, err)
			}
		}
		keeps(longKey, 15*time.Minute+grace)
		keeps(shortKey, time.Minute+grace)
		keeps(longSubject, forgetAfter)
		keeps(shortSubject, forgetAfter)
	}
	for _, op := range []operation{wrong, right, resend, revoke} { // each the first, and late
		op = op.later(10 * time.Minute)
		v := newVerification()
		if got, err := op.do(r, v); err != nil || got.Verdict != Admitted {
			t.Fatal(got, err)
		}
		key, _ := keyNames(v)
		keeps(key, 5*time.Minute+grace)
	}
	lost := newCommand(newVerification())
	r.lost.add(lost)
	if err := r.undo(context.Background(), lost.keys[0]); err != nil {
		t.Fatal(err)
	}
	keeps(lost.keys[0], 15*time.Minute+grace)
	if err := r.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	keyspace := s.info("db0")
	var keys, expires int
	if _, err := fmt.Sscanf(keyspace, "keys=%d,expires=%d", &keys, &expires); err != nil || keys != expires || keys < 8 {
		t.Errorf("%d keys, of which %d expire (%v)", keys, expires, err)
	}
}

func TestStateWritesNothing(t *testing.T) {
	s := startServer(t)
	r := s.open(t, someThrottle)
	if got, err := state.after(2).of(1).do(r, newVerification()); err != nil || got != (Outcome{Admitted, 2, 0}) {
		t.Errorf("State = %v, %v", got, err)
	}
	if n := s.number(t, "DBSIZE"); n != 0 {
		t.Errorf("%d keys after a look", n)
	}
}
