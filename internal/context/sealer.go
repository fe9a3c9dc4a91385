// Package otpcontext seals what a verification needs to know into a token that the caller keeps, and
// opens it again. The token is a Fernet token, so whoever holds it can neither read nor change it; the
// holder can keep an old one, which is not this package's concern. It refuses every token that is not,
// byte for byte, one that a key of the ring sealed.
package otpcontext

import (
	"bytes"
	"crypto/aes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fernet/fernet-go"
)

// ErrInvalid is all that [Sealer.Open] says of a token it refuses, whatever the reason: an attacker
// learns nothing from it.
var ErrInvalid = errors.New("otpcontext: invalid context")

// Sealer seals and opens contexts with the ring it holds. It is safe for concurrent use.
type Sealer struct{ ring atomic.Pointer[Ring] }

// NewSealer returns a sealer that holds ring.
func NewSealer(ring *Ring) *Sealer {
	s := new(Sealer)
	s.Use(ring)
	return s
}

// Use makes s hold ring from now on. Contexts sealed under a key of the old ring open as long as that
// key is in the new one.
func (s *Sealer) Use(ring *Ring) { s.ring.Store(ring) }

var plaintexts = sync.Pool{New: func() any { return new([]byte) }}

// Seal returns claims as a token under the ring's first key, dated now. It sets their Subject. Claims that
// do not fit into [MaxToken] bytes are an error; the bounds on the fields keep them below it.
func (s *Sealer) Seal(claims *Claims, now time.Time) (string, error) {
	first := &s.ring.Load().keys[0]
	claims.nameSubject(first)
	subject := claims.Subject
	if claims.subjectKey == *first.fernet[0] {
		claims.Subject = "" // whoever opens it finds it out
	}
	buffer := plaintexts.Get().(*[]byte)
	defer plaintexts.Put(buffer)
	*buffer = claims.marshal((*buffer)[:0])
	claims.Subject = subject
	token, err := fernet.EncryptAndSignAtTime(*buffer, first.fernet[0], now)
	if err == nil && len(token) > MaxToken {
		err = errors.New("otpcontext: claims too large")
	}
	return string(token), err
}

// Open returns the claims in token, with an ID in any case. Its only error is [ErrInvalid]. Whether
// the claims have expired is for the caller to say.
func (s *Sealer) Open(token string) (*Claims, error) {
	data, opened := s.ring.Load().decrypt(token)
	if opened == nil {
		return nil, ErrInvalid
	}
	claims, err := parseClaims(data)
	if err != nil {
		return nil, ErrInvalid
	}
	if claims.ID == "" {
		// By the key that opened it, which every replica and every later ring that opens it shares.
		claims.ID = opened.ids.sum(string(claims.foreignIDInput()))
	}
	claims.nameSubject(opened)
	return claims, nil
}

// Subjects returns all that may be the Subject of a context for identifier in namespace: one for each
// key of the ring.
func (s *Sealer) Subjects(namespace, identifier string) (subjects []string) {
	ring := s.ring.Load()
	for i := range ring.keys {
		subjects = append(subjects, ring.keys[i].subject(namespace, identifier))
	}
	return subjects
}

// decrypt returns what is sealed in token and the key that opened it, nil if none did.
func (r *Ring) decrypt(token string) ([]byte, *key) {
	if !canonical(token) {
		return nil, nil
	}
	for i := range r.keys {
		// A ttl of 0: the age of a context is what its claims say.
		if data := fernet.VerifyAndDecrypt([]byte(token), 0, r.keys[i].fernet); data != nil {
			return data, &r.keys[i]
		}
	}
	return nil, nil
}

// Lengths in bytes of the parts of a Fernet token before base64: version, time and IV, then the
// ciphertext, then the HMAC.
const (
	fernetHead = 1 + 8 + aes.BlockSize
	fernetTail = sha256.Size
)

// canonical reports whether token is the one spelling of a Fernet token of a possible length. fernet-go
// ignores base64 errors and what follows them, so that one token would have many spellings, and panics
// on a signed token without a ciphertext.
func canonical(token string) bool {
	if len(token) > MaxToken || len(token) < base64.URLEncoding.EncodedLen(fernetHead+fernetTail) || len(token)%4 != 0 {
		return false
	}
	body, foreign := strings.TrimRight(token, "="), byte(0)
	for i := range len(body) {
		foreign |= notBase64URL[body[i]]
	}
	// The last four characters carry the padding, and bits that must be zero; before them every
	// spelling is the only one.
	var last [3]byte
	n, err := strictBase64URL.Decode(last[:], []byte(token[len(token)-4:]))
	ciphertext := (len(token)-4)/4*3 + n - fernetHead - fernetTail
	return foreign == 0 && err == nil && ciphertext > 0 && ciphertext%aes.BlockSize == 0
}

var strictBase64URL = base64.URLEncoding.Strict()

// notBase64URL has 0 for the characters of the URL-safe base64 alphabet, RFC 4648 §5, and else 1.
var notBase64URL = func() (not [256]byte) {
	not = [256]byte(bytes.Repeat([]byte{1}, len(not)))
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		not[c] = 0
	}
	return not
}()
