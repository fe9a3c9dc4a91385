package otp

import (
	"context"
	"fmt"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// Ledger remembers what a context in the caller's hands cannot. Each operation is atomic. An error
// means that nothing is known and nothing may be verified.
type Ledger interface {
	// Attempt counts a code, right or wrong, before anyone learns which it was.
	Attempt(ctx context.Context, v Verification, right bool) (Outcome, error)
	// Resend makes the context's code, if it is the newest and older than cooldown, give way to the next.
	Resend(ctx context.Context, v Verification, cooldown time.Duration) (Outcome, error)
	// Withdraw takes a Resend of v back.
	Withdraw(ctx context.Context, v Verification) error
	// Revoke ends the verification.
	Revoke(ctx context.Context, v Verification) (Outcome, error)
	// State says how the verification itself stands, and counts nothing.
	State(ctx context.Context, v Verification) (Outcome, error)
	// Unlock forgets the wrong codes for a subject.
	Unlock(ctx context.Context, subject string) (Outcome, error)
	// Ping reports whether the ledger answers.
	Ping(ctx context.Context) error
}

// Verification is what a ledger needs to know of a context. It is an alias of an unnamed struct so
// that a ledger can name the same type without importing this package.
type Verification = struct {
	ID          string
	Subject     string // whom it is for, empty for nobody
	Resends     int    // how many codes came before the one in the context
	Attempts    int    // wrong codes the context tells of
	MaxAttempts int
	IssuedAt    time.Time // when the code in the context was issued
	Until       time.Time // when the verification ends and may be forgotten
	Now         time.Time
}

// Outcome is a ledger's answer to one operation.
type Outcome = struct {
	Verdict    string        // "admitted", "throttled", "cooling", or one of refusals
	Attempts   int           // wrong codes so far, this one included
	RetryAfter time.Duration // if it is throttled or cooling
}

// refusals maps the verdicts without a time to wait to the error they mean.
var refusals = map[string]error{
	"used":       ErrAlreadyUsed,
	"revoked":    ErrContextRevoked,
	"superseded": ErrContextSuperseded,
	"exhausted":  ErrMaxRetriesExceeded,
	"disabled":   ErrLedgerDisabled,
}

// ask puts one operation of the ledger into the domain's terms.
func ask(outcome Outcome, err error) (Outcome, error) {
	if err != nil {
		return outcome, fmt.Errorf("%w: %w", ErrLedgerUnavailable, err)
	}
	switch outcome.Verdict {
	case "admitted":
		return outcome, nil
	case "throttled":
		return outcome, &ThrottledError{outcome.RetryAfter}
	case "cooling":
		return outcome, &CooldownError{outcome.RetryAfter}
	}
	if refusal, ok := refusals[outcome.Verdict]; ok {
		return outcome, refusal
	}
	return outcome, fmt.Errorf("%w: verdict %q", ErrLedgerUnavailable, outcome.Verdict)
}

func verification(c *otpcontext.Claims, now time.Time) Verification {
	return Verification{
		ID: c.ID, Subject: c.Subject, Resends: c.Resends, Attempts: c.RetryCount, MaxAttempts: c.MaxRetries,
		IssuedAt: timeOf(c.Timestamp), Until: timeOf(c.SessionExpiry), Now: now,
	}
}
