// Package otp is the domain: it issues one-time codes in sealed contexts, verifies, resends and
// revokes them. A context's holder is trusted with nothing; what must outlast an old context is the
// [Ledger]'s. The package knows neither HTTP nor how a context is sealed.
package otp

import (
	"context"
	"fmt"
	"math"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// Bounds on what an operator or a caller may ask for.
const (
	MaxRetries = 10             // wrong codes; the least is 0
	MinExpiry  = time.Second    // of a code and of a session
	MaxExpiry  = 24 * time.Hour // of a code and of a session
	MaxBinding = 1 << 10        // bytes of transaction text
	MaxDepth   = 64             // levels of arrays and objects in metadata
)

// maxClockSkew is how far ahead the clock of the replica that issued a context may be.
const maxClockSkew = time.Minute

// Config is what a [Service] is made of. Every field but Audit and Now is needed.
type Config struct {
	Sealer *otpcontext.Sealer
	Ledger Ledger

	Expiry         time.Duration // of a code, MinExpiry to MaxExpiry
	SessionExpiry  time.Duration // of a verification, Expiry to MaxExpiry
	MaxRetries     int           // wrong codes a verification allows, 0 to MaxRetries
	Length         int           // of a code, MinLength to MaxLength characters
	Alphabet       string        // Numeric, Alphanumeric or Letters
	MaxResends     int           // of a verification, from 0
	ResendCooldown time.Duration // between two codes, from 0

	Audit func(Event)      // is told of each event before its answer leaves; nil for nobody
	Now   func() time.Time // nil for time.Now
}

// Service issues and verifies codes. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a service, or an error that names the field of cfg that is out of its bounds.
func New(cfg Config) (*Service, error) {
	for _, check := range []struct {
		field string
		ok    bool
	}{
		{"Sealer", cfg.Sealer != nil},
		{"Ledger", cfg.Ledger != nil},
		{"Expiry", cfg.Expiry >= MinExpiry && cfg.Expiry <= MaxExpiry},
		{"SessionExpiry", cfg.SessionExpiry >= cfg.Expiry && cfg.SessionExpiry <= MaxExpiry},
		{"MaxRetries", cfg.MaxRetries >= 0 && cfg.MaxRetries <= MaxRetries},
		{"Length", cfg.Length >= MinLength && cfg.Length <= MaxLength},
		{"Alphabet", alphabets[cfg.Alphabet] != ""},
		{"MaxResends", cfg.MaxResends >= 0},
		{"ResendCooldown", cfg.ResendCooldown >= 0},
	} {
		if !check.ok {
			return nil, fmt.Errorf("otp: %s is missing or out of bounds", check.field)
		}
	}
	if cfg.Audit == nil {
		cfg.Audit = func(Event) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg}, nil
}

// Caller is who sends a request, and for whom.
type Caller struct {
	Namespace string // name of the API key; empty without one
	RequestID string
	IP        string // of the end user, as the application tells it; may be empty
	UserAgent string // likewise
}

// Ready reports whether the service can do its work: a context it seals opens again, and the ledger
// answers ([ErrLedgerUnavailable] if it does not).
func (s *Service) Ready(ctx context.Context) error {
	now := s.cfg.Now()
	issued, err := s.issue(s.newClaims(now), now)
	if err != nil {
		return err
	}
	if _, err := s.open(issued.Context, Caller{}, now); err != nil {
		return err
	}
	if err := s.cfg.Ledger.Ping(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrLedgerUnavailable, err)
	}
	return nil
}

// open returns the claims of a context that the caller may use.
func (s *Service) open(token string, caller Caller, now time.Time) (*otpcontext.Claims, error) {
	claims, err := s.cfg.Sealer.Open(token)
	switch {
	case err != nil,
		claims.Namespace != "" && claims.Namespace != caller.Namespace,
		alphabets[alphabetOf(claims)] == "",
		lengthOf(claims) < MinLength, lengthOf(claims) > MaxLength,
		timeOf(claims.Timestamp).After(now.Add(maxClockSkew)):
		return nil, ErrInvalidContext
	}
	return claims, nil
}

// Milliseconds returns t as answers have it: in UTC, to the millisecond.
func Milliseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// timeOf and secondsOf convert between a time and a claim, to the millisecond.
func timeOf(seconds float64) time.Time {
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
}

func secondsOf(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
