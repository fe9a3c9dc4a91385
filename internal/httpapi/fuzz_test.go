package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest sends anything anywhere. There must be no panic, which would be a 500, and no other fault
// of the service; what is refused must be refused with a reason.
func FuzzRequest(f *testing.F) {
	s := newServer(f, options{})
	for _, path := range append(postPaths, "/nowhere", "/healthz") {
		f.Add(http.MethodPost, path, "application/json", s.sample(f, path).String())
		f.Add(http.MethodPost, path, "application/json", `{"otp":1,"context":null,"metadata":{"a":[1e308,"\ud800"]}}`)
	}
	f.Add(http.MethodPost, "/v1/otp/generate", "application/json; charset=utf-8", `{"metadata":[[[{}]]],"length":12,"decoy":true}`)
	f.Add(http.MethodGet, "/readyz", "", "")
	f.Add("BREW", "/v1/otp/\x00", "text/plain", "\xff")
	f.Fuzz(func(t *testing.T, method, path, contentType, body string) {
		r := s.request(http.MethodPost, "/", body)
		r.Method, r.URL = method, &url.URL{Path: path}
		r.Header.Set("Content-Type", contentType)
		a := s.sendUnread(t, r)
		if a.status >= 500 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if a.status != http.StatusOK && a.code() == "" {
			t.Errorf("got %d without an error_code: %q", a.status, a.body)
		}
	})
}

// FuzzSealed sends whatever the key has sealed: what is inside is trusted no more than what is outside.
func FuzzSealed(f *testing.F) {
	s := newServer(f, options{})
	f.Add(claims{}.json())
	f.Add(claims{"id": strings.Repeat("A", 22), "resends": 1, "purpose": "login", "alphabet": "letters", "length": 8}.json())
	for _, values := range []struct {
		member string
		value  any
	}{{"timestamp", raw("1e308")}, {"max_retries", 1 << 31}, {"decoy", true}, {"metadata", nested(100)}, {"retry_count", -1}} {
		f.Add(claims{values.member: values.value}.json())
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		token := seal(t, signingKey, payload)
		for _, path := range []string{"/v1/otp/verify", "/v1/otp/resend", "/v1/otp/revoke", "/v1/otp/inspect"} {
			request := fields{"context": token}
			if path == "/v1/otp/verify" {
				request["otp"] = sealedCode
			}
			a := s.post(t, path, request.String())
			if a.status >= 500 || a.status != http.StatusOK && a.code() == "" {
				t.Errorf("%s: got %d %s", path, a.status, a.body)
			}
		}
	})
}

// FuzzSend sends whatever anybody may type for an address and say to a template. What is delivered is in no answer.
func FuzzSend(f *testing.F) {
	s := newServer(f, options{ledger: memoryLedger(f, 1<<30)}) // lest it fill up with recipients
	for channel, to := range map[string]string{"email": ada, "sms": phone, "console": ada} {
		s.sendCode(f, fields{"channel": channel, "to": to}).is(f, 200, "") // whose time decoys take, too
	}
	for _, b := range []*box{s.email, s.sms, s.console} {
		b.take()
	}
	f.Add("email", ada, "sms", phone, "de", "code", "app", "Shop", "https://example.com/?utm_source=x", false)
	f.Add("sms", "+49 (151) 234-567.89", "email", "müller@bücher.example", "zh-Hant-TW", "", "a_1", "{{code}}", "http://[::1]/%00", true)
	f.Add("console", "x\r\nBcc: y", "webhook", "", "x-é", "../code", "code", "\u202e", "javascript:x", false)
	f.Add("email", `"a b"@example.com`, "console", " ", "en_US", "\x00", "", "\xff", "//x", true)
	f.Fuzz(func(t *testing.T, channel, to, other, otherTo, locale, template, name, value, source string, decoy bool) {
		a := s.sendCode(t, fields{
			"channel": channel, "to": to, "fallback": []any{fields{"channel": other, "to": otherTo}},
			"locale": locale, "template": template, "variables": fields{name: value}, "source_url": source, "decoy": decoy,
		})
		if a.status >= 500 || a.status != http.StatusOK && a.code() == "" {
			t.Errorf("got %d %s", a.status, a.body)
		}
		for _, b := range []*box{s.email, s.sms, s.console} {
			for _, m := range b.take() {
				if a.status != http.StatusOK || decoy || strings.Contains(a.without("context", "id", "delivery_id"), m.Code) {
					t.Errorf("delivered %+v, and answered %d %s", m, a.status, a.body)
				}
				if strings.ContainsAny(m.To+m.Locale+m.Template+m.Variables[name], "\r\n\x00") {
					t.Errorf("delivered %+q", m)
				}
			}
		}
	})
}

// FuzzTokens sends any text as a token, and any that the key has sealed as one.
func FuzzTokens(f *testing.F) {
	s := newServer(f, options{ledger: memoryLedger(f, 1<<30)})
	key := subkey(f, signingKey, "refresh")
	login := s.login(f, fields{"identifier": ada, "purpose": "login"})
	f.Add(login.text("refresh_token"), false)
	f.Add(login.text("access_token"), false)
	f.Add("eyJhbGciOiJub25lIn0.e30.", false)
	f.Add(string(unseal(f, key, login.text("refresh_token"))), true)
	f.Add(string(refreshClaims(fields{"generation": 1 << 30, "issued_at": raw("-9223372036854775808"), "expires_at": raw("9223372036854775807")})), true)
	f.Add(string(refreshClaims(fields{"subject": "", "methods": []string{`"`}, "purpose": strings.Repeat("x", 5000)})), true)
	f.Fuzz(func(t *testing.T, token string, sealed bool) {
		if sealed {
			token = seal(t, key, []byte(token))
		}
		for _, a := range []answer{s.introspect(t, token), s.refresh(t, token), s.logout(t, token)} {
			if a.status >= 500 || a.status != http.StatusOK && a.code() == "" {
				t.Errorf("got %d %s", a.status, a.body)
			}
		}
	})
}

// FuzzSealedKinds is FuzzSealed for devices and challenges.
func FuzzSealedKinds(f *testing.F) {
	s := newServer(f, options{ledger: memoryLedger(f, 1<<30)}) // lest it fill up with ids
	keys := map[bool]string{true: subkey(f, signingKey, "device"), false: subkey(f, signingKey, "challenge")}
	f.Add(true, unseal(f, keys[true], s.imported(f)))
	f.Add(true, unseal(f, keys[true], s.imported(f, asHOTP)))
	f.Add(true, unseal(f, keys[true], s.enroll(f, fields{"identifier": ada, "secret": secret}).text("device")))
	f.Add(false, challengeClaims(nil))
	f.Add(false, challengeClaims(fields{"metadata": nested(64), "methods": []string{"pwd"}, "purpose": "login", "expires_at": raw("9223372036854775807")}))
	device := s.imported(f)
	f.Fuzz(func(t *testing.T, isDevice bool, payload []byte) {
		token := seal(t, keys[isDevice], payload)
		var answers []answer
		if isDevice {
			for _, operation := range deviceOperations {
				if operation.name != "backup-codes" && operation.name != "confirm" { // which take long
					answers = append(answers, operation.do(t, s, token))
				}
			}
		} else {
			answers = []answer{s.complete(t, fields{"challenge": token, "device": device, "otp": "wrong"})}
		}
		for _, a := range answers {
			if a.status >= 500 || a.status != http.StatusOK && a.code() == "" {
				t.Errorf("got %d %s", a.status, a.body)
			}
		}
	})
}
