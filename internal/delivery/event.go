package delivery

import (
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// Names of the events in the life of a delivery.
const (
	EventSent    = "delivery.sent"
	EventFailed  = "delivery.failed"
	EventLimited = "delivery.limited" // a recipient, or a budget, allows no more for now
)

// EventNames are all of them.
var EventNames = []string{EventSent, EventFailed, EventLimited}

func (s *Service) record(name, channel, reason string, at time.Time, issued otp.Issued, m Message, caller otp.Caller) {
	s.cfg.Audit(otp.Event{
		Name: name, At: at, ID: issued.ID, Purpose: m.Purpose, IdentifierHash: issued.IdentifierHash,
		Channel: channel, Reason: reason, Caller: caller,
	})
}
