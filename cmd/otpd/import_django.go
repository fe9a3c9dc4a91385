package main

import (
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
)

// foreignSystem is one that otpd import reads from.
type foreignSystem struct {
	tables    []table
	encrypted bool // whether it keeps secrets under keys of its own
}

var foreignSystems = map[string]foreignSystem{
	"django-otp": {tables: []table{
		{
			required: append([]string{"step", "t0", "drift", "last_t"}, djangoOTPRequired...),
			optional: djangoOTPOptional,
			bounds:   map[string]string{"secret": "key", "period": "step", "next": "last_t + 1", "failures": "throttling_failure_count"},
			convert:  djangoOTPTOTP,
		},
		{
			required: append([]string{"counter"}, djangoOTPRequired...),
			optional: djangoOTPOptional,
			bounds:   map[string]string{"secret": "key", "next": "counter", "failures": "throttling_failure_count"},
			convert:  djangoOTPHOTP,
		},
	}},
	"django-totp": {encrypted: true, tables: []table{{
		required: []string{"secret_key", "identifier", "confirmed"},
		optional: []string{"id", "user_id", "created_at"},
		bounds:   map[string]string{"secret": "what is in secret_key"},
		convert:  djangoTOTP,
	}}},
}

var (
	djangoOTPRequired = []string{"key", "digits", "identifier", "confirmed"}
	djangoOTPOptional = []string{
		"name", "tolerance", "throttling_failure_count", "created_at", "last_used_at",
		"id", "user_id", "throttling_failure_timestamp", // of no use here
	}
)

// djangoOTPTOTP converts a TOTPDevice. Its last_t is the step that was accepted last, -1 before the first.
func djangoOTPTOTP(r *row, _ *otpcontext.ForeignKeys) (device.Imported, []string) {
	d, remarks := djangoOTPDevice(r)
	d.Type = device.TOTP
	d.Period = new(r.whole("step", 0))
	d.Drift = r.whole("drift", 0)
	d.Next = int64(r.whole("last_t", 0)) + 1
	if r.whole("t0", 0) != 0 {
		r.fail("t0 must be 0: the device counts its steps from another time than 1970")
	}
	if r.whole("tolerance", 0) > device.Skew {
		remarks = append(remarks, fmt.Sprintf("its tolerance is less: codes may be %d step off, either way", device.Skew))
	}
	return d, remarks
}

// djangoOTPHOTP converts an HOTPDevice. Its counter is the next one.
func djangoOTPHOTP(r *row, _ *otpcontext.ForeignKeys) (device.Imported, []string) {
	d, remarks := djangoOTPDevice(r)
	d.Type = device.HOTP
	d.Next = int64(r.whole("counter", 0))
	if r.whole("tolerance", 0) > device.LookAhead {
		remarks = append(remarks, fmt.Sprintf("its tolerance is less: %d codes may be skipped", device.LookAhead))
	}
	return d, remarks
}

// djangoOTPDevice converts what all devices of django-otp have.
func djangoOTPDevice(r *row) (d device.Imported, remarks []string) {
	secret, err := hex.DecodeString(r.text("key"))
	if err != nil {
		r.fail("key is not hexadecimal")
	}
	d.Secret = new(base32.StdEncoding.EncodeToString(secret))
	d.Digits = new(r.whole("digits", 0))
	d.Failures = r.whole("throttling_failure_count", 0)
	d.LastUsedAt = r.time("last_used_at")
	readOwner(r, &d)
	if d.Name = r.text("name"); len(d.Name) > device.MaxName {
		d.Name = cutText(d.Name, device.MaxName)
		remarks = append(remarks, fmt.Sprintf("its name is cut to %d bytes", device.MaxName))
	}
	return d, remarks
}

// djangoTOTP converts a Totp. What it encrypts is base32, for codes of six digits, every 30 seconds, by SHA1. It
// does not know which of them were used.
func djangoTOTP(r *row, keys *otpcontext.ForeignKeys) (d device.Imported, _ []string) {
	secret, err := keys.Open(r.text("secret_key"))
	if err != nil {
		r.fail("secret_key does not open with the key in TOTP_ENCRYPTION_KEY")
	}
	d.Secret = new(string(secret))
	readOwner(r, &d)
	return d, nil
}

// readOwner sets what says whose device it is, and since when.
func readOwner(r *row, d *device.Imported) {
	d.Identifier, d.CreatedAt = r.text("identifier"), r.time("created_at")
	if d.Identifier == `\N` {
		r.fail(`identifier is \N, which some exports write for none`)
	}
	if !r.yes("confirmed") {
		r.fail("it is not confirmed; let its user enroll anew")
	}
}

// cutText returns the start of a text, at most so many bytes and no part of a character.
func cutText(text string, most int) string {
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
