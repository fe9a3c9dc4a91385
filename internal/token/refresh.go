package token

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// Refresh returns the next tokens of a refresh token's family, and spends the token. The login stays what and when it
// was. With a ledger, a token is good for this once: [ErrReused] means that it was spent before, so that there are two
// who have it, and that its family has ended (RFC 9700 §4.14.2). For anything else that is no good there is
// [ErrInvalid], and for a ledger that does not answer [otp.ErrLedgerUnavailable], which leaves the token as it was.
func (s *Service) Refresh(ctx context.Context, caller otp.Caller, token string) (Tokens, error) {
	if err := s.Enabled(); err != nil {
		return Tokens{}, err
	}
	now := s.cfg.Now()
	g := s.open(token, caller)
	if g == nil || g.tokenType != Refresh || !g.current(now) {
		return Tokens{}, ErrInvalid
	}
	if err := refusal(s.cfg.Ledger.Refresh(ctx, s.verification(g, now))); err != nil {
		if err == ErrReused {
			s.record(EventReused, g.Family, g, caller, now)
		}
		return Tokens{}, err
	}
	g.Generation++
	tokens, err := s.mint(g, now)
	if err == nil {
		s.record(EventRefreshed, g.Family, g, caller, now)
	}
	return tokens, err
}

// refusal puts the answer of the ledger to a refresh into the domain's terms.
func refusal(outcome otp.Outcome, err error) error {
	switch {
	case err != nil:
		return unavailable(err)
	case outcome.Verdict == "admitted":
		return nil
	case outcome.Verdict == "superseded":
		return ErrReused
	case outcome.Verdict == "revoked":
		return ErrInvalid
	}
	return unexpected(outcome)
}
