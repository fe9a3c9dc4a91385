package device

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"testing"

	"github.com/fernet/fernet-go"

	"github.com/otpd/otpd/internal/otp"
)

// The service with its memory ledger and, beside a verification, the cryptography it cannot do without, over as
// many bytes. Devices are typical: SHA-1, six digits, and ten backup codes.

const benchBatch = 256 // devices that are made at once, off the clock; they fit into a cache

func newBench(b *testing.B) *fixture {
	f := newFixture(b, newMemoryOf(b, 100_000_000, throttle), func(c *Config) { c.Audit = nil })
	b.ReportAllocs()
	return f
}

// benchDevice returns a device with ten backup codes, of which "A" is one.
func benchDevice(b *testing.B, f *fixture) (string, app) {
	return f.deviceWith(b, EnrollRequest{Name: "Ann's phone"}, "A", "B", "C", "D", "E", "F", "G", "H", "J", "K")
}

// perDevice runs op b.N times, each time with a new device and the code that is shown.
func perDevice(b *testing.B, op func(f *fixture, token, code string)) {
	f := newBench(b)
	token, app := benchDevice(b, f)
	code := app.at(f.clock)
	batch := make([]string, benchBatch)
	b.ResetTimer()
	for i := range b.N {
		if i%benchBatch == 0 {
			b.StopTimer()
			for n := range min(benchBatch, b.N-i) {
				batch[n] = f.edit(b, token, func(d *state) { d.id = otp.NewID() })
			}
			b.StartTimer()
		}
		op(f, batch[i%benchBatch], code)
	}
}

func BenchmarkVerifyRight(b *testing.B) {
	perDevice(b, func(f *fixture, token, code string) {
		if _, err := f.verify(token, code); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkVerifyWrong(b *testing.B) {
	perDevice(b, func(f *fixture, token, _ string) {
		if _, err := f.verify(token, noCode); verdict(err) != errWrongCode {
			b.Fatal(err)
		}
	})
}

// BenchmarkVerifyBackupCode is mostly one hash of Argon2id.
func BenchmarkVerifyBackupCode(b *testing.B) {
	perDevice(b, func(f *fixture, token, _ string) {
		if _, err := f.verifyBackup(token, "A"); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkEnroll(b *testing.B) {
	f := newBench(b)
	for b.Loop() {
		if _, err := f.Enroll(f.caller, EnrollRequest{Identifier: ann, Name: "Ann's phone"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConfirm is mostly ten hashes of Argon2id.
func BenchmarkConfirm(b *testing.B) {
	f := newBench(b)
	enrolled, app := f.mustEnroll(b, EnrollRequest{Name: "Ann's phone"})
	for b.Loop() {
		token := f.edit(b, enrolled.Device, func(d *state) { d.id = otp.NewID() })
		if _, err := f.Confirm(b.Context(), f.caller, token, app.at(f.clock)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareVerify opens a device, computes the codes of three steps and seals it again.
func BenchmarkBareVerify(b *testing.B) {
	f := newBench(b)
	device, app := benchDevice(b, f)
	key, err := fernet.DecodeKey(testKey)
	if err != nil {
		b.Fatal(err)
	}
	sealed, err := fernet.EncryptAndSignAtTime(f.state(b, device).marshal(), key, f.clock)
	if err != nil || len(sealed) != len(device) {
		b.Fatal(len(sealed), err)
	}
	keys := []*fernet.Key{key}
	for b.Loop() {
		data := fernet.VerifyAndDecrypt(sealed, 0, keys)
		for step := range uint64(3) {
			mac := hmac.New(sha1.New, app.secret)
			mac.Write(binary.BigEndian.AppendUint64(nil, step))
			sink = mac.Sum(nil)
		}
		if _, err := fernet.EncryptAndSignAtTime(data, key, f.clock); err != nil {
			b.Fatal(err)
		}
	}
}

var sink []byte // what the compiler must not leave out
