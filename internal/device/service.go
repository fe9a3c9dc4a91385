// Package device is the domain of authenticator apps, hardware tokens and backup codes. A device is a sealed
// token that the application stores beside its user; each operation returns its new version. Secrets exist in
// the clear only inside a request. Whoever keeps an older version is trusted with nothing: what must outlast it
// is the [Ledger]'s. The package knows neither HTTP nor how a token is sealed.
package device

import (
	"context"
	"errors"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Config is what a [Service] is made of. Every field but Audit and Now is needed.
type Config struct {
	Sealer     *otpcontext.Sealer
	Ledger     Ledger
	Issuer     string        // what an authenticator app shows, unless a request names another
	Enrollment time.Duration // how long an unconfirmed device may be confirmed

	Audit func(otp.Event)  // is told of each event before its answer leaves; nil for nobody
	Now   func() time.Time // nil for time.Now
}

// Service enrolls devices and verifies their codes. It is safe for concurrent use.
type Service struct {
	cfg    Config
	hasher *hasher
}

// New returns a service, or an error that names the field of cfg that is out of its bounds.
func New(cfg Config) (*Service, error) {
	switch {
	case cfg.Sealer == nil, cfg.Ledger == nil:
		return nil, errors.New("device: Sealer or Ledger is missing")
	case CheckIssuer(cfg.Issuer) != nil:
		return nil, errors.New("device: Issuer is missing or out of bounds")
	case cfg.Enrollment <= 0:
		return nil, errors.New("device: Enrollment is missing")
	}
	if cfg.Audit == nil {
		cfg.Audit = func(otp.Event) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg, newHasher()}, nil
}

// open returns the device in a token that the caller may use.
func (s *Service) open(token string, caller otp.Caller) (*state, error) {
	data, primary, err := s.cfg.Sealer.OpenAs(otpcontext.Device, token)
	if err != nil {
		return nil, ErrInvalid
	}
	d, err := parse(data)
	if err != nil || d.namespace != "" && d.namespace != caller.Namespace {
		return nil, ErrInvalid
	}
	d.primary = primary
	return d, nil
}

func (s *Service) seal(d *state, now time.Time) (string, error) {
	return s.cfg.Sealer.SealAs(otpcontext.Device, d.marshal(), now)
}

// attempt has the ledger judge and count a proof, and leaves in d how the device stands then.
func (s *Service) attempt(ctx context.Context, d *state, p proof, now time.Time) error {
	standing, err := s.cfg.Ledger.AttemptDevice(ctx, d.version(d.forgetProof(p, now), now), p.Proof)
	if err = d.absorb(standing, err, now); err == nil {
		d.drift, d.lastUsedAt = p.drift, now.Unix()
	}
	return err
}

// catchUp merges into d what the ledger knows of it.
func (s *Service) catchUp(ctx context.Context, d *state, now time.Time) error {
	standing, err := s.cfg.Ledger.DeviceStanding(ctx, d.version(now, now))
	return d.absorb(standing, err, now)
}
