package ledger

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// done does op and demands an outcome.
func done(t testing.TB, l ledger, v Verification, op operation, verdict string) {
	t.Helper()
	var got Outcome
	var err error
	inTime(func() error {
		got, err = op.do(l, v)
		return err
	})
	if err != nil || got.Verdict != verdict {
		t.Errorf("%+v = %v, %v; want %s", op, got, err, verdict)
	}
}

// A refresh whose answer was lost is undone, and with it that its token seemed to have come a second time when it was
// sent again. But a token that was spent before has ended its family for good.
func TestLostRefreshes(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, Throttle{})
	tests := []struct {
		name      string
		meanwhile []step // at another replica, after refresh.of(3) was lost
		after     []step // when it is undone
	}{
		{"nothing", nil, []step{
			{state.of(3), Outcome{Verdict: Admitted}}, {refresh.of(3), Outcome{Verdict: Admitted}}, {refresh.of(3), Outcome{Verdict: Superseded}},
		}},
		{"the same token", []step{
			{state.of(3), Outcome{Verdict: Superseded}}, {refresh.of(3), Outcome{Verdict: Superseded}}, {refresh.of(3), Outcome{Verdict: Revoked}},
			{state.of(3), Outcome{Verdict: Revoked}},
		}, []step{
			{state.of(3), Outcome{Verdict: Admitted}}, {refresh.of(3), Outcome{Verdict: Admitted}}, {refresh.of(4), Outcome{Verdict: Admitted}},
		}},
		{"a token that was spent before", []step{
			{refresh.of(2), Outcome{Verdict: Superseded}},
		}, []step{
			{state.of(3), Outcome{Verdict: Revoked}}, {refresh.of(3), Outcome{Verdict: Revoked}},
		}},
		{"the same token, and one that was spent before", []step{
			{refresh.of(3), Outcome{Verdict: Superseded}}, {refresh.of(1), Outcome{Verdict: Revoked}}, {refresh.of(3), Outcome{Verdict: Revoked}},
		}, []step{
			{refresh.of(3), Outcome{Verdict: Revoked}},
		}},
		{"the same token, and a revocation", []step{
			{refresh.of(3), Outcome{Verdict: Superseded}}, {revoke, Outcome{Verdict: Admitted}}, {refresh.of(3), Outcome{Verdict: Revoked}},
		}, []step{
			{refresh.of(3), Outcome{Verdict: Revoked}},
		}},
		{"a revocation", []step{{revoke, Outcome{Verdict: Admitted}}}, []step{{refresh.of(3), Outcome{Verdict: Revoked}}}},
	}
	families := prepare(len(tests))
	for i, test := range tests {
		v := families[i]
		for n := range 3 {
			done(t, other, v, refresh.of(n), Admitted)
		}
		r.loses(t, refresh.of(3), v)
		for _, s := range test.meanwhile {
			done(t, other, v, s.op, s.want.Verdict)
		}
	}
	r.proxy.set(t, none)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, s := range test.after {
				done(t, other, families[i], s.op, s.want.Verdict)
			}
		})
	}
}

// That a spent token came is not undone, whether or not anybody was told of it.
func TestLostReuse(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, Throttle{})
	v := newVerification()
	done(t, other, v, refresh, Admitted)
	r.loses(t, refresh, v)
	r.proxy.set(t, none)
	eventually(t, "what was lost is dealt with", func() bool { return r.lost.count.Load() == 0 })
	done(t, other, v, refresh.of(1), Revoked)
}

// Where the server has lost what it knew of a family, there is no refresh to be undone.
func TestReuseAfterALoss(t *testing.T) {
	s := sharedServer(t)
	r := s.open(t, Throttle{})
	v := newVerification()
	key, _ := keyNames(v)
	done(t, r, v, wrong.of(5), Admitted) // all that is known is what a token tells
	done(t, r, v, refresh.of(4), Superseded)
	reply := s.do(t, "HGET", key, "r")
	if revoked, err := reply.ToString(); err != nil || revoked != "1" {
		t.Errorf("r is %q, %v", revoked, err)
	}
	done(t, r, v, refresh.of(5), Revoked)
}

func TestRefreshUndoesFirst(t *testing.T) {
	r := newRig(t)
	for _, test := range []struct {
		op   operation
		want string
	}{{refresh, Admitted}, {state, Admitted}, {revoke, Admitted}} {
		v := newVerification()
		r.loses(t, refresh, v)
		r.proxy.set(t, none)
		r.recovers(t)
		done(t, r.Redis, v, test.op, test.want)
	}
}

// A refresh that its client has given up, and undone over another connection, arrives at last.
func TestLateRefreshDoesNothing(t *testing.T) {
	r := sharedServer(t).open(t, Throttle{})
	v := newVerification()
	done(t, r, v, refresh, Admitted)
	for _, generation := range []int{1, 0} { // the newest, and one that would end the family
		v.Resends = generation
		c := newCommand(v)
		r.undoCommand(t, c)
		if got, err := r.run(context.Background(), refreshLua, c, true); err != nil || got.Verdict != "undone" {
			t.Errorf("a refresh that arrives after it was undone = %v, %v", got, err)
		}
		done(t, r, v, state.of(1), Admitted)
	}
	done(t, r, v, refresh.of(1), Admitted)
}

// Two replicas lose a refresh each, and undo them in either order, more than once.
func TestTwoReplicasUndoRefreshes(t *testing.T) {
	s := sharedServer(t)
	a, b := s.open(t, Throttle{}), s.open(t, Throttle{})
	send := func(r *Redis, v Verification, verdict string) command {
		t.Helper()
		c := newCommand(v)
		if got, err := r.run(context.Background(), refreshLua, c, false); err != nil || got.Verdict != verdict {
			t.Errorf("Refresh = %v, %v; want %s", got, err, verdict)
		}
		return c
	}
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		v := newVerification()
		commands := []command{send(a, v, Admitted), send(b, v, Superseded)} // the second is the same token's
		for _, i := range order {
			[]*Redis{a, b}[i].undoCommand(t, commands[i])
		}
		done(t, a, v, refresh, Admitted)
		a.undoCommand(t, commands[0]) // as if the answer to the first were lost, too
		done(t, b, v, state.of(1), Admitted)
		done(t, b, v, refresh, Superseded)
		b.undoCommand(t, commands[0])
		done(t, a, v, refresh.of(1), Revoked)
	}
}

func TestServerStandsStillForRefreshes(t *testing.T) {
	r := newRig(t)
	v := newVerification()
	r.signal(t, syscall.SIGSTOP)
	r.fails(t, refresh, v)
	r.fails(t, refresh, v)
	r.signal(t, syscall.SIGCONT)
	r.recovers(t)
	done(t, r.Redis, v, refresh, Admitted)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	done(t, r.Redis, v, refresh.of(1), Admitted)
}

// A family is remembered as long as its newest token is good, whatever was done with it last, and no shorter for
// anything that came late.
func TestFamilyKeysExpire(t *testing.T) {
	s := startServer(t)
	r := s.open(t, Throttle{})
	const day = 24 * time.Hour
	type use struct {
		op   operation
		ends time.Duration // from when the token was issued
	}
	keeps := func(key string, want time.Duration) {
		t.Helper()
		ttl := time.Duration(s.number(t, "PTTL", key)) * time.Millisecond
		if ttl <= want-patience || ttl > want {
			t.Errorf("%s is kept for %v, want %v", key, ttl, want)
		}
	}
	for _, test := range []struct {
		name string
		uses []use
		want time.Duration
	}{
		{"one refresh", []use{{refresh, 7 * day}}, 7*day + grace},
		{"a later end", []use{{refresh, day}, {refresh.of(1), 7 * day}}, 7*day + grace},
		{"an earlier end", []use{{refresh, 7 * day}, {refresh.of(1), day}}, 7*day + grace},
		{"a spent token with a later end", []use{{refresh, day}, {refresh, 7 * day}}, 7*day + grace},
		{"a spent token with an earlier end", []use{{refresh, 7 * day}, {refresh, day}}, 7*day + grace},
		{"a revocation", []use{{revoke, 7 * day}}, 7*day + grace},
		{"a revocation with a later end", []use{{refresh, day}, {revoke.of(1), 7 * day}}, 7*day + grace},
		{"a revocation with an earlier end", []use{{refresh, 7 * day}, {revoke, day}}, 7*day + grace},
		{"what was revoked", []use{{revoke, day}, {refresh, 7 * day}, {state, 7 * day}}, day + grace},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newVerification()
			key, _ := keyNames(v)
			for _, u := range test.uses {
				v.Until = v.IssuedAt.Add(u.ends)
				if _, err := u.op.do(r, v); err != nil {
					t.Fatal(err)
				}
			}
			keeps(key, test.want)
			for _, ends := range []time.Duration{time.Hour, day / 2} {
				v.Until = v.IssuedAt.Add(ends)
				r.undoCommand(t, newCommand(v))
				keeps(key, test.want)
			}
			v.Until = v.IssuedAt.Add(30 * day)
			r.undoCommand(t, newCommand(v))
			keeps(key, 30*day+grace)
		})
	}
	// What is withdrawn was remembered already.
	v, key := newVerification(), ""
	key, _ = keyNames(v)
	if _, err := withdraw.do(r, v); err != nil || s.number(t, "EXISTS", key) != 0 {
		t.Error("a withdrawal of nothing leaves something behind")
	}
	done(t, r, v, resend, Admitted)
	if _, err := withdraw.later(5*time.Minute).do(r, v); err != nil {
		t.Error(err)
	}
	keeps(key, 15*time.Minute+grace)
	if s.number(t, "HEXISTS", key, "n") != 0 {
		t.Error("the name of the resend that was withdrawn is left")
	}
}

func TestMemoryKeepsFamiliesUntilTheirEnd(t *testing.T) {
	m := newMemory(t, 1, Throttle{})
	v := newVerification()
	done(t, m, v, refresh, Admitted)
	v.Until = now.Add(time.Hour)
	done(t, m, v, refresh.of(1), Admitted)
	if got, err := refresh.do(m, newVerification()); err != ErrFull || got != (Outcome{}) {
		t.Errorf("a refresh of a new family = %v, %v; want ErrFull", got, err)
	}
	m.sweep(v.Until.Add(grace))
	done(t, m, v, refresh, Superseded)
	v.Until = now.Add(2 * time.Hour)
	done(t, m, v, revoke, Admitted)
	m.sweep(v.Until.Add(grace))
	done(t, m, v, refresh.of(2), Revoked)
	m.sweep(v.Until.Add(grace + time.Second))
	if m.Len() != 0 {
		t.Errorf("Len = %d after its end", m.Len())
	}
	if err := m.Withdraw(context.Background(), v); err != nil || m.Len() != 0 {
		t.Errorf("a withdrawal of what is forgotten = %v, and Len is %d", err, m.Len())
	}
}

// While connections are cut and the server dies, whoever has a token that nobody else has, and sends it again until
// there is an answer, gets the next one at last: no loss ends a family, and no token is good twice.
func TestFamiliesWithKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	const families, kills = 24, 18
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	p := startProxy(t, s.addr)
	var replicas []*Redis
	for range 3 {
		replicas = append(replicas, openRedis(t, "redis://"+p.addr, impatience, Throttle{}))
	}
	all, generations := prepare(families), make([]int, families)
	var over atomic.Bool
	var failed, refreshed, doubted atomic.Int64
	var running sync.WaitGroup
	for i := range all {
		random := rand.New(rand.NewPCG(8, uint64(i)))
		running.Go(func() {
			for !over.Load() {
				got, err := refresh.of(generations[i]).do(replicas[random.IntN(len(replicas))], all[i])
				switch {
				case err != nil:
					failed.Add(1)
					time.Sleep(100 * time.Microsecond) // or the clients would do little but fail
				case got.Verdict == Admitted:
					refreshed.Add(1)
					generations[i]++
				case got.Verdict == Superseded, got.Verdict == Revoked: // until what another replica lost is undone
					doubted.Add(1)
					time.Sleep(100 * time.Microsecond)
				default:
					t.Errorf("Refresh = %v", got)
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(9, 9))
	for n := range kills {
		p.trouble(t, s, n, random)
	}
	over.Store(true)
	running.Wait()
	after := openRedis(t, "redis://"+p.addr, calmly, Throttle{})
	for _, r := range append(replicas, after) {
		eventually(t, "the server answers and nothing waits to be undone", func() bool {
			return r.Ping(context.Background()) == nil && r.lost.count.Load() == 0
		})
	}
	for i, v := range all {
		done(t, after, v, state.of(generations[i]), Admitted)
		if generations[i] > 0 {
			done(t, after, v, state.of(generations[i]-1), Superseded)
		}
		done(t, after, v, refresh.of(generations[i]), Admitted)
		done(t, after, v, refresh.of(generations[i]), Superseded)
	}
	if failed.Load() == 0 || refreshed.Load() < families {
		t.Errorf("%d refreshes failed and %d did not: the test is wrong", failed.Load(), refreshed.Load())
	}
	t.Logf("%d refreshes failed and %d did not; %d were in doubt", failed.Load(), refreshed.Load(), doubted.Load())
}
