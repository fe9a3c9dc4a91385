package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultyDelivery is what a delivery and a refresh leave in a ledger before it breaks.
type faultyDelivery struct {
	spent, unspent    string // keys
	refund            func()
	reserved, pending string
	family, resent    Verification
}

func (r rig) prepareDelivery(t testing.TB) *faultyDelivery {
	t.Helper()
	d := &faultyDelivery{spent: newID(), unspent: newID(), reserved: newID(), pending: newID(), family: newVerification(), resent: newVerification()}
	d.refund = spend(t, r.Redis, d.spent, 0, 0, anHour)
	reserve(t, r.Redis, d.pending, "own", "own")
	done(t, r.Redis, d.family, refresh, Admitted)
	done(t, r.Redis, d.resent, resend, Admitted)
	return d
}

// fail has all operations fail, at once.
func (d *faultyDelivery) fail(t testing.TB, r rig) {
	t.Helper()
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() { r.failsSpend(t, d.unspent) })
		clients.Go(func() { r.failsReserve(t, d.reserved, "lost") })
		clients.Go(func() { r.failsSettle(t, d.pending, "own", "answer") })
		clients.Go(func() { r.fails(t, refresh.of(1), d.family) })
	}
	clients.Go(func() { r.fails(t, withdraw, d.resent) })
	clients.Go(d.refund)
	clients.Wait()
}

// hold demands, now that all is well again, that what failed was undone, or was done.
func (d *faultyDelivery) hold(t testing.TB, r rig) {
	t.Helper()
	for _, key := range []string{d.unspent, d.spent} {
		spend(t, r.Redis, key, 0, 0, anHour)
		spend(t, r.Redis, key, 0, time.Hour, anHour)
	}
	reserve(t, r.Redis, d.reserved, "next", "next")
	settle(t, r.Redis, d.pending, "own", "answer")
	reserve(t, r.Redis, d.pending, "next", "answer")
	done(t, r.Redis, d.family, refresh.of(1), Admitted)
	done(t, r.Redis, d.family, state.of(2), Admitted)
	done(t, r.Redis, d.resent, state, Admitted)
}

// While connections are cut and the server dies, no more are told to go on than may, and nobody else is when somebody
// was told to be the first. When all is well again, what counts is what somebody was told and did not take back.
func TestDeliveriesWithKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	const clients, kills, most, window, each = 12, 18, 3, 20, 10
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	p := startProxy(t, s.addr)
	var replicas []*Redis
	for range 3 {
		replicas = append(replicas, openRedis(t, "redis://"+p.addr, impatience, Throttle{}))
	}
	type told struct {
		key                    string
		holders, spent, firsts atomic.Int64
	}
	all := make([]told, window+kills*each)
	for i := range all {
		all[i].key = newID()
	}
	var over atomic.Bool
	var first, failed, admitted, refunded atomic.Int64
	var running sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(10, uint64(client)))
		running.Go(func() {
			ctx := context.Background()
			for n := 0; !over.Load(); n++ {
				k := &all[int(first.Load())+random.IntN(window)]
				r := replicas[random.IntN(len(replicas))]
				wait, refund, err := r.Spend(ctx, k.key, now, []Window{{most, time.Hour}})
				switch {
				case err != nil:
					failed.Add(1)
					time.Sleep(100 * time.Microsecond) // or the clients would do little but fail
				case wait == 0:
					admitted.Add(1)
					if k.holders.Add(1) > most {
						t.Error("more were told to go on than may")
					}
					if random.IntN(4) > 0 {
						k.holders.Add(-1) // before it is, lest another is told first
						refunded.Add(1)
						refund(ctx)
					} else {
						k.spent.Add(1)
					}
				}
				own := fmt.Sprint(client, " ", n)
				if held, err := r.Reserve(ctx, k.key, own, receiptFor, now); err == nil && held == own {
					k.firsts.Add(1)
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(11, 11))
	for n := range kills {
		p.trouble(t, s, n, random)
		first.Add(each)
	}
	over.Store(true)
	running.Wait()
	after := openRedis(t, "redis://"+p.addr, calmly, Throttle{})
	for _, r := range append(replicas, after) {
		eventually(t, "the server answers and nothing waits to be undone", func() bool {
			return r.Ping(context.Background()) == nil && r.lost.count.Load() == 0
		})
	}
	for i := range all {
		k := &all[i]
		log, _ := spendKeys(k.key)
		if n := s.number(t, "ZCARD", log); int64(n) != k.spent.Load() {
			t.Errorf("%d are counted, of %d that somebody was told of", n, k.spent.Load())
		}
		if k.firsts.Load() > 1 {
			t.Errorf("%d were told to be the first", k.firsts.Load())
		}
		held, err := after.Reserve(context.Background(), k.key, "last", receiptFor, now)
		if err != nil || (held == "last") != (k.firsts.Load() == 0) {
			t.Errorf("in the end %q is held, %v; %d were the first", held, err, k.firsts.Load())
		}
	}
	if failed.Load() == 0 || admitted.Load() < window || refunded.Load() == 0 {
		t.Errorf("%d failed, %d were admitted, %d refunded: the test is wrong", failed.Load(), admitted.Load(), refunded.Load())
	}
	t.Logf("%d failed, %d were admitted, and %d of them refunded", failed.Load(), admitted.Load(), refunded.Load())
}
