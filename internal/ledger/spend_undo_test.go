package ledger

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// spendKeys returns the key of a log, and that of the marks of what was undone in it.
func spendKeys(key string) (log, undone string) {
	return fmt.Sprintf("otpd:{%s}:sends", key), fmt.Sprintf("otpd:{%s}:undone", key)
}

var anHour = Window{1, time.Hour}

// failsSpend spends key and demands that it fails, in time.
func (r rig) failsSpend(t testing.TB, key string) {
	t.Helper()
	begin := time.Now()
	wait, refund, err := r.Spend(context.Background(), key, now, []Window{anHour})
	if err == nil || wait != 0 {
		t.Errorf("Spend while it is broken = %v, %v; want an error", wait, err)
	}
	refund(context.Background())
	if took := time.Since(begin); took > impatience+slack {
		t.Errorf("Spend took %v", took)
	}
}

// A withdrawal that Redis did not hear of is done as soon as it answers, but for a resend that came after.
func TestLostWithdrawals(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, Throttle{})
	unheard, unanswered, again := newVerification(), newVerification(), newVerification()
	for _, v := range []Verification{unheard, unanswered, again} {
		done(t, r.Redis, v, resend, Admitted)
	}
	r.proxy.set(t, cut)
	r.fails(t, withdraw, unanswered)
	r.fails(t, withdraw, again)
	r.proxy.set(t, refusing)
	r.fails(t, withdraw, unheard)
	done(t, other, unheard, state, Superseded)
	done(t, other, unanswered, withdraw, "")
	done(t, other, again, withdraw, "")
	done(t, other, again, resend.later(5*time.Minute), Admitted)
	if n := r.lost.count.Load(); n != 3 {
		t.Errorf("%d commands are to be undone, want 3", n)
	}
	r.proxy.set(t, none)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	done(t, other, unheard, state, Admitted)
	done(t, other, unanswered, state, Admitted)
	done(t, other, again, state, Superseded)
}

// A spend whose answer was lost, and a refund that Redis did not hear of, are made good for all replicas as soon as it
// answers.
func TestLostSpends(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, Throttle{})
	lost, kept, unrefunded := newID(), newID(), newID()
	spend(t, r.Redis, kept, 0, 0, anHour)
	refund := spend(t, r.Redis, unrefunded, 0, 0, anHour)
	r.proxy.set(t, cut)
	r.failsSpend(t, lost)
	begin := time.Now()
	refund()
	if took := time.Since(begin); took > impatience+slack {
		t.Errorf("the refund took %v", took)
	}
	for _, key := range []string{lost, kept} {
		spend(t, other, key, 0, time.Hour, anHour) // so it was done
	}
	if n := r.lost.count.Load(); n != 2 {
		t.Errorf("%d commands are to be undone, want 2", n)
	}
	r.proxy.set(t, none)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	spend(t, other, lost, 0, 0, anHour)
	spend(t, other, kept, 0, time.Hour, anHour)
	spend(t, other, unrefunded, 0, 0, anHour)
	refund() // once is enough
	spend(t, r.Redis, unrefunded, 0, time.Hour, anHour)
}

// The replica that lost the answer finds the key as if it had not spent it, whether or not the others could yet.
func TestSpendUndoesFirst(t *testing.T) {
	r := newRig(t)
	key := newID()
	r.proxy.set(t, cut)
	r.failsSpend(t, key)
	r.proxy.set(t, none)
	r.recovers(t)
	spend(t, r.Redis, key, 0, 0, anHour)
	spend(t, r.Redis, key, 0, time.Hour, anHour)
}

// A spend that its client has given up, and undone over another connection, arrives at last.
func TestLateSpendDoesNothing(t *testing.T) {
	s := sharedServer(t)
	r := s.open(t, Throttle{})
	key, windows := newID(), []Window{{2, time.Hour}}
	spend(t, r, key, 0, 0, windows...)
	c := newSpendCommand(key, now, windows)
	r.undoCommand(t, c)
	for range 2 {
		wait, refund, err := r.spend(context.Background(), c)
		if err == nil || wait != 0 { // nor is it ever taken for admitted
			t.Errorf("a spend that arrives after it was undone = %v, %v", wait, err)
		}
		refund(context.Background())
	}
	spend(t, r, key, 0, 0, windows...)
	spend(t, r, key, 0, time.Hour, windows...)
	log, undone := spendKeys(key)
	if n, marks := s.number(t, "ZCARD", log), s.number(t, "HLEN", undone); n != 2 || marks != 1 {
		t.Errorf("%d are counted and %d undone, want 2 and 1", n, marks)
	}
}

// Of several that are undone, each is one's own.
func TestUndoneSpends(t *testing.T) {
	r := sharedServer(t).open(t, Throttle{})
	key, windows := newID(), []Window{{5, time.Hour}}
	var commands []command
	for i := range 5 {
		c := newSpendCommand(key, now.Add(time.Duration(i)*time.Second), windows)
		if wait, _, err := r.spend(context.Background(), c); wait != 0 || err != nil {
			t.Fatal(wait, err)
		}
		commands = append(commands, c)
	}
	for _, c := range []command{commands[0], commands[3], commands[0]} {
		r.lost.add(c)
	}
	spend(t, r, key, 10*time.Second, 0, windows...)
	spend(t, r, key, 10*time.Second, 0, windows...)
	spend(t, r, key, 10*time.Second, time.Hour-9*time.Second, windows...) // until commands[1] is out
}

// What happens while the server stands still happens when it goes on, and then counts for nothing.
func TestServerStandsStillForSpends(t *testing.T) {
	r := newRig(t)
	key := newID()
	r.signal(t, syscall.SIGSTOP)
	r.failsSpend(t, key)
	r.failsSpend(t, key)
	r.signal(t, syscall.SIGCONT)
	r.recovers(t)
	spend(t, r.Redis, key, 0, 0, anHour)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	spend(t, r.Redis, key, 0, time.Hour, anHour)
}

func TestSpendKeysExpire(t *testing.T) {
	s := startServer(t)
	r := s.open(t, Throttle{})
	keeps := func(key string, want time.Duration) {
		t.Helper()
		ttl := time.Duration(s.number(t, "PTTL", key)) * time.Millisecond
		if ttl <= want-patience || ttl > want {
			t.Errorf("%s is kept for %v, want %v", key, ttl, want)
		}
	}
	for _, test := range []struct {
		windows []Window
		want    time.Duration
	}{
		{[]Window{{1, time.Minute}}, time.Minute + grace},
		{[]Window{{9, time.Minute}, {9, 24 * time.Hour}, {9, time.Hour}}, 24*time.Hour + grace},
		{[]Window{{9, time.Millisecond}}, time.Millisecond + grace},
		{nil, grace},
	} {
		key := newID()
		log, undone := spendKeys(key)
		for _, at := range []time.Duration{0, 24 * time.Hour, 10_000 * time.Hour} { // whatever a replica's clock says
			spend(t, r, key, at, 0, test.windows...)
			keeps(log, test.want)
		}
		c := newSpendCommand(key, now, test.windows)
		r.undoCommand(t, c)
		keeps(undone, test.want)
		short := newSpendCommand(key, now, nil)
		r.undoCommand(t, short)
		keeps(undone, test.want)
	}
	// Who is told to wait writes nothing, or a key that is asked for again and again would live for ever.
	key := newID()
	log, _ := spendKeys(key)
	spend(t, r, key, 0, 0, Window{1, time.Hour})
	s.do(t, "PEXPIRE", log, "600000")
	before := s.number(t, "PEXPIRETIME", log)
	for range 3 {
		spend(t, r, key, 0, time.Hour, Window{1, time.Hour})
	}
	if after := s.number(t, "PEXPIRETIME", log); after != before {
		t.Errorf("it expires at %d, and did at %d", after, before)
	}
	spend(t, r, newID(), 0, time.Hour, Window{0, time.Hour})
	refunded := newID()
	spend(t, r, refunded, 0, 0, Window{1, time.Hour})()
	if log, _ := spendKeys(refunded); s.number(t, "EXISTS", log) != 0 {
		t.Error("an empty log is left")
	}
	var keys, expires int
	if _, err := fmt.Sscanf(s.info("db0"), "keys=%d,expires=%d", &keys, &expires); err != nil || keys != expires || keys != 9 {
		t.Errorf("%d keys, of which %d expire (%v); want 9", keys, expires, err)
	}
}

// What is too old to count goes, some at a time, so that no spend has to clear up after a hundred thousand others.
func TestSpendsAreTrimmed(t *testing.T) {
	s := sharedServer(t)
	r := s.open(t, Throttle{})
	key := newID()
	log, _ := spendKeys(key)
	for range 250 {
		spend(t, r, key, 0, 0, Window{1000, time.Hour})
	}
	spend(t, r, key, time.Hour-time.Millisecond, 0, Window{1000, time.Hour})
	for _, want := range []int{251, 152, 53, 4, 5} {
		if n := s.number(t, "ZCARD", log); n != want {
			t.Errorf("%d are kept, want %d", n, want)
		}
		spend(t, r, key, time.Hour, 0, Window{1000, time.Hour})
	}
}

// Anything but the reply to the very command is an error.
func TestReplyOfAnotherSpend(t *testing.T) {
	r := newRig(t)
	spent, fresh := newID(), newID()
	spend(t, r.Redis, spent, 0, 0, anHour)
	r.proxy.set(t, doubled)
	spend(t, r.Redis, fresh, 0, 0, anHour)
	r.failsSpend(t, spent)
	r.proxy.set(t, none)
	r.recovers(t)
	eventually(t, "replies are to their commands again", func() bool {
		wait, _, err := r.Spend(context.Background(), spent, now, []Window{anHour})
		if err == nil && wait != time.Hour {
			t.Fatalf("Spend = %v", wait)
		}
		return err == nil
	})
}
