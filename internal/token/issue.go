package token

import (
	"fmt"
	"time"
	"unicode/utf8"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Login is what tokens are issued for.
type Login struct {
	Subject        string    // who has logged in, 1 to otpcontext.MaxIdentifier bytes
	Purpose        string    // what the code was for, at most otpcontext.MaxPurpose bytes
	Methods        []string  // by which it was done, as RFC 8176 names them; at most MaxMethods
	At             time.Time // when it was done
	VerificationID string    // of the verification or challenge, for the event
}

// Tokens are what a login or a refresh gives.
type Tokens struct {
	Access    string        // a JWT
	Refresh   string        // for one [Service.Refresh]
	ExpiresIn time.Duration // of the access token
}

// Issue returns the first tokens of a new family. The error for a value out of its bounds is an [otp.FieldError].
func (s *Service) Issue(caller otp.Caller, l Login) (Tokens, error) {
	if err := s.Enabled(); err != nil {
		return Tokens{}, err
	}
	if err := l.check(); err != nil {
		return Tokens{}, err
	}
	now := s.cfg.Now()
	g := &grant{
		Family: otp.NewID(), Subject: l.Subject, Purpose: l.Purpose, Methods: l.Methods, AuthTime: l.At.Unix(),
		Namespace: caller.Namespace, IdentifierHash: s.cfg.Sealer.Subject(caller.Namespace, l.Subject),
	}
	tokens, err := s.mint(g, now)
	if err == nil {
		s.record(EventLoginSucceeded, l.VerificationID, g, caller, now)
	}
	return tokens, err
}

// check bounds a login, and with it the size of its tokens. The texts are those of a verification, which has been
// more particular with all but what another implementation may have sealed.
func (l Login) check() error {
	switch {
	case l.Subject == "":
		return &otp.FieldError{Field: "issue", Reason: "needs an identifier to issue tokens for"}
	case len(l.Subject) > otpcontext.MaxIdentifier, !utf8.ValidString(l.Subject):
		return &otp.FieldError{Field: "identifier", Reason: fmt.Sprintf("must be at most %d bytes of UTF-8", otpcontext.MaxIdentifier)}
	case len(l.Purpose) > otpcontext.MaxPurpose, !utf8.ValidString(l.Purpose):
		return &otp.FieldError{Field: "purpose", Reason: fmt.Sprintf("must be at most %d bytes of UTF-8", otpcontext.MaxPurpose)}
	case len(l.Methods) > MaxMethods:
		return &otp.FieldError{Field: "methods", Reason: fmt.Sprintf("must be at most %d", MaxMethods)}
	}
	return nil
}

// mint returns a pair of tokens of g's family, of which the refresh token is g.
func (s *Service) mint(g *grant, now time.Time) (Tokens, error) {
	g.IssuedAt, g.ExpiresAt = now.Unix(), now.Add(s.cfg.RefreshLife).Unix()
	access, err := s.signAccess(g, now)
	if err != nil {
		return Tokens{}, err
	}
	refresh, err := s.sealRefresh(g, now)
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: access, Refresh: refresh, ExpiresIn: s.cfg.AccessLife}, nil
}
