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
	for _, op := range []operation{right, resend} {
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
	for _, op := range []operation{right, resend} {
		v := newVerification()
		r.loses(t, op, v)
		if got, err := state.do(other, v); err != nil || got.Verdict == Admitted {
			t.Errorf("before %s is taken back, the verification is %v, %v: it was not done", op.name, got, err)
		}
		r.proxy.set(t, none)
		eventually(t, op.name+" is taken back", func() bool {
			got, err := state.do(other, v)
			return err == nil && got == Outcome{Admitted, 0, 0} && r.lost.count.Load() == 0
		})
		if got, err := right.do(other, v); err != nil || got != (Outcome{Admitted, 0, 0}) {
			t.Errorf("the verification is %v, %v for another replica", got, err)
		}
	}
}

// loses does op once, and its answer does not come.
func (r rig) loses(t testing.TB, op operation, v Verification) {
	t.Helper()
	r.proxy.set(t, none)
	r.recovers(t)
	r.proxy.set(t, cut)
	r.fails(t, op, v)
}

// Whatever asks for a verification finds it as if what was lost had not been.
func TestEachOperationUndoesFirst(t *testing.T) {
	r := newRig(t)
	for _, op := range []operation{state, revoke, wrong, resend, right} {
		v := newVerification()
		r.loses(t, right, v)
		r.proxy.set(t, none)
		r.recovers(t)
		if got, err := op.do(r.Redis, v); err != nil || got.Verdict != Admitted {
			t.Errorf("%s after a right code that was lost = %v, %v", op.name, got, err)
		}
	}
}

func TestUndoTakesAllOfAVerification(t *testing.T) {
	s := sharedServer(t)
	r := s.open(t, Throttle{})
	v := newVerification()
	resent, used := newCommand(v), newCommand(v)
	resent.args = append(resent.args, timeArg(v.IssuedAt), "0")
	v.Resends = 1
	used.args[4] = "1"
	used.args = append(append(used.args, boolArg(true)), r.throttleArgs...)
	if got, err := r.run(context.Background(), resendLua, resent, true); err != nil || got.Verdict != Admitted {
		t.Fatal(got, err)
	}
	if got, err := r.run(context.Background(), attemptLua, used, true); err != nil || got.Verdict != Admitted {
		t.Fatal(got, err)
	}
	late := newCommand(v)
	lost := []command{resent, used, late}
	for _, c := range lost {
		r.lost.add(c)
	}
	if got, err := state.do(r, v); err != nil || got != (Outcome{Admitted, 0, 0}) {
		t.Errorf("the first context is %v, %v", got, err)
	}
	for _, c := range lost {
		if s.number(t, "HEXISTS", c.keys[0], c.nonce) != 1 {
			t.Error("there is no mark of one that was lost")
		}
	}
	if n := r.lost.count.Load(); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// Only what has no answer is taken back, not what another replica did.
func TestUndoLeavesOthersAlone(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, someThrottle)
	tests := []struct {
		name   string
		before []operation
		lost   operation
		after  []operation
		look   operation
		want   Outcome
	}{
		{"a right code before", []operation{right}, right, nil, state, Outcome{Used, 0, 0}},
		{"a resend before", []operation{resend}, resend, nil, state, Outcome{Superseded, 0, 0}},
		{"a resend before, and its code", []operation{resend}, resend, nil, state.of(1), Outcome{Admitted, 0, 0}},
		{"a wrong code before a right one", []operation{wrong}, right, nil, state, Outcome{Admitted, 1, 0}},
		{"a wrong code before a resend", []operation{wrong}, resend, nil, state, Outcome{Admitted, 1, 0}},
		{"a wrong code after a resend", nil, resend, []operation{wrong.of(1)}, state, Outcome{Admitted, 1, 0}},
		{"a revocation after a right code", nil, right, []operation{revoke}, state, Outcome{Revoked, 0, 0}},
		{"a revocation after a resend", nil, resend, []operation{revoke}, state.of(1), Outcome{Revoked, 0, 0}},
	}
	verifications := prepare(len(tests))
	for i, test := range tests {
		admitted := func(ops []operation) {
			for _, op := range ops {
				if got, err := op.do(other, verifications[i]); err != nil || got.Verdict != Admitted {
					t.Errorf("%s: %s = %v, %v", test.name, op.name, got, err)
				}
			}
		}
		admitted(test.before)
		r.loses(t, test.lost, verifications[i])
		admitted(test.after)
	}
	r.proxy.set(t, none)
	eventually(t, "all is taken back", func() bool { return r.lost.count.Load() == 0 })
	for i, test := range tests {
		if got, err := test.look.do(other, verifications[i]); err != nil || got != test.want {
			t.Errorf("%s: State = %v, %v; want %v", test.name, got, err, test.want)
		}
	}
}

// Whoever can keep replicas from their answers learns of no more codes from the others than of a replica
// that has them. One that has lost an answer judges no other code before that is undone, so each guess is
// lost by a replica of its own.
func TestLostGuessesCount(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, someThrottle)
	loses := func(t *testing.T, v Verification) {
		r.proxy.set(t, none)
		replica := rig{r.server, r.proxy, openRedis(t, "redis://"+r.proxy.addr, impatience, someThrottle)}
		replica.loses(t, wrong, v)
	}
	t.Run("seen by State", func(t *testing.T) {
		v := newVerification()
		for n := range v.MaxAttempts + 2 {
			loses(t, v)
			want := Outcome{Admitted, min(n+1, v.MaxAttempts), 0}
			if want.Attempts == v.MaxAttempts {
				want.Verdict = Exhausted
			}
			if got, err := state.do(other, v); err != nil || got != want {
				t.Errorf("after %d lost guesses State = %v, %v; want %v", n+1, got, err, want)
			}
		}
		r.proxy.set(t, none)
		r.recovers(t)
		for _, l := range []*Redis{r.Redis, other} {
			for _, op := range []operation{wrong, right, resend, state} {
				if got, err := op.do(l, v); err != nil || got != (Outcome{Exhausted, v.MaxAttempts, 0}) {
					t.Errorf("%s in the end = %v, %v", op.name, got, err)
				}
			}
		}
		_, subject := keyNames(v)
		if n := r.server.number(t, "HGET", subject, "n"); n != v.MaxAttempts {
			t.Errorf("%d failures of the subject, want %d", n, v.MaxAttempts)
		}
	})
	t.Run("seen by Attempt", func(t *testing.T) {
		v := newVerification()
		for _, want := range []Outcome{{Admitted, 2, 0}, {Exhausted, 3, 0}} {
			loses(t, v)
			if got, err := wrong.do(other, v); err != nil || got != want {
				t.Errorf("after a lost guess Attempt = %v, %v; want %v", got, err, want)
			}
		}
	})
}

// What is done about a lost answer does not tell whether the code was right: not even where nothing can be
// undone, because the server takes no writes.
func TestLostCodesAreAlike(t *testing.T) {
	r := newRig(t)
	for _, op := range []operation{right, wrong} {
		v := newVerification()
		r.loses(t, op, v)
		r.proxy.set(t, none)
		r.server.do(t, "CONFIG", "SET", "min-replicas-to-write", "1")
		for range 3 {
			if got, err := state.do(r.Redis, v); err == nil {
				t.Errorf("after a lost %s code, right %t, State = %v without having undone it", op.name, op.right, got)
			}
		}
		if n := r.lost.count.Load(); n != 1 {
			t.Errorf("right %t: %d commands are to be undone, want 1", op.right, n)
		}
		r.server.do(t, "CONFIG", "SET", "min-replicas-to-write", "0")
		eventually(t, "it is undone", func() bool { return r.lost.count.Load() == 0 })
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
	c := newCommand(newVerification())
	c.until = time.Now()
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
	done(t, r, used, right, Used)
	done(t, r, fresh, right, Admitted)
}

// What happens while the server stands still happens when it goes on, and then counts for nothing, unless it
// is a wrong code.
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
		most := 0
		if i < 10 && i%3 == 1 {
			most = 1
		}
		if got, err := right.do(r.Redis, v); err != nil || got.Verdict != Admitted || got.Attempts > most {
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
	const ahead = 88 * time.Second                                 // a replica's clock
	for _, op := range []operation{wrong, right, resend, revoke} { // each the first
		for _, test := range []struct {
			op   operation
			want time.Duration
		}{
			{op.later(10 * time.Minute), 15*time.Minute + grace},
			{op.later(ahead), 15*time.Minute + grace}, // or it would end before the session, for the others
			{op.issuedAt(10 * time.Minute).later(10 * time.Minute), 5*time.Minute + grace},
			{op.issuedAt(10 * time.Minute).later(10*time.Minute + ahead), 5*time.Minute + grace},
			{op.issuedAt(20 * time.Minute).later(20 * time.Minute), grace},
		} {
			v := newVerification()
			if got, err := test.op.do(r, v); err != nil || got.Verdict != Admitted {
				t.Fatal(got, err)
			}
			key, _ := keyNames(v)
			keeps(key, test.want)
		}
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
