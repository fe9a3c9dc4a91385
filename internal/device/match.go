package device

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// MaxMatch is how many devices [Service.Match] takes.
const MaxMatch = 10

// Match judges a code by several devices of one user, MaxMatch at most, and returns which one it is of, from 0.
// Devices that cannot be verified just now (unconfirmed, locked, disabled or superseded ones) are passed over,
// unless none is left. A wrong code counts on each, and the error has the new version of each.
func (s *Service) Match(ctx context.Context, caller otp.Caller, tokens []string, code string) (index int, v Verified, err error) {
	now := s.cfg.Now()
	devices, err := s.openAll(tokens, caller)
	if err != nil {
		return 0, Verified{}, err
	}
	m := match{s, devices, make([]proof, len(devices)), make([]error, len(devices))}
	for i, d := range devices {
		m.proofs[i], m.errs[i] = s.prove(ctx, d, VerifyRequest{OTP: code}, now)
		s.recordRefusal(m.errs[i], d, caller, now)
		if errors.Is(m.errs[i], otp.ErrLedgerUnavailable) {
			return 0, Verified{}, m.errs[i] // or each device in turn would wait for it
		}
	}
	// First those it is right for: a right code counts against none of the others.
	for _, right := range []bool{true, false} {
		for i, d := range devices {
			if m.errs[i] != nil || m.proofs[i].Right != right {
				continue
			}
			if m.errs[i] = s.attempt(ctx, d, m.proofs[i], now); m.errs[i] == nil {
				v, err := s.verified(d, m.proofs[i], caller, now)
				return i, v, err
			}
			s.recordRefusal(m.errs[i], d, caller, now)
		}
		if err := m.failure(ErrCodeAlreadyUsed); err != nil {
			return 0, Verified{}, err
		}
	}
	return 0, Verified{}, m.refusal(now)
}

// openAll opens the devices of a request, which must all be different.
func (s *Service) openAll(tokens []string, caller otp.Caller) ([]*state, error) {
	var devices []*state
	for i, token := range tokens {
		d, err := s.open(token, caller)
		if err != nil {
			return nil, &InvalidError{i}
		}
		if slices.ContainsFunc(devices, func(other *state) bool { return other.id == d.id }) {
			return nil, &otp.FieldError{Field: "devices", Reason: "must not name a device twice"}
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// match is a code sent for several devices: what each makes of it, and why it was refused.
type match struct {
	service *Service
	devices []*state
	proofs  []proof
	errs    []error
}

// failure returns an error that ends the match, if a device met it: target, or that the ledger does not answer.
func (m *match) failure(target error) error {
	for _, err := range m.errs {
		if errors.Is(err, target) || errors.Is(err, otp.ErrLedgerUnavailable) {
			return err
		}
	}
	return nil
}

// refusal is the error of a match without success: that the code was wrong if any device has counted it, or else
// that the first locked device is, or else the first device's.
func (m *match) refusal(now time.Time) error {
	if m.failure(errWrongCode) != nil {
		return m.wrongCode(now)
	}
	for _, err := range m.errs {
		if _, locked := errors.AsType[*otp.ThrottledError](err); locked {
			return err
		}
	}
	return m.errs[0]
}

// wrongCode returns the error for a wrong code, with the new version of each device.
func (m *match) wrongCode(now time.Time) error {
	wrong := new(WrongCodeError)
	for _, d := range m.devices {
		token, err := m.service.seal(d, now)
		if err != nil {
			return err
		}
		wrong.Devices = append(wrong.Devices, token)
		wrong.RetryAfter = max(wrong.RetryAfter, d.lockedUntil.Sub(now))
	}
	return wrong
}
