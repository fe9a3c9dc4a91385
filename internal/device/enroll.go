package device

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Bounds on what a caller may ask for.
const (
	MaxName   = 64 // bytes of a device's name, and of an issuer
	MinPeriod = 15 // seconds
	MaxPeriod = 60 // seconds

	defaultPeriod = 30
	defaultDigits = 6
)

// EnrollRequest is a request for a new device. A field's zero value means the default, or none.
type EnrollRequest struct {
	Type       string  // TOTP, the default, or HOTP
	Identifier string  // the account's name, 1 to otpcontext.MaxIdentifier bytes
	Issuer     *string // that an app shows, 1 to MaxName bytes without a colon; nil for the service's
	Name       string  // of the device, at most MaxName bytes
	Digits     *int    // 6, the default, or 8
	Period     *int    // seconds of a TOTP step, MinPeriod to MaxPeriod, 30 by default; HOTP has none
	Algorithm  *string // SHA1, the default, SHA256 or SHA512
	Secret     *string // base32 of 10 to 64 bytes, to import; nil for a new one
}

// Enrolled is an unconfirmed device and all that an app needs to make its codes.
type Enrolled struct {
	Device    string // the token
	DeviceID  string
	Secret    string // base32 without padding
	URI       string // otpauth, as in the pictures
	QRSVG     string // a picture of the URI
	QRPNG     string // the same as a data URI
	ExpiresAt time.Time
}

// Enroll makes a device that is still to be confirmed. The error for a value out of its bounds is an
// [otp.FieldError].
func (s *Service) Enroll(caller otp.Caller, r EnrollRequest) (Enrolled, error) {
	now := s.cfg.Now()
	issuer := s.cfg.Issuer
	if r.Issuer != nil {
		issuer = *r.Issuer
	}
	d, err := newState(r)
	if err := cmp.Or(err, CheckIssuer(issuer)); err != nil {
		return Enrolled{}, err
	}
	d.id = otp.NewID()
	d.namespace = caller.Namespace
	d.subject = s.cfg.Sealer.Subject(d.namespace, d.identifier)
	d.createdAt = now.Unix()
	d.enrollBy = now.Add(s.cfg.Enrollment).Unix()
	uri := d.uri(issuer)
	picture, err := drawQR(uri)
	if err != nil {
		return Enrolled{}, err
	}
	token, err := s.seal(d, now)
	if err == nil {
		s.record(EventEnrolled, d, caller, now)
	}
	return Enrolled{
		Device:    token,
		DeviceID:  d.id,
		Secret:    secretEncoding.EncodeToString(d.secret),
		URI:       uri,
		QRSVG:     picture.svg(fmt.Sprintf("QR code to add %s (%s) to an authenticator app", issuer, d.identifier)),
		QRPNG:     picture.png(),
		ExpiresAt: time.Unix(d.enrollBy, 0).UTC(),
	}, err
}

// newState returns a device of the kind that r describes, with its secret.
func newState(r EnrollRequest) (*state, error) {
	d := &state{
		kind: cmp.Or(r.Type, TOTP), algorithm: "SHA1", digits: defaultDigits, period: defaultPeriod,
		identifier: r.Identifier, name: r.Name,
	}
	for _, set := range []func(*state, EnrollRequest) error{setText, setParameters, setSecret} {
		if err := set(d, r); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func setText(d *state, r EnrollRequest) error {
	if d.identifier == "" {
		return &otp.FieldError{Field: "identifier", Reason: "must not be empty"}
	}
	if err := otp.CheckText("identifier", d.identifier, otpcontext.MaxIdentifier); err != nil {
		return err
	}
	return otp.CheckText("name", d.name, MaxName)
}

// CheckIssuer returns an [otp.FieldError] unless issuer is 1 to MaxName bytes without a colon, which ends it in a URI.
func CheckIssuer(issuer string) error {
	if issuer == "" || strings.Contains(issuer, ":") {
		return &otp.FieldError{Field: "issuer", Reason: "must not be empty and must not contain a colon"}
	}
	return otp.CheckText("issuer", issuer, MaxName)
}

func setParameters(d *state, r EnrollRequest) error {
	if d.kind != TOTP && d.kind != HOTP {
		return &otp.FieldError{Field: "type", Reason: "must be totp or hotp"}
	}
	if r.Digits != nil {
		if d.digits = *r.Digits; d.digits != 6 && d.digits != 8 {
			return &otp.FieldError{Field: "digits", Reason: "must be 6 or 8"}
		}
	}
	if r.Period != nil {
		if d.period = *r.Period; d.period < MinPeriod || d.period > MaxPeriod {
			return &otp.FieldError{Field: "period", Reason: fmt.Sprintf("must be %d to %d", MinPeriod, MaxPeriod)}
		}
	}
	if d.kind == HOTP {
		d.period = 0
	}
	if r.Algorithm != nil {
		d.algorithm = *r.Algorithm
		if _, ok := algorithms[d.algorithm]; !ok {
			return &otp.FieldError{Field: "algorithm", Reason: "must be SHA1, SHA256 or SHA512"}
		}
	}
	return nil
}

func setSecret(d *state, r EnrollRequest) (err error) {
	if r.Secret != nil {
		d.secret, err = parseSecret(*r.Secret)
		return err
	}
	d.secret = make([]byte, algorithms[d.algorithm].secretSize)
	rand.Read(d.secret)
	return nil
}
