// Package token issues what a login is worth: an access token, which is a JWT that any API verifies by itself with
// the published keys, and a refresh token, which is sealed and good for the next pair. All that come from one login
// are a family, and end together. Whoever holds a token is trusted with nothing: which refresh token is the newest of
// its family, and whether that has ended, is the [Ledger]'s. The package refuses, with one answer, every text that is
// not, byte for byte, a token it has issued, but that an ECDSA signature has a second form. It does not know HTTP.
package token

import (
	"context"
	"errors"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Bounds on what an operator may ask for.
const (
	MaxName        = 256                  // bytes of an issuer and of an audience
	MaxAccessLife  = 24 * time.Hour       // who verifies an access token without asking otpd learns of no logout
	MaxRefreshLife = 365 * 24 * time.Hour // the least of either is a second
)

// MaxMethods is how many methods of authentication a login may have had.
const MaxMethods = 16

// maxClockSkew is how far ahead the clock of the replica that issued an access token may be.
const maxClockSkew = time.Minute

// Why a token is refused. Further errors are [otp.ErrLedgerUnavailable] and [otp.ErrLedgerDisabled].
var (
	ErrDisabled = errors.New("token: disabled")
	ErrInvalid  = errors.New("token: invalid refresh token")
	ErrReused   = errors.New("token: refresh token used before")
)

// Config is what a [Service] is made of. Every field but Audit and Now is needed, and without Keys none.
type Config struct {
	Sealer      *otpcontext.Sealer
	Ledger      Ledger
	Keys        *Keys         // that hold a set; nil if there are to be no tokens
	Issuer      string        // of access tokens, 1 to MaxName bytes; RFC 9068 §2.2 wants its URL
	Audience    string        // of access tokens, 1 to MaxName bytes: the APIs that take them
	AccessLife  time.Duration // whole seconds, at most MaxAccessLife and RefreshLife
	RefreshLife time.Duration // whole seconds, at most MaxRefreshLife, and anew with each refresh

	Audit func(otp.Event)  // is told of each event before its answer leaves; nil for nobody
	Now   func() time.Time // nil for time.Now
}

// Ledger remembers which refresh token of a family is the newest, and which families have ended. A family is an
// [otp.Verification] whose Resends are how many refresh tokens came before the one in question. Each operation is
// atomic. An error means that nothing is known and no token may be good.
type Ledger interface {
	// Refresh spends a family's newest refresh token ("admitted"). With one that is spent ("superseded") it ends the
	// family, and for one that has ended the verdict is "revoked".
	Refresh(ctx context.Context, v otp.Verification) (otp.Outcome, error)
	// Revoke ends a family.
	Revoke(ctx context.Context, v otp.Verification) (otp.Outcome, error)
	// State says how a refresh token of a family stands, and changes nothing.
	State(ctx context.Context, v otp.Verification) (otp.Outcome, error)
}

// Service issues, refreshes, introspects and revokes tokens. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a service, or an error that names the field of cfg that is out of its bounds.
func New(cfg Config) (*Service, error) {
	if cfg.Keys != nil {
		if err := cfg.check(); err != nil {
			return nil, err
		}
	}
	if cfg.Audit == nil {
		cfg.Audit = func(otp.Event) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg}, nil
}

func (cfg *Config) check() error {
	switch {
	case cfg.Sealer == nil, cfg.Ledger == nil, cfg.Keys.current.Load() == nil:
		return errors.New("token: Sealer, Ledger or the set of Keys is missing")
	case !isName(cfg.Issuer), !isName(cfg.Audience):
		return errors.New("token: Issuer or Audience is missing or out of bounds")
	case !isLife(cfg.RefreshLife, MaxRefreshLife):
		return errors.New("token: RefreshLife is missing or out of bounds")
	case !isLife(cfg.AccessLife, min(MaxAccessLife, cfg.RefreshLife)): // the ledger forgets a family after RefreshLife
		return errors.New("token: AccessLife is missing or out of bounds")
	}
	return nil
}

func isName(text string) bool { return text != "" && otp.CheckText("", text, MaxName) == nil }

func isLife(life, most time.Duration) bool {
	return life > 0 && life <= most && life%time.Second == 0
}

// Enabled returns [ErrDisabled] if there are to be no tokens. Every other operation does then, too.
func (s *Service) Enabled() error {
	if s.cfg.Keys == nil {
		return ErrDisabled
	}
	return nil
}
