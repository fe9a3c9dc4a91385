package ledger

import "time"

// Device is what an operation needs to know of a sealed version of a device: the version tells it, and whoever
// kept an older one could roll it back. It is an alias of an unnamed struct, as [Verification] is.
type Device = struct {
	ID          string    // of the device, 22 characters
	Generation  int       // of its backup codes: 1 from its confirmation on, 0 before
	Next        int64     // the least step or counter that it still accepts, below 1<<53, as all numbers are
	Used        uint32    // has bit n if backup code n of the generation has been used
	Failures    int       // wrong codes since the last right one
	LockedUntil time.Time // the zero time for never
	Until       time.Time // when what the operation leaves behind may be forgotten, but for wrong codes
	Now         time.Time
}

// Proof is a code as the sealed version judges it.
type Proof = struct {
	Right    bool
	Backup   bool  // whether it is a backup code
	Number   int64 // the step or counter it is right for, or the number of the backup code, from 0
	Confirms bool  // whether it is to confirm the device
}

// Standing is what holds for a device after an operation.
type Standing = struct {
	Verdict     string // one of the constants
	Generation  int
	Next        int64
	Used        uint32
	Failures    int
	LockedUntil time.Time // the zero time for never
}

// Verdicts on devices alone. Beside them there are [Admitted], which means a right code, [Used], [Revoked],
// [Superseded] and [Throttled], and [Disabled] of a ledger that cannot do it.
const (
	Wrong     = "wrong"     // the code is, and has been counted
	Confirmed = "confirmed" // the device has been confirmed before
)

// maxFreeFailures is how many wrong codes for a device lock nothing, unless fewer are free elsewhere.
const maxFreeFailures = 3

// forDevices returns the throttle of a single device: free are maxFreeFailures at most, and the first lock
// lasts for the factor itself.
func (t Throttle) forDevices() Throttle {
	return Throttle{min(t.After, maxFreeFailures), t.Factor / 2, t.Max}
}

// device is what is remembered of one.
type device struct {
	revoked              bool
	generation, failures int32
	used                 uint32
	next                 int64
	lockedUntil          int64 // Unix ms; 0 for never
	forgetAt             int64 // Unix seconds
}

// merge returns d, or what v tells where that is more.
func (d device) merge(v Device) device {
	switch told := int32(min(v.Generation, most)); {
	case told > d.generation:
		d.generation, d.used = told, v.Used
	case told == d.generation:
		d.used |= v.Used
	}
	d.next = max(d.next, v.Next)
	d.failures = max(d.failures, int32(min(v.Failures, most)))
	if !v.LockedUntil.IsZero() {
		d.lockedUntil = max(d.lockedUntil, v.LockedUntil.UnixMilli())
	}
	return d
}

// attempt judges a code and counts it.
func (d *device) attempt(v Device, p Proof, throttle Throttle) string {
	if verdict := d.verdict(v, p); verdict != Admitted {
		return verdict
	}
	if d.lockedUntil > v.Now.UnixMilli() {
		return Throttled
	}
	bit := uint32(1) << (p.Number & 31)
	switch {
	case p.Right && p.Backup && d.used&bit == 0:
		d.used |= bit
	case p.Right && p.Backup, p.Right && p.Number == d.next-1:
		return Used
	case p.Right && p.Number >= d.next:
		d.next = p.Number + 1
	default:
		d.fail(v, throttle.forDevices())
		return Wrong
	}
	d.failures, d.lockedUntil = 0, 0
	if p.Confirms {
		d.generation = 1
	}
	return Admitted
}

// verdict says whether a version of the device is still good for a proof. There being newer backup codes ends the
// use of its own and, if it has none yet, of all of it.
func (d *device) verdict(v Device, p Proof) string {
	switch {
	case d.revoked:
		return Revoked
	case p.Confirms && d.generation > 0:
		return Confirmed
	case int(d.generation) > v.Generation && (v.Generation == 0 || p.Backup):
		return Superseded
	}
	return Admitted
}

func (d *device) fail(v Device, throttle Throttle) {
	d.failures++
	if lock := throttle.lock(int(d.failures)); lock > 0 {
		d.lockedUntil = v.Now.Add(lock).UnixMilli()
	}
}

// forgive forgets the wrong codes.
func (d *device) forgive() string {
	if d.revoked {
		return Revoked
	}
	d.failures, d.lockedUntil = 0, 0
	return Admitted
}

// renew begins a new generation of backup codes, even from an older version: all older codes are dead after it.
func (d *device) renew() string {
	if d.revoked {
		return Revoked
	}
	d.generation++
	d.used = 0
	return Admitted
}

func (d device) standing(verdict string) Standing {
	s := Standing{
		Verdict: verdict, Generation: int(d.generation), Next: d.next, Used: d.used, Failures: int(d.failures),
	}
	if d.lockedUntil > 0 {
		s.LockedUntil = time.UnixMilli(d.lockedUntil).UTC()
	}
	return s
}
