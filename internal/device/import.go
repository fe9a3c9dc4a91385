package device

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Imported is a confirmed device of another system. A field's zero value means none, or never.
type Imported struct {
	EnrollRequest           // with a Secret in base32; Issuer does not matter
	Namespace     string    // name of the API key that may use it; empty for any
	Next          int64     // the least step or counter that is still good
	Drift         int       // steps that the device's clock is ahead, at most 10 either way
	Failures      int       // wrong codes since the last right one
	CreatedAt     time.Time // 1970 to 2200, as LastUsedAt; the zero time for now
	LastUsedAt    time.Time
}

// Import seals a device that is confirmed elsewhere. It is not locked, whatever its Failures are, and has no backup
// codes yet. The error for a value out of its bounds is an [otp.FieldError].
func Import(sealer *otpcontext.Sealer, r Imported, now time.Time) (token string, err error) {
	if r.Secret == nil {
		return "", errors.New("device: nothing to import")
	}
	d, err := newState(r.EnrollRequest)
	if err == nil {
		err = checkImported(d, r, now)
	}
	if err != nil {
		return "", err
	}
	d.id = otp.NewID()
	d.namespace, d.next, d.drift, d.failures, d.generation = r.Namespace, r.Next, r.Drift, r.Failures, 1
	d.subject = sealer.Subject(d.namespace, d.identifier)
	d.createdAt = now.Unix()
	if !r.CreatedAt.IsZero() {
		d.createdAt = r.CreatedAt.Unix()
	}
	if !r.LastUsedAt.IsZero() {
		d.lastUsedAt = r.LastUsedAt.Unix()
	}
	return sealer.SealAs(otpcontext.Device, d.marshal(), now)
}

func checkImported(d *state, r Imported, now time.Time) error {
	switch {
	case r.Next < 0 || r.Next > maxCounter:
		return &otp.FieldError{Field: "next", Reason: fmt.Sprintf("must be 0 to %d", int64(maxCounter))}
	case d.kind == TOTP && r.Next > d.step(now)+2*maxDrift:
		// Codes of the steps until then would all be refused as old.
		return &otp.FieldError{Field: "next", Reason: "must not lie in the future"}
	case r.Drift < -maxDrift || r.Drift > maxDrift:
		return &otp.FieldError{Field: "drift", Reason: fmt.Sprintf("must be %d to %d", -maxDrift, maxDrift)}
	case r.Failures < 0 || r.Failures > math.MaxInt32:
		return &otp.FieldError{Field: "failures", Reason: fmt.Sprintf("must be 0 to %d", math.MaxInt32)}
	}
	return cmp.Or(checkImportedTime("created_at", r.CreatedAt), checkImportedTime("last_used_at", r.LastUsedAt))
}

func checkImportedTime(field string, t time.Time) error {
	if !t.IsZero() && (t.Unix() <= 0 || t.UTC().Year() > 2200) {
		return &otp.FieldError{Field: field, Reason: "must lie between 1970 and 2200"}
	}
	return nil
}
