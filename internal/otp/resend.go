package otp

import (
	"context"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// ResendRequest asks for a new code in place of a context's.
type ResendRequest struct {
	Context string
	Purpose string // must be the one the context was issued with, if it is given
}

// Resend issues a new code for the same verification: its id, its end and the attempts it has left
// stay. With a ledger the older code is dead from then on. The error for a resend too soon is a
// [*CooldownError].
func (s *Service) Resend(ctx context.Context, caller Caller, r ResendRequest) (Issued, error) {
	now := s.cfg.Now()
	claims, err := s.open(r.Context, caller, now)
	if err != nil {
		return Issued{}, err
	}
	if r.Purpose != "" && r.Purpose != claims.Purpose {
		return Issued{}, ErrContextMismatch
	}
	if err := s.mayResend(claims, now); err != nil {
		return Issued{}, err
	}
	outcome, err := ask(s.cfg.Ledger.Resend(ctx, verification(claims, now), s.cfg.ResendCooldown))
	if err != nil {
		return Issued{}, err
	}
	lifetime := claims.OTPExpiry - claims.Timestamp
	claims.RetryCount = outcome.Attempts
	claims.Resends++
	claims.Timestamp = secondsOf(now)
	claims.OTPExpiry = min(claims.Timestamp+lifetime, claims.SessionExpiry)
	issued, err := s.issue(claims, now)
	if err == nil {
		s.record(EventResent, now, claims, caller)
	}
	return issued, err
}

func (s *Service) mayResend(claims *otpcontext.Claims, now time.Time) error {
	switch {
	case now.After(timeOf(claims.SessionExpiry)):
		return ErrSessionExpired
	case claims.RetryCount >= claims.MaxRetries:
		return ErrMaxRetriesExceeded
	case claims.Resends >= s.cfg.MaxResends:
		return ErrMaxResendsExceeded
	}
	return nil
}
