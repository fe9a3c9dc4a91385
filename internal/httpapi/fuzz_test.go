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
	issued := s.generate(f, fields{"identifier": "ada@example.com"})
	for _, path := range append(postPaths, "/nowhere", "/healthz") {
		f.Add(http.MethodPost, path, "application/json", base(path, issued).String())
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
		for _, path := range postPaths[1:] {
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
