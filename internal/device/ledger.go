package device

import (
	"context"
	"fmt"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// Ledger remembers what a device in the caller's hands cannot. Each operation is atomic. An error means that
// nothing is known and nothing may be verified.
type Ledger interface {
	// AttemptDevice judges and counts a code before anyone learns whether it was right.
	AttemptDevice(ctx context.Context, v Version, p Proof) (Standing, error)
	// RenewDevice begins a new generation of backup codes, whichever version asks.
	RenewDevice(ctx context.Context, v Version) (Standing, error)
	// DisableDevice ends all versions of the device.
	DisableDevice(ctx context.Context, v Version) (Standing, error)
	// ForgiveDevice forgets the wrong codes for the device, and with them its lock.
	ForgiveDevice(ctx context.Context, v Version) (Standing, error)
	// DeviceStanding says how the device stands, and counts nothing.
	DeviceStanding(ctx context.Context, v Version) (Standing, error)
}

// Version is what a ledger needs to know of a device. Like [otp.Verification], it and the types below are aliases
// of unnamed structs, so that a ledger can name the same types without importing this package.
type Version = struct {
	ID          string // of the device, 22 characters
	Generation  int    // of its backup codes: 1 from its confirmation on, 0 before
	Next        int64  // the least step or counter that it still accepts
	Used        uint32 // has bit n if backup code n of the generation has been used
	Failures    int    // wrong codes since the last right one
	LockedUntil time.Time
	Until       time.Time // when what the operation leaves behind may be forgotten
	Now         time.Time
}

// Proof is a code as a version judges it.
type Proof = struct {
	Right    bool
	Backup   bool  // whether it is a backup code
	Number   int64 // the step or counter it is right for, or the number of the backup code, from 0
	Confirms bool  // whether it is to confirm the device
}

// Standing is a ledger's answer to one operation.
type Standing = struct {
	Verdict     string // "admitted", "throttled", or one of refusals
	Generation  int
	Next        int64
	Used        uint32
	Failures    int
	LockedUntil time.Time
}

// refusals maps the verdicts that refuse to the error they mean.
var refusals = map[string]error{
	"wrong":      errWrongCode,
	"used":       ErrCodeAlreadyUsed,
	"confirmed":  ErrAlreadyConfirmed,
	"superseded": ErrSuperseded,
	"revoked":    ErrDisabled,
	"disabled":   otp.ErrLedgerDisabled,
}

// absorb puts the answer to an operation of the ledger into the domain's terms, and leaves in d how the device stands
// after it.
func (d *state) absorb(standing Standing, err error, now time.Time) error {
	if err != nil {
		return fmt.Errorf("%w: %w", otp.ErrLedgerUnavailable, err)
	}
	refusal, known := refusals[standing.Verdict]
	if refusal == ErrSuperseded && d.generation == 0 {
		refusal = ErrAlreadyConfirmed
	}
	if standing.Verdict == "throttled" {
		refusal = &otp.ThrottledError{RetryAfter: standing.LockedUntil.Sub(now)}
	} else if standing.Verdict != "admitted" && !known {
		return fmt.Errorf("%w: verdict %q", otp.ErrLedgerUnavailable, standing.Verdict)
	}
	switch {
	case standing.Generation == d.generation:
		d.used = standing.Used & (1<<len(d.hashes) - 1) // a version without the newest codes has none to be used
	case d.generation > 0: // there are newer backup codes, which this version does not have, and its own are dead
		d.generation, d.salt, d.hashes, d.used = standing.Generation, nil, nil, 0
	}
	d.next, d.failures, d.lockedUntil = standing.Next, standing.Failures, standing.LockedUntil
	if !d.countsInBounds() { // what it would be sealed as, nobody could open
		return fmt.Errorf("%w: numbers out of bounds", otp.ErrLedgerUnavailable)
	}
	return refusal
}

// version returns what the ledger needs to know of d. What the operation leaves behind may be forgotten at until.
func (d *state) version(until, now time.Time) Version {
	return Version{
		ID: d.id, Generation: d.generation, Next: d.next, Used: d.used, Failures: d.failures,
		LockedUntil: d.lockedUntil, Until: until, Now: now,
	}
}

// How long a ledger remembers what it must not forget while an older version could gain by it: for steps, until
// no drift makes an older one good; for counters, backup codes and the end of a device, longer than any version
// is kept.
const (
	rememberSteps  = 2*(maxDrift+Skew) + 2
	rememberDevice = 10 * 365 * 24 * time.Hour
)

// forgetStep returns when a step that is accepted now may be forgotten.
func (d *state) forgetStep(now time.Time) time.Time {
	return now.Add(rememberSteps * time.Duration(d.period) * time.Second)
}

// forgetProof returns when it may be forgotten that a code was right.
func (d *state) forgetProof(p proof, now time.Time) time.Time {
	switch {
	case p.Backup, d.kind == HOTP && (p.Confirms || d.generation > 0):
		return now.Add(rememberDevice)
	case d.kind == HOTP:
		return unixTime(d.enrollBy)
	case p.Confirms:
		return unixTime(max(d.enrollBy, d.forgetStep(now).Unix()))
	}
	return d.forgetStep(now)
}
