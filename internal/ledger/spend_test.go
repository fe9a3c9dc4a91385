package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// inTime does something again that a slow machine was too slow for. What gets no answer is undone, or does no harm.
func inTime(do func() error) {
	within(patience, func() bool { return !errors.Is(do(), context.DeadlineExceeded) })
}

// spend spends key at a time from now, and demands to be told to wait.
func spend(t testing.TB, l ledger, key string, at, want time.Duration, windows ...Window) (refund func()) {
	t.Helper()
	ctx := context.Background()
	var wait time.Duration
	var refundIn func(context.Context)
	var err error
	inTime(func() error {
		wait, refundIn, err = l.Spend(ctx, key, now.Add(at), windows)
		return err
	})
	if err != nil || wait != want {
		t.Errorf("Spend at %v = %v, %v; want %v", at, wait, err, want)
	}
	return func() { refundIn(ctx) }
}

func TestSpend(t *testing.T) {
	const s, minute, hour, day = time.Second, time.Minute, time.Hour, 24 * time.Hour
	recipient := []Window{{1, minute}, {5, 10 * minute}, {20, day}}
	type spending struct{ at, wait time.Duration }
	spaced := func(n int, every time.Duration, refused ...spending) (all []spending) {
		for i := range n {
			all = append(all, spending{time.Duration(i) * every, 0})
		}
		return append(all, refused...)
	}
	tests := []struct {
		name      string
		windows   []Window
		spendings []spending
	}{
		{"one in a window, and one when that is over", []Window{{1, minute}}, []spending{
			{0, 0}, {0, minute}, {s, minute - s},
			{minute - time.Millisecond, time.Millisecond}, {minute, 0}, {minute, minute}, {2 * minute, 0},
		}},
		{"who is told to wait counts for nothing", []Window{{2, minute}}, []spending{
			{0, 0}, {s, 0}, {2 * s, 58 * s}, {3 * s, 57 * s}, {minute, 0}, {minute, s}, {61 * s, 0}, {61 * s, 59 * s},
		}},
		{"the window slides", []Window{{3, minute}}, []spending{
			{0, 0}, {30 * s, 0}, {59 * s, 0}, {59 * s, s}, {60 * s, 0}, {61 * s, 29 * s}, {90 * s, 0}, {91 * s, 28 * s},
		}},
		{"the longest wait of several windows", recipient, slices.Concat(
			spaced(5, minute, spending{4*minute + s, 6*minute - s}, spending{5 * minute, 5 * minute}),
			[]spending{{10 * minute, 0}, {10*minute + s, minute - s}, {11 * minute, 0}, {11 * minute, minute}},
		)},
		{"the longest window", recipient, spaced(20, 10*minute,
			spending{200 * minute, day - 200*minute}, spending{day - time.Millisecond, time.Millisecond}, spending{day, 0},
			spending{day, 10 * minute}, spending{day + 10*minute, 0},
		)},
		{"windows in any order", []Window{{20, day}, {5, 10 * minute}, {1, minute}}, spaced(5, minute, spending{5 * minute, 5 * minute})},
		{"two windows of one length", []Window{{3, minute}, {2, minute}}, []spending{{0, 0}, {s, 0}, {2 * s, 58 * s}}},
		{"a long window that allows no more than a short one", []Window{{5, minute}, {2, hour}}, []spending{
			{0, 0}, {s, 0}, {2 * s, hour - 2*s}, {hour, 0}, {hour, s}, {hour + s, 0},
		}},
		{"more at once than a few", []Window{{100, hour}}, slices.Concat(
			slices.Repeat([]spending{{0, 0}}, 100), []spending{{0, hour}, {hour - time.Millisecond, time.Millisecond}},
			slices.Repeat([]spending{{hour, 0}}, 100), []spending{{hour, hour}},
		)},
		{"none is allowed", []Window{{0, hour}}, []spending{{0, hour}, {0, hour}, {day, hour}}},
		{"none is allowed by one window", []Window{{5, day}, {0, hour}, {1, minute}}, []spending{{0, hour}, {minute, hour}}},
		{"fewer than none are allowed", []Window{{-1, hour}}, []spending{{0, hour}}},
		{"a window of a millisecond", []Window{{1, time.Millisecond}}, []spending{
			{0, 0}, {0, time.Millisecond}, {999 * time.Microsecond, time.Millisecond}, {time.Millisecond, 0},
		}},
		{"another replica's clock is ahead", []Window{{2, minute}}, []spending{
			{10 * s, 0}, {0, 0}, {s, 59 * s}, {minute, 0}, {minute, 10 * s}, {70 * s, 0},
		}},
		{"no window", nil, []spending{{0, 0}, {0, 0}, {0, 0}}},
	}
	for _, kind := range remembering {
		l := kind.open(t, Throttle{})
		for _, test := range tests {
			t.Run(kind.name+", "+test.name, func(t *testing.T) {
				key, other := newID(), newID()
				for i, step := range test.spendings {
					wait, _, err := l.Spend(context.Background(), key, now.Add(step.at), test.windows)
					if err != nil || wait != step.wait {
						t.Fatalf("%d: Spend at %v = %v, %v; want %v", i+1, step.at, wait, err, step.wait)
					}
				}
				spend(t, l, other, 0, 0, Window{1, minute})
			})
		}
	}
	t.Run("none, as often as one likes", func(t *testing.T) {
		for range 3 {
			spend(t, None{}, "any", 0, 0, Window{1, minute}, Window{0, minute})()
		}
	})
}

func TestRefund(t *testing.T) {
	const s, minute = time.Second, time.Minute
	for _, kind := range remembering {
		l := kind.open(t, Throttle{})
		t.Run(kind.name+", what is refunded was never spent", func(t *testing.T) {
			key := newID()
			for range 3 {
				refund := spend(t, l, key, 0, 0, Window{1, minute})
				spend(t, l, key, 0, minute, Window{1, minute})
				refund()
			}
			spend(t, l, key, s, 0, Window{1, minute})
			spend(t, l, key, s, minute, Window{1, minute})
		})
		t.Run(kind.name+", a refund is of one's own", func(t *testing.T) {
			key, two := newID(), Window{2, minute}
			first := spend(t, l, key, 0, 0, two)
			spend(t, l, key, 10*s, 0, two)
			spend(t, l, key, 20*s, 40*s, two)() // has nothing to refund
			spend(t, l, key, 20*s, 40*s, two)
			first()
			spend(t, l, key, 20*s, 0, two)
			first()
			first()
			spend(t, l, key, 20*s, 50*s, two) // until the second is out of the window
		})
		t.Run(kind.name+", once, of those of one moment", func(t *testing.T) {
			key, many := newID(), Window{8, minute}
			var refunds []func()
			for range 8 {
				refunds = append(refunds, spend(t, l, key, 0, 0, many))
			}
			for range 3 {
				refunds[3]()
			}
			spend(t, l, key, s, 0, many)
			spend(t, l, key, s, minute-s, many)
			for _, refund := range refunds {
				refund()
			}
			for range 7 {
				spend(t, l, key, s, 0, many)
			}
			spend(t, l, key, s, minute, many)
		})
		t.Run(kind.name+", of what is long over", func(t *testing.T) {
			key, one := newID(), Window{1, minute}
			old := spend(t, l, key, 0, 0, one)
			spend(t, l, key, minute, 0, one)
			old()
			spend(t, l, key, minute, minute, one)
			spend(t, l, key, time.Hour, 0, one)
			old()
			spend(t, l, key, time.Hour, minute, one)
		})
		t.Run(kind.name+", of another key", func(t *testing.T) {
			one := Window{1, minute}
			refund, other := spend(t, l, newID(), 0, 0, one), newID()
			spend(t, l, other, 0, 0, one)
			refund()
			spend(t, l, other, 0, minute, one)
		})
	}
}

func TestConcurrentSpends(t *testing.T) {
	const rounds = 10 // a race is not lost every time
	for _, kind := range remembering {
		l := kind.open(t, Throttle{})
		for _, most := range []int{1, 3, 7, crowd - 1} {
			t.Run(kind.name+", exactly as many as are allowed", func(t *testing.T) {
				for range rounds {
					key := newID()
					var admitted atomic.Int64
					var clients sync.WaitGroup
					for range crowd {
						clients.Go(func() {
							wait, _, err := l.Spend(context.Background(), key, now, []Window{{most, time.Minute}, {crowd, time.Hour}})
							switch {
							case err != nil || wait != 0 && wait != time.Minute:
								t.Errorf("Spend = %v, %v", wait, err)
							case wait == 0:
								admitted.Add(1)
							}
						})
					}
					clients.Wait()
					if n := admitted.Load(); n != int64(most) {
						t.Fatalf("%d were admitted, want %d", n, most)
					}
				}
			})
		}
		t.Run(kind.name+", refunds", func(t *testing.T) {
			key, windows := newID(), []Window{{2, time.Minute}}
			var holders, refunds atomic.Int64
			var clients sync.WaitGroup
			for range crowd {
				clients.Go(func() {
					wait, refund, err := l.Spend(context.Background(), key, now, windows)
					if err != nil {
						t.Error(err)
					}
					if wait > 0 {
						return
					}
					if refunds.Add(1); holders.Add(1) > 2 {
						t.Error("three have spent what two may")
					}
					holders.Add(-1)
					var again sync.WaitGroup
					for range 3 {
						again.Go(func() { refund(context.Background()) })
					}
					again.Wait()
				})
			}
			clients.Wait()
			if refunds.Load() == 0 {
				t.Error("nobody has spent anything")
			}
			spend(t, l, key, 0, 0, windows...)
			spend(t, l, key, 0, 0, windows...)
			spend(t, l, key, 0, time.Minute, windows...)
		})
	}
}

// modelLog is when a key was spent, from now, in as few words as can say it.
type modelLog []time.Duration

// wait counts what is in each window, and looks for when enough of it will be out.
func (m modelLog) wait(at time.Duration, windows []Window) (wait time.Duration) {
	for _, w := range windows {
		var within []time.Duration
		for _, spent := range m {
			if spent > at-w.Per {
				within = append(within, spent)
			}
		}
		slices.Sort(within)
		switch excess := len(within) - w.Most; {
		case w.Most == 0:
			wait = max(wait, w.Per)
		case excess >= 0:
			wait = max(wait, within[excess]+w.Per-at)
		}
	}
	return wait
}

// Go and Lua tell what the model tells, of any windows at any time.
func TestLedgersAgreeOnSpends(t *testing.T) {
	const clients, sequences, each, seed = 8, 60, 60, 6
	const ms = time.Millisecond
	pers := []time.Duration{ms, 2 * ms, 50 * ms, time.Second, time.Minute, time.Hour, 24 * time.Hour}
	var waits, admissions, refunds atomic.Int64
	var running sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(client)))
		ledgers := []ledger{newMemory(t, 1_000_000, Throttle{}), sharedServer(t).open(t, Throttle{})}
		running.Go(func() {
			for range sequences {
				key, at := newID(), time.Duration(0)
				var windows []Window
				for range 1 + random.IntN(3) {
					windows = append(windows, Window{1 + random.IntN(9), pers[random.IntN(len(pers))]})
				}
				if random.IntN(20) == 0 {
					windows[0].Most = 0
				}
				var log modelLog
				pending := make(map[time.Duration][][]func(context.Context)) // by when it was spent
				for range each {
					want := log.wait(at, windows)
					var refund []func(context.Context)
					for i, l := range ledgers {
						wait, refundIn, err := l.Spend(context.Background(), key, now.Add(at), windows)
						if err != nil || wait != want {
							t.Errorf("ledger %d of %v, spent at %v: at %v it is %v, %v; want %v", i, windows, log, at, wait, err, want)
							return
						}
						refund = append(refund, refundIn)
					}
					switch {
					case want > 0:
						waits.Add(1)
						for _, refundIn := range refund {
							refundIn(context.Background())
						}
					default:
						admissions.Add(1)
						log = append(log, at)
						pending[at] = append(pending[at], refund)
					}
					if random.IntN(4) == 0 && len(log) > 0 {
						place := random.IntN(len(log))
						spent := log[place]
						for _, refundIn := range pending[spent][0] {
							refundIn(context.Background())
						}
						log, pending[spent] = slices.Delete(log, place, place+1), pending[spent][1:]
						refunds.Add(1)
					}
					switch random.IntN(4) {
					case 0:
						at += want // as soon as it may
					case 1:
						at += max(want-ms, 0)
					case 2:
						at += time.Duration(random.Int64N(int64(windows[random.IntN(len(windows))].Per)/int64(ms)+1)) * ms
					}
				}
			}
		})
	}
	running.Wait()
	if least := int64(clients * sequences); waits.Load() < least || admissions.Load() < least || refunds.Load() < least {
		t.Errorf("the test is wrong: %d were told to wait, %d were not, and %d were refunded", waits.Load(), admissions.Load(), refunds.Load())
	}
}
