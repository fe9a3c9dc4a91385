package delivery

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/otp"
)

func keyed(key string) Idempotency { return Idempotency{Key: key, Request: []byte("request")} }

func TestSameKeySendsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	r := byEmail()
	r.Code.Metadata = jsontext.Value(`"` + strings.Repeat("x", 4000) + `"`)
	first, err := f.Send(t.Context(), caller, keyed("k"), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, pass := range []time.Duration{0, time.Minute, 9*time.Minute - time.Millisecond} {
		f.pass(pass)
		again, err := f.Send(t.Context(), caller, keyed("k"), r)
		if err != nil || !reflect.DeepEqual(normal(again), normal(first)) {
			t.Errorf("after %v: %+v, %v\nwant %+v", pass, again, err, first)
		}
	}
	f.email.only(t)
	f.pass(time.Millisecond)
	if again, err := f.Send(t.Context(), caller, keyed("k"), r); err != nil || again.ID == first.ID {
		t.Errorf("after ten minutes: %+v, %v", again, err)
	}
}

// normal leaves out what no answer has.
func normal(s Sent) Sent {
	s.ExpiresAt, s.SessionExpiresAt = s.ExpiresAt.UTC(), s.SessionExpiresAt.UTC()
	return s
}

func TestKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	if _, err := f.Send(t.Context(), caller, keyed("k"), byEmail()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Send(t.Context(), caller, Idempotency{"k", []byte("another")}, byEmail()); err != ErrKeyReused {
		t.Errorf("%v", err)
	}
	other := otp.Caller{Namespace: "other"}
	if _, err := f.Send(t.Context(), other, keyed("k"), byEmail()); err != nil {
		t.Errorf("of another tenant: %v", err)
	}
}

// What failed is tried again with the same key.
func TestKeyOfAFailure(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.email.fail(errTemporary)
	for range 3 {
		if _, err := f.Send(t.Context(), caller, keyed("k"), byEmail()); err != errTemporary {
			t.Fatal(err)
		}
	}
	f.email.fail(nil)
	if _, err := f.Send(t.Context(), caller, keyed("k"), byEmail()); err != nil {
		t.Error(err)
	}
}

// What may have been sent is not sent again: the same key is told the same.
func TestKeyOfAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	tries := 0
	f.email.deliver = func(context.Context) { tries++ }
	f.email.fail(errUnknown)
	for range 3 {
		f.pass(time.Minute)
		_, err := f.Send(t.Context(), caller, keyed("k"), byEmail())
		if failure, ok := errors.AsType[*Failure](err); !ok || *failure != *errUnknown {
			t.Errorf("%v", err)
		}
	}
	if tries != 1 {
		t.Errorf("%d tries", tries)
	}
}

// Nor is it if a fallback, to the same person even, has no room for it.
func TestKeyOfAnUnknownOutcomeWithAFallback(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.email.fail(errUnknown)
	r := SendRequest{Routes: []Route{{Email, ann}, {Email, ann}}}
	for range 2 {
		_, err := f.Send(t.Context(), caller, keyed("k"), r)
		if failure, ok := errors.AsType[*Failure](err); !ok || *failure != *errUnknown {
			t.Errorf("%v", err)
		}
	}
	if got, want := f.takeEvents(), EventFailed+" "+EventLimited; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

// A request that never ended, as its process did, keeps its key in use for as long as an answer would.
func TestKeyOfALostRequest(t *testing.T) {
	t.Parallel()
	memory := newMemory(t)
	f := newFixture(t, memory)
	if _, err := memory.Reserve(t.Context(), f.key(caller, "idempotency\x00k"), pending+"x", receiptFor, f.now()); err != nil {
		t.Fatal(err)
	}
	f.pass(receiptFor - time.Millisecond)
	if _, err := f.Send(t.Context(), caller, keyed("k"), byEmail()); err != ErrKeyInUse {
		t.Errorf("%v", err)
	}
	f.pass(time.Millisecond)
	if _, err := f.Send(t.Context(), caller, keyed("k"), byEmail()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestKeyInUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	f.email.deliver = func(ctx context.Context) {
		if _, err := f.Send(ctx, caller, keyed("k"), byEmail()); err != ErrKeyInUse {
			t.Errorf("while it is under way: %v", err)
		}
	}
	if _, err := f.Send(t.Context(), caller, keyed("k"), byEmail()); err != nil {
		t.Error(err)
	}
}

func TestManyWithOneKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	var sending sync.WaitGroup
	for range 100 {
		sending.Go(func() {
			if _, err := f.Send(t.Context(), caller, keyed("k"), byEmail()); err != nil && err != ErrKeyInUse {
				t.Error(err)
			}
		})
	}
	sending.Wait()
	f.email.only(t)
}

func TestKeyOfAResend(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	sent := f.mustSend(t, byEmail())
	f.email.take()
	f.pass(time.Minute)
	first, err := f.resendKeyed("k", sent.Context)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.resendKeyed("k", sent.Context); err != nil || again.Context != first.Context {
		t.Errorf("%+v, %v", again, err)
	}
	f.email.only(t)
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	for _, key := range []string{" ", "a b", "a\x00", "é", strings.Repeat("k", MaxKey+1)} {
		_, err := f.Send(t.Context(), caller, keyed(key), byEmail())
		if field, ok := errors.AsType[*otp.FieldError](err); !ok || field.Field != "Idempotency-Key" {
			t.Errorf("%q: %v", key, err)
		}
	}
	if _, err := f.Send(t.Context(), caller, keyed(strings.Repeat("k", MaxKey)), byEmail()); err != nil {
		t.Error(err)
	}
}

// codes is what the domain asks of a ledger, by another name than ours.
type codes interface{ otp.Ledger }

// spoilt is a ledger that fails in one of its operations, or holds what otpd has not written.
type spoilt struct {
	Ledger
	codes
	spend, reserve, settle error
	held                   string
}

func (s *spoilt) Spend(ctx context.Context, key string, now time.Time, windows []Window) (time.Duration, func(context.Context), error) {
	if s.spend != nil {
		return 0, nil, s.spend
	}
	return s.Ledger.Spend(ctx, key, now, windows)
}

func (s *spoilt) Reserve(ctx context.Context, key, value string, ttl time.Duration, now time.Time) (string, error) {
	if s.reserve != nil || s.held != "" {
		return s.held, s.reserve
	}
	return s.Ledger.Reserve(ctx, key, value, ttl, now)
}

func (s *spoilt) Settle(ctx context.Context, key, own, value string, ttl time.Duration, now time.Time) error {
	if s.settle != nil {
		return s.settle
	}
	return s.Ledger.Settle(ctx, key, own, value, ttl, now)
}

// Without an answer of the ledger, nothing is sent; but what was sent is answered.
func TestLedgerFails(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	for name, test := range map[string]struct {
		ledger spoilt
		want   error
		sent   int
	}{
		"spend":   {spoilt{spend: down}, otp.ErrLedgerUnavailable, 0},
		"reserve": {spoilt{reserve: down}, otp.ErrLedgerUnavailable, 0},
		"settle":  {spoilt{settle: down}, nil, 1},
		"strange": {spoilt{held: "what is this"}, otp.ErrLedgerUnavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory := newMemory(t)
			l := test.ledger
			l.Ledger, l.codes = memory, memory
			f := newFixture(t, &l)
			if _, err := f.Send(t.Context(), caller, keyed("k"), byEmail()); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if got := len(f.email.take()); got != test.sent {
				t.Errorf("%d messages", got)
			}
		})
	}
}
