package device

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// algorithms are the hash functions by name, each with the bytes of a new secret: as many as its hash has, RFC 6238
// §5.1 (R6 of RFC 4226 asks for 16, and recommends 20).
var algorithms = map[string]struct {
	hash       func() hash.Hash
	secretSize int
}{
	"SHA1":   {sha1.New, sha1.Size},
	"SHA256": {sha256.New, sha256.Size},
	"SHA512": {sha512.New, sha512.Size},
}

// codes computes the codes of a device, RFC 4226 §5.3. One HMAC serves them all: the libraries for it make a new one
// for each code, and from base32, which costs as much as opening the device.
type codes struct {
	mac    hash.Hash
	digits int
	buffer [sha512.Size]byte // of what goes into the HMAC and comes out
}

func (d *state) codes() *codes {
	return &codes{mac: hmac.New(algorithms[d.algorithm].hash, d.secret), digits: d.digits}
}

// match reports whether a canonical code is that of a step or counter.
func (c *codes) match(number int64, code []byte) bool {
	c.mac.Reset()
	c.mac.Write(binary.BigEndian.AppendUint64(c.buffer[:0], uint64(number)))
	sum := c.mac.Sum(c.buffer[:0])
	offset := sum[len(sum)-1] & 0xf
	value := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	right := c.buffer[:c.digits]
	for i := range right {
		right[len(right)-1-i] = '0' + byte(value%10)
		value /= 10
	}
	return subtle.ConstantTimeCompare(right, code) == 1
}
