package otp

import "context"

// Unlock forgets the wrong codes for an identifier, and with them its lock, in the caller's namespace
// and among contexts without one. A ledger that has no throttle is an error: [ErrLedgerDisabled].
func (s *Service) Unlock(ctx context.Context, caller Caller, identifier string) error {
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
