package ledger

import (
	"context"
	"time"
)

// None remembers nothing: the counts are what the context says they are, which whoever keeps an older
// context can roll back, and a right code is right as often as it is sent.
type None struct{ Throttle Throttle } // of devices, which tell their failures themselves

// Attempt admits what the context itself admits.
func (None) Attempt(_ context.Context, v Verification, right bool) (Outcome, error) {
	switch {
	case v.Attempts >= v.MaxAttempts:
		return Outcome{Verdict: Exhausted, Attempts: v.Attempts}, nil
	case right:
		return Outcome{Verdict: Admitted, Attempts: v.Attempts}, nil
	}
	return Outcome{Verdict: Admitted, Attempts: v.Attempts + 1}, nil
}

// Resend admits what the context itself admits. The older code stays good.
func (n None) Resend(ctx context.Context, v Verification, cooldown time.Duration) (Outcome, error) {
	outcome, err := n.State(ctx, v)
	if wait := v.IssuedAt.Add(cooldown).Sub(v.Now); outcome.Verdict == Admitted && wait > 0 {
		outcome.Verdict, outcome.RetryAfter = Cooling, wait
	}
	return outcome, err
}

// Revoke answers [Disabled].
func (None) Revoke(_ context.Context, v Verification) (Outcome, error) {
	return Outcome{Verdict: Disabled, Attempts: v.Attempts}, nil
}

// State says what the context says.
func (n None) State(ctx context.Context, v Verification) (Outcome, error) {
	return n.Attempt(ctx, v, true)
}

// Unlock answers [Disabled].
func (None) Unlock(context.Context, string) (Outcome, error) { return Outcome{Verdict: Disabled}, nil }

// Ping succeeds.
func (None) Ping(context.Context) error { return nil }
