package httpapi_test

import (
	"strings"
	"testing"
)

func TestSourceIsReturned(t *testing.T) {
	for url, want := range map[string]string{
		"https://dashboard.example.com/x":                                            `{"url":"https://dashboard.example.com/x","category":"dashboard","name":"Dashboard"}`,
		"https://example.com/?utm_source=facebook&utm_campaign=spring_campaign":      `{"url":"https://example.com/?utm_source=facebook&utm_campaign=spring_campaign","category":"campaign","name":"Facebook - Spring Campaign"}`,
		"https://www.example.com/register":                                           `{"url":"https://www.example.com/register","category":"registration","name":"Website Registration"}`,
		`http://www.example.com:8080/<é>`:                                            `{"url":"http://www.example.com:8080/<é>","category":"website","name":"example.com"}`,
		"https://example.com/?utm_source=%22%00%e2%80%ae%0d%0aX&utm_campaign=%ff%5c": `{"url":"https://example.com/?utm_source=%22%00%e2%80%ae%0d%0aX&utm_campaign=%ff%5c","category":"campaign","name":"\"x - \\"}`,
	} {
		s := newServer(t, options{})
		issued := s.generate(t, fields{"identifier": ada, "source_url": url})
		verified := s.verify(t, issued.text("otp"), issued.text("context"))
		verified.is(t, 200, "")
		if !strings.HasSuffix(verified.body, `,"source":`+want+`}`) {
			t.Errorf("verify: got %s, want %s", verified.body, want)
		}

		sent, m := s.sent(t, mail.with("source_url", url).with("fallback", []any{"console"}))
		s.now = s.now.Add(cooldown)
		resent := s.resend(t, sent.text("context")) // which keeps it
		m = s.console.only(t)
		challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
		completed := s.complete(t, fields{"challenge": challenge, "context": resent.text("context"), "otp": m.Code})
		completed.is(t, 200, "")
		if !strings.HasSuffix(completed.body, `,"methods":["otp"],"source":`+want+`}`) {
			t.Errorf("challenge: got %s, want %s", completed.body, want)
		}
	}
}

func TestSourceIsReturnedForARightCodeOnly(t *testing.T) {
	s := newServer(t, options{})
	for _, f := range []fields{{}, {"source_url": ""}} {
		issued := s.generate(t, f)
		if a := s.verify(t, issued.text("otp"), issued.text("context")); strings.Contains(a.body, "source") {
			t.Errorf("%v: got %s", f, a.body)
		}
	}
	issued := s.generate(t, fields{"source_url": "https://example.com/" + canary})
	for _, a := range []answer{issued, s.inspect(t, issued.text("context")), s.verify(t, "wrong", issued.text("context"))} {
		quotesNothing(t, a)
	}
}
