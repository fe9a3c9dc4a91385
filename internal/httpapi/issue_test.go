package httpapi_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// jwtClaims returns what an access token says, once its signature has been checked with the published key.
func (s *server) jwtClaims(tb testing.TB, token string) map[string]any {
	tb.Helper()
	decode := func(text string) []byte {
		data, err := base64.RawURLEncoding.DecodeString(text)
		noError(tb, err)
		return data
	}
	var set struct {
		Keys []struct{ Kid, Alg, X string }
	}
	noError(tb, json.Unmarshal([]byte(s.get(tb, "/.well-known/jwks.json").body), &set))
	parts := strings.Split(token, ".")
	var header struct{ Kid, Alg, Typ string }
	noError(tb, json.Unmarshal(decode(parts[0]), &header))
	for _, key := range set.Keys {
		if key.Kid != header.Kid {
			continue
		}
		if header.Alg != "EdDSA" || key.Alg != "EdDSA" || header.Typ != "at+jwt" {
			tb.Fatalf("the header is %+v", header)
		}
		if !ed25519.Verify(decode(key.X), []byte(parts[0]+"."+parts[1]), decode(parts[2])) {
			tb.Fatal("the signature is not that of the published key")
		}
		var claims map[string]any
		noError(tb, json.Unmarshal(decode(parts[1]), &claims))
		return claims
	}
	tb.Fatalf("no key %s is published", header.Kid)
	return nil
}

// hasTokens fails the test unless a ends with tokens, and is not to be kept by caches.
func (s *server) hasTokens(tb testing.TB, a answer) {
	tb.Helper()
	a.is(tb, 200, "")
	want := `"access_token":…,"token_type":"Bearer","expires_in":900,"refresh_token":…}`
	if got := a.without("access_token", "refresh_token"); !strings.HasSuffix(got, want) {
		tb.Errorf("got %s, want %s", got, want)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		tb.Errorf("Cache-Control is %q", a.header.Get("Cache-Control"))
	}
}

func TestVerifyIssuesTokens(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	s.now = s.now.Add(1500 * time.Millisecond)
	issued := s.generate(t, fields{"identifier": `"ada"`, "purpose": "login", "source_url": "https://example.com"})
	s.events = nil
	a := s.post(t, "/v1/otp/verify", fields{"otp": issued.text("otp"), "context": issued.text("context"), "purpose": "login", "issue": "tokens"}.String())
	s.hasTokens(t, a)
	want := `{"status":"verified","id":"` + issued.text("id") + `","identifier":"\"ada\"","metadata":null,"purpose":"login","retry_count":0,` +
		`"issued_at":"2026-07-01T12:00:01.5Z","verified_at":"2026-07-01T12:00:01.5Z",` +
		`"source":{"url":"https://example.com","category":"website","name":"example.com"},"access_token":`
	if !strings.HasPrefix(a.body, want) {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	now := float64(s.now.Unix())
	claims := s.jwtClaims(t, a.text("access_token"))
	for name, want := range map[string]any{
		"iss": jwtIssuer, "aud": audience, "sub": `"ada"`, "client_id": "shop", "purpose": "login",
		"iat": now, "nbf": now, "auth_time": now, "exp": now + accessLife.Seconds(),
	} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	if amr, _ := json.Marshal(claims["amr"]); string(amr) != `["otp"]` || claims["jti"] == "" || claims["metadata"] != nil {
		t.Errorf("the claims are %v", claims)
	}
	var names []string
	for _, e := range s.events {
		names = append(names, e.Name+" "+e.ID)
	}
	if !slices.Equal(names, []string{"otp.verified " + issued.text("id"), "login.succeeded " + issued.text("id")}) {
		t.Errorf("the audit log was told of %v", names)
	}
}

func TestSentCodeIsWorthTokensForItsAddress(t *testing.T) {
	s := newServer(t, options{})
	sent, m := s.sent(t, mail)
	a := s.post(t, "/v1/otp/verify", fields{"otp": m.Code, "context": sent.text("context"), "issue": "tokens"}.String())
	s.hasTokens(t, a)
	if claims := s.jwtClaims(t, a.text("access_token")); claims["sub"] != ada {
		t.Errorf("the claims are %v", claims)
	}
}

func TestChallengeIssuesTokens(t *testing.T) {
	s := newServer(t, options{})
	for name, complete := range map[string]func(challenge string) answer{
		"device": func(challenge string) answer {
			return s.complete(t, fields{"challenge": challenge, "device": s.imported(t), "otp": s.code(t), "issue": "tokens"})
		},
		"context": func(challenge string) answer {
			issued := s.generate(t, fields{"identifier": ada, "purpose": "login"})
			return s.complete(t, fields{"challenge": challenge, "context": issued.text("context"), "otp": issued.text("otp"), "issue": "tokens"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			challenge := s.challenge(t, fields{"identifier": ada, "purpose": "login", "methods": []string{"pwd"}}).text("challenge")
			a := complete(challenge)
			s.hasTokens(t, a)
			claims := s.jwtClaims(t, a.text("access_token"))
			if amr, _ := json.Marshal(claims["amr"]); string(amr) != `["pwd","otp","mfa"]` || claims["sub"] != ada || claims["purpose"] != "login" {
				t.Errorf("the claims are %v", claims)
			}
			if (a.fields["device"] != nil) != (name == "device") {
				t.Errorf("got %s", a.body)
			}
		})
	}
}

func TestNoTokensUnlessAskedFor(t *testing.T) {
	s := newServer(t, options{})
	for _, more := range []fields{{}, {"issue": ""}} {
		p, q := s.sample(t, "/v1/otp/verify"), s.sample(t, "/v1/challenges/verify")
		for name, value := range more {
			p.fields, q.fields = p.with(name, value), q.with(name, value)
		}
		for path, request := range map[string]fields{"/v1/otp/verify": p.fields, "/v1/challenges/verify": q.fields} {
			a := s.post(t, path, request.String())
			a.is(t, 200, "")
			if strings.Contains(a.body, "token") {
				t.Errorf("%s: got %s", path, a.body)
			}
		}
	}
}

func TestOtherThingsToIssue(t *testing.T) {
	s := newServer(t, options{})
	for _, path := range []string{"/v1/otp/verify", "/v1/challenges/verify"} {
		p := s.sample(t, path)
		for _, issue := range []string{canary, "token", "Tokens", "tokens ", "tokens\x00", "access_token"} {
			a := s.post(t, path, p.with("issue", issue).String())
			a.is(t, 400, "INVALID_REQUEST")
			quotesNothing(t, a)
			if a.text("field") != "issue" {
				t.Errorf("%s, %q: got %s", path, issue, a.body)
			}
		}
		s.untouched(t, p)
	}
}

// There must be somebody to log in, and that is found out before the code is used.
func TestTokensNeedAnIdentifier(t *testing.T) {
	s := newServer(t, options{})
	for name, issued := range map[string]answer{
		"no identifier":       s.generate(t, fields{}),
		"null":                s.generate(t, fields{"identifier": nil}),
		"an empty identifier": s.generate(t, fields{"identifier": ""}),
	} {
		for _, code := range []string{issued.text("otp"), wrongCode(issued.text("otp"))} {
			a := s.post(t, "/v1/otp/verify", fields{"otp": code, "context": issued.text("context"), "issue": "tokens"}.String())
			if a.status != 400 || a.code() != "INVALID_REQUEST" || a.text("field") != "issue" {
				t.Errorf("%s: got %d %s", name, a.status, a.body)
			}
		}
		s.stillGood(t, issued)
	}
}

func TestWrongCodeIsWorthNoTokens(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"identifier": ada})
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
	wrong := fields{"otp": wrongCode(issued.text("otp")), "context": issued.text("context"), "issue": "tokens"}
	for _, a := range []answer{
		s.post(t, "/v1/otp/verify", wrong.String()), s.complete(t, wrong.with("challenge", challenge)),
		s.complete(t, fields{"challenge": challenge, "device": s.imported(t), "otp": "wrong", "issue": "tokens"}),
	} {
		a.is(t, 400, "INVALID_OTP")
		if strings.Contains(a.body, "token") {
			t.Errorf("got %s", a.body)
		}
	}
	right := wrong.with("otp", issued.text("otp"))
	s.hasTokens(t, s.post(t, "/v1/otp/verify", right.String()))
	a := s.post(t, "/v1/otp/verify", right.String())
	a.is(t, 409, "OTP_ALREADY_USED")
	if strings.Contains(a.body, "token") {
		t.Errorf("got %s", a.body)
	}
	decoy := s.generate(t, fields{"identifier": ada, "decoy": true})
	s.post(t, "/v1/otp/verify", fields{"otp": decoy.text("otp"), "context": decoy.text("context"), "issue": "tokens"}.String()).is(t, 400, "INVALID_OTP")
}

func TestTokensThatAreDisabledConsumeNothing(t *testing.T) {
	s := newServer(t, options{noTokens: true})
	for _, path := range []string{"/v1/otp/verify", "/v1/challenges/verify"} {
		p := s.sample(t, path)
		for _, code := range []any{p.fields["otp"], "000000", "wrong"} {
			s.post(t, path, p.with("issue", "tokens").with("otp", code).String()).is(t, 409, "TOKENS_DISABLED")
		}
		s.post(t, path, p.with("issue", canary).String()).is(t, 400, "INVALID_REQUEST")
		if path == "/v1/challenges/verify" {
			s.post(t, path, p.String()).is(t, 200, "") // the challenge is as good as it was
			continue
		}
		s.untouched(t, p)
	}
	for path, request := range map[string]fields{
		"/v1/tokens/refresh": {"refresh_token": canary}, "/v1/tokens/introspect": {"token": canary}, "/v1/tokens/revoke": {"token": canary},
	} {
		a := s.post(t, path, request.String())
		a.is(t, 409, "TOKENS_DISABLED")
		quotesNothing(t, a)
		s.post(t, path, "{}").is(t, 400, "MISSING_FIELDS")
	}
}

func TestNoTokensWhileTheLedgerIsDown(t *testing.T) {
	l := newUnsteadyLedger(t)
	s := newServer(t, options{ledger: l})
	first := s.login(t, fields{"identifier": ada})
	issued := s.generate(t, fields{"identifier": ada})
	request := fields{"otp": issued.text("otp"), "context": issued.text("context"), "issue": "tokens"}
	l.breakDown()
	for name, a := range map[string]answer{
		"verify":             s.post(t, "/v1/otp/verify", request.String()),
		"refresh":            s.refresh(t, first.text("refresh_token")),
		"introspect":         s.introspect(t, first.text("refresh_token")),
		"introspect, access": s.introspect(t, first.text("access_token")),
		"revoke":             s.logout(t, first.text("refresh_token")),
	} {
		if a.status != 503 || a.code() != "LEDGER_UNAVAILABLE" || a.header.Get("Retry-After") != "1" || strings.Contains(a.body, "token") {
			t.Errorf("%s: got %d %s", name, a.status, a.body)
		}
	}
	if a := s.introspect(t, "none at all"); a.body != `{"active":false}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
	l.recover()
	s.hasTokens(t, s.post(t, "/v1/otp/verify", request.String()))
	s.refresh(t, first.text("refresh_token")).is(t, 200, "")
}
