package otp

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// How a code is delivered stays with its verification, and a resend tells it.
func TestDeliveryIsKept(t *testing.T) {
	f := newFixture(t, newMemory(t))
	delivery := jsontext.Value(`{"by":"post"}`)
	issued, announce, err := f.GenerateFor(f.caller, GenerateRequest{Purpose: "login", Decoy: true}, delivery)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.events) > 0 {
		t.Error("the event comes before the delivery")
	}
	announce()
	for n := range 2 {
		f.clock = f.clock.Add(time.Minute)
		resent, err := f.Resend(context.Background(), f.caller, ResendRequest{Context: issued.Context})
		if err != nil || string(resent.Delivery) != string(delivery) || resent.Purpose != "login" || !resent.Decoy || resent.Resends != n+1 {
			t.Errorf("%+v, %v", resent, err)
		}
		resent.Announce()
		issued = resent.Issued
	}
	if got := f.eventNames(); !slices.Equal(got, []string{EventGenerated, EventResent, EventResent}) {
		t.Errorf("events %v", got)
	}
}

func TestOutline(t *testing.T) {
	f := newFixture(t, newMemory(t))
	for name, test := range map[string]struct {
		request GenerateRequest
		length  int
		life    time.Duration
	}{
		"the service's own": {GenerateRequest{}, 6, 5 * time.Minute},
		"its own":           {GenerateRequest{Length: pointer(12), ExpirySeconds: pointer(60)}, 12, time.Minute},
		"out of bounds":     {GenerateRequest{Length: pointer(99), ExpirySeconds: pointer(60)}, 6, 5 * time.Minute},
	} {
		if length, life := f.Outline(test.request); length != test.length || life != test.life {
			t.Errorf("%s: %d, %v", name, length, life)
		}
	}
}

// A resend that was withdrawn is none: the older code is good, and the next resend is as far away as before.
func TestWithdraw(t *testing.T) {
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{})
	f.clock = f.clock.Add(time.Minute)
	for range 10 { // more than there may be
		resent, err := f.Resend(context.Background(), f.caller, ResendRequest{Context: issued.Context})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.try(issued.Context, "wrong"); !errors.Is(err, ErrContextSuperseded) {
			t.Errorf("meanwhile: %v", err)
		}
		if err := resent.Withdraw(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.try(issued.Context, issued.OTP); err != nil {
		t.Errorf("the older code: %v", err)
	}
}

func TestWithdrawWithoutALedger(t *testing.T) {
	stub := &stubLedger{outcome: Outcome{Verdict: "admitted"}}
	f := newFixture(t, stub)
	issued := f.mustGenerate(t, GenerateRequest{})
	f.clock = f.clock.Add(time.Minute)
	resent, err := f.Resend(context.Background(), f.caller, ResendRequest{Context: issued.Context})
	if err != nil {
		t.Fatal(err)
	}
	stub.err = errors.New("down")
	if err := resent.Withdraw(context.Background()); !errors.Is(err, ErrLedgerUnavailable) {
		t.Errorf("%v", err)
	}
}

// Whoever wants something issued for somebody must say for whom, and nothing is counted before.
func TestNeedsIdentifier(t *testing.T) {
	for _, identifier := range []*string{nil, pointer("")} {
		f := newFixture(t, newMemory(t))
		issued := f.mustGenerate(t, GenerateRequest{Identifier: identifier})
		_, err := f.Verify(context.Background(), f.caller, VerifyRequest{Context: issued.Context, OTP: issued.OTP, NeedsIdentifier: true})
		if field, ok := errors.AsType[*FieldError](err); !ok || field.Field != "issue" {
			t.Errorf("%v", err)
		}
		if _, err := f.try(issued.Context, issued.OTP); err != nil {
			t.Errorf("the code afterwards: %v", err)
		}
	}
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{Identifier: pointer("ann")})
	if _, err := f.Verify(context.Background(), f.caller, VerifyRequest{Context: issued.Context, OTP: issued.OTP, NeedsIdentifier: true}); err != nil {
		t.Error(err)
	}
}

// The source is told with a right code, over wrong ones and resends, and only then; the event has its category.
func TestSource(t *testing.T) {
	f := newFixture(t, newMemory(t))
	const page = "https://dashboard.example.com/start"
	issued := f.mustGenerate(t, GenerateRequest{SourceURL: page})
	wrong := f.mustBeWrong(t, issued.Context)
	f.clock = f.clock.Add(time.Minute)
	renewed, err := f.resend(wrong.Context)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := f.try(renewed.Context, renewed.OTP)
	if err != nil || verified.Source == nil || *verified.Source != (Source{page, SourceDashboard, "Dashboard"}) {
		t.Errorf("%+v, %v", verified.Source, err)
	}
	for _, e := range f.events {
		want := ""
		if e.Name == EventVerified {
			want = SourceDashboard
		}
		if e.SourceCategory != want {
			t.Errorf("%s has the category %q", e.Name, e.SourceCategory)
		}
	}
	if _, err := f.Generate(f.caller, GenerateRequest{SourceURL: "javascript:alert(1)"}); err == nil {
		t.Error("any text is taken for a page")
	}
}
