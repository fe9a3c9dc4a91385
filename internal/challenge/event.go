package challenge

import (
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// Names of the events in the life of a challenge.
const (
	EventIssued    = "challenge.issued"
	EventCompleted = "challenge.completed"
)

// EventNames are all of them.
var EventNames = []string{EventIssued, EventCompleted}

func (s *Service) record(name string, c *claims, caller otp.Caller, now time.Time) {
	s.cfg.Audit(otp.Event{
		Name: name, At: now, ID: c.ID, Purpose: c.Purpose, IdentifierHash: c.Subject, Caller: caller,
	})
}
