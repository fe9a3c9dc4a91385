package otp

import (
	"crypto/sha256"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCodeHasItsLengthAndAlphabet(t *testing.T) {
	f := newFixture(t, newMemory(t))
	for name, alphabet := range alphabets {
		for length := MinLength; length <= MaxLength; length++ {
			code := f.mustGenerate(t, GenerateRequest{Alphabet: pointer(name), Length: &length}).OTP
			if len(code) != length || strings.Trim(code, alphabet) != "" {
				t.Errorf("%s of length %d: %q", name, length, code)
			}
		}
	}
}

func TestAlphabets(t *testing.T) {
	for name, want := range map[string]string{
		Numeric: "0123456789", Alphanumeric: "23456789ABCDEFGHJKLMNPQRSTUVWXYZ", Letters: "BCDFGHJKLMNPQRSTVWXZ",
	} {
		if alphabets[name] != want {
			t.Errorf("%s is %s, want %s", name, alphabets[name], want)
		}
	}
}

// TestCodeIsUnbiased counts the characters at each place of a million codes. Its bound would be passed
// by chance about once in 10^13 runs, and is passed by a bias of one in 255.
func TestCodeIsUnbiased(t *testing.T) {
	const codes, length = 1_000_000, 6
	for name, alphabet := range alphabets {
		t.Run(name, func(t *testing.T) {
			var counts [length]counter
			for range codes {
				code := NewCode(name, length)
				for place := range counts {
					counts[place][code[place]]++
				}
			}
			for place := range counts {
				if x, most := counts[place].chiSquare(alphabet), chiSquareBound(len(alphabet)-1); x > most {
					t.Errorf("place %d: chi-square %.0f, want at most %.0f", place+1, x, most)
				}
			}
		})
		t.Run(name+", a biased generator is found out", func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			var counts counter
			for range codes {
				counts[alphabet[random.IntN(255)%len(alphabet)]]++ // no multiple of any alphabet's size
			}
			if x, most := counts.chiSquare(alphabet), chiSquareBound(len(alphabet)-1); x <= most {
				t.Errorf("chi-square %.0f is within the bound of %.0f", x, most)
			}
		})
	}
}

type counter [256]int

// chiSquare is Pearson's statistic of the counts for equally likely characters of alphabet.
func (c counter) chiSquare(alphabet string) (x float64) {
	total := 0
	for _, n := range c {
		total += n
	}
	expected := float64(total) / float64(len(alphabet))
	for _, b := range []byte(alphabet) {
		difference := float64(c[b]) - expected
		x += difference * difference / expected
	}
	return x
}

// chiSquareBound is what the statistic stays below but for once in 10^13 times, by Wilson and Hilferty's
// approximation.
func chiSquareBound(freedom int) float64 {
	const deviations = 7.4
	n := float64(freedom)
	return n * math.Pow(1-2/(9*n)+deviations*math.Sqrt(2/(9*n)), 3)
}

func TestCanonicalisation(t *testing.T) {
	const code = "2K7SIZ"
	tests := []struct {
		name, typed string
		right       bool
	}{
		{"as issued", "2K7SIZ", true},
		{"lower case", "2k7siz", true},
		{"mixed case", "2K7sIz", true},
		{"spaces around", "  2K7SIZ ", true},
		{"a line break after", "2K7SIZ\r\n", true},
		{"tabs", "\t2K7\tSIZ", true},
		{"vertical tab and form feed", "2K7\v\fSIZ", true},
		{"a space inside", "2K7 SIZ", true},
		{"hyphens", "2-K-7-S-I-Z", true},
		{"hyphens around", "--2K7SIZ--", true},
		{"nothing", "", false},
		{"only what is dropped", " - ", false},
		{"too short", "2K7SI", false},
		{"too long", "2K7SIZZ", false},
		{"twice", "2K7SIZ2K7SIZ", false},
		{"another character", "2K7SIY", false},
		{"in another order", "K27SIZ", false},
		{"full-width digits", "２K７SIZ", false},
		{"full-width letters", "2Ｋ7SIZ", false},
		{"Arabic digits", "٢K٧SIZ", false},
		{"long s, U+017F", "2K7\u017fIZ", false},
		{"Kelvin sign, U+212A", "2\u212a7SIZ", false},
		{"dotless i, U+0131", "2K7S\u0131Z", false},
		{"dotted I, U+0130", "2K7S\u0130Z", false},
		{"Cyrillic", "2К7SIZ", false},
		{"no-break space", "2K7\u00a0SIZ", false},
		{"zero-width space", "2K7\u200bSIZ", false},
		{"em space", "2K7\u2003SIZ", false},
		{"line separator", "2K7SIZ\u2028", false},
		{"en dash", "2K7\u2013SIZ", false},
		{"soft hyphen", "2K7\u00adSIZ", false},
		{"underscore", "2K7_SIZ", false},
		{"dot", "2K7.SIZ", false},
		{"NUL", "2K7SIZ\x00", false},
		{"invalid UTF-8", "2K7SIZ\xff", false},
		{"NEL as one byte", "2K7SIZ\x85", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := codeMatches(sha256.Sum256([]byte(code)), test.typed); got != test.right {
				t.Errorf("%q is right: %t, want %t", test.typed, got, test.right)
			}
		})
	}
}
