package delivery

import (
	"errors"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

func TestResendBySameChannel(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	first := f.mustSend(t, SendRequest{Routes: []Route{{Email, ann}}, Locale: "fr", Variables: map[string]string{"a": "b"}})
	old := f.email.only(t)
	f.pass(time.Minute)
	second, err := f.resend(first.Context)
	if err != nil {
		t.Fatal(err)
	}
	m := f.email.only(t)
	if m.Locale != "fr" || m.Variables["a"] != "b" || m.To != ann || m.ID == old.ID || second.OTP != "" || second.ID != first.ID ||
		second.Channel != Email || second.DeliveryID != m.ID {
		t.Errorf("%+v\n%+v", m, second)
	}
	if err := f.verify(first.Context, old.Code); !errors.Is(err, otp.ErrContextSuperseded) {
		t.Errorf("the first code: %v", err)
	}
	if err := f.verify(second.Context, m.Code); err != nil {
		t.Errorf("the second code: %v", err)
	}
}

func TestResendByTheNextChannel(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	sent := f.mustSend(t, SendRequest{Routes: []Route{{Email, ann}, {SMS, "4917"}}})
	for range 2 {
		f.pass(time.Minute)
		var err error
		if sent, err = f.resend(sent.Context); err != nil || sent.Channel != SMS {
			t.Fatalf("%+v, %v", sent, err)
		}
	}
	if len(f.email.take()) != 1 || len(f.sms.take()) != 2 {
		t.Error("other channels were used")
	}
}

// After a failed resend, everything is as it was: the old code, the cooldown, and how many resends are left.
func TestFailedResendIsNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	sent := f.mustSend(t, byEmail())
	old := f.email.only(t)
	f.pass(time.Minute)
	f.email.fail(errTemporary)
	for range 10 {
		if _, err := f.resend(sent.Context); err != errTemporary {
			t.Fatal(err)
		}
	}
	f.Use(nil)
	if _, err := f.resend(sent.Context); err != ErrNotConfigured {
		t.Errorf("no channel: %v", err)
	}
	f.Use(map[string]Channel{Email: f.email})
	f.email.fail(nil)
	again, err := f.resend(sent.Context)
	if err != nil {
		t.Fatal(err)
	}
	f.email.take()
	f.pass(time.Minute)
	f.email.fail(errPermanent)
	if _, err := f.resend(again.Context); err != errPermanent {
		t.Fatal(err)
	}
	if err := f.verify(sent.Context, old.Code); !errors.Is(err, otp.ErrContextSuperseded) {
		t.Errorf("the first code: %v", err)
	}
}

func TestOldCodeAfterAFailedResend(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	sent := f.mustSend(t, byEmail())
	old := f.email.only(t)
	f.pass(time.Minute)
	f.email.fail(errTemporary)
	if _, err := f.resend(sent.Context); err != errTemporary {
		t.Fatal(err)
	}
	if err := f.verify(sent.Context, old.Code); err != nil {
		t.Errorf("the old code: %v", err)
	}
}

// A resend is one more message to its recipient, but that it need not wait for the minute that a new code must: it has
// the cooldown of its verification.
func TestResendIsLimited(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	sent := f.mustSend(t, byEmail())
	for range 4 {
		f.pass(30 * time.Second)
		var err error
		if sent, err = f.resend(sent.Context); err != nil {
			t.Fatal(err)
		}
	}
	f.pass(30 * time.Second)
	_, err := f.resend(sent.Context)
	if limit, ok := errors.AsType[*LimitError](err); !ok || limit.RetryAfter != 10*time.Minute-150*time.Second {
		t.Errorf("the sixth message: %v", err)
	}
	f.pass(8 * time.Minute)
	if _, err := f.resend(sent.Context); err != nil {
		t.Errorf("later: %v", err)
	}
	_, err = f.send(byEmail())
	if limit, ok := errors.AsType[*LimitError](err); !ok || limit.RetryAfter != time.Minute {
		t.Errorf("a new code after a resend: %v", err)
	}
}

// Who is written to for the first time is so once a minute, whoever was written to before.
func TestResendToACommonFallback(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	var sent []Sent
	for _, to := range []string{"a", "b", "c"} {
		sent = append(sent, f.mustSend(t, SendRequest{Routes: []Route{{Email, to}, {SMS, "4917"}}}))
	}
	f.pass(30 * time.Second)
	for i, s := range sent {
		_, err := f.resend(s.Context)
		if _, limited := errors.AsType[*LimitError](err); limited != (i > 0) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// An address that the channel took once, and takes no more, is one that cannot be delivered to.
func TestResendToAnAddressOfThePast(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	issued, _, err := f.codes.GenerateFor(caller, otp.GenerateRequest{}, []byte(`{"routes":[{"channel":"email","to":"nobody"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	f.pass(time.Minute)
	_, err = f.resend(issued.Context)
	if failure, ok := errors.AsType[*Failure](err); !ok || !failure.Permanent {
		t.Errorf("%v", err)
	}
}

// Of a code that its caller delivers, a resend answers the next.
func TestResendOfAGeneratedCode(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	issued, err := f.codes.Generate(caller, otp.GenerateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	f.pass(time.Minute)
	again, err := f.resend(issued.Context)
	if err != nil || again.OTP == "" || again.Channel != "" {
		t.Errorf("%+v, %v", again, err)
	}
	if err := f.verify(again.Context, again.OTP); err != nil {
		t.Error(err)
	}
}

func TestPlanOfALaterOtpd(t *testing.T) {
	t.Parallel()
	for _, sealed := range []string{`{}`, `{"routes":[]}`, `{"routes":[{"channel":"email","to":"a","by":1}]}`, `{"routes":[{"channel":"email","to":"a"}],"quiet":true}`} {
		f := newFixture(t, newMemory(t))
		issued, _, err := f.codes.GenerateFor(caller, otp.GenerateRequest{}, []byte(sealed))
		if err != nil {
			t.Fatal(err)
		}
		f.pass(time.Minute)
		if _, err := f.resend(issued.Context); err != otp.ErrInvalidContext {
			t.Errorf("%s: %v", sealed, err)
		}
		if err := f.verify(issued.Context, issued.OTP); err != nil {
			t.Errorf("%s: its code: %v", sealed, err)
		}
	}
}
