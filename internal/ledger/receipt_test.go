package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const receiptFor = 10 * time.Minute

// reserve reserves key for ten minutes from now, and demands to be told what is held.
func reserve(t testing.TB, l ledger, key, value, want string) {
	t.Helper()
	reserveAt(t, l, 0, key, value, want)
}

func reserveAt(t testing.TB, l ledger, at time.Duration, key, value, want string) {
	t.Helper()
	var held string
	var err error
	inTime(func() error {
		held, err = l.Reserve(context.Background(), key, value, receiptFor, now.Add(at))
		return err
	})
	if err != nil || held != want {
		t.Errorf("Reserve at %v = %.40q, %v; want %.40q", at, held, err, want)
	}
}

// settle settles key for ten minutes from now.
func settle(t testing.TB, l ledger, key, own, value string) {
	t.Helper()
	settleAt(t, l, 0, key, own, value)
}

func settleAt(t testing.TB, l ledger, at time.Duration, key, own, value string) {
	t.Helper()
	var err error
	inTime(func() error {
		err = l.Settle(context.Background(), key, own, value, receiptFor, now.Add(at))
		return err
	})
	if err != nil {
		t.Errorf("Settle: %v", err)
	}
}

func TestReceipts(t *testing.T) {
	const ms = time.Millisecond
	for _, kind := range remembering {
		l := kind.open(t, Throttle{})
		run := func(name string, test func(t *testing.T, key string)) {
			t.Run(kind.name+", "+name, func(t *testing.T) { test(t, newID()) })
		}
		run("the first has it", func(t *testing.T, key string) {
			reserve(t, l, key, "a", "a")
			reserve(t, l, key, "b", "a")
			reserve(t, l, key, "a", "a")
			reserve(t, l, newID(), "b", "b")
		})
		run("it is settled by who has it", func(t *testing.T, key string) {
			settle(t, l, key, "a", "answer") // nobody does
			reserve(t, l, key, "a", "a")
			settle(t, l, key, "b", "another")
			settle(t, l, key, "A", "another")
			settle(t, l, key, "", "another")
			settle(t, l, key, "a ", "another")
			reserve(t, l, key, "b", "a")
			settle(t, l, key, "a", "answer")
			reserve(t, l, key, "c", "answer")
			settle(t, l, key, "a", "another answer")
			reserve(t, l, key, "c", "answer")
			settle(t, l, key, "answer", "a later answer")
			reserve(t, l, key, "c", "a later answer")
		})
		run("it is forgotten by who has it", func(t *testing.T, key string) {
			reserve(t, l, key, "a", "a")
			settle(t, l, key, "b", "")
			reserve(t, l, key, "b", "a")
			settle(t, l, key, "a", "")
			reserve(t, l, key, "b", "b")
			settle(t, l, key, "a", "")
			settle(t, l, key, "a", "answer")
			reserve(t, l, key, "c", "b")
		})
		run("it ends", func(t *testing.T, key string) {
			reserve(t, l, key, "a", "a")
			reserveAt(t, l, receiptFor-ms, key, "b", "a")
			reserveAt(t, l, receiptFor, key, "b", "b")
			settleAt(t, l, receiptFor, key, "a", "answer")
			reserveAt(t, l, 2*receiptFor-ms, key, "c", "b")
			settleAt(t, l, 2*receiptFor-ms, key, "b", "answer")
			reserveAt(t, l, 3*receiptFor-2*ms, key, "c", "answer")
			settleAt(t, l, 3*receiptFor-ms, key, "answer", "another") // has ended
			reserveAt(t, l, 3*receiptFor-ms, key, "c", "c")
		})
		run("an end of its own", func(t *testing.T, key string) {
			ctx := context.Background()
			if held, err := l.Reserve(ctx, key, "a", time.Hour, now); held != "a" || err != nil {
				t.Fatal(held, err)
			}
			if err := l.Settle(ctx, key, "a", "answer", time.Minute, now); err != nil {
				t.Fatal(err)
			}
			reserveAt(t, l, time.Minute-ms, key, "b", "answer")
			reserveAt(t, l, time.Minute, key, "b", "b")
		})
		run("for no time", func(t *testing.T, key string) {
			for _, ttl := range []time.Duration{0, -time.Hour} {
				if held, err := l.Reserve(context.Background(), key, "a", ttl, now); held != "a" || err != nil {
					t.Errorf("Reserve = %q, %v", held, err)
				}
				reserve(t, l, newID(), "b", "b")
			}
			reserve(t, l, key, "b", "b")
		})
		run("any text", func(t *testing.T, key string) {
			long := strings.Repeat("x", maxReceipt)
			for _, value := range []string{
				"a\x00b", "\xff\xfe", "\r\n", "$-1\r\n", "-1", "0", "false", "nil", "{}", "'", long, long[1:] + "y",
			} {
				key := newID()
				reserve(t, l, key, value, value)
				reserve(t, l, key, "b", value)
				settle(t, l, key, value[:len(value)-1], "wrong")
				settle(t, l, key, value, "pending")
				settle(t, l, key, "pending", value)
				reserve(t, l, key, "b", value)
			}
		})
		run("no longer text than is allowed", func(t *testing.T, key string) {
			long, ctx := strings.Repeat("x", maxReceipt+1), context.Background()
			if held, err := l.Reserve(ctx, key, long, receiptFor, now); held != "" || err != errReceiptTooLong {
				t.Errorf("Reserve = %.40q, %v", held, err)
			}
			reserve(t, l, key, "a", "a")
			if err := l.Settle(ctx, key, "a", long, receiptFor, now); err != errReceiptTooLong {
				t.Errorf("Settle: %v", err)
			}
			reserve(t, l, key, "b", "a")
		})
		run("a crowd", func(t *testing.T, key string) {
			const rounds = 10
			for range rounds {
				key := newID()
				var winner atomic.Pointer[string]
				var first, settled atomic.Int64
				var clients sync.WaitGroup
				var mu sync.Mutex
				seen := make(map[string]int)
				for i := range crowd {
					own := fmt.Sprint("client ", i)
					clients.Go(func() {
						held, err := l.Reserve(context.Background(), key, own, receiptFor, now)
						if err != nil {
							t.Error(err)
						}
						if held == own {
							first.Add(1)
							winner.Store(&own)
						}
						settle(t, l, key, own, "answer to "+own) // only the first may
						held, err = l.Reserve(context.Background(), key, own, receiptFor, now)
						if err != nil {
							t.Error(err)
						}
						if strings.HasPrefix(held, "answer") {
							settled.Add(1)
						}
						mu.Lock()
						defer mu.Unlock()
						seen[held]++
					})
				}
				clients.Wait()
				if first.Load() != 1 || len(seen) > 2 || settled.Load() == 0 {
					t.Fatalf("%d were first, and then %v was held", first.Load(), seen)
				}
				reserve(t, l, key, "b", "answer to "+*winner.Load())
			}
		})
	}
	t.Run("none, nothing", func(t *testing.T) {
		reserve(t, None{}, "any", "a", "")
		settle(t, None{}, "any", "a", "answer")
		reserve(t, None{}, "any", "b", "")
	})
}

// Go and Lua tell what the model tells, at any time.
func TestLedgersAgreeOnReceipts(t *testing.T) {
	const clients, sequences, each, seed = 8, 60, 40, 7
	var first, held, ended, settled atomic.Int64
	var running sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(client)))
		ledgers := []ledger{newMemory(t, 1_000_000, Throttle{}), sharedServer(t).open(t, Throttle{})}
		running.Go(func() {
			ctx := context.Background()
			for range sequences {
				key, at, value, end := newID(), time.Duration(0), "", time.Duration(0)
				for range each {
					own, ttl := string(rune('a'+random.IntN(3))), time.Duration(random.IntN(4))*time.Second
					if random.IntN(2) == 0 {
						next := []string{"", "x", "y"}[random.IntN(3)]
						for _, l := range ledgers {
							if err := l.Settle(ctx, key, own, next, ttl, now.Add(at)); err != nil {
								t.Error(err)
							}
						}
						if own == value && at < end {
							value, end = next, at+ttl
							settled.Add(1)
						}
					}
					want := own
					if value != "" && at < end {
						want = value
						held.Add(1)
					} else if value != "" {
						ended.Add(1)
					} else {
						first.Add(1)
					}
					for i, l := range ledgers {
						if got, err := l.Reserve(ctx, key, own, ttl, now.Add(at)); err != nil || got != want {
							t.Errorf("ledger %d: Reserve at %v = %q, %v; want %q", i, at, got, err, want)
							return
						}
					}
					if want == own && (value == "" || at >= end) {
						value, end = own, at+ttl
					}
					at += time.Duration(random.IntN(2000)) * time.Millisecond * time.Duration(random.IntN(2))
				}
			}
		})
	}
	running.Wait()
	least := int64(clients * sequences)
	if first.Load() < least || held.Load() < least || ended.Load() < least || settled.Load() < least {
		t.Errorf("the test is wrong: %d were first, %d found another, %d one that had ended, and %d were settled",
			first.Load(), held.Load(), ended.Load(), settled.Load())
	}
}
