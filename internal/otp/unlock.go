package otp

import (
	"context"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// Unlock forgets the wrong codes for an identifier, and with them its lock, in the caller's namespace
// and among contexts without one. The error for a ledger that has no throttle is [ErrLedgerDisabled], for
// an identifier out of its bounds a [*FieldError].
func (s *Service) Unlock(ctx context.Context, caller Caller, identifier string) error {
	if err := CheckText("identifier", identifier, otpcontext.MaxIdentifier); err != nil {
		return err
	}
	subjects := s.cfg.Sealer.Subjects(caller.Namespace, identifier)
	if caller.Namespace != "" {
		subjects = append(subjects, s.cfg.Sealer.Subjects("", identifier)...)
	}
	for _, subject := range subjects {
		if _, err := ask(s.cfg.Ledger.Unlock(ctx, subject)); err != nil {
			return err
		}
	}
	return nil
}
