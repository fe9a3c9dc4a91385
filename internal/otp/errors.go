package otp

import (
	"errors"
	"time"
)

// Why an operation was refused. None of them says whether a code was right, but the errors of type
// [*WrongCodeError], which say that it was wrong.
var (
	ErrInvalidContext     = errors.New("otp: invalid context")
	ErrContextMismatch    = errors.New("otp: not what the context was issued for")
	ErrSessionExpired     = errors.New("otp: session expired")
	ErrOTPExpired         = errors.New("otp: code expired")
	ErrMaxRetriesExceeded = errors.New("otp: no attempt left")
	ErrMaxResendsExceeded = errors.New("otp: no resend left")
	ErrAlreadyUsed        = errors.New("otp: already used")
	ErrContextSuperseded  = errors.New("otp: superseded by a newer code")
	ErrContextRevoked     = errors.New("otp: revoked")
	ErrLedgerDisabled     = errors.New("otp: needs a ledger")
	ErrLedgerUnavailable  = errors.New("otp: ledger unavailable")
)

// WrongCodeError is the error for a wrong code that has been counted.
type WrongCodeError struct {
	Context           string // the updated one, to send with the next attempt
	AttemptsRemaining int
}

func (*WrongCodeError) Error() string { return "otp: wrong code" }

// CooldownError is the error for a resend too soon after the last code.
type CooldownError struct{ RetryAfter time.Duration }

func (*CooldownError) Error() string { return "otp: cooldown pending" }

// ThrottledError is the error for an attempt while its identifier is locked, after too many wrong codes.
type ThrottledError struct{ RetryAfter time.Duration }

func (*ThrottledError) Error() string { return "otp: identifier locked" }

// FieldError is the error for a request with a value out of its bounds.
type FieldError struct {
	Field  string // as in the JSON request
	Reason string // what is allowed, to follow the field's name
}

func (e *FieldError) Error() string { return "otp: " + e.Field + " " + e.Reason }
