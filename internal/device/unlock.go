package device

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// Unlock forgets the wrong codes for a device, and with them its lock, and returns the new version. An older one stays
// as locked as it says.
func (s *Service) Unlock(ctx context.Context, caller otp.Caller, token string) (device, id string, err error) {
	now := s.cfg.Now()
	d, err := s.open(token, caller)
	if err != nil {
		return "", "", err
	}
	standing, err := s.cfg.Ledger.ForgiveDevice(ctx, d.version(now, now))
	if err := d.absorb(standing, err, now); err != nil {
		return "", "", err
	}
	device, err = s.seal(d, now)
	if err == nil {
		s.record(EventUnlocked, d, caller, now)
	}
	return device, d.id, err
}
