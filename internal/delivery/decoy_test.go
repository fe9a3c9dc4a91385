package delivery

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

func decoy(to string) SendRequest {
	return SendRequest{Code: otp.GenerateRequest{Decoy: true}, Routes: []Route{{Email, to}}}
}

func TestDecoySendsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.lanes[Email].pace.note(outcome{at: time.Now(), took: time.Millisecond})
	sent := f.mustSend(t, decoy(ann))
	if sent.Channel != Email || sent.ToMasked == "" || len(sent.DeliveryID) != 22 || sent.OTP != "" {
		t.Errorf("%+v", sent)
	}
	if _, err := f.send(decoy(ann)); err == nil {
		t.Error("it has no limit")
	}
	f.pass(time.Minute)
	again, err := f.resend(sent.Context)
	if err != nil || again.Channel != Email {
		t.Errorf("resent: %+v, %v", again, err)
	}
	if len(f.email.take()) != 0 {
		t.Error("something was sent")
	}
	if len(sent.Context) != len(f.mustSend(t, SendRequest{Routes: []Route{{Email, "bob@example.com"}}}).Context) {
		t.Error("the length of a context tells a decoy")
	}
}

// A decoy takes as long as a delivery did of late, and fails if they do.
func TestDecoyGoesAsDeliveriesGo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.email.fail(errTemporary)
	const delay = 50 * time.Millisecond
	f.email.deliver = func(context.Context) { time.Sleep(delay) }
	if _, err := f.send(byEmail()); err != errTemporary {
		t.Fatal(err)
	}
	before := time.Now()
	if _, err := f.send(decoy("bob@example.com")); err != errTemporary {
		t.Errorf("%v", err)
	}
	if took := time.Since(before); took < delay {
		t.Errorf("a decoy took %v, a delivery %v", took, delay)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	if got := p.any(start); got != (outcome{took: unknownPace}) {
		t.Errorf("nothing is known: %+v", got)
	}
	p.note(outcome{start, time.Hour, errPermanent}) // of that recipient alone
	if got := p.any(start); got != (outcome{took: unknownPace}) {
		t.Errorf("one recipient is unknown: %+v", got)
	}
	seen := make(map[outcome]bool)
	first, second := outcome{start, time.Second, nil}, outcome{start.Add(time.Minute), 2 * time.Second, errTemporary}
	p.note(second)
	p.note(first)
	for range 1000 {
		seen[p.any(second.at.Add(failureFor-time.Nanosecond))] = true
	}
	if len(seen) != 2 || !seen[first] || !seen[second] {
		t.Errorf("%v", seen)
	}
	for range 100 {
		if got := p.any(second.at.Add(failureFor)); got != first {
			t.Fatalf("the failure is old: %+v", got)
		}
	}
	for range paceMemory {
		p.note(first)
	}
	if got := p.any(start); got != first {
		t.Errorf("the failure is forgotten: %+v", got)
	}
}

func TestDecoyEndsInTime(t *testing.T) {
	t.Parallel()
	var p pace
	p.note(outcome{at: start, took: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.pretend(ctx, start); err != nil && !errors.Is(err, errTemporary) {
		t.Error(err)
	}
}
