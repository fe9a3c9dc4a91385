package device

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
)

var testID = strings.Repeat("_", 21) + "w"

// maximal returns a device with all that one can have.
func maximal(kind string) *state {
	d := &state{
		id: testID, kind: kind, algorithm: "SHA512", digits: 8, period: 60,
		secret: bytes.Repeat([]byte{0xff}, maxSecret), identifier: strings.Repeat("\u2713", otpcontext.MaxIdentifier/3) + "ab",
		name: strings.Repeat("n", MaxName), namespace: strings.Repeat("k", 64), subject: testID,
		createdAt: 7258118399, enrollBy: 7258118399, lastUsedAt: 7258118399, generation: math.MaxInt32, next: maxCounter,
		drift: -maxDrift, failures: math.MaxInt32, lockedUntil: time.UnixMilli(7258118399999).UTC(), used: 1<<backupCodes - 1,
		salt: bytes.Repeat([]byte{0xff}, 16),
	}
	for range backupCodes {
		d.hashes = append(d.hashes, bytes.Repeat([]byte{0xff}, 16))
	}
	return d
}

// minimal returns a device with as little as one must have.
func minimal() *state {
	return &state{id: testID, kind: HOTP, algorithm: "SHA1", digits: 6, secret: make([]byte, minSecret)}
}

func samples() map[string]*state {
	past := minimal()
	past.createdAt, past.enrollBy, past.lockedUntil = -1, -1, time.UnixMilli(-1).UTC()
	return map[string]*state{"maximal": maximal(TOTP), "maximal HOTP": maximal(HOTP), "minimal": minimal(), "of before 1970": past}
}

func TestStateComesBack(t *testing.T) {
	for name, d := range samples() {
		got, err := parse(d.marshal())
		// A missing salt and an empty one are the same.
		if err == nil && len(got.salt) == 0 {
			got.salt = d.salt
		}
		if err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, d)
		}
	}
}

func TestWhatIsNotWhole(t *testing.T) {
	for name, d := range samples() {
		data := d.marshal()
		for length := range data {
			if _, err := parse(data[:length]); err != errMalformed {
				t.Errorf("%s, %d bytes of %d: %v", name, length, len(data), err)
			}
		}
		for last := range 256 {
			if _, err := parse(append(data[:len(data):len(data)], byte(last))); err != errMalformed {
				t.Errorf("%s, and %#x: %v", name, last, err)
			}
		}
	}
}

func TestBoundsOfState(t *testing.T) {
	for name, edit := range map[string]func(*state){
		"another kind":                func(d *state) { d.kind = "motp" },
		"no kind":                     func(d *state) { d.kind = "" },
		"another algorithm":           func(d *state) { d.algorithm = "MD5" },
		"a short id":                  func(d *state) { d.id = d.id[1:] },
		"an id that is none":          func(d *state) { d.id = "!" + d.id[1:] },
		"a short subject":             func(d *state) { d.subject = d.subject[1:] },
		"text that is not UTF-8":      func(d *state) { d.name = "\xff" },
		"too long an identifier":      func(d *state) { d.identifier += "a" },
		"seven digits":                func(d *state) { d.digits = 7 },
		"no digits":                   func(d *state) { d.digits = 0 },
		"too short a period":          func(d *state) { d.period = MinPeriod - 1 },
		"too long a period":           func(d *state) { d.period = MaxPeriod + 1 },
		"no period":                   func(d *state) { d.period = 0 },
		"too short a secret":          func(d *state) { d.secret = d.secret[:minSecret-1] },
		"too long a secret":           func(d *state) { d.secret = append(d.secret, 0) },
		"a negative generation":       func(d *state) { d.generation = -1 },
		"a negative step":             func(d *state) { d.next = -1 },
		"a counter beyond reckoning":  func(d *state) { d.next = maxCounter + 1 },
		"too much drift":              func(d *state) { d.drift = maxDrift + 1 },
		"too much drift, behind":      func(d *state) { d.drift = -maxDrift - 1 },
		"negative failures":           func(d *state) { d.failures = -1 },
		"a used code that is not":     func(d *state) { d.used = 1 << backupCodes },
		"more backup codes than fit":  func(d *state) { d.hashes = append(d.hashes, d.hashes[0]) },
		"a used code of none at all":  func(d *state) { d.hashes, d.used = nil, 1 },
		"an identifier of other text": func(d *state) { d.identifier = "a\xc0\x80" },
	} {
		d := maximal(TOTP)
		edit(d)
		if _, err := parse(d.marshal()); err != errMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{
		"nothing":                  nil,
		"another format":           append([]byte{format + 1}, minimal().marshal()[1:]...),
		"a length beyond the data": {format, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"a length without an end":  bytes.Repeat([]byte{0xff}, 40),
	} {
		if _, err := parse(data); err != errMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A device fits into any text column, even one that everything about is as long as can be.
func TestSizeOfADevice(t *testing.T) {
	f := newFixture(t, newMemory(t))
	for kind, most := range map[string]int{TOTP: 1500, HOTP: 1500} {
		token, err := f.seal(maximal(kind), start)
		if err != nil || len(token) >= most {
			t.Errorf("a maximal device of %s has %d characters, %v", kind, len(token), err)
		}
	}
	token, _ := f.device(t, EnrollRequest{Name: "phone"})
	if renewed := f.mustRenew(t, token); len(renewed.Device) > 700 {
		t.Errorf("a usual device with backup codes has %d characters", len(renewed.Device))
	}
}

// FuzzParse looks for data that makes parse panic, or that is taken for a device and does not come back the same
// after it was written.
func FuzzParse(f *testing.F) {
	for _, d := range samples() {
		f.Add(d.marshal())
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parse(data)
		if err != nil {
			if d != nil || err != errMalformed {
				t.Errorf("%+v, %v", d, err)
			}
			return
		}
		if !d.wellFormed() || d.backupCodesRemaining() < 0 || d.backupCodesRemaining() > backupCodes {
			t.Errorf("%+v is out of bounds", d)
		}
		again, err := parse(d.marshal())
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%+v\nbecame %+v, %v", d, again, err)
		}
		// Whatever was sealed, to judge a code by it does not panic.
		_ = d.prove("123456", start)
		_ = d.unconfirmed(start)
		_ = d.locked(start)
	})
}
