package device

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math/bits"
	"time"
	"unicode/utf8"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Kinds of devices.
const (
	TOTP = "totp" // RFC 6238
	HOTP = "hotp" // RFC 4226
)

// state is what a device token holds.
type state struct {
	id         string // 22 characters
	kind       string // TOTP or HOTP
	algorithm  string // SHA1, SHA256 or SHA512
	digits     int
	period     int // seconds of a step; 0 for HOTP
	secret     []byte
	identifier string
	name       string
	namespace  string // of the API key that enrolled it; empty for any
	subject    string // stands for namespace and identifier in logs, 22 characters

	createdAt  int64 // Unix seconds
	enrollBy   int64 // Unix seconds, the end of the enrollment
	lastUsedAt int64 // Unix seconds; 0 for never

	generation  int   // of the backup codes; 0 until the device is confirmed
	next        int64 // the least step or counter that is still good
	drift       int   // steps that the device's clock is ahead
	failures    int   // wrong codes since the last right one
	lockedUntil time.Time

	salt   []byte // of the backup codes' hashes
	hashes [][]byte
	used   uint32 // has bit n if backup code n has been used

	primary bool // whether the first key of the ring had sealed it; not sealed itself
}

// expired returns an error if the device can no longer be confirmed.
func (d *state) expired(now time.Time) error {
	if d.generation == 0 && now.After(time.Unix(d.enrollBy, 0)) {
		return ErrEnrollmentExpired
	}
	return nil
}

// unconfirmed returns an error if the device is still to be confirmed, or can no longer be.
func (d *state) unconfirmed(now time.Time) error {
	if d.generation == 0 {
		return cmp.Or(d.expired(now), ErrNotConfirmed)
	}
	return nil
}

// locked returns an [*otp.ThrottledError] while the device is, as far as this version knows.
func (d *state) locked(now time.Time) error {
	if d.lockedUntil.After(now) {
		return &otp.ThrottledError{RetryAfter: d.lockedUntil.Sub(now)}
	}
	return nil
}

func (d *state) backupCodesRemaining() int { return len(d.hashes) - bits.OnesCount32(d.used) }

// A token holds a device in binary, not as JSON: with ten backup codes it stays below 1.5 KB whatever the names
// are, and costs a verification next to nothing. Text and bytes come after their length, numbers as varints.

// format is the first byte, and tells apart what later versions of otpd may write.
const format = 1

// marshal returns d as [parse] reads it.
func (d *state) marshal() []byte {
	b := append(make([]byte, 0, 512), format)
	for _, text := range d.texts() {
		b = append(binary.AppendUvarint(b, uint64(len(*text))), *text...)
	}
	var lockedUntil int64
	if !d.lockedUntil.IsZero() {
		lockedUntil = d.lockedUntil.UnixMilli()
	}
	for _, n := range []int64{
		int64(d.digits), int64(d.period), d.createdAt, d.enrollBy, d.lastUsedAt, int64(d.generation), d.next,
		int64(d.drift), int64(d.failures), lockedUntil, int64(d.used), int64(len(d.hashes)),
	} {
		b = binary.AppendVarint(b, n)
	}
	b = appendBytes(appendBytes(b, d.secret), d.salt)
	for _, data := range d.hashes {
		b = appendBytes(b, data)
	}
	return b
}

// texts are the fields that are text, in the order in which they are sealed.
func (d *state) texts() [7]*string {
	return [...]*string{&d.id, &d.kind, &d.algorithm, &d.identifier, &d.name, &d.namespace, &d.subject}
}

var errMalformed = errors.New("device: malformed")

// parse reads what [state.marshal] wrote. Any other data is an error: only a holder of the key could have sealed
// it, and even then it must not bring down the service.
func parse(data []byte) (*state, error) {
	if len(data) == 0 || data[0] != format {
		return nil, errMalformed
	}
	r, d := reader{data: data[1:], text: string(data[1:])}, new(state)
	for _, text := range d.texts() {
		*text = r.string()
	}
	d.digits, d.period = int(r.number()), int(r.number())
	d.createdAt, d.enrollBy, d.lastUsedAt = r.number(), r.number(), r.number()
	d.generation, d.next, d.drift, d.failures = int(r.number()), r.number(), int(r.number()), int(r.number())
	if locked := r.number(); locked != 0 {
		d.lockedUntil = time.UnixMilli(locked).UTC()
	}
	d.used = uint32(r.number())
	hashes := r.number()
	d.secret, d.salt = r.bytes(), r.bytes()
	if hashes > 0 {
		d.hashes = make([][]byte, 0, min(hashes, backupCodes))
	}
	for range min(hashes, backupCodes) {
		d.hashes = append(d.hashes, r.bytes())
	}
	if r.failed || len(r.data) > 0 || hashes != int64(len(d.hashes)) || !d.wellFormed() {
		return nil, errMalformed
	}
	return d, nil
}

func (d *state) wellFormed() bool {
	for _, text := range d.texts() {
		if !utf8.ValidString(*text) {
			return false
		}
	}
	_, known := algorithms[d.algorithm]
	return known && otp.IsID(d.id) && (d.subject == "" || otp.IsID(d.subject)) &&
		(d.kind == HOTP || d.kind == TOTP && MinPeriod <= d.period && d.period <= MaxPeriod) &&
		(d.digits == 6 || d.digits == 8) && len(d.secret) >= minSecret && len(d.secret) <= maxSecret &&
		-maxDrift <= d.drift && d.drift <= maxDrift && d.used>>len(d.hashes) == 0 && d.countsInBounds() &&
		len(d.identifier) <= otpcontext.MaxIdentifier
}

// countsInBounds reports whether what a ledger may have moved on is within its bounds.
func (d *state) countsInBounds() bool {
	return d.generation >= 0 && 0 <= d.next && d.next <= maxCounter && d.failures >= 0
}

// reader takes data apart. After a failure it gives nothing but zeros.
type reader struct {
	data   []byte
	text   string // data once more, of which all strings are parts
	failed bool
}

func (r *reader) number() int64 {
	n, size := binary.Varint(r.data)
	if size <= 0 || r.failed {
		r.failed = true
		return 0
	}
	r.skip(size)
	return n
}

func (r *reader) bytes() []byte {
	length := r.length()
	data := r.data[:length]
	r.skip(length)
	return data
}

func (r *reader) string() string {
	length := r.length()
	text := r.text[:length]
	r.skip(length)
	return text
}

// length reads the length of what comes next, which is there.
func (r *reader) length() int {
	n, size := binary.Uvarint(r.data)
	if size <= 0 || r.failed || n > uint64(len(r.data)-size) {
		r.failed = true
		return 0
	}
	r.skip(size)
	return int(n)
}

func (r *reader) skip(n int) { r.data, r.text = r.data[n:], r.text[n:] }

func appendBytes(b, data []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))), data...)
}
