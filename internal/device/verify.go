package device

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// VerifyRequest is an attempt: a code or a backup code, one of them empty.
type VerifyRequest struct {
	Device     string
	Identifier *string // nil if it need not match
	OTP        string  // as typed
	BackupCode string  // as typed
}

// Methods by which a device verifies, beside [TOTP] and [HOTP].
const BackupCode = "backup_code"

// Verified is what a right code gives.
type Verified struct {
	Device               string // the new version
	DeviceID             string
	Identifier           string
	Method               string // TOTP, HOTP or BackupCode
	Number               int64  // the step or counter of the code; of a backup code none
	BackupCodesRemaining int
}

// Verify judges one attempt at a confirmed device. The error for a wrong code is a [*WrongCodeError], and while
// the device is locked an [*otp.ThrottledError]; all but the first say nothing about the code, except that
// [ErrCodeAlreadyUsed] tells whoever sends the very code that was right before.
func (s *Service) Verify(ctx context.Context, caller otp.Caller, r VerifyRequest) (Verified, error) {
	now := s.cfg.Now()
	d, err := s.open(r.Device, caller)
	if err != nil {
		return Verified{}, err
	}
	if r.Identifier != nil && *r.Identifier != d.identifier {
		return Verified{}, otp.ErrContextMismatch
	}
	p, err := s.prove(ctx, d, r, now)
	if err == nil {
		err = s.attempt(ctx, d, p, now)
	}
	if err != nil {
		s.recordRefusal(err, d, caller, now)
		return Verified{}, s.wrongCode(err, d, now)
	}
	return s.verified(d, p, caller, now)
}

// prove judges a typed code by what is known of d, which must be confirmed and not locked.
func (s *Service) prove(ctx context.Context, d *state, r VerifyRequest, now time.Time) (proof, error) {
	if err := cmp.Or(d.unconfirmed(now), d.locked(now)); err != nil {
		return proof{}, err
	}
	if r.BackupCode == "" {
		return s.proveCode(ctx, d, r.OTP, now)
	}
	// Before the work of a hash, and not only after it, an older version is told what it has missed.
	generation := d.generation
	if err := cmp.Or(s.catchUp(ctx, d, now), d.locked(now)); err != nil {
		return proof{}, err
	}
	if d.generation > generation {
		return proof{}, ErrSuperseded
	}
	leave, err := s.hasher.enter(ctx)
	if err != nil {
		return proof{}, err
	}
	defer leave()
	return d.proveBackupCode(r.BackupCode), nil
}

// proveCode judges a typed code. For a counter this asks the ledger first: an older version may have fallen
// behind by more than the look-ahead.
func (s *Service) proveCode(ctx context.Context, d *state, typed string, now time.Time) (proof, error) {
	if d.kind == HOTP {
		if err := cmp.Or(s.catchUp(ctx, d, now), d.locked(now)); err != nil {
			return proof{}, err
		}
	}
	return d.prove(typed, now), nil
}

// wrongCode puts the new version of d into the error for a wrong code that has been counted, and returns any
// other error as it is.
func (s *Service) wrongCode(err error, d *state, now time.Time) error {
	if !errors.Is(err, errWrongCode) {
		return err
	}
	token, err := s.seal(d, now)
	if err != nil {
		return err
	}
	return &WrongCodeError{Device: token, RetryAfter: max(0, d.lockedUntil.Sub(now))}
}

func (s *Service) verified(d *state, p proof, caller otp.Caller, now time.Time) (Verified, error) {
	token, err := s.seal(d, now)
	if err != nil {
		return Verified{}, err
	}
	method := d.kind
	if p.Backup {
		method = BackupCode
		s.record(EventBackupCodeUsed, d, caller, now)
	}
	s.record(EventVerified, d, caller, now)
	return Verified{
		Device: token, DeviceID: d.id, Identifier: d.identifier, Method: method, Number: p.Number,
		BackupCodesRemaining: d.backupCodesRemaining(),
	}, nil
}
