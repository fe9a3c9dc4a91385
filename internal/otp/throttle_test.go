package otp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/ledger"
)

const ann = "ann@example.invalid"

// fail has wrong codes counted against an identifier, each for a verification of its own, and returns
// what the last of them was told.
func (f *fixture) fail(t testing.TB, identifier *string, times int) (err error) {
	t.Helper()
	for range times {
		_, err = f.try(f.mustGenerate(t, GenerateRequest{Identifier: identifier}).Context, noCode)
	}
	return err
}

func throttledFor(err error) time.Duration {
	if throttled, ok := errors.AsType[*ThrottledError](err); ok {
		return throttled.RetryAfter
	}
	return 0
}

func TestThrottle(t *testing.T) {
	f := newFixture(t, newMemory(t))
	if err := f.fail(t, pointer(ann), throttle.After+1); throttledFor(err) != 0 {
		t.Fatalf("the code that locks is told %v, want that it is wrong", err)
	}
	issued := f.mustGenerate(t, GenerateRequest{Identifier: pointer(ann)})
	if _, err := f.try(issued.Context, issued.OTP); throttledFor(err) != 2*time.Second {
		t.Fatalf("while the identifier is locked, a right code is told %v, want to wait 2 s", err)
	}
	if inspected, err := f.Inspect(context.Background(), f.caller, issued.Context); err != nil ||
		inspected.State != StateActive || inspected.AttemptsRemaining != 3 {
		t.Errorf("inspect says %+v, %v: the attempt was counted", inspected, err)
	}
	other := f.mustGenerate(t, GenerateRequest{Identifier: pointer("bob@example.invalid")})
	if _, err := f.try(other.Context, other.OTP); err != nil {
		t.Errorf("another identifier: %v", err)
	}
	f.clock = start.Add(2 * time.Second)
	if _, err := f.try(issued.Context, issued.OTP); err != nil {
		t.Errorf("after the lock: %v", err)
	}
	if err := f.fail(t, pointer(ann), throttle.After); throttledFor(err) != 0 {
		t.Errorf("after a success, a free wrong code: %v", err)
	}
}

func TestThrottleIsNotForNobody(t *testing.T) {
	f := newFixture(t, newMemory(t))
	for _, nobody := range []*string{nil, pointer("")} {
		if err := f.fail(t, nobody, 200); throttledFor(err) != 0 {
			t.Error(err)
		}
	}
}

func TestThrottleIsPerNamespace(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller.Namespace = "shop"
	f.fail(t, pointer(ann), throttle.After+1)
	f.caller.Namespace = "bank"
	if err := f.fail(t, pointer(ann), 1); throttledFor(err) != 0 {
		t.Errorf("in another namespace: %v", err)
	}
}

// What an attacker did under an old key counts under the new one, for contexts of the old.
func TestThrottleOutlivesAKey(t *testing.T) {
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{Identifier: pointer(ann)})
	f.fail(t, pointer(ann), throttle.After)
	rotate(t, f, testKeyB, testKey)
	updated := f.mustBeWrong(t, issued.Context).Context
	for _, token := range []string{issued.Context, updated} {
		if _, err := f.try(token, issued.OTP); throttledFor(err) == 0 {
			t.Errorf("%v, want a lock", err)
		}
	}
	rotate(t, f, testKeyB)
	if _, err := f.try(updated, issued.OTP); throttledFor(err) == 0 {
		t.Errorf("without the old key: %v, want a lock", err)
	}
}

// A key that comes or goes while a verification is under way does not split its entry in the ledger.
func TestRotationRevivesNoCode(t *testing.T) {
	f := newFixture(t, newMemory(t))
	for _, identifier := range []*string{nil, pointer(ann)} {
		rotate(t, f, testKey)
		issued := f.mustGenerate(t, GenerateRequest{Identifier: identifier})
		rotate(t, f, testKeyB, testKey)
		updated := f.mustBeWrong(t, issued.Context).Context
		if _, err := f.try(issued.Context, issued.OTP); err != nil {
			t.Fatal(err)
		}
		if _, err := f.try(updated, issued.OTP); err != ErrAlreadyUsed {
			t.Errorf("the updated context: %v", err)
		}
		rotate(t, f, testKeyB)
		if _, err := f.try(updated, issued.OTP); err != ErrAlreadyUsed {
			t.Errorf("the updated context, without the old key: %v", err)
		}
	}
}

const testKeyB = "_wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func rotate(t testing.TB, f *fixture, keys ...string) {
	t.Helper()
	ring, err := otpcontext.ParseRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	f.sealer.Use(ring)
}

func TestUnlock(t *testing.T) {
	for name, unlocks := range map[string]struct {
		by, identifier string
		unlocks        bool
	}{
		"by its own namespace": {"shop", ann, true},
		"by another":           {"bank", ann, false},
		"by none":              {"", ann, false},
		"another identifier":   {"shop", "bob@example.invalid", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			f.caller.Namespace = "shop"
			f.fail(t, pointer(ann), throttle.After+1)
			if err := f.Unlock(context.Background(), Caller{Namespace: unlocks.by}, unlocks.identifier); err != nil {
				t.Fatal(err)
			}
			if err := f.fail(t, pointer(ann), 1); (throttledFor(err) == 0) != unlocks.unlocks {
				t.Errorf("then a wrong code: %v", err)
			}
		})
	}
}

// The contexts of django-otp-actions have no namespace and are any key's, and so is their throttle.
func TestUnlockReachesContextsWithoutANamespace(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.fail(t, pointer(ann), throttle.After+1)
	if err := f.Unlock(context.Background(), Caller{Namespace: "shop"}, ann); err != nil {
		t.Fatal(err)
	}
	if err := f.fail(t, pointer(ann), 1); throttledFor(err) != 0 {
		t.Error(err)
	}
}

func TestUnlockReachesTheOldKeys(t *testing.T) {
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{Identifier: pointer(ann)})
	f.fail(t, pointer(ann), throttle.After+1)
	rotate(t, f, testKeyB, testKey)
	if err := f.Unlock(context.Background(), f.caller, ann); err != nil {
		t.Fatal(err)
	}
	if _, err := f.try(issued.Context, issued.OTP); err != nil {
		t.Error(err)
	}
}

func TestUnlockErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		ledger     Ledger
		identifier string
		want       error
	}{
		"without a ledger":  {ledger.None{}, ann, ErrLedgerDisabled},
		"with a broken one": {&stubLedger{err: broken}, ann, ErrLedgerUnavailable},
	} {
		err := newFixture(t, test.ledger).Unlock(context.Background(), Caller{}, test.identifier)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	err := newFixture(t, newMemory(t)).Unlock(context.Background(), Caller{}, strings.Repeat("a", 321))
	if bad, ok := errors.AsType[*FieldError](err); !ok || bad.Field != "identifier" {
		t.Errorf("too long an identifier: %v", err)
	}
}

func TestCooldownIsTheLedgersWord(t *testing.T) {
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{})
	if _, err := f.try(issued.Context, issued.OTP); err != nil {
		t.Fatal(err)
	}
	if _, err := f.resend(issued.Context); err != ErrAlreadyUsed {
		t.Errorf("a resend of a used code within the cooldown: %v", err)
	}
	renewed, err := func() (Issued, error) {
		issued := f.mustGenerate(t, GenerateRequest{})
		f.clock = start.Add(30 * time.Second)
		return f.resend(issued.Context)
	}()
	if err != nil {
		t.Fatal(err)
	}
	older := f.reseal(t, renewed.Context, func(c *otpcontext.Claims) { c.Timestamp -= 30 })
	if _, err := f.resend(older); err == nil || err.Error() != (&CooldownError{}).Error() {
		t.Errorf("a resend of a code that says it is older: %v", err)
	}
}
