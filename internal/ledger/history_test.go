package ledger

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// A history is what concurrent clients of one verification did and were told. It is right if the
// operations can be put into an order, each at a moment between its begin and its end, in which the
// model tells the same (Herlihy and Wing's linearizability).
type history []event

type event struct {
	op         operation
	outcome    Outcome
	begin, end int64
}

// model is what a ledger remembers of one verification, in as few words as can say it.
type model struct {
	attempts, resends int
	used, revoked     bool
}

// next returns what op tells and leaves behind.
func (m model) next(op operation, maxAttempts int) (Outcome, model) {
	after := m
	after.attempts = max(m.attempts, op.attempts)
	after.resends = max(m.resends, op.resends)
	outcome := Outcome{Admitted, after.attempts, 0}
	if op.name == "revoke" {
		after.revoked = true
		return outcome, after
	}
	switch {
	case m.used:
		outcome.Verdict = Used
	case m.revoked:
		outcome.Verdict = Revoked
	case m.resends > op.resends:
		outcome.Verdict = Superseded
	case after.attempts >= maxAttempts:
		outcome.Verdict = Exhausted
	}
	if outcome.Verdict != Admitted || op.name == "state" {
		return outcome, m
	}
	switch {
	case op.name == "resend":
		after.resends++
	case op.right:
		after.used = true
	default:
		after.attempts++
		outcome.Attempts++
	}
	return outcome, after
}

// right reports whether some order explains h.
func (h history) right(maxAttempts int) bool {
	type position struct {
		done uint64 // a bit for each event that the order has so far
		left model
	}
	failed := make(map[position]bool)
	var search func(p position) bool
	search = func(p position) bool {
		if p.done == 1<<len(h)-1 {
			return true
		}
		if failed[p] {
			return false
		}
		firstEnd := int64(1) << 62
		for i, e := range h {
			if p.done&(1<<i) == 0 {
				firstEnd = min(firstEnd, e.end)
			}
		}
		for i, e := range h {
			if p.done&(1<<i) != 0 || e.begin > firstEnd {
				continue // it is done, or began when another that is not done had ended
			}
			outcome, left := p.left.next(e.op, maxAttempts)
			if outcome == e.outcome && search(position{p.done | 1<<i, left}) {
				return true
			}
		}
		failed[p] = true
		return false
	}
	return search(position{})
}

// record has clients do random operations at once and returns what they saw.
func record(t testing.TB, l ledger, v Verification, random *rand.Rand, clients, each int) (h history) {
	t.Helper()
	var clock atomic.Int64
	var mu sync.Mutex
	var running sync.WaitGroup
	start := make(chan struct{})
	for range clients {
		ops := make([]operation, each)
		for i := range ops {
			ops[i] = randomOperation(random, v.MaxAttempts)
		}
		running.Go(func() {
			<-start
			for _, op := range ops {
				e := event{op: op, begin: clock.Add(1)}
				runtime.Gosched() // or one client would often be done before the next begins
				outcome, err := op.do(l, v)
				if err != nil {
					t.Error(err)
				}
				e.outcome, e.end = outcome, clock.Add(1)
				mu.Lock()
				h = append(h, e)
				mu.Unlock()
			}
		})
	}
	close(start)
	running.Wait()
	return h
}

// randomOperation returns mostly wrong codes, the rest seldom enough to leave a history after them.
func randomOperation(random *rand.Rand, maxAttempts int) operation {
	ops := []operation{wrong, wrong, wrong, wrong, wrong, right, resend, resend, revoke, state, state}
	op := ops[random.IntN(len(ops))]
	return op.after(random.IntN(maxAttempts)).of(random.IntN(3))
}

func TestHistories(t *testing.T) {
	const histories, seed = 400, 1
	for _, subject := range remembering {
		t.Run(subject.name, func(t *testing.T) {
			l := subject.open(t, Throttle{})
			random := rand.New(rand.NewPCG(seed, seed))
			for range histories {
				v := newVerification()
				v.MaxAttempts = 1 + random.IntN(4)
				if h := record(t, l, v, random, 4, 4); !h.right(v.MaxAttempts) {
					t.Fatalf("no order of its operations explains %+v", h)
				}
			}
		})
	}
}

func TestHistoryCheckerFindsFaults(t *testing.T) {
	admitted := func(op operation, attempts int, begin, end int64) event {
		return event{op, Outcome{Admitted, attempts, 0}, begin, end}
	}
	tests := []struct {
		name  string
		h     history
		right bool
	}{
		{"one success", history{admitted(right, 0, 1, 2)}, true},
		{"two successes", history{admitted(right, 0, 1, 4), admitted(right, 0, 2, 3)}, false},
		{"two guesses at once, the later counted first", history{admitted(wrong, 2, 1, 4), admitted(wrong, 1, 2, 3)}, true},
		{"two guesses in turn, the later counted first", history{admitted(wrong, 2, 1, 2), admitted(wrong, 1, 3, 4)}, false},
		{"two guesses with one count", history{admitted(wrong, 1, 1, 4), admitted(wrong, 1, 2, 3)}, false},
		{"a third guess of two", history{admitted(wrong, 1, 1, 2), admitted(wrong, 2, 3, 4), admitted(wrong, 3, 5, 6)}, false},
		{"a use nobody made", history{{right, Outcome{Used, 0, 0}, 1, 2}}, false},
		{"an old code after a resend", history{admitted(resend, 0, 1, 2), admitted(right, 0, 3, 4)}, false},
		{"an old code during a resend", history{admitted(resend, 0, 1, 4), admitted(wrong, 1, 2, 3)}, false},
		{"a code after a revocation", history{admitted(revoke, 0, 1, 2), admitted(right, 0, 3, 4)}, false},
		{"a code during a revocation", history{admitted(revoke, 0, 1, 4), admitted(right, 0, 2, 3)}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, h := range []history{test.h, reversed(test.h)} {
				if got := h.right(2); got != test.right {
					t.Errorf("right = %t, want %t", got, test.right)
				}
			}
		})
	}
}

func reversed(h history) history {
	h = slices.Clone(h)
	slices.Reverse(h)
	return h
}
