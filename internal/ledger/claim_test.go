package ledger

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type claimant interface {
	ledger
	Claim(ctx context.Context, v Verification) (Outcome, func(context.Context), error)
}

func (r *replicas) Claim(ctx context.Context, v Verification) (Outcome, func(context.Context), error) {
	return r.next().Claim(ctx, v)
}

// claim claims v and demands an outcome.
func claim(t testing.TB, l claimant, v Verification, want Outcome) (release func()) {
	t.Helper()
	ctx := context.Background()
	got, free, err := l.Claim(ctx, v)
	if err != nil || got != want {
		t.Errorf("Claim = %v, %v; want %v", got, err, want)
	}
	return func() { free(ctx) }
}

func TestClaim(t *testing.T) {
	admitted, used := Outcome{Verdict: Admitted}, Outcome{Verdict: Used}
	for _, kind := range remembering {
		l := kind.open(t, someThrottle).(claimant)
		t.Run(kind.name+", it ends with its release", func(t *testing.T) {
			v := newVerification()
			for range 3 {
				release := claim(t, l, v, admitted)
				claim(t, l, v, used)
				if got, err := right.do(l, v); err != nil || got != used {
					t.Errorf("a right code = %v, %v", got, err)
				}
				release()
			}
			claim(t, l, v, admitted)
			claim(t, l, v, used)
		})
		t.Run(kind.name+", a release ends no other's claim", func(t *testing.T) {
			v := newVerification()
			first := claim(t, l, v, admitted)
			refused := claim(t, l, v, used)
			refused()
			claim(t, l, v, used)
			first()
			claim(t, l, v, admitted)
			first()
			refused()
			claim(t, l, v, used)
		})
		t.Run(kind.name+", another's is another's", func(t *testing.T) {
			v, other := newVerification(), newVerification()
			release := claim(t, l, v, admitted)
			claim(t, l, other, admitted)
			release()
			claim(t, l, other, used)
		})
		t.Run(kind.name+", what has ended is not claimed", func(t *testing.T) {
			v := newVerification()
			if got, err := revoke.do(l, v); err != nil || got.Verdict != Admitted {
				t.Fatal(got, err)
			}
			claim(t, l, v, Outcome{Verdict: Revoked})()
			if got, err := state.do(l, v); err != nil || got.Verdict != Revoked {
				t.Errorf("after a claim that was refused, it is %v, %v", got, err)
			}
		})
		t.Run(kind.name+", a crowd", func(t *testing.T) {
			v := newVerification()
			var holders, claims atomic.Int64
			var clients sync.WaitGroup
			for range crowd {
				clients.Go(func() {
					got, release, err := l.Claim(context.Background(), v)
					if err != nil || got != admitted && got != used {
						t.Errorf("Claim = %v, %v", got, err)
					}
					if got != admitted {
						return
					}
					if claims.Add(1); holders.Add(1) > 1 {
						t.Error("two have it")
					}
					holders.Add(-1)
					release(context.Background())
				})
			}
			clients.Wait()
			if claims.Load() == 0 {
				t.Error("nobody got it")
			}
			claim(t, l, v, admitted)
		})
	}
	t.Run("none, as often as one likes", func(t *testing.T) {
		v := newVerification()
		release, err := func() (func(context.Context), error) {
			got, release, err := None{}.Claim(context.Background(), v)
			if got != admitted {
				t.Errorf("Claim = %v", got)
			}
			return release, err
		}()
		if err != nil {
			t.Fatal(err)
		}
		release(context.Background())
		if got, _, err := (None{}).Claim(context.Background(), v); err != nil || got != admitted {
			t.Errorf("Claim = %v, %v", got, err)
		}
		v.Attempts = v.MaxAttempts
		if got, _, err := (None{}).Claim(context.Background(), v); err != nil || got.Verdict != Exhausted {
			t.Errorf("Claim = %v, %v", got, err)
		}
	})
}

// Whoever holds a challenge can have it claimed as often as they like.
func TestReleasedClaimLeavesNothing(t *testing.T) {
	server := sharedServer(t)
	redis, v := server.open(t, someThrottle), newVerification()
	key, _ := keyNames(v)
	claim(t, redis, v, Outcome{Verdict: Admitted})()
	fields, until := server.number(t, "HLEN", key), server.number(t, "PEXPIRETIME", key)
	for range 20 {
		claim(t, redis, v, Outcome{Verdict: Admitted})()
	}
	if n := server.number(t, "HLEN", key); n != fields {
		t.Errorf("the hash has %d fields after 21 claims, and had %d after the first", n, fields)
	}
	if ends := server.number(t, "PEXPIRETIME", key); ends != until {
		t.Errorf("it ends at %d, and did at %d", ends, until)
	}
}

// A claim whose answer was lost, and a release that Redis did not hear of, are made good as soon as it answers.
func TestLostClaim(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, someThrottle)
	lost, unreleased := newVerification(), newVerification()
	release := claim(t, r.Redis, unreleased, Outcome{Verdict: Admitted})
	r.proxy.set(t, cut)
	got, abandoned, err := r.Redis.Claim(context.Background(), lost)
	if err == nil || got != (Outcome{}) {
		t.Errorf("Claim while it is broken = %v, %v; want an error", got, err)
	}
	abandoned(context.Background())
	begin := time.Now()
	release()
	if took := time.Since(begin); took > impatience+slack {
		t.Errorf("the release took %v", took)
	}
	claim(t, other, lost, Outcome{Verdict: Used})
	claim(t, other, unreleased, Outcome{Verdict: Used})
	if n := r.lost.count.Load(); n != 2 {
		t.Errorf("%d commands are to be undone, want 2", n)
	}
	r.proxy.set(t, none)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	claim(t, other, lost, Outcome{Verdict: Admitted})
	claim(t, other, unreleased, Outcome{Verdict: Admitted})
	release() // once is enough
	claim(t, r.Redis, unreleased, Outcome{Verdict: Used})
}

// A full ledger claims nothing, and a claim takes an entry until its verification ends.
func TestMemoryClaimsAreEntries(t *testing.T) {
	m := newMemory(t, 1, Throttle{})
	v := newVerification()
	release := claim(t, m, v, Outcome{Verdict: Admitted})
	if got, _, err := m.Claim(context.Background(), newVerification()); err != ErrFull || got != (Outcome{}) {
		t.Errorf("Claim = %v, %v; want ErrFull", got, err)
	}
	m.sweep(v.Until.Add(grace + time.Second))
	release()
	if m.Len() != 0 {
		t.Errorf("Len = %d after the end", m.Len())
	}
}
