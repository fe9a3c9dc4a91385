package device

import (
	"cmp"
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// Resync sets a device right whose clock or counter is off by more than [Service.Verify] bears, by two codes in a
// row: TOTP within 10 steps either way, HOTP within 1000 counters ahead. An unconfirmed device stays so. The
// error for wrong codes is a [*WrongCodeError].
func (s *Service) Resync(ctx context.Context, caller otp.Caller, token, code, next string) (device, id string, err error) {
	now := s.cfg.Now()
	d, err := s.open(token, caller)
	if err != nil {
		return "", "", err
	}
	if err = d.expired(now); err == nil {
		err = s.catchUp(ctx, d, now)
	}
	if err = cmp.Or(err, d.locked(now)); err == nil {
		err = s.attempt(ctx, d, d.proveBoth(code, next, now), now)
	}
	if err != nil {
		s.recordRefusal(err, d, caller, now)
		return "", "", s.wrongCode(err, d, now)
	}
	device, err = s.seal(d, now)
	if err == nil {
		s.record(EventResynced, d, caller, now)
	}
	return device, d.id, err
}
