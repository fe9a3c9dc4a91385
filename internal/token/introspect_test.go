package token

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

func TestWhatIntrospectionSays(t *testing.T) {
	t.Parallel()
	forEachLedger(t, func(t *testing.T, l Ledger, _ bool) {
		f := newFixture(t, l)
		f.caller.Namespace = "shop"
		tokens := f.mustIssue(t)
		for _, test := range []struct {
			token, tokenType string
			life             time.Duration
		}{{tokens.Access, "Bearer", accessLife}, {tokens.Refresh, "refresh_token", refreshLife}} {
			want := Introspection{
				Active: true, Subject: ann, Purpose: "login", Methods: []string{"otp"}, IssuedAt: start,
				ExpiresAt: start.Add(test.life), TokenType: test.tokenType,
			}
			for range 3 { // it consumes nothing
				if got := f.introspect(t, test.token); !reflect.DeepEqual(got, want) {
					t.Errorf("%+v\nwant %+v", got, want)
				}
			}
		}
		f.wantEvents(t, "introspection", EventLoginSucceeded)
		f.mustRefresh(t, tokens.Refresh)
	})
}

func TestTimesOfTokens(t *testing.T) {
	t.Parallel()
	for _, issued := range []time.Duration{0, 400 * time.Millisecond, 999 * time.Millisecond} {
		for _, test := range []struct {
			name            string
			at              time.Duration // after the second it was issued in
			access, refresh bool
		}{
			{"a clock too far ahead", -61 * time.Second, false, true},
			{"hardly too far", -60*time.Second - time.Millisecond, false, true},
			{"a clock ahead", -60 * time.Second, true, true},
			{"a second before", -time.Second, true, true},
			{"at once", 0, true, true},
			{"a second before the access token expires", accessLife - time.Second, true, true},
			{"hardly before that", accessLife - time.Millisecond, true, true},
			{"as the access token expires", accessLife, false, true},
			{"a second after", accessLife + time.Second, false, true},
			{"a second before the refresh token expires", refreshLife - time.Second, false, true},
			{"hardly before that", refreshLife - time.Millisecond, false, true},
			{"as the refresh token expires", refreshLife, false, false},
			{"a second after", refreshLife + time.Second, false, false},
		} {
			f := newFixture(t, ledger.None{})
			f.clock = start.Add(issued)
			tokens := f.mustIssue(t)
			f.clock = start.Add(test.at)
			f.wantActive(t, test.name+": access token", tokens.Access, test.access)
			f.wantActive(t, test.name+": refresh token", tokens.Refresh, test.refresh)
			if _, err := f.refresh(tokens.Refresh); (err == nil) != test.refresh || err != nil && err != ErrInvalid {
				t.Errorf("%s: Refresh: %v", test.name, err)
			}
		}
	}
}

// What is no good by itself is refused before the ledger is asked.
func TestExpiredTokensAskNoLedger(t *testing.T) {
	t.Parallel()
	stub := &stubLedger{err: errors.New("down")}
	f := newFixture(t, stub)
	tokens := f.mustIssue(t)
	f.clock = start.Add(refreshLife)
	f.wantActive(t, "access token", tokens.Access, false)
	f.wantActive(t, "refresh token", tokens.Refresh, false)
	f.wantRefusal(t, "refresh", tokens.Refresh, ErrInvalid)
	f.caller.Namespace = "shop"
	f.clock = start
	foreign := f.mustIssue(t)
	f.caller.Namespace = "bank"
	for _, token := range []string{foreign.Access, foreign.Refresh} {
		f.wantActive(t, "another tenant's", token, false)
		f.wantRefusal(t, "another tenant's", token, ErrInvalid)
		f.revoke(t, token)
	}
	if len(stub.asked) > 0 {
		t.Errorf("asked for %+v", stub.asked)
	}
}

// As with every kind of sealed token, one that was issued without an API key is any key's.
func TestTenants(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		issuer, caller string
		good           bool
	}{
		{"shop", "shop", true}, {"shop", "bank", false}, {"shop", "", false}, {"shop", "Shop", false}, {"shop", "shop2", false},
		{"", "", true}, {"", "shop", true},
	} {
		f := newFixture(t, newMemory(t))
		f.caller.Namespace = test.issuer
		tokens := f.mustIssue(t)
		f.caller.Namespace = test.caller
		f.wantActive(t, "access token", tokens.Access, test.good)
		f.wantActive(t, "refresh token", tokens.Refresh, test.good)
		if _, err := f.refresh(tokens.Refresh); (err == nil) != test.good || err != nil && err != ErrInvalid {
			t.Errorf("%+v: Refresh: %v", test, err)
		}
		f.revoke(t, tokens.Access)
		f.caller.Namespace = test.issuer
		f.wantActive(t, "after a logout", tokens.Access, !test.good)
	}
}

func TestAnotherIssuerAndAudience(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	tokens := f.mustIssue(t)
	for name, edit := range map[string]func(*Config){
		"issuer":             func(cfg *Config) { cfg.Issuer = "https://another.example.invalid" },
		"issuer, with slash": func(cfg *Config) { cfg.Issuer += "/" },
		"audience":           func(cfg *Config) { cfg.Audience = "https://another.example.invalid" },
		"audience, in part":  func(cfg *Config) { cfg.Audience = cfg.Audience[:len(cfg.Audience)-1] },
	} {
		another := f.service(t, edit)
		if found, err := another.Introspect(context.Background(), f.caller, tokens.Access); err != nil || found.Active {
			t.Errorf("another %s: %+v, %v", name, found, err)
		}
		// A refresh token is for nobody but otpd: a changed name logs nobody out.
		if _, err := another.Refresh(context.Background(), f.caller, tokens.Refresh); err != nil {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// A spent refresh token is not active. The access token that came with it is, until it expires.
func TestIntrospectionAfterARefresh(t *testing.T) {
	t.Parallel()
	forEachLedger(t, func(t *testing.T, l Ledger, remembers bool) {
		f := newFixture(t, l)
		first := f.mustIssue(t)
		second := f.mustRefresh(t, first.Refresh)
		f.wantActive(t, "the first refresh token", first.Refresh, !remembers)
		f.wantActive(t, "the first access token", first.Access, true)
		f.wantActive(t, "the second refresh token", second.Refresh, true)
		f.wantActive(t, "the second access token", second.Access, true)
		f.wantEvents(t, "all of it", EventLoginSucceeded, EventRefreshed) // introspection ends no family
	})
}

func TestIntrospectionAsksAboutTheFamily(t *testing.T) {
	t.Parallel()
	stub := &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}}
	f := newFixture(t, stub)
	tokens := f.mustRefresh(t, f.mustIssue(t).Refresh)
	stub.asked = nil
	f.wantActive(t, "access token", tokens.Access, true)
	f.wantActive(t, "refresh token", tokens.Refresh, true)
	for i, resends := range []int{0, 1} {
		v := stub.asked[i]
		if v.ID != f.family(t, tokens.Refresh) || v.Subject != "" || v.Resends != resends || v.Attempts != 0 || v.MaxAttempts != 1 ||
			!v.IssuedAt.Equal(start) || !v.Now.Equal(start) {
			t.Errorf("%+v", v)
		}
	}
	for _, test := range []struct {
		verdict         string
		access, refresh bool
	}{{"admitted", true, true}, {"superseded", true, false}, {"revoked", false, false}} {
		stub.outcome.Verdict = test.verdict
		f.wantActive(t, test.verdict+", access token", tokens.Access, test.access)
		f.wantActive(t, test.verdict+", refresh token", tokens.Refresh, test.refresh)
	}
}

func TestIntrospectionOfAnythingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &stubLedger{err: errors.New("down")})
	for _, text := range []string{
		"", " ", ".", "..", "...", "a.b.c", "null", "{}", "\x00", "\xff", "ünïcödé", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
		strings.Repeat("A", 20_000), strings.Repeat(".", 20_000), strings.Repeat("a.", 10_000),
	} {
		f.wantActive(t, text, text, false)
		f.wantRefusal(t, text, text, ErrInvalid)
		f.revoke(t, text)
	}
}
