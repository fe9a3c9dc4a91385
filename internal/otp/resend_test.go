package otp

import (
	"context"
	"crypto/sha256"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
)

func TestResendKeepsAllButTheCode(t *testing.T) {
	for _, l := range ledgers {
		t.Run(l.name, func(t *testing.T) {
			f := newFixture(t, l.open(t))
			f.caller.Namespace = "shop"
			issued := f.mustGenerate(t, GenerateRequest{
				Identifier: pointer("Ann"), Metadata: jsontext.Value(`[1.0]`), Alphabet: pointer(Letters), Length: pointer(8),
				MaxRetries: pointer(5), ExpirySeconds: pointer(120),
			})
			wrong := f.mustBeWrong(t, issued.Context)
			f.clock = start.Add(time.Minute)
			renewed, err := f.resend(wrong.Context)
			if err != nil {
				t.Fatal(err)
			}
			want := Issued{
				OTP: renewed.OTP, Context: renewed.Context, ID: issued.ID, AttemptsRemaining: 4,
				ExpiresAt: f.clock.Add(2 * time.Minute), SessionExpiresAt: issued.SessionExpiresAt,
				IdentifierHash: issued.IdentifierHash,
			}
			if renewed != want || renewed.OTP == issued.OTP || len(renewed.OTP) != 8 {
				t.Errorf("renewed %+v\nwant    %+v", renewed, want)
			}
			claims := f.claims(t, wrong.Context)
			claims.OTPHash = sha256.Sum256([]byte(renewed.OTP))
			claims.Timestamp += 60
			claims.OTPExpiry += 60
			claims.Resends = 1
			if got := f.claims(t, renewed.Context); !reflect.DeepEqual(got, claims) {
				t.Errorf("claims %+v\nwant   %+v", got, claims)
			}
			if _, err := f.try(renewed.Context, renewed.OTP); err != nil {
				t.Errorf("the new code: %v", err)
			}
		})
	}
}

// A context that another has sealed need not say how long its code was to live.
func TestResendOfACodeThatNeverLived(t *testing.T) {
	for _, lived := range []float64{0.5, 0, -1, -600} {
		f := newFixture(t, newMemory(t))
		issued := f.mustGenerate(t, GenerateRequest{})
		token := f.reseal(t, issued.Context, func(c *otpcontext.Claims) { c.OTPExpiry = c.Timestamp + lived })
		f.clock = start.Add(time.Minute)
		renewed, err := f.resend(token)
		if want := f.clock.Add(300 * time.Second); err != nil || !renewed.ExpiresAt.Equal(want) {
			t.Errorf("a code that lived for %v s is followed by one until %v, %v, want %v", lived, renewed.ExpiresAt, err, want)
		}
		if _, err := f.try(renewed.Context, renewed.OTP); err != nil {
			t.Errorf("the new code: %v", err)
		}
	}
}

func TestResendNeverOutlastsTheSession(t *testing.T) {
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{})
	for _, test := range []struct{ at, lasts time.Duration }{
		{599 * time.Second, 300 * time.Second}, {600 * time.Second, 300 * time.Second},
		{601 * time.Second, 299 * time.Second}, {900 * time.Second, 0},
	} {
		f := newFixture(t, newMemory(t))
		f.clock = start.Add(test.at)
		renewed, err := f.resend(issued.Context) // whose code has expired
		if err != nil || renewed.ExpiresAt.Sub(f.clock) != test.lasts || !renewed.SessionExpiresAt.Equal(start.Add(900*time.Second)) {
			t.Errorf("after %v: %+v, %v; want a code for %v", test.at, renewed, err, test.lasts)
		}
	}
}

func TestResendBoundaries(t *testing.T) {
	const cooldown, session = 30 * time.Second, 900 * time.Second
	for _, at := range []time.Duration{-time.Second, -time.Millisecond, 0, time.Millisecond, time.Second} {
		t.Run("cooldown "+at.String(), func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			issued := f.mustGenerate(t, GenerateRequest{})
			f.clock = start.Add(cooldown + at)
			_, err := f.resend(issued.Context)
			pending, early := errors.AsType[*CooldownError](err)
			switch {
			case at < 0 && (!early || pending.RetryAfter != -at):
				t.Errorf("%#v, want a cooldown of %v", err, -at)
			case at >= 0 && err != nil:
				t.Error(err)
			}
			if _, err := f.try(issued.Context, issued.OTP); at < 0 && err != nil {
				t.Errorf("the code after a refused resend: %v", err)
			}
		})
		t.Run("session "+at.String(), func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			issued := f.mustGenerate(t, GenerateRequest{})
			f.clock = start.Add(session + at)
			var want error
			if at > 0 {
				want = ErrSessionExpired
			}
			if _, err := f.resend(issued.Context); err != want {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

func TestResendOrder(t *testing.T) {
	past := float64(start.Add(-time.Second).Unix())
	type fault struct {
		name    string
		claims  func(*otpcontext.Claims)
		request func(*ResendRequest)
		ok      func(error) bool
		asks    bool
	}
	is := func(want error) func(error) bool { return func(err error) bool { return err == want } }
	faults := []fault{
		{name: "forged", request: func(r *ResendRequest) { r.Context += "AAAA" }, ok: is(ErrInvalidContext)},
		{name: "purpose", request: func(r *ResendRequest) { r.Purpose = "payment" }, ok: is(ErrContextMismatch)},
		{name: "session expired", claims: func(c *otpcontext.Claims) { c.SessionExpiry = past }, ok: is(ErrSessionExpired)},
		{name: "exhausted", claims: func(c *otpcontext.Claims) { c.RetryCount = c.MaxRetries }, ok: is(ErrMaxRetriesExceeded)},
		{name: "resends spent", claims: func(c *otpcontext.Claims) { c.Resends = 5 }, ok: is(ErrMaxResendsExceeded)},
		{name: "superseded", ok: is(ErrContextSuperseded), asks: true},
	}
	for i, first := range faults {
		for _, second := range faults[i:] {
			t.Run(first.name+" and "+second.name, func(t *testing.T) {
				stub := &stubLedger{outcome: Outcome{Verdict: "superseded"}}
				f := newFixture(t, stub)
				request := ResendRequest{Context: f.mustGenerate(t, GenerateRequest{Purpose: "login"}).Context}
				f.eventNames()
				f.clock = start.Add(time.Minute)
				for _, fault := range []fault{first, second} {
					if fault.claims != nil {
						request.Context = f.reseal(t, request.Context, fault.claims)
					}
				}
				for _, fault := range []fault{first, second} {
					if fault.request != nil {
						fault.request(&request)
					}
				}
				_, err := f.Resend(context.Background(), f.caller, request)
				if !first.ok(err) || (stub.asked > 0) != first.asks {
					t.Errorf("%v, and the ledger was asked %d times", err, stub.asked)
				}
				if events := f.eventNames(); events != nil {
					t.Errorf("events %v, want none", events)
				}
			})
		}
	}
}

func TestResendChecksAPurposeOnlyIfItIsGiven(t *testing.T) {
	for given, want := range map[string]error{"": nil, "login": nil, "payment": ErrContextMismatch} {
		f := newFixture(t, newMemory(t))
		issued := f.mustGenerate(t, GenerateRequest{Purpose: "login"})
		f.clock = start.Add(time.Minute)
		if _, err := f.Resend(context.Background(), f.caller, ResendRequest{Context: issued.Context, Purpose: given}); err != want {
			t.Errorf("%q: %v, want %v", given, err, want)
		}
	}
}

func TestAsManyResendsAsAreAllowed(t *testing.T) {
	for _, most := range []int{0, 1, 5} {
		f := newFixture(t, newMemory(t), func(c *Config) { c.MaxResends, c.ResendCooldown = most, 0 })
		issued := f.mustGenerate(t, GenerateRequest{})
		for i := range most {
			renewed, err := f.resend(issued.Context)
			if err != nil {
				t.Fatalf("resend %d of %d: %v", i+1, most, err)
			}
			issued = renewed
		}
		if _, err := f.resend(issued.Context); err != ErrMaxResendsExceeded {
			t.Errorf("resend %d of %d: %v", most+1, most, err)
		}
		if _, err := f.try(issued.Context, issued.OTP); err != nil {
			t.Errorf("the last code: %v", err)
		}
	}
}

func TestResendNeverGivesAttemptsBack(t *testing.T) {
	f := newFixture(t, newMemory(t), func(c *Config) { c.ResendCooldown = 0 })
	issued := f.mustGenerate(t, GenerateRequest{})
	for remaining := 2; remaining > 0; remaining-- {
		f.mustBeWrong(t, issued.Context) // whose answer the client throws away
		renewed, err := f.resend(issued.Context)
		if err != nil || renewed.AttemptsRemaining != remaining {
			t.Fatalf("%+v, %v; want %d to remain", renewed, err, remaining)
		}
		issued = renewed
	}
	f.mustBeWrong(t, issued.Context)
	if _, err := f.resend(issued.Context); err != ErrMaxRetriesExceeded {
		t.Errorf("a resend of what is spent: %v", err)
	}
}
