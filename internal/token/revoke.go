package token

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// Revoke is a logout: it ends the family of an access token or refresh token of the caller, also of one that has
// expired or is spent. Any other text does nothing, which is no error (RFC 7009 §2.2). A ledger that cannot remember it
// is one, [otp.ErrLedgerDisabled], and so is one that does not answer, [otp.ErrLedgerUnavailable].
func (s *Service) Revoke(ctx context.Context, caller otp.Caller, token string) error {
	if err := s.Enabled(); err != nil {
		return err
	}
	g := s.open(token, caller)
	if g == nil {
		return nil
	}
	now := s.cfg.Now()
	outcome, err := s.cfg.Ledger.Revoke(ctx, s.verification(g, now))
	switch {
	case err != nil:
		return unavailable(err)
	case outcome.Verdict == "disabled":
		return otp.ErrLedgerDisabled
	case outcome.Verdict != "admitted":
		return unexpected(outcome)
	}
	s.record(EventRevoked, g.Family, g, caller, now)
	return nil
}
