package token

import (
	"context"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// Introspection is what may be said of a token, RFC 7662 §2.2. Of one that is not active nothing else is set.
type Introspection struct {
	Active    bool
	Subject   string
	Purpose   string // what the login was for; may be empty
	Methods   []string
	IssuedAt  time.Time // to the second
	ExpiresAt time.Time // to the second
	TokenType string    // Bearer or Refresh
}

// Introspect says whether an access token or a refresh token of the caller is good at this moment, and for what. It
// consumes nothing. It asks the ledger, and so it knows of a logout at once, and so does an access token's API then.
// The one error, beside [ErrDisabled], is [otp.ErrLedgerUnavailable]: then no token may be taken for good.
func (s *Service) Introspect(ctx context.Context, caller otp.Caller, token string) (Introspection, error) {
	if err := s.Enabled(); err != nil {
		return Introspection{}, err
	}
	now := s.cfg.Now()
	g := s.open(token, caller)
	if g == nil || !g.current(now) {
		return Introspection{}, nil
	}
	outcome, err := s.cfg.Ledger.State(ctx, s.verification(g, now))
	alive, err := g.alive(outcome, err)
	if err != nil || !alive {
		return Introspection{}, err
	}
	return Introspection{
		Active: true, Subject: g.Subject, Purpose: g.Purpose, Methods: g.Methods,
		IssuedAt: time.Unix(g.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(g.ExpiresAt, 0).UTC(), TokenType: g.tokenType,
	}, nil
}

// alive puts the answer of the ledger to the question for a token's state into the domain's terms.
func (g *grant) alive(outcome otp.Outcome, err error) (bool, error) {
	switch {
	case err != nil:
		return false, unavailable(err)
	case outcome.Verdict == "admitted":
		return true, nil
	case outcome.Verdict == "superseded":
		return g.tokenType == Bearer, nil // an access token is good until it expires, whatever came after it
	case outcome.Verdict == "revoked":
		return false, nil
	}
	return false, unexpected(outcome)
}
