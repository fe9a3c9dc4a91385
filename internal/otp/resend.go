package otp

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// ResendRequest asks for a new code in place of a context's.
type ResendRequest struct {
	Context string
	Purpose string // must be the one the context was issued with, if it is given
}

// Resent is a code in place of another's, and what is needed to deliver it.
type Resent struct {
	Issued
	Purpose  string
	Decoy    bool           // nobody is to get it
	Resends  int            // how many codes came before it
	Delivery jsontext.Value // as [Service.GenerateFor] took it; nil if the caller delivers the code
	Announce func()         // records the event, which is recorded already if the caller delivers the code
	Withdraw func(context.Context) error
}

// Resend issues a new code for the same verification: its id, its end and the attempts it has left
// stay. With a ledger the older code is dead from then on, unless the new one reaches nobody and is withdrawn:
// then it is as if there had been no resend. The error for a resend too soon is a [*CooldownError].
func (s *Service) Resend(ctx context.Context, caller Caller, r ResendRequest) (Resent, error) {
	now := s.cfg.Now()
	claims, err := s.open(r.Context, caller, now)
	if err != nil {
		return Resent{}, err
	}
	if r.Purpose != "" && r.Purpose != claims.Purpose {
		return Resent{}, ErrContextMismatch
	}
	if err := s.mayResend(claims, now); err != nil {
		return Resent{}, err
	}
	before := verification(claims, now)
	outcome, err := ask(s.cfg.Ledger.Resend(ctx, before, s.cfg.ResendCooldown))
	if err != nil {
		return Resent{}, err
	}
	lifetime := claims.OTPExpiry - claims.Timestamp
	if lifetime < MinExpiry.Seconds() { // another issuer's: a code of it would be dead already
		lifetime = s.cfg.Expiry.Seconds()
	}
	claims.RetryCount = outcome.Attempts
	claims.Resends++
	claims.Timestamp = secondsOf(now)
	claims.OTPExpiry = min(claims.Timestamp+lifetime, claims.SessionExpiry)
	issued, err := s.issue(claims, now)
	announce := func() { s.record(EventResent, now, claims, caller) }
	if err == nil && claims.Delivery == nil {
		announce()
	}
	return Resent{
		Announce: announce,
		Issued:   issued, Purpose: claims.Purpose, Decoy: claims.Decoy, Resends: claims.Resends, Delivery: claims.Delivery,
		Withdraw: func(ctx context.Context) error {
			if err := s.cfg.Ledger.Withdraw(ctx, before); err != nil {
				return fmt.Errorf("%w: %w", ErrLedgerUnavailable, err)
			}
			return nil
		},
	}, err
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
