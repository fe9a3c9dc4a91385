package device

import (
	"cmp"
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// Confirm makes an enrolled device usable, by a code that shows that an app has its secret, and gives it its
// first backup codes. The error for a wrong code is a [*WrongCodeError].
func (s *Service) Confirm(ctx context.Context, caller otp.Caller, token, code string) (Renewed, error) {
	now := s.cfg.Now()
	d, err := s.open(token, caller)
	if err != nil {
		return Renewed{}, err
	}
	if d.generation > 0 {
		return Renewed{}, ErrAlreadyConfirmed
	}
	if err := cmp.Or(d.expired(now), d.locked(now)); err != nil {
		s.recordRefusal(err, d, caller, now)
		return Renewed{}, err
	}
	leave, err := s.hasher.enter(ctx) // for any code: to be refused must not tell a right one
	if err != nil {
		return Renewed{}, err
	}
	defer leave()
	p, err := s.proveCode(ctx, d, code, now)
	p.Confirms = true
	if err == nil {
		err = s.attempt(ctx, d, p, now)
	}
	if err != nil {
		s.recordRefusal(err, d, caller, now)
		return Renewed{}, s.wrongCode(err, d, now)
	}
	d.generation = 1
	return s.renew(d, EventConfirmed, caller, now)
}
