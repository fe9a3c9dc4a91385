package otp

import (
	"errors"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// Names of the events in the life of a verification.
const (
	EventGenerated = "otp.generated"
	EventVerified  = "otp.verified"
	EventFailed    = "otp.failed"
	EventExpired   = "otp.expired"
	EventExhausted = "otp.exhausted"
	EventResent    = "otp.resent"
	EventRevoked   = "otp.revoked"
	EventReplayed  = "otp.replayed"  // a context that is used, superseded or revoked was sent to verify
	EventThrottled = "otp.throttled" // an attempt came while its identifier was locked
)

// EventNames are all of them.
var EventNames = []string{
	EventGenerated, EventVerified, EventFailed, EventExpired, EventExhausted, EventResent,
	EventRevoked, EventReplayed, EventThrottled,
}

// Event is one thing that happened to a verification, or whatever else has an id, for the audit log. It holds no secret and no
// plain identifier.
type Event struct {
	Name           string
	At             time.Time
	ID             string // of the verification, device, challenge or family of tokens
	Purpose        string
	IdentifierHash string // the context's Subject, 22 characters; empty without an identifier
	RetryCount     int    // wrong codes so far
	Channel        string // of a delivery, else empty
	Reason         string // why a delivery failed, or that it was a decoy's; else empty
	SourceCategory string // of a verification that succeeded, one of SourceCategories; else empty
	Caller         Caller
}

// record reports an event.
func (s *Service) record(name string, at time.Time, c *otpcontext.Claims, caller Caller) {
	s.cfg.Audit(event(name, at, c, caller))
}

func (s *Service) recordVerified(source *Source, at time.Time, c *otpcontext.Claims, caller Caller) {
	e := event(EventVerified, at, c, caller)
	if source != nil {
		e.SourceCategory = source.Category
	}
	s.cfg.Audit(e)
}

func event(name string, at time.Time, c *otpcontext.Claims, caller Caller) Event {
	return Event{
		Name: name, At: at, ID: c.ID, Purpose: c.Purpose, IdentifierHash: c.Subject, RetryCount: c.RetryCount,
		Caller: caller,
	}
}

// recordRefusal reports the event that the refusal of an attempt is, if it is one.
func (s *Service) recordRefusal(refusal error, at time.Time, c *otpcontext.Claims, caller Caller) {
	_, throttled := errors.AsType[*ThrottledError](refusal)
	switch {
	case throttled:
		s.record(EventThrottled, at, c, caller)
	case errors.Is(refusal, ErrOTPExpired), errors.Is(refusal, ErrSessionExpired):
		s.record(EventExpired, at, c, caller)
	case errors.Is(refusal, ErrMaxRetriesExceeded):
		s.record(EventExhausted, at, c, caller)
	case errors.Is(refusal, ErrAlreadyUsed), errors.Is(refusal, ErrContextSuperseded),
		errors.Is(refusal, ErrContextRevoked):
		s.record(EventReplayed, at, c, caller)
	}
}
