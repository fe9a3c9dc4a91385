package otp

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
)

func TestVerifyAnswersWithWhatWasSealed(t *testing.T) {
	for _, l := range ledgers {
		t.Run(l.name, func(t *testing.T) {
			f := newFixture(t, l.open(t))
			f.clock = start.Add(123456789 * time.Nanosecond)
			f.caller.Namespace = "shop"
			issued := f.mustGenerate(t, GenerateRequest{
				Identifier: pointer("user@example.invalid"), Metadata: jsontext.Value(`{"n": 1.0}`),
				Purpose: "login", Binding: "10 EUR to Ann",
			})
			wrong := VerifyRequest{OTP: noCode, Context: issued.Context, Purpose: "login", Binding: "10 EUR to Ann"}
			_, err := f.Verify(context.Background(), f.caller, wrong)
			updated, ok := errors.AsType[*WrongCodeError](err)
			if !ok || updated.AttemptsRemaining != 2 {
				t.Fatalf("a wrong code: %#v", err)
			}
			f.clock = f.clock.Add(time.Minute)
			got, err := f.Verify(context.Background(), f.caller, VerifyRequest{
				OTP: issued.OTP, Context: updated.Context, Identifier: pointer("user@example.invalid"), Purpose: "login", Binding: "10 EUR to Ann",
			})
			want := Verified{
				ID: issued.ID, Identifier: pointer("user@example.invalid"), Metadata: jsontext.Value(`{"n":1.0}`),
				Purpose: "login", RetryCount: 1,
				IssuedAt:   start.Add(123 * time.Millisecond),
				VerifiedAt: start.Add(time.Minute + 123*time.Millisecond),
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("verified %+v, %v\nwant     %+v", got, err, want)
			}
		})
	}
}

func TestVerifyExpiry(t *testing.T) {
	const lifetime = 300 * time.Second
	atMost := func(session time.Duration) GenerateRequest {
		return GenerateRequest{ExpirySeconds: pointer(300), SessionExpirySeconds: pointer(int(session / time.Second))}
	}
	tests := []struct {
		name    string
		request GenerateRequest
		after   error
	}{
		{"of the code", atMost(2 * lifetime), ErrOTPExpired},
		{"of the session", atMost(lifetime), ErrSessionExpired},
		{"of a decoy's code", GenerateRequest{Decoy: true}, ErrOTPExpired},
	}
	for _, issuedAt := range []time.Duration{0, 250 * time.Millisecond} {
		for _, test := range tests {
			for _, at := range []time.Duration{-time.Second, -time.Millisecond, 0, time.Millisecond, time.Second} {
				t.Run(test.name+" "+at.String(), func(t *testing.T) {
					f := newFixture(t, newMemory(t))
					f.clock = start.Add(issuedAt)
					issued := f.mustGenerate(t, test.request)
					f.clock = f.clock.Add(lifetime + at)
					_, err := f.try(issued.Context, issued.OTP)
					_, wrong := errors.AsType[*WrongCodeError](err)
					switch {
					case at > 0 && !errors.Is(err, test.after):
						t.Errorf("%v, want %v", err, test.after)
					case at <= 0 && wrong != test.request.Decoy:
						t.Errorf("%v, want it judged", err)
					case at <= 0 && !test.request.Decoy && err != nil:
						t.Errorf("%v, want it verified", err)
					}
				})
			}
		}
	}
}

func TestClockSkew(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Second, -time.Millisecond, 0, time.Millisecond, time.Second} {
		t.Run(ahead.String(), func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			issued := f.mustGenerate(t, GenerateRequest{})
			f.clock = start.Add(-time.Minute - ahead)
			var want error
			if ahead > 0 {
				want = ErrInvalidContext
			}
			if _, err := f.Inspect(context.Background(), f.caller, issued.Context); err != want {
				t.Errorf("Inspect: %v, want %v", err, want)
			}
			if _, err := f.try(issued.Context, issued.OTP); err != want {
				t.Errorf("Verify: %v, want %v", err, want)
			}
			if _, err := f.Revoke(context.Background(), f.caller, issued.Context); err != want {
				t.Errorf("Revoke: %v, want %v", err, want)
			}
			if _, err := f.resend(issued.Context); errors.Is(err, ErrInvalidContext) != (want != nil) {
				t.Errorf("Resend: %v, want %v", err, want)
			}
		})
	}
}

// fault is one thing that is wrong with an attempt.
type fault struct {
	name    string
	claims  func(*otpcontext.Claims)
	request func(*VerifyRequest)
	verdict string // of the ledger
	want    error
	asks    bool // whether the ledger has been asked by then
}

// TestVerifyOrder has every two faults at once: the earlier step is the one that refuses.
func TestVerifyOrder(t *testing.T) {
	past := float64(start.Add(-time.Second).Unix())
	faults := []fault{
		{name: "forged", request: func(r *VerifyRequest) { r.Context += "AAAA" }, want: ErrInvalidContext},
		{name: "namespace", claims: func(c *otpcontext.Claims) { c.Namespace = "other" }, want: ErrInvalidContext},
		{name: "unknown alphabet", claims: func(c *otpcontext.Claims) { c.Alphabet = "runes" }, want: ErrInvalidContext},
		{name: "code too short", claims: func(c *otpcontext.Claims) { c.Length = MinLength - 1 }, want: ErrInvalidContext},
		{name: "code too long", claims: func(c *otpcontext.Claims) { c.Length = MaxLength + 1 }, want: ErrInvalidContext},
		{name: "from the future", claims: func(c *otpcontext.Claims) { c.Timestamp += 61 }, want: ErrInvalidContext},
		{name: "purpose", request: func(r *VerifyRequest) { r.Purpose = "payment" }, want: ErrContextMismatch},
		{name: "identifier", request: func(r *VerifyRequest) { r.Identifier = pointer("Ben") }, want: ErrContextMismatch},
		{name: "binding", request: func(r *VerifyRequest) { r.Binding = "1000 EUR" }, want: ErrContextMismatch},
		{name: "session expired", claims: func(c *otpcontext.Claims) { c.SessionExpiry = past }, want: ErrSessionExpired},
		{name: "code expired", claims: func(c *otpcontext.Claims) { c.OTPExpiry = past }, want: ErrOTPExpired},
		{name: "exhausted", claims: func(c *otpcontext.Claims) { c.RetryCount = c.MaxRetries }, want: ErrMaxRetriesExceeded},
		{name: "used", verdict: "used", want: ErrAlreadyUsed, asks: true},
		{name: "wrong code", request: func(r *VerifyRequest) { r.OTP = noCode }, asks: true},
	}
	for i, first := range faults {
		for _, second := range faults[i:] {
			t.Run(first.name+" and "+second.name, func(t *testing.T) {
				stub := &stubLedger{outcome: Outcome{Verdict: "admitted"}}
				f := newFixture(t, stub)
				f.caller.Namespace = "shop"
				issued := f.mustGenerate(t, GenerateRequest{Identifier: pointer("Ann"), Purpose: "login", Binding: "10 EUR"})
				request := VerifyRequest{OTP: issued.OTP, Context: issued.Context, Purpose: "login", Binding: "10 EUR"}
				for _, fault := range []fault{first, second} {
					if fault.claims != nil {
						request.Context = f.reseal(t, request.Context, fault.claims)
					}
					if fault.verdict != "" {
						stub.outcome.Verdict = fault.verdict
					}
				}
				for _, fault := range []fault{first, second} {
					if fault.request != nil {
						fault.request(&request)
					}
				}
				_, err := f.Verify(context.Background(), f.caller, request)
				if _, wrong := errors.AsType[*WrongCodeError](err); first.want == nil && !wrong || first.want != nil && err != first.want {
					t.Errorf("%v, want %v", err, first.want)
				}
				if (stub.asked > 0) != first.asks {
					t.Errorf("the ledger was asked %d times", stub.asked)
				}
			})
		}
	}
}

func TestMismatch(t *testing.T) {
	ann, nobody := pointer("Ann"), pointer("")
	tests := []struct {
		name   string
		sealed GenerateRequest
		given  VerifyRequest
		ok     bool
	}{
		{"all sealed, all given", GenerateRequest{Identifier: ann, Purpose: "login", Binding: "x"}, VerifyRequest{Identifier: ann, Purpose: "login", Binding: "x"}, true},
		{"nothing sealed, nothing given", GenerateRequest{}, VerifyRequest{}, true},
		{"identifier sealed, not given", GenerateRequest{Identifier: ann}, VerifyRequest{}, true},
		{"identifier given, not sealed", GenerateRequest{}, VerifyRequest{Identifier: ann}, false},
		{"empty identifier given, not sealed", GenerateRequest{}, VerifyRequest{Identifier: nobody}, false},
		{"empty identifier sealed and given", GenerateRequest{Identifier: nobody}, VerifyRequest{Identifier: nobody}, true},
		{"empty identifier given for another", GenerateRequest{Identifier: ann}, VerifyRequest{Identifier: nobody}, false},
		{"identifier in another case", GenerateRequest{Identifier: ann}, VerifyRequest{Identifier: pointer("ann")}, false},
		{"purpose sealed, not given", GenerateRequest{Purpose: "login"}, VerifyRequest{}, false},
		{"purpose given, not sealed", GenerateRequest{}, VerifyRequest{Purpose: "login"}, false},
		{"another purpose", GenerateRequest{Purpose: "login"}, VerifyRequest{Purpose: "login "}, false},
		{"binding sealed, not given", GenerateRequest{Binding: "x"}, VerifyRequest{}, false},
		{"binding given, not sealed", GenerateRequest{}, VerifyRequest{Binding: "x"}, false},
		{"binding that differs in a byte", GenerateRequest{Binding: "10 EUR to Ann"}, VerifyRequest{Binding: "10 EUR to ann"}, false},
		{"binding of other bytes for the same text", GenerateRequest{Binding: "\u00e9"}, VerifyRequest{Binding: "e\u0301"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			issued := f.mustGenerate(t, test.sealed)
			f.eventNames()
			test.given.OTP, test.given.Context = issued.OTP, issued.Context
			_, err := f.Verify(context.Background(), f.caller, test.given)
			if test.ok && err != nil || !test.ok && err != ErrContextMismatch {
				t.Errorf("Verify: %v", err)
			}
			if events := f.eventNames(); !test.ok && events != nil {
				t.Errorf("events %v, want none", events)
			}
		})
	}
}

func TestNamespaces(t *testing.T) {
	tests := []struct {
		sealed, caller string
		ok             bool
	}{
		{"shop", "shop", true},
		{"shop", "bank", false},
		{"shop", "", false},
		{"", "shop", true}, // Python's
		{"", "", true},
	}
	for _, test := range tests {
		t.Run("sealed "+test.sealed+", used by "+test.caller, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			f.caller.Namespace = test.sealed
			issued := f.mustGenerate(t, GenerateRequest{})
			f.eventNames()
			f.caller.Namespace = test.caller
			f.clock = start.Add(time.Minute)
			ctx := context.Background()
			_, inspectErr := f.Inspect(ctx, f.caller, issued.Context)
			renewed, resendErr := f.resend(issued.Context)
			if resendErr == nil {
				issued = renewed
			}
			_, verifyErr := f.try(issued.Context, issued.OTP)
			_, revokeErr := f.Revoke(ctx, f.caller, issued.Context)
			for name, err := range map[string]error{"Inspect": inspectErr, "Resend": resendErr, "Verify": verifyErr, "Revoke": revokeErr} {
				if test.ok && err != nil || !test.ok && err != ErrInvalidContext {
					t.Errorf("%s: %v", name, err)
				}
			}
			if events := f.eventNames(); !test.ok && events != nil {
				t.Errorf("events %v, want none", events)
			}
		})
	}
}

func TestWrongCodes(t *testing.T) {
	for _, l := range ledgers {
		for _, decoy := range []bool{false, true} {
			t.Run(l.name+map[bool]string{true: ", decoy"}[decoy], func(t *testing.T) {
				f := newFixture(t, l.open(t))
				issued := f.mustGenerate(t, GenerateRequest{Decoy: decoy})
				token := issued.Context
				for remaining := 2; remaining >= 0; remaining-- {
					wrong := f.mustBeWrong(t, token)
					if wrong.AttemptsRemaining != remaining {
						t.Errorf("%d remain, want %d", wrong.AttemptsRemaining, remaining)
					}
					before, after := f.claims(t, token), f.claims(t, wrong.Context)
					before.RetryCount++
					if !reflect.DeepEqual(before, after) {
						t.Errorf("claims %+v\nbecame %+v", before, after)
					}
					token = wrong.Context
				}
				for _, code := range []string{issued.OTP, noCode} {
					if _, err := f.try(token, code); err != ErrMaxRetriesExceeded {
						t.Errorf("one more try of %q: %v", code, err)
					}
				}
				_, err := f.try(issued.Context, issued.OTP)
				_, remembers := f.cfg.Ledger.(interface{ Close() })
				_, wrong := errors.AsType[*WrongCodeError](err)
				switch { // the first context again
				case remembers && err != ErrMaxRetriesExceeded,
					!remembers && !decoy && err != nil,
					!remembers && decoy && !wrong:
					t.Errorf("the first context again: %v", err)
				}
			})
		}
	}
}

func (f *fixture) claims(t testing.TB, token string) *otpcontext.Claims {
	t.Helper()
	claims, err := f.sealer.Open(token)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTheLedgersCountHolds(t *testing.T) {
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{})
	for remaining := 2; remaining >= 0; remaining-- {
		wrong := f.mustBeWrong(t, issued.Context) // always the first context
		if count := f.claims(t, wrong.Context).RetryCount; wrong.AttemptsRemaining != remaining || count != 3-remaining {
			t.Errorf("%d remain and the context counts %d; want %d and %d", wrong.AttemptsRemaining, count, remaining, 3-remaining)
		}
	}
	if _, err := f.try(issued.Context, issued.OTP); err != ErrMaxRetriesExceeded {
		t.Errorf("one more try: %v", err)
	}
}

func TestReplay(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, f *fixture, issued Issued)
		want error
	}{
		{"used", func(t *testing.T, f *fixture, issued Issued) {
			if _, err := f.try(issued.Context, issued.OTP); err != nil {
				t.Fatal(err)
			}
		}, ErrAlreadyUsed},
		{"revoked", func(t *testing.T, f *fixture, issued Issued) {
			if id, err := f.Revoke(context.Background(), f.caller, issued.Context); err != nil || id != issued.ID {
				t.Fatal(id, err)
			}
		}, ErrContextRevoked},
		{"superseded", func(t *testing.T, f *fixture, issued Issued) {
			if _, err := f.resend(issued.Context); err != nil {
				t.Fatal(err)
			}
		}, ErrContextSuperseded},
	}
	for _, test := range tests {
		for _, code := range []string{"right", "wrong"} {
			t.Run(test.name+", "+code, func(t *testing.T) {
				f := newFixture(t, newMemory(t))
				issued := f.mustGenerate(t, GenerateRequest{})
				f.clock = start.Add(time.Minute)
				test.end(t, f, issued)
				f.eventNames()
				typed := issued.OTP
				if code == "wrong" {
					typed = noCode
				}
				if _, err := f.try(issued.Context, typed); err != test.want {
					t.Errorf("%v, want %v", err, test.want)
				}
				if events := f.eventNames(); !reflect.DeepEqual(events, []string{EventReplayed}) {
					t.Errorf("events %v", events)
				}
			})
		}
	}
}

func TestConcurrentVerifies(t *testing.T) {
	f := newFixture(t, newMemory(t), func(c *Config) { c.MaxRetries = 10 })
	issued := f.mustGenerate(t, GenerateRequest{})
	var right, wrong atomic.Int64
	crowd := func(code string) {
		var clients sync.WaitGroup
		for range 200 {
			clients.Go(func() {
				_, err := f.try(issued.Context, code)
				_, isWrong := errors.AsType[*WrongCodeError](err)
				switch {
				case err == nil:
					right.Add(1)
				case isWrong:
					wrong.Add(1)
				case err != ErrAlreadyUsed && err != ErrMaxRetriesExceeded:
					t.Error(err)
				}
			})
		}
		clients.Wait()
	}
	crowd(issued.OTP)
	if right.Load() != 1 {
		t.Errorf("%d succeeded, want 1", right.Load())
	}
	issued = f.mustGenerate(t, GenerateRequest{})
	crowd(noCode)
	if wrong.Load() != 10 {
		t.Errorf("%d guesses were judged, want 10", wrong.Load())
	}
}

func TestLedgerThatDoesNotAnswer(t *testing.T) {
	cause := errors.New("no route")
	stub := &stubLedger{outcome: Outcome{Verdict: "admitted", Attempts: 1}}
	f := newFixture(t, stub)
	issued := f.mustGenerate(t, GenerateRequest{})
	f.clock = start.Add(time.Minute)
	f.eventNames()
	ctx := context.Background()
	stub.err = cause
	operations := map[string]func() error{
		"Verify, right": func() error { _, err := f.try(issued.Context, issued.OTP); return err },
		"Verify, wrong": func() error { _, err := f.try(issued.Context, noCode); return err },
		"Resend":        func() error { _, err := f.resend(issued.Context); return err },
		"Revoke":        func() error { _, err := f.Revoke(ctx, f.caller, issued.Context); return err },
		"Inspect":       func() error { _, err := f.Inspect(ctx, f.caller, issued.Context); return err },
		"Ready":         func() error { return f.Ready(ctx) },
	}
	for name, operate := range operations {
		err := operate()
		if _, wrong := errors.AsType[*WrongCodeError](err); wrong || !errors.Is(err, ErrLedgerUnavailable) || !errors.Is(err, cause) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if events := f.eventNames(); events != nil {
		t.Errorf("events %v, want none", events)
	}
	f.clock = start.Add(time.Hour) // what has expired needs no ledger to be refused, but to be shown
	if _, err := f.try(issued.Context, issued.OTP); err != ErrSessionExpired {
		t.Errorf("Verify of what has expired: %v", err)
	}
	if inspected, err := f.Inspect(ctx, f.caller, issued.Context); !errors.Is(err, ErrLedgerUnavailable) {
		t.Errorf("Inspect of what has expired: %+v, %v", inspected, err)
	}

	stub.err, f.clock = nil, start.Add(time.Minute)
	if _, err := f.try(issued.Context, issued.OTP); err != nil {
		t.Errorf("the same context, when the ledger answers: %v", err)
	}
	stub.outcome.Verdict = "who knows"
	for name, operate := range operations {
		if name == "Ready" {
			continue // which asks for no verdict
		}
		if err := operate(); err == nil || !strings.Contains(err.Error(), "who knows") {
			t.Errorf("%s with a verdict of no meaning: %v", name, err)
		}
	}
}

func TestFullLedgerConsumesNothing(t *testing.T) {
	f := newFixture(t, newMemoryOf(t, 1))
	first, second := f.mustGenerate(t, GenerateRequest{}), f.mustGenerate(t, GenerateRequest{})
	f.mustBeWrong(t, first.Context)
	for _, code := range []string{second.OTP, noCode} {
		if _, err := f.try(second.Context, code); !errors.Is(err, ErrLedgerUnavailable) {
			t.Errorf("a new verification: %v", err)
		}
	}
	if _, err := f.try(first.Context, first.OTP); err != nil {
		t.Errorf("a known one: %v", err)
	}
	if inspected, err := f.Inspect(context.Background(), f.caller, second.Context); err != nil || inspected.AttemptsRemaining != 3 {
		t.Errorf("the new one, inspected: %+v, %v", inspected, err)
	}
}

func TestBadTokenIsInvalidToAll(t *testing.T) {
	f := newFixture(t, newMemory(t))
	ctx := context.Background()
	for name, token := range map[string]string{"empty": "", "text": "hello", "too long": strings.Repeat("A", otpcontext.MaxToken+4)} {
		_, verifyErr := f.try(token, "123456")
		_, resendErr := f.resend(token)
		_, revokeErr := f.Revoke(ctx, f.caller, token)
		_, inspectErr := f.Inspect(ctx, f.caller, token)
		for _, err := range []error{verifyErr, resendErr, revokeErr, inspectErr} {
			if err != ErrInvalidContext {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if events := f.eventNames(); events != nil {
		t.Errorf("events %v, want none", events)
	}
}
