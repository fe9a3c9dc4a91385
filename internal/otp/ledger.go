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
	// Resend makes the context's code, if it is the newest, give way to the next.
	Resend(ctx context.Context, v Verification) (Outcome, error)
	// Revoke ends the verification.
	Revoke(ctx context.Context, v Verification) (Outcome, error)
	// State says what Attempt would, and counts nothing.
	State(ctx context.Context, v Verification) (Outcome, error)
	// Ping reports whether the ledger answers.
	Ping(ctx context.Context) error
}

// Verification is what a ledger needs to know of a context. It is an alias of an unnamed struct so
// that a ledger can name the same type without importing this package.
type Verification = struct {
	ID          string
	Resends     int // how many codes came before the one in the context
	Attempts    int // wrong codes the context tells of
	MaxAttempts int
	Until       time.Time // when the verification ends and may be forgotten
	Now         time.Time
}

// Outcome is a ledger's answer: its verdict, one of those that [refusals] names or "admitted", and the
// wrong codes so far, this one included.
type Outcome = struct {
	Verdict  string
	Attempts int
}

// refusals maps every verdict but "admitted" to the error it means.
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
	if outcome.Verdict == "admitted" {
		return outcome, nil
	}
	if refusal, ok := refusals[outcome.Verdict]; ok {
		return outcome, refusal
	}
	return outcome, fmt.Errorf("otp: verdict %q", outcome.Verdict)
}

func verification(c *otpcontext.Claims, now time.Time) Verification {
	return Verification{
		ID: c.ID, Resends: c.Resends, Attempts: c.RetryCount, MaxAttempts: c.MaxRetries,
		Until: timeOf(c.SessionExpiry), Now: now,
	}
}
