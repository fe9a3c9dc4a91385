package delivery

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

var (
	errTemporary = &Failure{Reason: "the peer is busy"}
	errPermanent = &Failure{Permanent: true, Reason: "the peer knows nobody"}
	errUnknown   = &Failure{Unknown: true, Reason: "the peer did not answer in time"}
)

func TestSend(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	sent := f.mustSend(t, SendRequest{
		Code:   otp.GenerateRequest{Purpose: "login", Metadata: jsontext.Value(`1`)},
		Routes: []Route{{Email, " " + ann}}, Locale: "de", Template: "welcome", Variables: map[string]string{"app": "Shop"},
	})
	m := f.email.only(t)
	want := Message{
		ID: sent.DeliveryID, To: ann, Code: m.Code, VerificationID: sent.ID, Purpose: "login", SentAt: start,
		ExpiresAt: start.Add(5 * time.Minute), Locale: "de", Template: "welcome", Variables: map[string]string{"app": "Shop"},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("delivered %+v\nwant %+v", m, want)
	}
	if sent.OTP != "" || sent.Channel != Email || sent.ToMasked != "a•••" || len(sent.DeliveryID) != 22 || !sent.ExpiresAt.Equal(m.ExpiresAt) {
		t.Errorf("answered %+v", sent)
	}
	verified, err := f.codes.Verify(t.Context(), caller, otp.VerifyRequest{Context: sent.Context, OTP: m.Code, Purpose: "login"})
	if err != nil || *verified.Identifier != ann || string(verified.Metadata) != "1" {
		t.Errorf("verified %+v, %v", verified, err)
	}
	if got := f.takeEvents(); got != EventSent {
		t.Errorf("events %s", got)
	}
}

func TestEmptyIdentifierIsNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	none, r := "", byEmail()
	r.Code.Identifier = &none
	sent := f.mustSend(t, r)
	verified, err := f.codes.Verify(t.Context(), caller, otp.VerifyRequest{Context: sent.Context, OTP: f.email.only(t).Code})
	if err != nil || *verified.Identifier != ann {
		t.Errorf("%+v, %v", verified, err)
	}
}

func TestSendKeepsTheIdentifier(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	user, r := "user 1", byEmail()
	r.Code.Identifier = &user
	sent := f.mustSend(t, r)
	verified, err := f.codes.Verify(t.Context(), caller, otp.VerifyRequest{Context: sent.Context, OTP: f.email.only(t).Code})
	if err != nil || *verified.Identifier != user {
		t.Errorf("%+v, %v", verified, err)
	}
}

// What is wrong with a request is told before anything is counted.
func TestSendRefuses(t *testing.T) {
	t.Parallel()
	many := make(map[string]string)
	for i := range 10 {
		many[fmt.Sprint("v", i)] = strings.Repeat("x", 200)
	}
	length := 99
	for name, test := range map[string]struct {
		request SendRequest
		field   string
	}{
		"channel":          {SendRequest{Routes: []Route{{"pigeon", ann}}}, "channel"},
		"to":               {SendRequest{Routes: []Route{{Email, "nobody"}}}, "to"},
		"template":         {SendRequest{Routes: []Route{{Email, ann}}, Template: "none"}, "template"},
		"length":           {SendRequest{Routes: []Route{{Email, ann}}, Code: otp.GenerateRequest{Length: &length}}, "length"},
		"variables":        {SendRequest{Routes: []Route{{Email, ann}}, Variables: many}, "variables"},
		"fallback channel": {SendRequest{Routes: []Route{{Email, ann}, {"pigeon", ann}}}, "fallback"},
		"fallback to":      {SendRequest{Routes: []Route{{Email, ann}, {SMS, "nobody"}}}, "fallback"},
		"addresses":        {SendRequest{Routes: []Route{{Email, strings.Repeat("a", 320)}, {Email, strings.Repeat("b", 320)}, {Email, strings.Repeat("c", 320)}}}, "fallback"},
		"fallbacks":        {SendRequest{Routes: []Route{{Email, ann}, {Email, ann}, {Email, ann}, {Email, ann}, {Email, ann}}}, "fallback"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, newMemory(t))
			_, err := f.send(test.request)
			if field, ok := errors.AsType[*otp.FieldError](err); !ok || field.Field != test.field {
				t.Errorf("%v, want an error for %s", err, test.field)
			}
			f.mustSend(t, byEmail())
			if len(f.email.take()) != 1 {
				t.Error("something else was sent")
			}
		})
	}
}

// What is checked beforehand is as long as what will be sent, or a decoy's would pass where another's fails.
func TestCheckIsOfTheRealThing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	length, life := 12, 3600
	r := byEmail()
	r.Code = otp.GenerateRequest{Length: &length, ExpirySeconds: &life, Purpose: "login"}
	r.Locale, r.Variables = "de", map[string]string{"app": "Shop"}
	f.mustSend(t, r)
	checked, sent := f.email.checked, f.email.only(t)
	if len(checked.Code) != 12 || len(checked.ID) != len(sent.ID) || len(checked.VerificationID) != len(sent.VerificationID) {
		t.Errorf("checked %+v\nsent %+v", checked, sent)
	}
	checked.ID, checked.VerificationID, checked.Code = sent.ID, sent.VerificationID, sent.Code
	if !reflect.DeepEqual(checked, sent) {
		t.Errorf("checked %+v\nsent %+v", checked, sent)
	}
}

func TestChannelNotConfigured(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	for _, routes := range [][]Route{{{Webhook, ann}}, {{Email, ann}, {Console, ann}}} {
		if _, err := f.send(SendRequest{Routes: routes}); err != ErrNotConfigured {
			t.Errorf("%v: %v", routes, err)
		}
	}
	f.mustSend(t, byEmail())
}

func TestFailureIsNotCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	for _, failure := range []*Failure{errTemporary, errPermanent} {
		f.email.fail(failure)
		for range 25 {
			if _, err := f.send(byEmail()); err != failure {
				t.Fatal(err)
			}
		}
	}
	f.email.fail(errors.New("secret"))
	if _, err := f.send(byEmail()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an unexpected error is told as %v", err)
	}
	f.takeEvents()
	f.email.fail(nil)
	f.mustSend(t, byEmail())
	if got := f.takeEvents(); got != EventSent {
		t.Errorf("events %s", got)
	}
}

// A message that may have arrived counts: a slow peer must not be a way around the limits.
func TestUnknownOutcomeCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.sms.fail(errUnknown)
	for n := range 3 {
		if _, err := f.send(SendRequest{Routes: []Route{{SMS, fmt.Sprint("49", n)}}}); err != errUnknown {
			t.Fatal(err)
		}
	}
	for _, to := range []string{"490", "493"} { // the recipient's minute, and the budget
		_, err := f.send(SendRequest{Routes: []Route{{SMS, to}}})
		if _, limited := errors.AsType[*LimitError](err); !limited {
			t.Errorf("to %s: %v", to, err)
		}
	}
}

func TestFallback(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.email.fail(errPermanent)
	routes := []Route{{Email, ann}, {SMS, "4917"}}
	sent := f.mustSend(t, SendRequest{Routes: routes})
	if m := f.sms.only(t); sent.Channel != SMS || sent.ToMasked != "4•••" || m.ID != sent.DeliveryID || m.To != "4917" {
		t.Errorf("%+v", sent)
	}
	if got, want := f.takeEvents(), EventFailed+" "+EventSent; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	f.sms.fail(errTemporary)
	if _, err := f.send(SendRequest{Routes: []Route{{Email, ann}, {SMS, "4918"}}}); err != errTemporary {
		t.Errorf("all fail: %v", err)
	}
}

// A channel that stalls leaves its part of the time to the next.
func TestStalledChannelLeavesTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.email.deliver = func(ctx context.Context) {
		<-ctx.Done()
		f.email.fail(errTemporary)
	}
	f.sms.deliver = func(ctx context.Context) {
		if ctx.Err() != nil {
			t.Error("no time is left for the second")
		}
	}
	f.cfg.Timeout = 4 * time.Second
	if sent := f.mustSend(t, SendRequest{Routes: []Route{{Email, ann}, {SMS, "4917"}}}); sent.Channel != SMS {
		t.Errorf("%+v", sent)
	}
}

// A stalled channel takes no more than so many requests, and none of another channel's.
func TestOverload(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	entered, leave := make(chan struct{}), make(chan struct{})
	f.email.deliver = func(context.Context) {
		entered <- struct{}{}
		<-leave
	}
	var sending sync.WaitGroup
	for i := range maxUnderWay {
		sending.Go(func() {
			if _, err := f.send(SendRequest{Routes: []Route{{Email, fmt.Sprint("user", i)}}}); err != nil {
				t.Error(err)
			}
		})
		<-entered
	}
	for range 3 {
		if _, err := f.send(byEmail()); err != ErrOverloaded {
			t.Errorf("one more: %v", err)
		}
	}
	if _, err := f.send(SendRequest{Routes: []Route{{SMS, "4917"}}}); err != nil {
		t.Errorf("over another channel: %v", err)
	}
	routes := []Route{{Email, ann}, {SMS, "4918"}}
	if sent, err := f.send(SendRequest{Routes: routes}); err != nil || sent.Channel != SMS {
		t.Errorf("with a fallback: %+v, %v", sent, err)
	}
	close(leave)
	sending.Wait()
	f.email.deliver = nil
	f.mustSend(t, byEmail())
}

// Whoever hangs up does not end what is on its way.
func TestCallerHangsUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	ctx, cancel := context.WithCancel(t.Context())
	f.email.deliver = func(ctx context.Context) {
		cancel()
		if ctx.Err() != nil {
			t.Error("the delivery has ended, too")
		}
	}
	if _, err := f.Send(ctx, caller, Idempotency{}, byEmail()); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	refused := func(wait time.Duration) {
		t.Helper()
		_, err := f.send(byEmail())
		if limit, ok := errors.AsType[*LimitError](err); !ok || limit.RetryAfter != wait {
			t.Errorf("%v, want to wait %v", err, wait)
		}
	}
	for range 4 {
		f.mustSend(t, byEmail())
		refused(time.Minute)
		f.pass(time.Minute - time.Millisecond)
		refused(time.Millisecond)
		f.pass(time.Millisecond)
	}
	f.mustSend(t, byEmail())
	refused(6 * time.Minute)
	f.pass(6 * time.Minute)
	for range 15 {
		f.mustSend(t, byEmail())
		f.pass(10 * time.Minute)
	}
	refused(24*time.Hour - 160*time.Minute)
	if !strings.HasSuffix(f.takeEvents(), EventLimited) {
		t.Error("no event tells of the limit")
	}
}

// The limit is one recipient's, in any spelling, and one tenant's, over one channel.
func TestLimitIsOneRecipients(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.mustSend(t, byEmail())
	for _, to := range []string{"ANN@example.com", "ann@example.com+spam"} {
		if _, err := f.send(SendRequest{Routes: []Route{{Email, to}}}); err == nil {
			t.Errorf("%s is another", to)
		}
	}
	f.mustSend(t, SendRequest{Routes: []Route{{Email, "bob@example.com"}}})
	f.mustSend(t, SendRequest{Routes: []Route{{SMS, ann}}})
	other := otp.Caller{Namespace: "other"}
	if _, err := f.Send(t.Context(), other, Idempotency{}, byEmail()); err != nil {
		t.Errorf("another tenant: %v", err)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	to := func(n int) SendRequest { return SendRequest{Routes: []Route{{SMS, fmt.Sprint("49", n)}}} }
	for n := range 3 {
		f.mustSend(t, to(n))
	}
	_, err := f.send(to(3))
	if limit, ok := errors.AsType[*LimitError](err); !ok || limit.RetryAfter != time.Hour {
		t.Errorf("the fourth: %v", err)
	}
	f.sms.prefix = "+44"
	f.mustSend(t, to(3)) // which was not counted against its recipient before
	f.sms.prefix = "+49"
	f.pass(time.Hour)
	f.sms.fail(errTemporary)
	for n := range 10 {
		if _, err := f.send(to(n)); err != errTemporary {
			t.Errorf("a failure: %v", err)
		}
	}
	f.sms.fail(nil)
	for n := range 3 {
		f.mustSend(t, to(n))
	}
}

func TestConcurrentSendsToOneRecipient(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	var sending sync.WaitGroup
	for range 50 {
		sending.Go(func() { _, _ = f.send(byEmail()) })
	}
	sending.Wait()
	if got := len(f.email.take()); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
}

// Without a ledger there is no limit.
func TestNoLedger(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	for range 30 {
		f.mustSend(t, byEmail())
	}
	i := Idempotency{Key: "k"}
	if _, err := f.Send(t.Context(), caller, i, byEmail()); err != otp.ErrLedgerDisabled {
		t.Errorf("with an idempotency key: %v", err)
	}
	if got := len(f.email.take()); got != 30 {
		t.Errorf("%d messages", got)
	}
}

func TestNewRefusesABadConfig(t *testing.T) {
	t.Parallel()
	good := newFixture(t, newMemory(t)).cfg
	for name, spoil := range map[string]func(*Config){
		"Sealer":      func(c *Config) { c.Sealer = nil },
		"Ledger":      func(c *Config) { c.Ledger = nil },
		"Codes":       func(c *Config) { c.Codes = nil },
		"no Timeout":  func(c *Config) { c.Timeout = 0 },
		"the Timeout": func(c *Config) { c.Timeout = MaxTimeout + 1 },
		"SMSBudget":   func(c *Config) { c.SMSBudget = -1 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s is not checked", name)
		}
	}
	good.Audit, good.Observe, good.Now = nil, nil, nil
	s, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	s.Use(map[string]Channel{Email: new(box)})
	if _, err := s.Send(t.Context(), caller, Idempotency{}, byEmail()); err != nil {
		t.Error(err)
	}
}
