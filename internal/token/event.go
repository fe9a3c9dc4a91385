package token

import (
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// Names of the events in the life of a family of tokens.
const (
	EventLoginSucceeded = "login.succeeded" // the first tokens were issued; its ID is that of the verification
	EventRefreshed      = "token.refreshed" // the ID of this and the others is that of the family
	EventReused         = "token.reused"    // a spent refresh token has ended its family
	EventRevoked        = "token.revoked"   // a logout
)

// EventNames are all of them.
var EventNames = []string{EventLoginSucceeded, EventRefreshed, EventReused, EventRevoked}

func (s *Service) record(name, id string, g *grant, caller otp.Caller, now time.Time) {
	s.cfg.Audit(otp.Event{
		Name: name, At: now, ID: id, Purpose: g.Purpose, IdentifierHash: g.IdentifierHash, Caller: caller,
	})
}
