package device

import (
	"errors"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// Names of the events in the life of a device.
const (
	EventEnrolled           = "device.enrolled"
	EventConfirmed          = "device.confirmed"
	EventVerified           = "device.verified"
	EventFailed             = "device.failed" // a wrong code, or one that was right before
	EventLocked             = "device.locked" // an attempt came while the device was locked
	EventDisabled           = "device.disabled"
	EventBackupCodeUsed     = "device.backup_code_used" // beside device.verified
	EventBackupCodesRenewed = "device.backup_codes_renewed"
	EventResynced           = "device.resynced"
	EventUnlocked           = "device.unlocked"
)

// EventNames are all of them.
var EventNames = []string{
	EventEnrolled, EventConfirmed, EventVerified, EventFailed, EventLocked, EventDisabled, EventBackupCodeUsed,
	EventBackupCodesRenewed, EventResynced, EventUnlocked,
}

func (s *Service) record(name string, d *state, caller otp.Caller, now time.Time) {
	s.cfg.Audit(otp.Event{
		Name: name, At: now, ID: d.id, IdentifierHash: d.subject, RetryCount: d.failures, Caller: caller,
	})
}

// recordRefusal reports the event that the refusal of an attempt is, if it is one.
func (s *Service) recordRefusal(refusal error, d *state, caller otp.Caller, now time.Time) {
	_, locked := errors.AsType[*otp.ThrottledError](refusal)
	switch {
	case locked:
		s.record(EventLocked, d, caller, now)
	case errors.Is(refusal, errWrongCode), errors.Is(refusal, ErrCodeAlreadyUsed):
		s.record(EventFailed, d, caller, now)
	}
}
