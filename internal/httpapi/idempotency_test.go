package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
)

// keyed posts with an Idempotency-Key.
func (s *server) keyed(tb testing.TB, path, key string, f fields) answer {
	tb.Helper()
	r := s.request(http.MethodPost, path, f.String())
	r.Header.Set("Idempotency-Key", key)
	return s.send(tb, r)
}

func TestSameRequestWithTheSameKeyIsAnsweredAlike(t *testing.T) {
	s := newServer(t, options{})
	first := s.keyed(t, "/v1/otp/send", "key-1", mail.with("metadata", raw(`{"a":1}`)))
	first.is(t, 200, "")
	m := s.email.only(t)
	for _, after := range []time.Duration{0, time.Minute, 10*time.Minute - time.Millisecond} {
		s.now = time.Unix(at, 0).UTC().Add(after)
		for _, body := range []string{
			mail.with("metadata", raw(`{"a":1}`)).String(),
			"{\"to\":\"ada\\u0040example.com\",\n \"channel\":\"email\", \"identifier\":null, \"purpose\":\"\", \"metadata\": { \"a\" : 1 }}",
		} {
			r := s.request(http.MethodPost, "/v1/otp/send", body)
			r.Header.Set("Idempotency-Key", "key-1")
			if a := s.send(t, r); a.status != 200 || a.body != first.body {
				t.Errorf("after %v: got %d %s, want %s", after, a.status, a.body, first.body)
			}
		}
	}
	s.undelivered(t)
	s.now = time.Unix(at, 0).UTC()
	s.verify(t, m.Code, first.text("context")).is(t, 200, "")

	s.now = time.Unix(at, 0).UTC().Add(10 * time.Minute)
	again := s.keyed(t, "/v1/otp/send", "key-1", mail)
	again.is(t, 200, "")
	if again.text("id") == first.text("id") {
		t.Error("the key is remembered for longer than ten minutes")
	}
	s.email.only(t)
}

func TestKeyIsForOneRequest(t *testing.T) {
	s := newServer(t, options{})
	request := mail.with("fallback", []any{"console"}).with("variables", fields{"app": "Shop"}).with("metadata", 1)
	first := s.keyed(t, "/v1/otp/send", "key-1", request)
	first.is(t, 200, "")
	s.email.only(t)
	s.now = s.now.Add(time.Minute)
	for field, value := range map[string]any{
		"to": bob, "channel": "console", "fallback": []any{}, "variables": fields{"app": "Bank"}, "locale": "de", "template": "code", "metadata": 2,
		"purpose": "login", "binding": "x", "length": 8, "alphabet": "letters", "max_retries": 1, "expiry_seconds": 60, "session_expiry_seconds": 600,
		"decoy": true, "source_url": "https://example.com", "identifier": bob,
	} {
		a := s.keyed(t, "/v1/otp/send", "key-1", request.with(field, value))
		a.is(t, 422, "IDEMPOTENCY_KEY_REUSED")
		if strings.Contains(a.body, first.text("id")) {
			t.Errorf("got %s", a.body)
		}
	}
	s.keyed(t, "/v1/otp/resend", "key-1", fields{"context": first.text("context")}).is(t, 422, "IDEMPOTENCY_KEY_REUSED")
	s.undelivered(t)
}

func TestKeysAreOfTheirNamespace(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	first := s.keyed(t, "/v1/otp/send", "key-1", mail)
	first.is(t, 200, "")
	s.email.only(t)
	s.bearer = bankSecret
	other := s.keyed(t, "/v1/otp/send", "key-1", mail)
	other.is(t, 200, "")
	s.email.only(t)
	s.bearer = shopSecret2
	if a := s.keyed(t, "/v1/otp/send", "key-1", mail); a.body != first.body || a.body == other.body {
		t.Errorf("got %s, want %s", a.body, first.body)
	}
	s.undelivered(t)
}

func TestKeyOfARequestUnderWay(t *testing.T) {
	s := newServer(t, options{})
	waiting, release := s.email.stall(t)
	answers := make(chan answer, 1)
	r := s.request(http.MethodPost, "/v1/otp/send", mail.String())
	r.Header.Set("Idempotency-Key", "key-1")
	go func() { answers <- s.serve(r) }()
	wait(t, waiting)
	s.keyed(t, "/v1/otp/send", "key-1", mail).is(t, 409, "IDEMPOTENCY_KEY_IN_USE")
	s.keyed(t, "/v1/otp/send", "key-1", mail.with("to", bob)).is(t, 409, "IDEMPOTENCY_KEY_IN_USE")
	release()
	first := wait(t, answers)
	if a := s.keyed(t, "/v1/otp/send", "key-1", mail); first.status != 200 || a.body != first.body {
		t.Errorf("got %s, want %s", a.body, first.body)
	}
	s.email.only(t)
}

func TestKeysOutOfTheirBounds(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{})
	s.now = s.now.Add(cooldown)
	for _, key := range []string{strings.Repeat("x", 256), canary + " x", canary + "\x00", canary + "\r\nX: y", "é" + canary, "\x7f", "\xff", "a\tb"} {
		for path, request := range map[string]fields{"/v1/otp/send": mail, "/v1/otp/resend": {"context": issued.text("context")}} {
			a := s.keyed(t, path, key, request)
			a.is(t, 400, "INVALID_REQUEST")
			quotesNothing(t, a)
			if a.text("field") != "Idempotency-Key" {
				t.Errorf("%q: got %s", key, a.body)
			}
		}
	}
	for _, keys := range [][]string{{""}, {"key-1", "key-2"}, {"key-1", ""}} {
		r := s.request(http.MethodPost, "/v1/otp/send", mail.String())
		r.Header["Idempotency-Key"] = keys
		a := s.send(t, r)
		a.is(t, 400, "INVALID_REQUEST")
		if a.text("field") != "Idempotency-Key" {
			t.Errorf("%q: got %s", keys, a.body)
		}
	}
	s.undelivered(t)
	s.stillGood(t, issued)
	for i, key := range []string{"x", strings.Repeat("~", 255), `"!{}*:`} {
		s.keyed(t, "/v1/otp/send", key, mail.with("to", string(rune('a'+i))+"@example.com")).is(t, 200, "")
	}
}

func TestFailuresAreNotKept(t *testing.T) {
	s := newServer(t, options{})
	s.email.fail(busy)
	s.keyed(t, "/v1/otp/send", "key-1", mail).is(t, 502, "DELIVERY_FAILED")
	s.email.fail(refused)
	s.keyed(t, "/v1/otp/send", "key-1", mail).is(t, 422, "UNDELIVERABLE")
	s.email.fail(nil)
	s.keyed(t, "/v1/otp/send", "key-1", fields{}).is(t, 400, "MISSING_FIELDS")
	s.keyed(t, "/v1/otp/send", "key-1", mail.with("length", 5)).is(t, 400, "INVALID_REQUEST")
	s.keyed(t, "/v1/otp/send", "key-1", mail).is(t, 200, "")
	s.keyed(t, "/v1/otp/send", "key-2", mail).is(t, 429, "SEND_LIMIT_EXCEEDED")
	s.now = s.now.Add(time.Minute)
	s.keyed(t, "/v1/otp/send", "key-2", mail).is(t, 200, "")
}

func TestResendWithAKey(t *testing.T) {
	s := newServer(t, options{})
	for name, context := range map[string]string{
		"a code of the caller's": s.generate(t, fields{}).text("context"),
		"a code that was sent":   s.sendCode(t, mail.with("fallback", []any{"console"})).text("context"),
	} {
		t.Run(name, func(t *testing.T) {
			s.email.take()
			s.now = s.now.Add(cooldown)
			key := strings.ReplaceAll(name, " ", "-")
			first := s.keyed(t, "/v1/otp/resend", key, fields{"context": context})
			first.is(t, 200, "")
			code := first.text("otp")
			if code == "" {
				code = s.console.only(t).Code
			}
			if a := s.keyed(t, "/v1/otp/resend", key, fields{"context": context, "purpose": ""}); a.body != first.body {
				t.Errorf("got %s, want %s", a.body, first.body)
			}
			s.undelivered(t)
			s.resend(t, context).is(t, 409, "CONTEXT_SUPERSEDED")
			s.verify(t, code, first.text("context")).is(t, 200, "")
		})
	}
}

func TestKeysNeedALedger(t *testing.T) {
	s := newServer(t, options{ledger: ledger.None{}})
	s.keyed(t, "/v1/otp/send", "key-1", mail).is(t, 409, "LEDGER_DISABLED")
	issued := s.generate(t, fields{})
	s.now = s.now.Add(cooldown)
	s.keyed(t, "/v1/otp/resend", "key-1", fields{"context": issued.text("context")}).is(t, 409, "LEDGER_DISABLED")
	s.undelivered(t)
	s.sent(t, mail)
}

// The largest of everything must fit into what is kept of an answer, too.
func TestLargestAnswerIsKept(t *testing.T) {
	s := newServer(t, options{})
	request := fields{
		"channel": "console", "to": strings.Repeat("é", 160), "identifier": strings.Repeat(`"`, 320), "purpose": strings.Repeat(`\`, 64),
		"metadata": strings.Repeat("x", 4094), "binding": strings.Repeat("x", 1024), "variables": variables(5, 100),
		"source_url": "https://example.com/" + strings.Repeat("x", 1004),
	}
	first := s.keyed(t, "/v1/otp/send", "key-1", request)
	first.is(t, 200, "")
	if a := s.keyed(t, "/v1/otp/send", "key-1", request); a.body != first.body {
		t.Errorf("got %s, want %s", a.body, first.body)
	}
	m := s.console.only(t)
	a := s.post(t, "/v1/otp/verify", fields{"otp": m.Code, "context": first.text("context"), "purpose": request["purpose"], "binding": request["binding"]}.String())
	a.is(t, 200, "")
}
