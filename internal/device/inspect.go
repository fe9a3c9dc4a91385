package device

import (
	"context"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// Inspected is what may be shown of a device.
type Inspected struct {
	DeviceID             string
	Type                 string
	Name                 string
	Identifier           string
	Confirmed            bool
	CreatedAt            time.Time
	LastUsedAt           time.Time // of this version; the zero time for never
	Failures             int       // wrong codes since the last right one
	LockedUntil          time.Time // the zero time if it is not locked
	BackupCodesRemaining int
	Drift                int  // steps that the device's clock is ahead
	SealedWithPrimaryKey bool // or else [Service.Reseal] is due
}

// Inspect says how a device stands. It consumes nothing.
func (s *Service) Inspect(ctx context.Context, caller otp.Caller, token string) (Inspected, error) {
	now := s.cfg.Now()
	d, err := s.open(token, caller)
	if err != nil {
		return Inspected{}, err
	}
	if err := s.catchUp(ctx, d, now); err != nil {
		return Inspected{}, err
	}
	inspected := Inspected{
		DeviceID:             d.id,
		Type:                 d.kind,
		Name:                 d.name,
		Identifier:           d.identifier,
		Confirmed:            d.generation > 0,
		CreatedAt:            unixTime(d.createdAt),
		LastUsedAt:           unixTime(d.lastUsedAt),
		Failures:             d.failures,
		BackupCodesRemaining: d.backupCodesRemaining(),
		Drift:                d.drift,
		SealedWithPrimaryKey: d.primary,
	}
	if d.lockedUntil.After(now) {
		inspected.LockedUntil = d.lockedUntil
	}
	return inspected, nil
}
