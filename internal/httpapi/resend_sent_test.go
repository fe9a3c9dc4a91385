package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/ledger"
)

func TestResendSendsAgain(t *testing.T) {
	s := newServer(t, options{})
	request := mail.with("purpose", "login").with("locale", "de").with("variables", fields{"app": "Shop"}).with("metadata", raw(`{"n":1.50}`))
	first, before := s.sent(t, request)
	s.now = s.now.Add(time.Minute)
	a := s.resend(t, first.text("context"))
	a.is(t, 200, "")
	m := s.email.only(t)
	want := `{"context":…,"id":"` + first.text("id") + `","expires_at":"2026-07-01T12:06:00Z","session_expires_at":"2026-07-01T12:15:00Z",` +
		`"attempts_remaining":3,"channel":"email","to_masked":"a•••@example.com","delivery_id":…}`
	if got := a.without("context", "delivery_id"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if m.To != ada || m.ID != a.text("delivery_id") || m.ID == before.ID || m.Locale != "de" || m.Variables["app"] != "Shop" || m.Purpose != "login" ||
		m.Code == before.Code || strings.Contains(a.body, m.Code) || !m.SentAt.Equal(s.now) || !m.ExpiresAt.Equal(s.now.Add(expiry)) {
		t.Errorf("delivered %+v after %+v", m, before)
	}
	s.verifyFor(t, "login", before.Code, first.text("context")).is(t, 409, "CONTEXT_SUPERSEDED")
	verified := s.verifyFor(t, "login", m.Code, a.text("context"))
	verified.is(t, 200, "")
	if verified.text("identifier") != ada || !strings.Contains(verified.body, `"metadata":{"n":1.50}`) {
		t.Errorf("got %s", verified.body)
	}
}

func TestResendGoesFromFallbackToFallback(t *testing.T) {
	s := newServer(t, options{})
	first, _ := s.sent(t, mail.with("fallback", []any{fields{"channel": "sms", "to": "+49 151 23456789"}, "console"}))
	s.now = s.now.Add(cooldown)
	second := s.resend(t, first.text("context"))
	second.is(t, 200, "")
	if m := s.sms.only(t); m.To != phone || second.text("channel") != "sms" || second.text("to_masked") != "+49•••••••89" {
		t.Errorf("got %s, sent to %s", second.body, m.To)
	}
	s.now = s.now.Add(cooldown)
	third := s.resend(t, second.text("context"))
	third.is(t, 200, "")
	if m := s.console.only(t); m.To != ada || third.text("channel") != "console" {
		t.Errorf("got %s, sent to %s", third.body, m.To)
	}
	s.now = s.now.Add(cooldown)
	s.resend(t, third.text("context")).is(t, 429, "MAX_RESENDS_EXCEEDED")
	s.undelivered(t)
}

// A resend has a cooldown of its own, and counts with all other messages to its recipient.
func TestResendCountsAgainstTheRecipientsLimits(t *testing.T) {
	s := newServer(t, options{})
	again := func(a answer) answer {
		s.resend(t, a.text("context")).is(t, 429, "COOLDOWN_DURATION_PENDING")
		s.now = s.now.Add(cooldown)
		return s.resend(t, a.text("context"))
	}
	a, _ := s.sent(t, mail)
	for range 2 {
		a = again(a)
		a.is(t, 200, "")
		s.email.only(t)
	}
	s.now = s.now.Add(time.Minute)
	a, _ = s.sent(t, mail)
	a = again(a)
	a.is(t, 200, "")
	m := s.email.only(t)
	refused := again(a) // the sixth in three minutes
	refused.is(t, 429, "SEND_LIMIT_EXCEEDED")
	if refused.number(t, "retry_after_seconds") != 420 || refused.header.Get("Retry-After") != "420" {
		t.Errorf("got %s", refused.body)
	}
	s.undelivered(t)
	s.verify(t, wrongCode(m.Code), a.text("context")).is(t, 400, "INVALID_OTP") // the older code is not dead
	s.now = s.now.Add(420 * time.Second)
	s.sendCode(t, mail).is(t, 200, "")
	s.email.only(t)
}

func TestResendThatFailsIsNone(t *testing.T) {
	for name, test := range map[string]struct {
		failure *delivery.Failure
		status  int
		code    string
	}{"for good": {refused, 422, "UNDELIVERABLE"}, "for now": {busy, 502, "DELIVERY_FAILED"}} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			first, m := s.sent(t, mail)
			s.now = s.now.Add(time.Minute)
			s.email.fail(test.failure)
			for range maxResends + 1 {
				s.resend(t, first.text("context")).is(t, test.status, test.code)
			}
			if a := s.inspect(t, first.text("context")); a.text("state") != "active" || a.number(t, "attempts_remaining") != maxRetries {
				t.Errorf("got %s", a.body)
			}
			s.email.fail(nil)
			second := s.resend(t, first.text("context"))
			second.is(t, 200, "")
			s.verify(t, m.Code, first.text("context")).is(t, 409, "CONTEXT_SUPERSEDED")
			s.verify(t, s.email.only(t).Code, second.text("context")).is(t, 200, "")
		})
	}
}

func TestCodeIsGoodAfterAResendThatFailed(t *testing.T) {
	s := newServer(t, options{})
	first, m := s.sent(t, mail)
	s.now = s.now.Add(time.Minute)
	s.email.fail(busy)
	s.resend(t, first.text("context")).is(t, 502, "DELIVERY_FAILED")
	s.verify(t, m.Code, first.text("context")).is(t, 200, "")
}

func TestResendTriesTheFallbacksThatFollow(t *testing.T) {
	s := newServer(t, options{})
	first, _ := s.sent(t, mail.with("fallback", []any{fields{"channel": "sms", "to": phone}, "console"}))
	s.now = s.now.Add(cooldown)
	s.sms.fail(busy)
	a := s.resend(t, first.text("context"))
	a.is(t, 200, "")
	if a.text("channel") != "console" {
		t.Errorf("got %s", a.body)
	}
	s.console.only(t)
	s.undelivered(t)
}

func TestResendOverAChannelThatIsGone(t *testing.T) {
	s := newServer(t, options{})
	first, m := s.sent(t, mail)
	s.now = s.now.Add(time.Minute)
	s.deliveries.Use(map[string]delivery.Channel{delivery.Console: s.console})
	s.resend(t, first.text("context")).is(t, 400, "CHANNEL_NOT_CONFIGURED")
	s.undelivered(t)
	s.verify(t, m.Code, first.text("context")).is(t, 200, "")
}

func TestResendOfASentDecoy(t *testing.T) {
	s := newServer(t, options{})
	genuine, _ := s.sent(t, mail)
	decoy := s.sendCode(t, mail.with("to", bob).with("decoy", true))
	decoy.is(t, 200, "")
	s.now = s.now.Add(time.Minute)
	a, b := s.resend(t, genuine.text("context")), s.resend(t, decoy.text("context"))
	a.is(t, 200, "")
	b.is(t, 200, "")
	s.email.only(t)
	differing := []string{"context", "id", "delivery_id", "to_masked"}
	if a.without(differing...) != b.without(differing...) || len(a.body) != len(b.body) {
		t.Errorf("a decoy is resent as\n%s, a code as\n%s", b.body, a.body)
	}
	s.verify(t, "000000", b.text("context")).is(t, 400, "INVALID_OTP")
}

func TestResendOfACodeOfTheCallersIsNotSent(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"identifier": ada})
	s.now = s.now.Add(cooldown)
	a := s.resend(t, issued.text("context"))
	a.is(t, 200, "")
	if len(a.text("otp")) != 6 || a.fields["channel"] != nil || a.fields["to_masked"] != nil || a.fields["delivery_id"] != nil {
		t.Errorf("got %s", a.body)
	}
	s.undelivered(t)
}

// Whatever refuses a resend, nothing is sent.
func TestRefusedResendIsNotSent(t *testing.T) {
	for name, test := range refusals {
		t.Run(name, func(t *testing.T) {
			if test.resend == "" || strings.Contains(name, "ledger") {
				t.Skip("it is sent, or there is a test for it")
			}
			s := newServer(t, options{})
			sent, m := s.sent(t, mail.with("fallback", []any{"console"}))
			sent.fields["otp"] = m.Code
			test.arrange(t, s, sent)
			s.console.take()
			s.resend(t, sent.text("context")).is(t, statuses[test.resend], test.resend)
			s.undelivered(t)
		})
	}
}

func TestSentContextIsResentByItsNamespaceOnly(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	sent, m := s.sent(t, mail)
	s.now = s.now.Add(time.Minute)
	s.bearer = bankSecret
	if a := s.resend(t, sent.text("context")); a.body != badTokenBody {
		t.Errorf("got %d %s", a.status, a.body)
	}
	s.undelivered(t)
	s.bearer = shopSecret
	s.verify(t, m.Code, sent.text("context")).is(t, 200, "")
}

func TestResendWithoutALedger(t *testing.T) {
	s := newServer(t, options{ledger: ledger.None{}})
	sent, before := s.sent(t, mail)
	s.resend(t, sent.text("context")).is(t, 429, "COOLDOWN_DURATION_PENDING")
	s.now = s.now.Add(cooldown)
	a := s.resend(t, sent.text("context"))
	a.is(t, 200, "")
	s.verify(t, s.email.only(t).Code, a.text("context")).is(t, 200, "")
	s.verify(t, before.Code, sent.text("context")).is(t, 200, "")
}
