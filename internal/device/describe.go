package device

import (
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// Description is what a device token says, without its secret and the hashes of its backup codes, for whoever
// has the key.
type Description struct {
	ID                   string    `json:"id"`
	Type                 string    `json:"type"`
	Algorithm            string    `json:"algorithm"`
	Digits               int       `json:"digits"`
	Period               int       `json:"period,omitzero"`
	Identifier           string    `json:"identifier"`
	Name                 string    `json:"name"`
	Namespace            string    `json:"namespace"`
	CreatedAt            time.Time `json:"created_at"`
	EnrollmentEndsAt     time.Time `json:"enrollment_ends_at,omitzero"` // of an unconfirmed device
	LastUsedAt           time.Time `json:"last_used_at,omitzero"`
	Generation           int       `json:"generation"` // of the backup codes; 0 for an unconfirmed device
	Next                 int64     `json:"next"`       // the least step or counter that is still good
	Drift                int       `json:"drift"`
	Failures             int       `json:"failures"`
	LockedUntil          time.Time `json:"locked_until,omitzero"`
	BackupCodesRemaining int       `json:"backup_codes_remaining"`
}

// Describe opens a device token of any namespace. Its only error is [ErrInvalid].
func Describe(sealer *otpcontext.Sealer, token string) (Description, error) {
	data, _, err := sealer.OpenAs(otpcontext.Device, token)
	if err != nil {
		return Description{}, ErrInvalid
	}
	d, err := parse(data)
	if err != nil {
		return Description{}, ErrInvalid
	}
	description := Description{
		ID: d.id, Type: d.kind, Algorithm: d.algorithm, Digits: d.digits, Period: d.period, Identifier: d.identifier,
		Name: d.name, Namespace: d.namespace, CreatedAt: unixTime(d.createdAt), LastUsedAt: unixTime(d.lastUsedAt),
		Generation: d.generation, Next: d.next, Drift: d.drift, Failures: d.failures, LockedUntil: d.lockedUntil,
		BackupCodesRemaining: d.backupCodesRemaining(),
	}
	if d.generation == 0 {
		description.EnrollmentEndsAt = unixTime(d.enrollBy)
	}
	return description, nil
}

// unixTime returns a time in Unix seconds, the zero time for 0.
func unixTime(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
