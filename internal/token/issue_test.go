package token

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

func TestWhatAnAccessTokenSays(t *testing.T) {
	t.Parallel()
	for _, algorithm := range algorithms {
		f := newFixture(t, ledger.None{}, algorithm)
		f.caller.Namespace = "shop"
		f.clock = start.Add(90*time.Second + 999*time.Millisecond)
		login := f.login()
		login.Methods, login.At = []string{"pwd", "otp", "mfa"}, start.Add(time.Minute)
		tokens, err := f.Issue(f.caller, login)
		if err != nil || tokens.ExpiresIn != accessLife {
			t.Fatalf("%+v, %v", tokens, err)
		}
		headerText, claimsText := segments(t, tokens.Access)
		wantHeader := map[string]any{"alg": algorithm, "typ": "at+jwt", "kid": f.keys.current.Load().signs.public.KeyID}
		if got := members(t, headerText); !reflect.DeepEqual(got, wantHeader) {
			t.Errorf("%v, want %v", got, wantHeader)
		}
		claims := members(t, claimsText)
		for name, isOne := range map[string]bool{"jti": otp.IsID(claims["jti"].(string)), "sid": claims["sid"] == f.family(t, tokens.Refresh)} {
			if !isOne {
				t.Errorf("%s is %v", name, claims[name])
			}
			delete(claims, name)
		}
		at := float64(start.Unix())
		want := map[string]any{
			"iss": issuer, "sub": ann, "aud": audience, "client_id": "shop", "iat": at + 90, "nbf": at + 90, "exp": at + 90 + 900,
			"amr": []any{"pwd", "otp", "mfa"}, "auth_time": at + 60, "purpose": "login",
		}
		if !reflect.DeepEqual(claims, want) {
			t.Errorf("%v\nwant %v", claims, want)
		}
	}
}

func TestWhatIsNotKnownIsLeftOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	tokens, err := f.Issue(f.caller, Login{Subject: ann, At: start})
	if err != nil {
		t.Fatal(err)
	}
	_, claims := segments(t, tokens.Access)
	if names := slices.Sorted(maps.Keys(members(t, claims))); !slices.Equal(names, strings.Fields("aud auth_time exp iat iss jti nbf sid sub")) {
		t.Errorf("%v", names)
	}
	f.wantActive(t, "its access token", tokens.Access, true)
	f.wantActive(t, "its refresh token", f.mustRefresh(t, tokens.Refresh).Refresh, true)
}

func TestEveryTokenIsAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	ids := make(map[string]bool)
	for range 100 {
		tokens := f.mustIssue(t)
		_, claims := segments(t, tokens.Access)
		m := members(t, claims)
		ids[m["jti"].(string)], ids[m["sid"].(string)] = true, true
	}
	if len(ids) != 200 {
		t.Errorf("%d ids of 100 logins, want 200", len(ids))
	}
}

func TestIssueChecksTheLogin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	for _, test := range []struct {
		field string // to blame; empty for none
		edit  func(*Login)
	}{
		{"", func(l *Login) { l.Subject = strings.Repeat("a", otpcontext.MaxIdentifier) }},
		{"", func(l *Login) { l.Subject = "a\nb\x00\"\\\u2028</script>" }}, // as Python may have sealed it
		{"", func(l *Login) { l.Purpose = strings.Repeat("a", otpcontext.MaxPurpose) }},
		{"", func(l *Login) { l.Methods = slices.Repeat([]string{"otp"}, MaxMethods) }},
		{"issue", func(l *Login) { l.Subject = "" }},
		{"identifier", func(l *Login) { l.Subject = strings.Repeat("a", otpcontext.MaxIdentifier+1) }},
		{"identifier", func(l *Login) { l.Subject = "\xff" }},
		{"purpose", func(l *Login) { l.Purpose = strings.Repeat("a", otpcontext.MaxPurpose+1) }},
		{"purpose", func(l *Login) { l.Purpose = "\xff" }},
		{"methods", func(l *Login) { l.Methods = slices.Repeat([]string{"otp"}, MaxMethods+1) }},
	} {
		login := f.login()
		test.edit(&login)
		tokens, err := f.Issue(f.caller, login)
		if field, ok := err.(*otp.FieldError); ok != (test.field != "") || ok && field.Field != test.field {
			t.Errorf("%+v: %v, want an error for %q", login, err, test.field)
			continue
		}
		if test.field != "" {
			f.wantEvents(t, "refused")
			continue
		}
		f.wantEvents(t, "issued", EventLoginSucceeded)
		for _, token := range []string{tokens.Access, tokens.Refresh} {
			if found := f.introspect(t, token); !found.Active || found.Subject != login.Subject || found.Purpose != login.Purpose {
				t.Errorf("%+v, want what is in %+v", found, login)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	f.caller.Namespace = "shop"
	tokens := f.mustIssue(t)
	if n := len(tokens.Access); n > 700 {
		t.Errorf("a typical access token has %d characters", n)
	}
	if n := len(tokens.Refresh); n > 700 {
		t.Errorf("a typical refresh token has %d characters", n)
	}
	// The longest there can be, of characters that JSON escapes.
	name := strings.Repeat(`"`, MaxName)
	s := f.service(t, func(cfg *Config) { cfg.Issuer, cfg.Audience = name, name })
	rsa, err := ParseKeys(rsa4096)
	if err != nil {
		t.Fatal(err)
	}
	f.keys.Use(rsa)
	tokens, err = s.Issue(otp.Caller{Namespace: strings.Repeat("n", otpcontext.MaxNamespace)}, Login{
		Subject: strings.Repeat("\x01", otpcontext.MaxIdentifier), Purpose: strings.Repeat("\x01", otpcontext.MaxPurpose),
		Methods: slices.Repeat([]string{strings.Repeat("m", 32)}, MaxMethods), At: start,
	})
	if err != nil || len(tokens.Access) > maxAccess || len(tokens.Refresh) > otpcontext.MaxToken {
		t.Errorf("%d and %d characters, %v", len(tokens.Access), len(tokens.Refresh), err)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.caller = otp.Caller{Namespace: "shop", RequestID: "r", IP: "192.0.2.1", UserAgent: "curl"}
	tokens := f.mustIssue(t)
	family, hash := f.family(t, tokens.Refresh), f.sealer.Subject("shop", ann)
	f.clock = f.clock.Add(time.Minute)
	next := f.mustRefresh(t, tokens.Refresh)
	f.wantRefusal(t, "reuse", tokens.Refresh, ErrReused)
	f.revoke(t, next.Access)
	events := f.wantEvents(t, "all of it", EventLoginSucceeded, EventRefreshed, EventReused, EventRevoked)
	for i, e := range events {
		want := otp.Event{
			Name: EventNames[i], At: f.clock, ID: family, Purpose: "login", IdentifierHash: hash, Caller: f.caller,
		}
		if i == 0 {
			want.ID, want.At = loginID, start
		}
		if e != want {
			t.Errorf("%+v\nwant %+v", e, want)
		}
		if text, err := json.Marshal(e); err != nil || strings.Contains(string(text), ann) {
			t.Errorf("%s, %v", text, err)
		}
	}
}
