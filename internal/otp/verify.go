package otp

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// VerifyRequest is an attempt. Identifier, Purpose and Binding are what the caller wants the code to
// be for.
type VerifyRequest struct {
	OTP        string // as typed
	Context    string
	Identifier *string // nil if it need not match
	Purpose    string  // must be the one the context was issued with
	Binding    string  // likewise

	NeedsIdentifier bool // refuse a context for nobody with a [*FieldError] for issue
}

// Verified is what a right code gives.
type Verified struct {
	ID         string
	Identifier *string
	Metadata   jsontext.Value
	Purpose    string
	RetryCount int // wrong codes before the right one
	IssuedAt   time.Time
	VerifiedAt time.Time
	Source     *Source // nil if the context tells of none
}

// Verify judges one attempt. The error for a wrong code is a [*WrongCodeError], and while the identifier is
// locked a [*ThrottledError]; all but the first say nothing about the code and leave the context as good as
// it was.
func (s *Service) Verify(ctx context.Context, caller Caller, r VerifyRequest) (Verified, error) {
	now := s.cfg.Now()
	claims, err := s.open(r.Context, caller, now)
	if err != nil {
		return Verified{}, err
	}
	if !isFor(claims, r) {
		return Verified{}, ErrContextMismatch
	}
	if r.NeedsIdentifier && (claims.Identifier == nil || *claims.Identifier == "") {
		return Verified{}, &FieldError{"issue", "needs a context with an identifier"}
	}
	right, err := s.attempt(ctx, claims, r.OTP, now)
	switch {
	case err != nil:
		s.recordRefusal(err, now, claims, caller)
		return Verified{}, err
	case !right:
		s.record(EventFailed, now, claims, caller)
		return Verified{}, s.wrongCode(claims, now)
	}
	source, _ := sourceOf(claims.SourceURL) // none is as good as one that another implementation has sealed
	s.recordVerified(source, now, claims, caller)
	return Verified{
		ID:         claims.ID,
		Identifier: claims.Identifier,
		Metadata:   claims.Metadata,
		Purpose:    claims.Purpose,
		RetryCount: claims.RetryCount,
		IssuedAt:   timeOf(claims.Timestamp),
		VerifiedAt: Milliseconds(now),
		Source:     source,
	}, nil
}

// isFor reports whether the context was issued for what the caller wants it for.
func isFor(c *otpcontext.Claims, r VerifyRequest) bool {
	if r.Identifier != nil && (c.Identifier == nil || *c.Identifier != *r.Identifier) {
		return false
	}
	return c.Purpose == r.Purpose && c.Binding == bindingHash(r.Binding)
}

// attempt compares a typed code to the issued one and has the ledger count it before it says which it
// was. It leaves in claims the count of wrong codes that now holds.
func (s *Service) attempt(ctx context.Context, claims *otpcontext.Claims, typed string, now time.Time) (bool, error) {
	switch {
	case now.After(timeOf(claims.SessionExpiry)):
		return false, ErrSessionExpired
	case now.After(timeOf(claims.OTPExpiry)):
		return false, ErrOTPExpired
	case claims.RetryCount >= claims.MaxRetries:
		return false, ErrMaxRetriesExceeded
	}
	right := codeMatches(claims.OTPHash, typed) && !claims.Decoy
	outcome, err := ask(s.cfg.Ledger.Attempt(ctx, verification(claims, now), right))
	if !errors.Is(err, ErrLedgerUnavailable) {
		claims.RetryCount = outcome.Attempts
	}
	return right, err
}

// wrongCode returns the error for a wrong code that has been counted.
func (s *Service) wrongCode(claims *otpcontext.Claims, now time.Time) error {
	token, err := s.cfg.Sealer.Seal(claims, now)
	if err != nil {
		return err
	}
	return &WrongCodeError{Context: token, AttemptsRemaining: claims.MaxRetries - claims.RetryCount}
}
