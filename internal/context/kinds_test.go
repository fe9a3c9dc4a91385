package otpcontext

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
)

var kinds = []Kind{Device, Challenge, Refresh, Receipt}

func mustSealAs(t testing.TB, s *Sealer, kind Kind, data string) string {
	t.Helper()
	token, err := s.SealAs(kind, []byte(data), now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// assertNotOpen fails t unless s says of token, as one of a kind, that it is invalid, and nothing else.
func assertNotOpen(t testing.TB, s *Sealer, kind Kind, token string) {
	t.Helper()
	if data, primary, err := s.OpenAs(kind, token); err != ErrInvalid || data != nil || primary {
		t.Errorf("OpenAs(%s) = %q, %t, %v; want nothing and ErrInvalid", kind, data, primary, err)
	}
}

func TestSealAsOpenAs(t *testing.T) {
	s := newSealer(t, keyA, keyB)
	for _, kind := range kinds {
		for _, data := range []string{"{}", "\x00\xff binary", strings.Repeat("x", 5000), ""} {
			got, primary, err := s.OpenAs(kind, mustSealAs(t, s, kind, data))
			if err != nil || string(got) != data || !primary {
				t.Errorf("%s of %d bytes came back as %d, %t, %v", kind, len(data), len(got), primary, err)
			}
		}
	}
}

// A token opens as what it was sealed as, and as nothing else.
func TestKindsAreApart(t *testing.T) {
	s := newSealer(t, keyA)
	payload := foreign().json() // good for a context, were it sealed as one
	claims := newClaims()
	tokens := map[string]string{"context": mustSeal(t, s, claims), "foreign context": seal(t, payload)}
	for _, kind := range kinds {
		tokens[kind.String()] = mustSealAs(t, s, kind, payload)
	}
	for sealed, token := range tokens {
		for _, kind := range kinds {
			if sealed == kind.String() {
				continue
			}
			assertNotOpen(t, s, kind, token)
		}
		if sealed == "context" || sealed == "foreign context" {
			mustOpen(t, s, token)
		} else {
			assertInvalid(t, s, token)
		}
	}
}

// The subkey of a kind is HKDF-SHA256 of the ring key, without a salt, with the kind's name as info. Whoever has the
// key can open a token with what any Fernet library offers.
func TestSubkeys(t *testing.T) {
	s := newSealer(t, keyA)
	for kind, info := range map[Kind]string{Device: "device", Challenge: "challenge"} {
		subkey, err := hkdf.Key(sha256.New, decodeKey(t, keyA), nil, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		encoded := base64.URLEncoding.EncodeToString(subkey)
		token := rawToken{version: 0x80, time: uint64(now.Unix())}.seal(t, encoded, "made elsewhere")
		if data, _, err := s.OpenAs(kind, token); err != nil || string(data) != "made elsewhere" {
			t.Errorf("%s: %q, %v", kind, data, err)
		}
	}
}

func TestKindsRotate(t *testing.T) {
	for _, kind := range kinds {
		s := newSealer(t, keyA)
		old := mustSealAs(t, s, kind, "old")
		s.Use(newRing(t, keyB, keyA))
		if data, primary, err := s.OpenAs(kind, old); err != nil || string(data) != "old" || primary {
			t.Errorf("%s, under a fallback: %q, %t, %v", kind, data, primary, err)
		}
		fresh := mustSealAs(t, s, kind, "fresh")
		s.Use(newRing(t, keyB))
		if data, primary, err := s.OpenAs(kind, fresh); err != nil || string(data) != "fresh" || !primary {
			t.Errorf("%s, under the new key: %q, %t, %v", kind, data, primary, err)
		}
		assertNotOpen(t, s, kind, old)
		assertNotOpen(t, newSealer(t, keyA), kind, fresh)
	}
}

// Every laxity that a context is not allowed, another kind is not either.
func TestKindsAreStrict(t *testing.T) {
	s := newSealer(t, keyA)
	for _, kind := range kinds {
		token := mustSealAs(t, s, kind, "a payload that is somewhat longer than a block of the cipher")
		bare := bytes.TrimRight([]byte(token), "=")
		for name, bad := range map[string]string{
			"empty":                "",
			"cut short":            token[:len(token)-4],
			"with a line break":    token + "\n",
			"with a space before":  " " + token,
			"without padding":      string(bare),
			"with padding too far": token + "====",
			"twice":                token + token,
			"of the head only":     token[:100],
			"without a ciphertext": rawToken{version: 0x80}.sign(t, keyA, nil),
			"beyond all bounds":    strings.Repeat("A", MaxToken+4),
		} {
			if bad != token {
				t.Run(kind.String()+" "+name, func(t *testing.T) { assertNotOpen(t, s, kind, bad) })
			}
		}
		raw := mustDecode(t, token)
		for i := range raw {
			for _, bit := range []byte{1, 0x80} {
				changed := slices.Clone(raw)
				changed[i] ^= bit
				assertNotOpen(t, s, kind, base64.URLEncoding.EncodeToString(changed))
			}
		}
	}
}

func TestSealAsHasABound(t *testing.T) {
	s := newSealer(t, keyA)
	for _, kind := range kinds {
		fits := (MaxToken/4*3 - fernetHead - fernetTail) / 16 * 16
		if token := mustSealAs(t, s, kind, strings.Repeat("x", fits-1)); len(token) > MaxToken {
			t.Errorf("%s: a token of %d characters", kind, len(token))
		}
		if _, err := s.SealAs(kind, make([]byte, fits), now); err == nil || errors.Is(err, ErrInvalid) {
			t.Errorf("%s of %d bytes: %v", kind, fits, err)
		}
	}
}

func TestSubjectIsThatOfContexts(t *testing.T) {
	const ann = "user@example.invalid"
	for _, keys := range [][]string{{keyA}, {keyA, keyB}, {keyB, keyA}} {
		s := newSealer(t, keys...)
		if subject := s.Subject("shop", ann); subject != s.Subjects("shop", ann)[0] || subject == s.Subject("", ann) || len(subject) != 22 {
			t.Errorf("%q", subject)
		}
	}
}
