package ledger

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A history is what concurrent clients did to verifications of one subject and were told. It is linearizable
// if the operations can be put into an order, each at a moment between its begin and its end, in which the
// model tells the same (Herlihy and Wing, 1990).
type history []event

type event struct {
	op         operation
	outcome    Outcome
	begin, end int64
}

// rules are what a history is judged by.
type rules struct {
	maxAttempts int
	throttle    Throttle
}

// model is what a ledger remembers of a subject and its verifications, in as few words as can say it.
// Times are from now.
type model struct {
	verifications [2]modelled
	failures      int
	lockedUntil   time.Duration
}

type modelled struct {
	attempts, resends int
	used, revoked     bool
	issued            time.Duration // of the newest code; 0 if only contexts tell
}

// next returns what op tells and leaves behind.
func (m model) next(op operation, r rules) (Outcome, model) {
	if op.name == "unlock" {
		m.failures, m.lockedUntil = 0, 0
		return Outcome{Verdict: Admitted}, m
	}
	before := m
	v := &m.verifications[op.on]
	if op.name == "withdraw" {
		if v.resends == op.resends+1 {
			v.resends, v.issued = op.resends, op.issued
		}
		return Outcome{}, m
	}
	newer := v.resends > op.resends
	v.attempts, v.resends = max(v.attempts, op.attempts), max(v.resends, op.resends)
	if op.name == "revoke" {
		v.revoked = true
		return Outcome{Admitted, v.attempts, 0}, m
	}
	if op.name == "refresh" && !v.used && !v.revoked {
		if newer {
			v.revoked = true
			return Outcome{Superseded, v.attempts, 0}, m
		}
		v.resends++
		return Outcome{Admitted, v.attempts, 0}, m
	}
	verdict := Admitted
	switch {
	case v.used:
		verdict = Used
	case v.revoked:
		verdict = Revoked
	case newer:
		verdict = Superseded
	case op.name == "attempt" && m.lockedUntil > op.at:
		return Outcome{Throttled, v.attempts, m.lockedUntil - op.at}, before
	case v.attempts >= r.maxAttempts:
		verdict = Exhausted
	}
	if verdict != Admitted || op.name == "state" {
		return Outcome{verdict, v.attempts, 0}, before
	}
	switch {
	case op.name == "resend":
		if ready := max(v.issued, op.issued) + op.cooldown; ready > op.at {
			return Outcome{Cooling, v.attempts, ready - op.at}, before
		}
		v.resends++
		v.issued = op.at
	case op.right:
		v.used = true
		m.failures, m.lockedUntil = 0, 0
	default:
		v.attempts++
		if m.failures++; m.failures > r.throttle.After && r.throttle.Factor > 0 {
			m.lockedUntil = op.at + min(r.throttle.Factor<<(m.failures-r.throttle.After), r.throttle.Max)
		}
	}
	return Outcome{Admitted, v.attempts, 0}, m
}

// linearizable reports whether some order explains h.
func (h history) linearizable(r rules) bool {
	return explained(len(h), func(i int) (begin, end int64) { return h[i].begin, h[i].end }, func(m model, i int) (model, bool) {
		outcome, left := m.next(h[i].op, r)
		return left, outcome == h[i].outcome
	})
}

// explained reports whether some order of n events, each at a moment between its begin and its end, leads from the
// zero model through all of them. Next returns what an event leaves behind, and whether the model tells what it
// was told.
func explained[M comparable](n int, span func(i int) (begin, end int64), next func(m M, i int) (M, bool)) bool {
	type position struct {
		done uint64 // a bit for each event that the order has so far
		left M
	}
	failed := make(map[position]bool)
	var search func(p position) bool
	search = func(p position) bool {
		if p.done == 1<<n-1 {
			return true
		}
		if failed[p] {
			return false
		}
		firstEnd := int64(1) << 62
		for i := range n {
			if _, end := span(i); p.done&(1<<i) == 0 {
				firstEnd = min(firstEnd, end)
			}
		}
		for i := range n {
			if begin, _ := span(i); p.done&(1<<i) != 0 || begin > firstEnd {
				continue // it is done, or began when another that is not done had ended
			}
			if left, ok := next(p.left, i); ok && search(position{p.done | 1<<i, left}) {
				return true
			}
		}
		failed[p] = true
		return false
	}
	return search(position{})
}

// record has clients do random operations at once, while time goes by in steps, and returns what they
// saw.
func record(
	t testing.TB, l ledger, verifications [2]Verification, random *rand.Rand, next func(*rand.Rand, int) operation, clients, each int,
) (h history) {
	t.Helper()
	var order, clock atomic.Int64
	var mu sync.Mutex
	var running sync.WaitGroup
	start := make(chan struct{})
	for range clients {
		ops, steps := make([]operation, each), make([]time.Duration, each)
		for i := range ops {
			ops[i] = next(random, verifications[0].MaxAttempts)
			if random.IntN(3) == 0 {
				steps[i] = time.Duration(random.IntN(20)) * time.Second
			}
		}
		running.Go(func() {
			<-start
			for i, op := range ops {
				op.at = time.Duration(clock.Add(int64(steps[i])))
				e := event{op: op, begin: order.Add(1)}
				runtime.Gosched() // or one client would often be done before the next begins
				outcome, err := op.do(l, verifications[op.on])
				if err != nil {
					t.Error(err)
				}
				e.outcome, e.end = outcome, order.Add(1)
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
	ops := []operation{
		wrong, wrong, wrong, wrong, wrong, wrong, right, resend, resend.cooling(10 * time.Second), withdraw, revoke, state, state,
		unlock,
	}
	op := ops[random.IntN(len(ops))].to(random.IntN(2))
	if op.name == "unlock" {
		return op
	}
	return op.after(random.IntN(maxAttempts)).of(random.IntN(3)).issuedAt(time.Duration(random.IntN(2)) * time.Second)
}

// randomRefresh returns mostly refreshes, few of them with a token that is spent before they begin.
func randomRefresh(random *rand.Rand, _ int) operation {
	ops := []operation{refresh, refresh, refresh, refresh, refresh, refresh, state, state, revoke}
	return ops[random.IntN(len(ops))].to(random.IntN(2)).of(random.IntN(4))
}

func TestHistories(t *testing.T) {
	const seed = 1
	histories := map[string]int{"memory": 5000, "redis": 500}
	throttles := []Throttle{
		{}, {After: 0, Factor: 5 * time.Second, Max: 15 * time.Second}, {After: 2, Factor: 2 * time.Second, Max: time.Minute},
	}
	for _, kind := range remembering {
		t.Run(kind.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, seed))
			for _, throttle := range throttles {
				l := kind.open(t, throttle)
				for range histories[kind.name] / len(throttles) {
					r := rules{1 + random.IntN(4), throttle}
					verifications := [2]Verification{newVerification(), newVerification()}
					verifications[1].Subject = verifications[0].Subject
					for i := range verifications {
						verifications[i].MaxAttempts = r.maxAttempts
					}
					for _, next := range []func(*rand.Rand, int) operation{randomOperation, randomRefresh} {
						if h := record(t, l, verifications, random, next, 4, 4); !h.linearizable(r) {
							t.Fatalf("no order of its operations explains %+v by %+v", h, r)
						}
						verifications = [2]Verification{newVerification(), newVerification()} // families have no subject in common
					}
				}
			}
		})
	}
}

func TestHistoryCheckerFindsFaults(t *testing.T) {
	admitted := func(op operation, attempts int, begin, end int64) event {
		return event{op, Outcome{Admitted, attempts, 0}, begin, end}
	}
	locked := func(op operation, attempts int, wait time.Duration, begin, end int64) event {
		return event{op, Outcome{Throttled, attempts, wait}, begin, end}
	}
	const s = time.Second
	second := wrong.to(1)
	tests := []struct {
		name         string
		h            history
		linearizable bool
	}{
		{"one success", history{admitted(right, 0, 1, 2)}, true},
		{"two successes", history{admitted(right, 0, 1, 4), admitted(right, 0, 2, 3)}, false},
		{"a success of each verification", history{admitted(right, 0, 1, 4), admitted(right.to(1), 0, 2, 3)}, true},
		{"two guesses at once, the later counted first", history{admitted(wrong, 2, 1, 4), admitted(wrong, 1, 2, 3)}, true},
		{"two guesses in turn, the later counted first", history{admitted(wrong, 2, 1, 2), admitted(wrong, 1, 3, 4)}, false},
		{"two guesses with one count", history{admitted(wrong, 1, 1, 4), admitted(wrong, 1, 2, 3)}, false},
		{"a third guess of two", history{admitted(wrong, 1, 1, 2), admitted(wrong, 2, 3, 4), admitted(wrong, 3, 5, 6)}, false},
		{"a use nobody made", history{{right, Outcome{Used, 0, 0}, 1, 2}}, false},
		{"an old code after a resend", history{admitted(resend, 0, 1, 2), admitted(right, 0, 3, 4)}, false},
		{"an old code during a resend", history{admitted(resend, 0, 1, 4), admitted(wrong, 1, 2, 3)}, false},
		{"a code after a revocation", history{admitted(revoke, 0, 1, 2), admitted(right, 0, 3, 4)}, false},
		{"a code during a revocation", history{admitted(revoke, 0, 1, 4), admitted(right, 0, 2, 3)}, true},
		{"a lock by both", history{admitted(wrong, 1, 1, 2), admitted(second, 1, 3, 4), locked(wrong, 1, 2*s, 5, 6)}, true},
		{"no lock by both", history{admitted(wrong, 1, 1, 2), admitted(second, 1, 3, 4), admitted(wrong, 2, 5, 6)}, false},
		{"a guess while it is locked", history{admitted(wrong, 1, 1, 2), admitted(second, 1, 3, 4), admitted(wrong.later(s), 2, 5, 6)}, false},
		{"a guess after the lock", history{admitted(wrong, 1, 1, 2), admitted(second, 1, 3, 4), admitted(wrong.later(2*s), 2, 5, 6)}, true},
		{"a lock that an unlock ends", history{
			admitted(wrong, 1, 1, 2), admitted(second, 1, 3, 4), admitted(unlock, 0, 5, 6), admitted(wrong, 2, 7, 8),
		}, true},
		{"a lock too long", history{admitted(wrong, 1, 1, 2), admitted(second, 1, 3, 4), locked(wrong, 1, 3*s, 5, 6)}, false},
		{"a lock too early", history{admitted(wrong, 1, 1, 2), locked(wrong, 1, 2*s, 3, 4)}, false},
		{"a resend too soon", history{admitted(resend.cooling(s), 0, 1, 2)}, false},
		{"a resend in time", history{admitted(resend.cooling(s).later(s), 0, 1, 2)}, true},
		{"an old code after a withdrawal", history{
			admitted(resend, 0, 1, 2), {withdraw, Outcome{}, 3, 4}, admitted(right, 0, 5, 6),
		}, true},
		{"an old code before a withdrawal", history{
			admitted(resend, 0, 1, 2), admitted(right, 0, 3, 4), {withdraw, Outcome{}, 5, 6},
		}, false},
		{"one refresh", history{admitted(refresh, 0, 1, 2), {refresh, Outcome{Superseded, 0, 0}, 3, 4}}, true},
		{"two refreshes with one token", history{admitted(refresh, 0, 1, 4), admitted(refresh, 0, 2, 3)}, false},
		{"two refreshes in turn", history{admitted(refresh, 0, 1, 4), admitted(refresh.of(1), 0, 2, 3)}, true},
		{"a refresh after a spent token came", history{
			admitted(refresh, 0, 1, 2), {refresh, Outcome{Superseded, 0, 0}, 3, 4}, admitted(refresh.of(1), 0, 5, 6),
		}, false},
		{"a spent token that ends nothing", history{
			admitted(refresh, 0, 1, 2), {refresh, Outcome{Superseded, 0, 0}, 3, 4}, {refresh, Outcome{Superseded, 0, 0}, 5, 6},
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, h := range []history{test.h, reversed(test.h)} {
				if got := h.linearizable(rules{2, Throttle{After: 1, Factor: s, Max: time.Minute}}); got != test.linearizable {
					t.Errorf("linearizable = %t, want %t", got, test.linearizable)
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

// told is what clients have been told of a verification, and have asked of it.
type told struct {
	rights, wrongs, resends atomic.Int64 // admitted
	attempts                atomic.Int64 // the most that any answer told of
	guesses, revocations    atomic.Int64 // asked for
	revoked                 atomic.Bool
}

// do does op at r and holds the answer to what was told before. It returns the error of op.
func (k *told) do(t testing.TB, r *Redis, op operation, v Verification) error {
	attempts, resends, revoked := k.attempts.Load(), k.resends.Load(), k.revoked.Load()
	switch {
	case op.name == "attempt" && !op.right:
		k.guesses.Add(1)
	case op.name == "revoke":
		k.revocations.Add(1)
	}
	got, err := op.do(r, v)
	if err != nil {
		return err
	}
	if int64(got.Attempts) < attempts || got.Attempts > v.MaxAttempts {
		t.Errorf("%s tells of %d attempts, after %d of %d", op.name, got.Attempts, attempts, v.MaxAttempts)
	}
	for seen := k.attempts.Load(); seen < int64(got.Attempts) && !k.attempts.CompareAndSwap(seen, int64(got.Attempts)); {
		seen = k.attempts.Load()
	}
	if got.Verdict == "undone" {
		t.Errorf("%s is told that it was taken back", op.name)
	}
	if got.Verdict != Admitted {
		return nil
	}
	if op.name != "revoke" && (revoked || int64(op.resends) < resends) {
		t.Errorf("%+v is admitted: revoked %t, %d resends", op, revoked, resends)
	}
	switch {
	case op.name == "revoke":
		k.revoked.Store(true)
	case op.name == "resend":
		k.resends.Add(1)
	case op.right:
		k.rights.Add(1)
	case op.name == "attempt":
		k.wrongs.Add(1)
	}
	return nil
}

// settled holds how a verification stands, once all is well again, to what was told.
func (k *told) settled(t testing.TB, r *Redis, v Verification) {
	rights, wrongs, resends := k.rights.Load(), k.wrongs.Load(), int(k.resends.Load())
	if rights > 1 {
		t.Errorf("%d right codes were admitted", rights)
	}
	got, err := state.of(resends).do(r, v)
	if err != nil {
		t.Fatal(err)
	}
	attempts := int64(got.Attempts)
	if wrongs > attempts || attempts > min(k.guesses.Load(), int64(v.MaxAttempts)) || attempts < k.attempts.Load() {
		t.Errorf("%d attempts of %d, after %d wrong codes of which %d were admitted, and an answer that told of %d",
			attempts, v.MaxAttempts, k.guesses.Load(), wrongs, k.attempts.Load())
	}
	verdicts := []string{Admitted}
	switch {
	case rights == 1:
		verdicts = []string{Used}
	case k.revoked.Load():
		verdicts = []string{Revoked}
	case got.Attempts == v.MaxAttempts:
		verdicts = []string{Exhausted}
	}
	if rights == 0 && k.revocations.Load() > 0 {
		verdicts = append(verdicts, Revoked)
	}
	if !slices.Contains(verdicts, got.Verdict) {
		t.Errorf("in the end it is %v, want %v", got, verdicts)
	}
	if resends > 0 {
		if old, err := state.of(resends-1).do(r, v); err != nil || old.Verdict == Admitted || old.Verdict == Exhausted {
			t.Errorf("in the end an old context is %v, %v", old, err)
		}
	}
}

// While connections are cut and the server dies, an operation that failed may be done or not, for a
// while. When all is well again a right code and a resend were not; a wrong code may count for good.
func TestHistoriesWithKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const (
		rounds   = 3
		clients  = 12
		kills    = 18
		attempts = 5
		window   = 40 // verifications at a time
		each     = 20 // that go with each kill, for as many new ones
	)
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	p := startProxy(t, s.addr)
	open := func(throttle Throttle) (all []*Redis) {
		for range 3 {
			all = append(all, openRedis(t, "redis://"+p.addr, impatience, throttle))
		}
		return all
	}
	throttle := Throttle{After: 4, Factor: time.Minute, Max: time.Hour}
	free, throttled := open(Throttle{}), open(throttle)
	after := openRedis(t, "redis://"+p.addr, calmly, Throttle{})
	ops := slices.Concat(slices.Repeat([]operation{wrong}, 60), slices.Repeat([]operation{state}, 30),
		[]operation{right, right, right, right, resend, resend, resend.cooling(3 * time.Second), revoke})
	var failed, done, clock atomic.Int64
	for round := range rounds {
		random := rand.New(rand.NewPCG(1, uint64(round)))
		verifications, known := prepare(window+kills*each), make([]told, window+kills*each)
		for i := range verifications {
			verifications[i].MaxAttempts = attempts
		}
		guessed := prepare(window) // all of one subject
		for i := range guessed {
			guessed[i].Subject = guessed[0].Subject
		}
		var first, guesses, unlocks atomic.Int64
		var over atomic.Bool
		var running sync.WaitGroup
		for range clients {
			random := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
			running.Go(func() {
				for !over.Load() {
					i, replica := int(first.Load())+random.IntN(window), random.IntN(3)
					op := ops[random.IntN(len(ops))].later(time.Duration(clock.Load()))
					op = op.of(int(known[i].resends.Load()) - random.IntN(5)/4)
					op.resends = max(op.resends, 0)
					if known[i].do(t, free[replica], op, verifications[i]) != nil {
						failed.Add(1)
						time.Sleep(100 * time.Microsecond) // or the clients would do little but fail
					} else {
						done.Add(1)
					}
					guess := wrong.later(time.Duration(clock.Load()))
					if random.IntN(2000) == 0 {
						unlocks.Add(1)
						_, _ = unlock.do(throttled[replica], guessed[0])
					}
					if got, err := guess.do(throttled[replica], guessed[random.IntN(window)]); err == nil && got.Verdict == Admitted {
						guesses.Add(1)
					}
				}
			})
		}
		for n := range kills {
			p.trouble(t, s, n, random)
			first.Add(each)
			clock.Add(int64(time.Second)) // less in all than the shortest lock
		}
		over.Store(true)
		running.Wait()
		for _, r := range slices.Concat(free, throttled, []*Redis{after}) {
			eventually(t, "the server answers and nothing waits to be taken back", func() bool {
				return r.Ping(context.Background()) == nil && r.lost.count.Load() == 0
			})
		}
		for i, v := range verifications {
			known[i].settled(t, after, v)
		}
		if most := int64(throttle.After+1) * (1 + unlocks.Load()); guesses.Load() > most {
			t.Errorf("%d guesses at one subject were admitted, want at most %d", guesses.Load(), most)
		}
		var rights, lost, resends, revocations int64
		for i := range known {
			rights += known[i].rights.Load()
			lost += known[i].attempts.Load() - known[i].wrongs.Load()
			resends += known[i].resends.Load()
			revocations += known[i].revocations.Load()
		}
		t.Logf("round %d: %d right codes, %d resends, %d revocations, %d wrong codes that count and nobody was told of, %d unlocks, %d guesses",
			round, rights, resends, revocations, lost, unlocks.Load(), guesses.Load())
	}
	if failed.Load() == 0 || done.Load() == 0 {
		t.Errorf("%d operations failed and %d did not: the test is wrong", failed.Load(), done.Load())
	}
	t.Logf("%d operations failed and %d did not", failed.Load(), done.Load())
}
