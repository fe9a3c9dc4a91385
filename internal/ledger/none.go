package ledger

import "context"

// None remembers nothing: the counts are what the context says they are, which whoever keeps an older
// context can roll back, and a right code is right as often as it is sent.
type None struct{}

// Attempt admits what the context itself admits.
func (None) Attempt(_ context.Context, v Verification, right bool) (Outcome, error) {
	switch {
	case v.Attempts >= v.MaxAttempts:
		return Outcome{Exhausted, v.Attempts}, nil
	case right:
		return Outcome{Admitted, v.Attempts}, nil
	}
	return Outcome{Admitted, v.Attempts + 1}, nil
}

// Resend admits what the context itself admits. The older code stays good.
func (n None) Resend(ctx context.Context, v Verification) (Outcome, error) {
	return n.Attempt(ctx, v, true)
}

// Revoke answers [Disabled].
func (None) Revoke(_ context.Context, v Verification) (Outcome, error) {
	return Outcome{Disabled, v.Attempts}, nil
}

// State says what the context says.
func (n None) State(ctx context.Context, v Verification) (Outcome, error) {
	return n.Attempt(ctx, v, true)
}

// Ping succeeds.
func (None) Ping(context.Context) error { return nil }
