package otpcontext

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// Keys for tests, of no use elsewhere.
const (
	keyA = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	keyB = "_-7dzLuqmYh3ZlVEMyIRAP_u3cy7qpmId2ZVRDMiEQA="
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newRing(t testing.TB, keys ...string) *Ring {
	t.Helper()
	ring, err := ParseRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func newSealer(t testing.TB, keys ...string) *Sealer {
	t.Helper()
	return NewSealer(newRing(t, keys...))
}

func mustSeal(t testing.TB, s *Sealer, c *Claims) string {
	t.Helper()
	token, err := s.Seal(c, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustOpen(t testing.TB, s *Sealer, token string) *Claims {
	t.Helper()
	claims, err := s.Open(token)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return claims
}

// assertInvalid fails t unless s says of token that it is invalid, and nothing else.
func assertInvalid(t testing.TB, s *Sealer, token string) {
	t.Helper()
	if claims, err := s.Open(token); err != ErrInvalid || claims != nil {
		t.Errorf("Open = %+v, %v; want nil, ErrInvalid", claims, err)
	}
}

// newClaims returns claims as otpd issues them.
func newClaims() *Claims {
	identifier := "somebody@example.invalid" // 24 bytes
	return &Claims{
		Identifier:    &identifier,
		OTPHash:       [sha256.Size]byte{0: 0x01, 1: 0xab, 31: 0xef},
		Timestamp:     1767225600.123,
		OTPExpiry:     1767225900.123,
		SessionExpiry: 1767226500.123,
		MaxRetries:    3,
		ID:            "AAECAwQFBgcICQoLDA0ODw",
	}
}

// payload is the members of a context by name, each as JSON.
type payload map[string]string

// foreign returns the eight members that a context of django-otp-actions has.
func foreign() payload {
	return payload{
		"identifier": `"user@example.invalid"`, "otp_hash": `"` + strings.Repeat("ab", 32) + `"`,
		"metadata": `null`, "timestamp": `1767225600.0`, "otp_expiry": `1767225900.0`,
		"session_expiry": `1767226500.0`, "retry_count": `0`, "max_retries": `3`,
	}
}

// with returns p with the member name set to value, or without it if value is empty.
func (p payload) with(name, value string) payload {
	p = maps.Clone(p)
	p[name] = value
	if value == "" {
		delete(p, name)
	}
	return p
}

func (p payload) json() string {
	var members []string
	for _, name := range slices.Sorted(maps.Keys(p)) {
		members = append(members, `"`+name+`": `+p[name])
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// rawToken writes Fernet tokens by the specification and by nothing of this package or of fernet-go,
// so that tests can have tokens that neither would make, with a right MAC.
type rawToken struct {
	version byte
	time    uint64
	iv      [aes.BlockSize]byte
}

// seal pads and encrypts plaintext and signs the result.
func (r rawToken) seal(t testing.TB, encodedKey, plaintext string) string {
	t.Helper()
	pad := aes.BlockSize - len(plaintext)%aes.BlockSize
	return r.encrypt(t, encodedKey, plaintext+strings.Repeat(string(rune(pad)), pad))
}

// encrypt encrypts plaintext, which is padded already, and signs the result.
func (r rawToken) encrypt(t testing.TB, encodedKey, plaintext string) string {
	t.Helper()
	block, err := aes.NewCipher(decodeKey(t, encodedKey)[16:])
	if err != nil {
		t.Fatal(err)
	}
	ciphertext := []byte(plaintext)
	cipher.NewCBCEncrypter(block, r.iv[:]).CryptBlocks(ciphertext, ciphertext)
	return r.sign(t, encodedKey, ciphertext)
}

// sign signs ciphertext, whatever it is.
func (r rawToken) sign(t testing.TB, encodedKey string, ciphertext []byte) string {
	t.Helper()
	token := binary.BigEndian.AppendUint64([]byte{r.version}, r.time)
	token = append(token, r.iv[:]...)
	token = append(token, ciphertext...)
	mac := hmac.New(sha256.New, decodeKey(t, encodedKey)[:16])
	mac.Write(token)
	return base64.URLEncoding.EncodeToString(mac.Sum(token))
}

func decodeKey(t testing.TB, encoded string) []byte {
	t.Helper()
	key, err := base64.URLEncoding.DecodeString(encoded)
	if err != nil || len(key) != 32 {
		t.Fatalf("key of %d bytes, %v", len(key), err)
	}
	return key
}

// seal returns plaintext in an ordinary token under keyA.
func seal(t testing.TB, plaintext string) string {
	t.Helper()
	return rawToken{version: 0x80, time: uint64(now.Unix())}.seal(t, keyA, plaintext)
}
