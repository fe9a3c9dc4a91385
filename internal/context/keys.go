package otpcontext

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"

	"github.com/fernet/fernet-go"
)

// Ring is an ordered set of keys: the first seals, all of them open. It does not change once made.
type Ring struct{ keys []key }

type key struct {
	fernet   []*fernet.Key // one, in the slice that fernet-go asks for
	ids      keyedHash
	subjects keyedHash
	kinds    [len(kindNames)][]*fernet.Key // by Kind
}

// ParseRing makes a ring of encoded keys, the sealing one first. Each is 32 bytes in padded base64,
// URL-safe or standard, not all zero and not given twice. Its errors name a key by its place, from 1,
// and never quote it.
func ParseRing(encoded []string) (*Ring, error) {
	if len(encoded) == 0 {
		return nil, errors.New("no key")
	}
	ring := new(Ring)
	seen := make(map[fernet.Key]int)
	for i, text := range encoded {
		k, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("key %d %w", i+1, err)
		}
		if first, ok := seen[*k]; ok {
			return nil, fmt.Errorf("key %d is key %d again", i+1, first)
		}
		seen[*k] = i + 1
		ring.keys = append(ring.keys, key{
			fernet:   []*fernet.Key{k},
			ids:      newKeyedHash(k, "otpd verification id"),
			subjects: newKeyedHash(k, "otpd subject"),
			kinds:    deriveKinds(k),
		})
	}
	return ring, nil
}

// GenerateKey returns a new random key, encoded as [ParseRing] reads it.
func GenerateKey() (string, error) {
	var k fernet.Key
	if err := k.Generate(); err != nil {
		return "", err
	}
	return k.Encode(), nil
}

// parseKey is stricter than fernet.DecodeKey, which also takes hexadecimal and ignores line breaks
// and stray bits: two spellings of one key would get past the check for duplicates.
func parseKey(text string) (*fernet.Key, error) {
	encoding := base64.URLEncoding
	if strings.ContainsAny(text, "+/") {
		encoding = base64.StdEncoding
	}
	raw, err := encoding.Strict().DecodeString(text)
	if err != nil || len(raw) != len(fernet.Key{}) || len(text) != encoding.EncodedLen(len(raw)) {
		return nil, errors.New("is not 32 bytes in base64 (44 characters)")
	}
	k := fernet.Key(raw)
	if k == (fernet.Key{}) {
		return nil, errors.New("is all zero")
	}
	return &k, nil
}

// subject returns what stands for an identifier, in a namespace, outside its context. The length tells where
// the one ends and the other begins.
func (k *key) subject(namespace, identifier string) string {
	return k.subjects.sum(string(rune(len(namespace))), namespace, identifier)
}

// keyedHash is HMAC-SHA256 under a subkey of a ring key. Keyed states are pooled: setting one up costs as much
// as three hashes.
type keyedHash struct{ pool *sync.Pool }

type keyedState struct {
	hash.Hash
	buffer []byte // of what goes in and comes out, which would each be allocated
}

func newKeyedHash(k *fernet.Key, use string) keyedHash {
	subkey := derive(k, use)
	return keyedHash{&sync.Pool{New: func() any { return &keyedState{Hash: hmac.New(sha256.New, subkey)} }}}
}

// sum returns the first 16 bytes of the hash of all parts, one after another, in base64url, 22 characters.
func (h keyedHash) sum(parts ...string) string {
	state := h.pool.Get().(*keyedState)
	defer h.pool.Put(state)
	state.Reset()
	state.buffer = state.buffer[:0]
	for _, part := range parts {
		state.buffer = append(state.buffer, part...)
	}
	state.Write(state.buffer)
	state.buffer = state.Sum(state.buffer[:0])
	return base64.RawURLEncoding.EncodeToString(state.buffer[:idSize])
}

// derive returns the subkey of k for a use, which is the info of HKDF-SHA256 (RFC 5869).
func derive(k *fernet.Key, use string) []byte {
	subkey, err := hkdf.Key(sha256.New, k[:], nil, use, sha256.Size)
	if err != nil {
		panic("otpcontext: " + err.Error()) // only a length beyond HKDF's bound fails
	}
	return subkey
}
