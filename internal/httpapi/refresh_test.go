package httpapi_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
)

// What is all that is ever said of a token that is no good.
const (
	badRefreshBody = `{"error":"Invalid refresh token. Log in again.","error_code":"INVALID_REFRESH_TOKEN","request_id":"` + requestID + `"}`
	inactiveBody   = `{"active":false}`
	loggedOutBody  = `{"status":"revoked"}`
)

// isBadRefresh fails the test unless a token is refused in the one way.
func (s *server) isBadRefresh(tb testing.TB, name, token string) {
	tb.Helper()
	if a := s.refresh(tb, token); a.status != http.StatusBadRequest || a.body != badRefreshBody {
		tb.Errorf("%s: got %d %s", name, a.status, a.body)
	}
}

func TestRefreshRotates(t *testing.T) {
	s := newServer(t, options{})
	first := s.login(t, fields{"identifier": ada, "purpose": "login"})
	s.now = s.now.Add(time.Hour)
	second := s.refresh(t, first.text("refresh_token"))
	s.hasTokens(t, second)
	if got := second.without("access_token", "refresh_token"); got != `{"access_token":…,"token_type":"Bearer","expires_in":900,"refresh_token":…}` {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{"access_token", "refresh_token"} {
		if first.text(name) == second.text(name) {
			t.Errorf("%s is the same", name)
		}
	}
	claims, before := s.jwtClaims(t, second.text("access_token")), s.jwtClaims(t, first.text("access_token"))
	for _, name := range []string{"sub", "purpose", "auth_time", "sid"} {
		if claims[name] != before[name] || claims[name] == nil {
			t.Errorf("%s is %v, was %v", name, claims[name], before[name])
		}
	}
	if claims["iat"] == before["iat"] || claims["jti"] == before["jti"] {
		t.Errorf("the claims are %v, were %v", claims, before)
	}
	s.refresh(t, second.text("refresh_token")).is(t, 200, "")
}

func TestUsedRefreshTokenEndsItsLogin(t *testing.T) {
	s := newServer(t, options{})
	other := s.login(t, fields{"identifier": ada})
	first := s.login(t, fields{"identifier": ada})
	second := s.refresh(t, first.text("refresh_token"))
	third := s.refresh(t, second.text("refresh_token"))
	if !s.isActive(t, third.text("refresh_token")) || !s.isActive(t, second.text("access_token")) || s.isActive(t, first.text("refresh_token")) {
		t.Error("a login is not as it should be before")
	}
	s.events = nil
	a := s.refresh(t, first.text("refresh_token"))
	a.is(t, 409, "REFRESH_TOKEN_REUSED")
	if strings.Contains(a.body, "token\":\"") || len(s.events) != 1 || s.events[0].Name != "token.reused" {
		t.Errorf("got %s, told %+v", a.body, s.events)
	}
	for _, tokens := range []answer{first, second, third} {
		s.isBadRefresh(t, "of the login that has ended", tokens.text("refresh_token"))
		if s.isActive(t, tokens.text("access_token")) || s.isActive(t, tokens.text("refresh_token")) {
			t.Error("a token of the login that has ended is active")
		}
	}
	if !s.isActive(t, other.text("access_token")) {
		t.Error("another login of the same user has ended")
	}
	s.refresh(t, other.text("refresh_token")).is(t, 200, "")
}

func TestOneOfManyRefreshesWins(t *testing.T) {
	const clients = 50
	s := newServer(t, options{})
	token := s.login(t, fields{"identifier": ada}).text("refresh_token")
	answers := make(chan answer, clients)
	for range clients {
		r := s.request(http.MethodPost, "/v1/tokens/refresh", fields{"refresh_token": token}.String())
		go func() { answers <- s.serve(r) }()
	}
	counts := make(map[int]int)
	for range clients {
		a := wait(t, answers)
		counts[a.status]++
		if a.status == http.StatusBadRequest && a.body != badRefreshBody || a.status == http.StatusConflict && !strings.Contains(a.body, "REFRESH_TOKEN_REUSED") {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
	if counts[200] != 1 || counts[409] != 1 || counts[400] != clients-2 {
		t.Errorf("got %v, want one that wins, one that ends the login, and the rest", counts)
	}
}

func TestRefreshTakesNoOtherToken(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"identifier": ada})
	for name, token := range map[string]string{
		"access token": s.login(t, fields{"identifier": ada}).text("access_token"),
		"context":      issued.text("context"),
		"device":       s.imported(t),
		"challenge":    s.challenge(t, fields{"identifier": ada}).text("challenge"),
		"text":         canary,
		"a dot":        ".",
		"dots":         "..",
		"NUL":          "\x00",
		"a long text":  strings.Repeat("A", 15<<10),
		"a long JWT":   strings.Repeat("A", 5<<10) + "." + strings.Repeat("A", 5<<10) + ".A",
	} {
		s.isBadRefresh(t, name, token)
		if name == "access token" {
			continue
		}
		if a := s.introspect(t, token); a.status != 200 || a.body != inactiveBody {
			t.Errorf("introspect, %s: got %d %s", name, a.status, a.body)
		}
		if a := s.logout(t, token); a.status != 200 || a.body != loggedOutBody {
			t.Errorf("revoke, %s: got %d %s", name, a.status, a.body)
		}
	}
	s.stillGood(t, issued)
}

func TestTokensExpire(t *testing.T) {
	s := newServer(t, options{})
	for _, test := range []struct {
		after           time.Duration
		access, refresh bool
	}{
		{accessLife - time.Second, true, true}, {accessLife, false, true},
		{refreshLife - time.Second, false, true}, {refreshLife, false, false},
	} {
		s.now = time.Unix(at, 0).UTC()
		tokens := s.login(t, fields{"identifier": ada})
		s.now = s.now.Add(test.after)
		if s.isActive(t, tokens.text("access_token")) != test.access || s.isActive(t, tokens.text("refresh_token")) != test.refresh {
			t.Errorf("after %v: not as it should be", test.after)
		}
		if !test.refresh {
			s.isBadRefresh(t, "an expired one", tokens.text("refresh_token"))
			continue
		}
		next := s.refresh(t, tokens.text("refresh_token"))
		s.hasTokens(t, next)
		s.now = s.now.Add(refreshLife - time.Second) // anew with each
		s.refresh(t, next.text("refresh_token")).is(t, 200, "")
	}
}

func TestIntrospectAnswers(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"identifier": "é\"<>"})
	challenge := s.challenge(t, fields{"identifier": "é\"<>", "methods": []string{"pwd"}}).text("challenge")
	tokens := s.complete(t, fields{"challenge": challenge, "context": issued.text("context"), "otp": issued.text("otp"), "issue": "tokens"})
	for name, typeAndLife := range map[string]struct {
		tokenType string
		life      time.Duration
	}{"access_token": {"Bearer", accessLife}, "refresh_token": {"refresh_token", refreshLife}} {
		want := fmt.Sprintf(`{"active":true,"sub":"é\"<>","exp":%d,"iat":%d,"amr":["pwd","otp","mfa"],"token_type":"%s"}`,
			s.now.Add(typeAndLife.life).Unix(), s.now.Unix(), typeAndLife.tokenType)
		for range 2 { // it consumes nothing
			if a := s.introspect(t, tokens.text(name)); a.body != want {
				t.Errorf("got  %s\nwant %s", a.body, want)
			}
		}
	}
	s.refresh(t, tokens.text("refresh_token")).is(t, 200, "")
	for _, name := range []string{"access_token", "refresh_token"} {
		a := s.introspect(t, s.login(t, fields{"identifier": ada, "purpose": `"p"`}).text(name))
		if a.text("purpose") != `"p"` {
			t.Errorf("got %s", a.body)
		}
	}
}

func TestLogout(t *testing.T) {
	for _, with := range []string{"access_token", "refresh_token", "spent", "expired"} {
		t.Run(with, func(t *testing.T) {
			s := newServer(t, options{})
			other := s.login(t, fields{"identifier": ada})
			first := s.login(t, fields{"identifier": ada})
			second := s.refresh(t, first.text("refresh_token"))
			token := second.text(with)
			switch with {
			case "spent":
				token = first.text("refresh_token")
			case "expired":
				token = first.text("access_token")
				s.now = s.now.Add(accessLife)
			}
			for range 2 { // also a login that has ended
				if a := s.logout(t, token); a.status != 200 || a.body != loggedOutBody {
					t.Errorf("got %d %s", a.status, a.body)
				}
				for _, tokens := range []answer{first, second} {
					s.isBadRefresh(t, "after the logout", tokens.text("refresh_token"))
					if s.isActive(t, tokens.text("refresh_token")) || s.isActive(t, tokens.text("access_token")) {
						t.Error("a token is active after the logout")
					}
				}
			}
			s.refresh(t, other.text("refresh_token")).is(t, 200, "")
		})
	}
}

func TestTokensAreTheirNamespaces(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	tokens := s.login(t, fields{"identifier": ada})
	s.bearer = bankSecret
	s.isBadRefresh(t, "another key's", tokens.text("refresh_token"))
	for _, name := range []string{"access_token", "refresh_token"} {
		if a := s.introspect(t, tokens.text(name)); a.body != inactiveBody {
			t.Errorf("introspect, %s: got %s", name, a.body)
		}
		if a := s.logout(t, tokens.text(name)); a.body != loggedOutBody {
			t.Errorf("revoke, %s: got %s", name, a.body)
		}
	}
	s.bearer = shopSecret2
	if !s.isActive(t, tokens.text("access_token")) {
		t.Error("another key has logged the user out")
	}
	s.refresh(t, tokens.text("refresh_token")).is(t, 200, "")
	s.bearer = "" // a service without keys takes none of a namespace
	anonymous := newServer(t, options{})
	anonymous.isBadRefresh(t, "of a namespace", tokens.text("refresh_token"))
}

func TestTokensWithoutALedger(t *testing.T) {
	s := newServer(t, options{ledger: ledger.None{}})
	tokens := s.login(t, fields{"identifier": ada})
	for range 2 {
		s.refresh(t, tokens.text("refresh_token")).is(t, 200, "")
	}
	for _, name := range []string{"access_token", "refresh_token"} {
		s.logout(t, tokens.text(name)).is(t, 409, "LEDGER_DISABLED")
		if !s.isActive(t, tokens.text(name)) {
			t.Errorf("%s is not active", name)
		}
	}
	if a := s.logout(t, canary); a.body != loggedOutBody {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestAccessTokensThatAreChangedAreInactive(t *testing.T) {
	s := newServer(t, options{})
	token := s.login(t, fields{"identifier": ada}).text("access_token")
	parts := strings.Split(token, ".")
	forged := []string{
		"eyJhbGciOiJub25lIn0." + parts[1] + ".", parts[0] + "." + parts[1] + ".", parts[0] + "." + parts[1], "." + parts[1] + "." + parts[2], token + ".", token + "=", token + "\n",
		" " + token, token + "." + parts[2], parts[1] + "." + parts[0] + "." + parts[2],
		newServer(t, options{}).login(t, fields{"identifier": ada}).text("access_token"), // under another key
	}
	for _, forgery := range append(forged, everyFlippedByte(token)...) {
		if a := s.introspect(t, forgery); a.body != inactiveBody {
			t.Errorf("%q: got %d %s", forgery, a.status, a.body)
		}
		if a := s.logout(t, forgery); a.body != loggedOutBody {
			t.Errorf("%q: got %d %s", forgery, a.status, a.body)
		}
	}
	if !s.isActive(t, token) {
		t.Error("a forgery has logged the user out")
	}
}

func TestLogsHoldNoSecretOfDeliveriesAndTokens(t *testing.T) {
	for name, o := range map[string]options{
		"memory ledger": {keys: twoKeys},
		"no ledger":     {keys: twoKeys, ledger: ledger.None{}},
		"no tokens":     {keys: twoKeys, noTokens: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.logLevel = slog.LevelDebug
			s := newServer(t, o)
			s.bearer = shopSecret
			sent, m := s.sent(t, mail.with("fallback", []any{fields{"channel": "sms", "to": phone}}).with("variables", fields{"app": canary}).
				with("source_url", "https://example.com/"+canary))
			leaks := []string{ada, bob, phone, canary, shopSecret, m.Code, sent.text("context"), sent.text("to_masked"), "key-5281"}
			s.keyed(t, "/v1/otp/send", "key-5281", mail.with("to", bob))
			s.email.take()
			s.email.fail(busy)
			s.sendCode(t, mail.with("to", "eve+"+canary+"@example.com")).is(t, 502, "DELIVERY_FAILED")
			s.email.fail(refused)
			s.sendCode(t, mail.with("to", "eve+"+canary+"@example.com")).is(t, 422, "UNDELIVERABLE")
			s.sendCode(t, fields{"channel": "email", "to": canary}).is(t, 400, "INVALID_REQUEST")
			login := s.post(t, "/v1/otp/verify", fields{"otp": m.Code, "context": sent.text("context"), "issue": "tokens"}.String())
			next := s.refresh(t, login.text("refresh_token"))
			again := s.refresh(t, login.text("refresh_token"))
			s.introspect(t, next.text("access_token"))
			s.logout(t, next.text("refresh_token"))
			for _, a := range []answer{login, next, again} {
				for _, field := range []string{"access_token", "refresh_token"} {
					if text := a.text(field); text != "" {
						leaks = append(leaks, text)
					}
				}
			}
			told := fmt.Sprintf("%s\n%+v", s.log.String(), s.events)
			for _, leak := range leaks {
				if strings.Contains(told, leak) {
					t.Errorf("the log or the audit log has %s:\n%s", leak, told)
				}
			}
			if !strings.Contains(told, `"route":"/v1/tokens/refresh"`) || !strings.Contains(told, "delivery.sent") {
				t.Errorf("nothing is logged:\n%s", told)
			}
		})
	}
}
