package token

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

func TestRefresh(t *testing.T) {
	t.Parallel()
	forEachLedger(t, func(t *testing.T, l Ledger, _ bool) {
		f := newFixture(t, l)
		f.caller.Namespace = "shop"
		login := f.login()
		login.Methods = []string{"pwd", "otp", "mfa"}
		tokens, err := f.Issue(f.caller, login)
		if err != nil {
			t.Fatal(err)
		}
		family := f.family(t, tokens.Refresh)
		// Far beyond the life of one token: each has a week of its own.
		for i := range 10 {
			f.clock = f.clock.Add(refreshLife - time.Second)
			next := f.mustRefresh(t, tokens.Refresh)
			if next.ExpiresIn != accessLife || next.Access == tokens.Access || next.Refresh == tokens.Refresh {
				t.Fatalf("refresh %d: %+v", i, next)
			}
			tokens = next
			_, text := segments(t, tokens.Access)
			claims := members(t, text)
			for name, want := range map[string]any{
				"sub": ann, "purpose": "login", "client_id": "shop", "sid": family, "auth_time": float64(start.Unix()),
				"iat": float64(f.clock.Unix()), "exp": float64(f.clock.Add(accessLife).Unix()),
			} {
				if claims[name] != want {
					t.Errorf("refresh %d: %s is %v, want %v", i, name, claims[name], want)
				}
			}
			if got := fmt.Sprint(claims["amr"]); got != "[pwd otp mfa]" {
				t.Errorf("refresh %d: amr is %s", i, got)
			}
			if found := f.introspect(t, tokens.Refresh); !found.Active || !found.ExpiresAt.Equal(f.clock.Add(refreshLife)) {
				t.Errorf("refresh %d: %+v", i, found)
			}
		}
		if n := len(f.wantEventsOf(t, EventRefreshed)); n != 10 {
			t.Errorf("%d events, want 10", n)
		}
	})
}

// wantEventsOf returns the events of a name so far.
func (f *fixture) wantEventsOf(t testing.TB, name string) (events []otp.Event) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Name == name {
			events = append(events, e)
		}
	}
	return events
}

// Whichever token of a family is used again, and whoever comes first, the family ends.
func TestReuseEndsTheFamily(t *testing.T) {
	t.Parallel()
	forEachLedger(t, func(t *testing.T, l Ledger, remembers bool) {
		for spent := range 3 {
			f := newFixture(t, l)
			family, bystander := []Tokens{f.mustIssue(t)}, f.mustIssue(t)
			for i := range 3 {
				family = append(family, f.mustRefresh(t, family[i].Refresh))
			}
			f.wantEvents(t, "before", EventLoginSucceeded, EventLoginSucceeded, EventRefreshed, EventRefreshed, EventRefreshed)
			if !remembers {
				f.mustRefresh(t, family[spent].Refresh)
				continue
			}
			f.wantRefusal(t, "reuse", family[spent].Refresh, ErrReused)
			f.wantEvents(t, "reuse", EventReused)
			f.wantRefusal(t, "the newest", family[3].Refresh, ErrInvalid)
			for i, tokens := range family {
				f.wantActive(t, fmt.Sprint("access token ", i), tokens.Access, false)
				f.wantActive(t, fmt.Sprint("refresh token ", i), tokens.Refresh, false)
			}
			f.wantEvents(t, "afterwards")
			f.wantActive(t, "another login's", bystander.Access, true)
			f.mustRefresh(t, bystander.Refresh)
		}
	})
}

func TestRefreshRace(t *testing.T) {
	t.Parallel()
	for _, l := range ledgers {
		if !l.remembers {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, l.open(t))
			first := f.mustIssue(t)
			var won, reused atomic.Int32
			var winner Tokens
			var clients sync.WaitGroup
			begin := make(chan struct{})
			for range 100 {
				clients.Go(func() {
					<-begin
					switch tokens, err := f.refresh(first.Refresh); err {
					case nil:
						won.Add(1)
						winner = tokens
					case ErrReused:
						reused.Add(1)
					case ErrInvalid: // after the family had ended
					default:
						t.Errorf("%v", err)
					}
				})
			}
			close(begin)
			clients.Wait()
			if won.Load() != 1 || reused.Load() == 0 {
				t.Fatalf("%d won and %d were told of the reuse", won.Load(), reused.Load())
			}
			f.wantRefusal(t, "what the winner got", winner.Refresh, ErrInvalid)
			f.wantActive(t, "what the winner got", winner.Access, false)
			if n := len(f.wantEventsOf(t, EventRefreshed)); n != 1 {
				t.Errorf("%d events of the one refresh", n)
			}
		})
	}
}

// The ledger is to remember a family until the newest of its tokens, whichever is at hand, has expired.
func TestFamiliesAreRememberedForLongEnough(t *testing.T) {
	t.Parallel()
	stub := &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}}
	f := newFixture(t, stub)
	first := f.mustIssue(t)
	f.clock = start.Add(accessLife - 500*time.Millisecond)
	second := f.mustRefresh(t, first.Refresh)
	newest := f.introspect(t, second.Refresh).ExpiresAt
	for _, token := range []string{first.Access, first.Refresh, second.Access, second.Refresh} {
		f.revoke(t, token)
	}
	for _, v := range stub.asked {
		if v.Until.Before(newest) {
			t.Errorf("until %v, want %v or later: %+v", v.Until, newest, v)
		}
	}
	if len(stub.asked) != 6 {
		t.Errorf("asked %d times", len(stub.asked))
	}
	// A shorter life is for the tokens to come.
	f.Service = f.service(t, func(cfg *Config) { cfg.Ledger, cfg.RefreshLife = stub, accessLife })
	f.revoke(t, second.Refresh)
	if v := stub.asked[6]; v.Until.Before(newest) {
		t.Errorf("until %v, want %v or later", v.Until, newest)
	}
}

func TestWhatRefreshAsksTheLedger(t *testing.T) {
	t.Parallel()
	stub := &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}}
	f := newFixture(t, stub)
	tokens := f.mustIssue(t)
	for generation := range 3 {
		issued := f.clock
		f.clock = f.clock.Add(time.Hour)
		family := f.family(t, tokens.Refresh)
		tokens = f.mustRefresh(t, tokens.Refresh)
		v := stub.asked[generation]
		if v.ID != family || v.Subject != "" || v.Resends != generation || v.Attempts != 0 || v.MaxAttempts != 1 ||
			!v.IssuedAt.Equal(issued) || !v.Now.Equal(f.clock) || !v.Until.Equal(f.clock.Add(refreshLife)) {
			t.Errorf("generation %d: %+v", generation, v)
		}
	}
}

// While the ledger is down nothing is consumed.
func TestRefreshWhileTheLedgerIsDown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	tokens := f.mustIssue(t)
	up := f.Service
	f.Service = f.service(t, func(cfg *Config) { cfg.Ledger = &stubLedger{err: errors.New("down")} })
	f.wantRefusal(t, "down", tokens.Refresh, otp.ErrLedgerUnavailable)
	f.Service = up
	f.mustRefresh(t, tokens.Refresh)
}

func TestNothingElseRefreshes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}})
	tokens := f.mustIssue(t)
	sealed := f.sealed(t, tokens.Refresh)
	context, err := f.sealer.Seal(&otpcontext.Claims{
		ID: otp.NewID(), Timestamp: 1.7e9, OTPExpiry: 1.7e9, SessionExpiry: 1.7e9,
	}, f.clock)
	if err != nil {
		t.Fatal(err)
	}
	foreign := &fixture{sealer: otpcontext.NewSealer(newRing(t, testKeyB)), clock: start}
	for name, token := range map[string]string{
		"an access token":         tokens.Access,
		"a context":               context,
		"the same as a device":    f.sealAs(t, otpcontext.Device, sealed),
		"the same as a challenge": f.sealAs(t, otpcontext.Challenge, sealed),
		"the same as a receipt":   f.sealAs(t, otpcontext.Receipt, sealed),
		"under another key":       foreign.sealAs(t, otpcontext.Refresh, sealed),
		"its claims":              sealed,
		"cut short":               tokens.Refresh[:len(tokens.Refresh)-4],
		"longer":                  tokens.Refresh + "AAAA",
		"twice":                   tokens.Refresh + tokens.Refresh,
		"with a line break":       tokens.Refresh[:40] + "\n" + tokens.Refresh[40:],
		"with a space":            tokens.Refresh + " ",
	} {
		f.wantRefusal(t, name, token, ErrInvalid)
		if name != "an access token" {
			f.wantActive(t, name, token, false)
		}
	}
	f.mustRefresh(t, f.sealAs(t, otpcontext.Refresh, sealed)) // so it was not for the text
}

func TestARefreshTokenIsNothingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	tokens := f.mustIssue(t)
	for _, token := range []string{tokens.Access, tokens.Refresh} {
		for _, kind := range []otpcontext.Kind{otpcontext.Device, otpcontext.Challenge, otpcontext.Receipt} {
			if _, _, err := f.sealer.OpenAs(kind, token); err == nil {
				t.Errorf("it opens as %s", kind)
			}
		}
		if _, err := f.sealer.Open(token); err == nil {
			t.Error("it opens as a context")
		}
	}
}

// Only otpd could have sealed these, and even then they must be refused.
func TestMalformedRefreshTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}})
	sealed := f.sealed(t, f.mustIssue(t).Refresh)
	f.mustRefresh(t, f.sealAs(t, otpcontext.Refresh, sealed))
	bad := []string{"null", "[]", `""`, "0", "{}", "[" + sealed + "]", sealed + sealed, sealed + "x", sealed[:len(sealed)-1], "\xff"}
	for _, edit := range []struct {
		member string
		value  any
	}{
		{"family", nil}, {"family", ""}, {"family", strings.Repeat("A", 21)}, {"family", strings.Repeat("A", 23)}, {"family", 1},
		{"family", strings.Repeat("A", 21) + "B"}, {"generation", -1}, {"generation", maxGeneration}, {"generation", 0.5}, {"generation", "0"},
		{"expires_at", nil}, {"expires_at", "2200000000"}, {"expires_at", start.Unix()}, {"methods", "otp"}, {"scope", "none"}, {"Family", "A"},
	} {
		bad = append(bad, edited(t, sealed, edit.member, edit.value))
	}
	for _, text := range bad {
		token := f.sealAs(t, otpcontext.Refresh, text)
		f.wantRefusal(t, text, token, ErrInvalid)
		f.wantActive(t, text, token, false)
	}
	most := edited(t, sealed, "generation", maxGeneration-1)
	f.mustRefresh(t, f.sealAs(t, otpcontext.Refresh, most))
}

// Refresh tokens outlast a change of the sealing key for as long as the old one opens, and the hash of whom they
// are for stays the same in the log.
func TestRotationOfTheSealingKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	old, another := f.mustIssue(t), f.mustIssue(t)
	hash := f.sealer.Subject("", ann)
	f.sealer.Use(newRing(t, testKeyB, testKey))
	next := f.mustRefresh(t, old.Refresh)
	f.sealer.Use(newRing(t, testKeyB))
	f.mustRefresh(t, next.Refresh)
	f.wantRefusal(t, "of a key that is gone", another.Refresh, ErrInvalid)
	f.wantRefusal(t, "of a key that is gone, and spent", old.Refresh, ErrInvalid)
	f.wantActive(t, "an access token", another.Access, true)
	for _, e := range f.wantEvents(t, "all of it", EventLoginSucceeded, EventLoginSucceeded, EventRefreshed, EventRefreshed) {
		if e.IdentifierHash != hash {
			t.Errorf("%s: %s, want %s", e.Name, e.IdentifierHash, hash)
		}
	}
}
