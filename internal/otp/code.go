package otp

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// The alphabets a code can be made of, by name. Those with letters leave out what is easily misread
// (I, O, 0, 1), and the last one vowels too, so that no code spells a word.
const (
	Numeric      = "numeric"
	Alphanumeric = "alphanumeric"
	Letters      = "letters"
)

var alphabets = map[string]string{
	Numeric:      "0123456789",
	Alphanumeric: "23456789ABCDEFGHJKLMNPQRSTUVWXYZ",
	Letters:      "BCDFGHJKLMNPQRSTVWXZ",
}

// Bounds on the length of a code, in characters.
const (
	MinLength = 6
	MaxLength = 12
)

// NewCode returns length characters, MinLength to MaxLength, of a named alphabet, each as likely as any other.
func NewCode(alphabetName string, length int) string {
	alphabet := alphabets[alphabetName]
	// A byte at or above the greatest multiple of the alphabet's size would favour its first
	// characters, so it is thrown away.
	fair := 256 / len(alphabet) * len(alphabet)
	code := make([]byte, 0, MaxLength)
	var random [2 * MaxLength]byte
	for {
		rand.Read(random[:]) // never fails: it ends the program first
		for _, b := range random {
			if int(b) >= fair {
				continue
			}
			code = append(code, alphabet[int(b)%len(alphabet)])
			if len(code) == length {
				return string(code)
			}
		}
	}
}

// Canonical returns a typed code as it was issued: without spaces and hyphens, in upper case. Only
// ASCII is folded; a look-alike from outside it stays what it is, and is wrong.
func Canonical(typed string) []byte {
	code := make([]byte, 0, len(typed))
	for _, b := range []byte(typed) {
		switch {
		case b == ' ' || '\t' <= b && b <= '\r' || b == '-':
		case 'a' <= b && b <= 'z':
			code = append(code, b-'a'+'A')
		default:
			code = append(code, b)
		}
	}
	return code
}

// codeMatches compares the hash of a typed code to that of the issued one, in constant time.
func codeMatches(issued [sha256.Size]byte, typed string) bool {
	got := sha256.Sum256(Canonical(typed))
	return subtle.ConstantTimeCompare(issued[:], got[:]) == 1
}

// A context names the alphabet and the length of its code only where they are not the usual ones.
const usualLength = 6

func alphabetOf(c *otpcontext.Claims) string { return cmp.Or(c.Alphabet, Numeric) }

func lengthOf(c *otpcontext.Claims) int { return cmp.Or(c.Length, usualLength) }

func setAlphabet(c *otpcontext.Claims, alphabet string) {
	c.Alphabet = alphabet
	if alphabet == Numeric {
		c.Alphabet = ""
	}
}

func setLength(c *otpcontext.Claims, length int) {
	c.Length = length
	if length == usualLength {
		c.Length = 0
	}
}
