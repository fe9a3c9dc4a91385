package device

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// Disable ends all versions of a device for good, and returns its id. One that is disabled already is no error; a
// ledger that cannot remember it is: [otp.ErrLedgerDisabled].
func (s *Service) Disable(ctx context.Context, caller otp.Caller, token string) (id string, err error) {
	now := s.cfg.Now()
	d, err := s.open(token, caller)
	if err != nil {
		return "", err
	}
	// For as long whatever the version: it may be one from before the device was confirmed.
	standing, err := s.cfg.Ledger.DisableDevice(ctx, d.version(now.Add(rememberDevice), now))
	if err := d.absorb(standing, err, now); err != nil {
		return "", err
	}
	s.record(EventDisabled, d, caller, now)
	return d.id, nil
}
