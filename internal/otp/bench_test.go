package otp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/fernet/fernet-go"
)

// The service with its memory ledger, and beside each operation the cryptography it cannot do without,
// over as many bytes. Where an operation uses up what it needs, that is made in batches, off the clock.

const benchBatch = 256 // small enough to stay in a cache, as a request that just came in would

func newBench(b *testing.B) *fixture {
	f := newFixture(b, newMemoryOf(b, 100_000_000), func(c *Config) { c.Audit = nil })
	b.ReportAllocs()
	return f
}

var benchRequest = GenerateRequest{Identifier: pointer("somebody@example.invalid")}

// perBatch runs op b.N times, with a new batch of contexts whenever the last one is used up. Each is for
// somebody else, or the throttle would refuse most of them.
func perBatch(b *testing.B, f *fixture, op func(Issued)) {
	batch := make([]Issued, 0, benchBatch)
	b.ResetTimer()
	for i := range b.N {
		if i%benchBatch == 0 {
			b.StopTimer()
			batch = batch[:0]
			for n := range min(benchBatch, b.N-i) {
				identifier := fmt.Sprintf("%08d@example.invalid", i+n)
				batch = append(batch, f.mustGenerate(b, GenerateRequest{Identifier: &identifier}))
			}
			b.StartTimer()
		}
		op(batch[i%benchBatch])
	}
}

func BenchmarkGenerate(b *testing.B) {
	f := newBench(b)
	for b.Loop() {
		f.mustGenerate(b, benchRequest)
	}
}

func BenchmarkVerifyRight(b *testing.B) {
	f := newBench(b)
	perBatch(b, f, func(issued Issued) {
		if _, err := f.try(issued.Context, issued.OTP); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkVerifyWrong(b *testing.B) {
	f := newBench(b)
	perBatch(b, f, func(issued Issued) {
		_, err := f.try(issued.Context, "12345x")
		if _, ok := errors.AsType[*WrongCodeError](err); !ok {
			b.Fatal(err)
		}
	})
}

// bare is a context without the service: its key, its plaintext and its token.
type bare struct {
	key             fernet.Key
	plaintext, code []byte
	token           []byte
}

func newBare(b *testing.B) *bare {
	key, err := fernet.DecodeKey(testKey)
	if err != nil {
		b.Fatal(err)
	}
	issued := newFixture(b, newMemory(b)).mustGenerate(b, benchRequest)
	c := &bare{key: *key, code: []byte(issued.OTP), token: []byte(issued.Context)}
	c.plaintext = c.open(b)
	b.ReportAllocs()
	return c
}

func (c *bare) open(b *testing.B) []byte {
	plaintext := fernet.VerifyAndDecrypt(c.token, 0, []*fernet.Key{&c.key})
	if plaintext == nil {
		b.Fatal("the token does not open")
	}
	return plaintext
}

func (c *bare) seal(b *testing.B) {
	if token, err := fernet.EncryptAndSignAtTime(c.plaintext, &c.key, start); err != nil || len(token) != len(c.token) {
		b.Fatal(len(token), err)
	}
}

func (c *bare) hash() { sink = sha256.Sum256(c.code) }

var sink [sha256.Size]byte // what the compiler must not leave out

func BenchmarkBareGenerate(b *testing.B) {
	c := newBare(b)
	for b.Loop() {
		c.hash()
		c.seal(b)
	}
}

func BenchmarkBareVerifyRight(b *testing.B) {
	c := newBare(b)
	for b.Loop() {
		c.open(b)
		c.hash()
	}
}

func BenchmarkBareVerifyWrong(b *testing.B) {
	c := newBare(b)
	for b.Loop() {
		c.open(b)
		c.hash()
		c.seal(b)
	}
}
