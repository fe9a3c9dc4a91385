package device

import (
	"errors"
	"time"
)

// Why an operation was refused. Beside these there are [*WrongCodeError], and of package otp the ThrottledError of
// a locked device, the FieldError of a value out of its bounds, ErrLedgerUnavailable and ErrLedgerDisabled.
var (
	ErrInvalid           = errors.New("device: invalid device")
	ErrNotConfirmed      = errors.New("device: not confirmed")
	ErrAlreadyConfirmed  = errors.New("device: already confirmed")
	ErrEnrollmentExpired = errors.New("device: enrollment expired")
	ErrDisabled          = errors.New("device: disabled")
	ErrSuperseded        = errors.New("device: superseded by a version with newer backup codes")
	ErrCodeAlreadyUsed   = errors.New("device: code already used")
	ErrOverloaded        = errors.New("device: too many backup codes are being hashed")

	errWrongCode = errors.New("device: wrong code")
)

// WrongCodeError is the error for a wrong code that has been counted.
type WrongCodeError struct {
	Device  string   // the new version of the device
	Devices []string // or those of all that were sent to match, in order

	RetryAfter time.Duration // how long the device is locked from then on, or the last of all that were sent; perhaps 0
}

func (*WrongCodeError) Error() string { return "device: wrong code" }

// InvalidError is [ErrInvalid] for one of several devices.
type InvalidError struct{ Index int } // from 0

func (*InvalidError) Error() string { return ErrInvalid.Error() }

// Is makes the error an [ErrInvalid].
func (*InvalidError) Is(target error) bool { return target == ErrInvalid }
