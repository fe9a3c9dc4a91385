package otp

import (
	"context"
	"errors"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// States of a verification.
const (
	StateActive         = "active"
	StateOTPExpired     = "otp_expired" // a resend would help
	StateSessionExpired = "session_expired"
	StateExhausted      = "exhausted"
	StateUsed           = "used"
	StateRevoked        = "revoked"
	StateSuperseded     = "superseded"
)

// Inspected is what may be shown of a context: neither whom it is for nor the caller's metadata.
type Inspected struct {
	ID                string
	Purpose           string
	State             string
	AttemptsRemaining int
	ExpiresAt         time.Time
	SessionExpiresAt  time.Time
	Resends           int
}

// Inspect says how a verification stands. It consumes nothing.
func (s *Service) Inspect(ctx context.Context, caller Caller, token string) (Inspected, error) {
	now := s.cfg.Now()
	claims, err := s.open(token, caller, now)
	if err != nil {
		return Inspected{}, err
	}
	outcome, refusal := ask(s.cfg.Ledger.State(ctx, verification(claims, now)))
	if errors.Is(refusal, ErrLedgerUnavailable) {
		return Inspected{}, refusal // the attempts that are left are not known, whatever the state is
	}
	state, err := stateOf(claims, refusal, now)
	return Inspected{
		ID:                claims.ID,
		Purpose:           claims.Purpose,
		State:             state,
		AttemptsRemaining: max(0, claims.MaxRetries-outcome.Attempts),
		ExpiresAt:         timeOf(claims.OTPExpiry),
		SessionExpiresAt:  timeOf(claims.SessionExpiry),
		Resends:           claims.Resends,
	}, err
}

// stateOf puts what cannot be mended first: a resend does not help a verification that is over.
func stateOf(claims *otpcontext.Claims, refusal error, now time.Time) (string, error) {
	switch {
	case now.After(timeOf(claims.SessionExpiry)):
		return StateSessionExpired, nil
	case errors.Is(refusal, ErrAlreadyUsed):
		return StateUsed, nil
	case errors.Is(refusal, ErrContextRevoked):
		return StateRevoked, nil
	case errors.Is(refusal, ErrContextSuperseded):
		return StateSuperseded, nil
	case errors.Is(refusal, ErrMaxRetriesExceeded):
		return StateExhausted, nil
	case refusal != nil:
		return "", refusal
	case now.After(timeOf(claims.OTPExpiry)):
		return StateOTPExpired, nil
	}
	return StateActive, nil
}
