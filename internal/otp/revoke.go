package otp

import "context"

// Revoke ends a verification before its time and returns its id. One that is over already, for
// whatever reason, is no error; a ledger that cannot remember it is: [ErrLedgerDisabled].
func (s *Service) Revoke(ctx context.Context, caller Caller, token string) (id string, err error) {
	now := s.cfg.Now()
	claims, err := s.open(token, caller, now)
	if err != nil {
		return "", err
	}
	if _, err := ask(s.cfg.Ledger.Revoke(ctx, verification(claims, now))); err != nil {
		return "", err
	}
	s.record(EventRevoked, now, claims, caller)
	return claims.ID, nil
}
