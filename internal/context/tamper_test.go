package otpcontext

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

const urlAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// withLength returns a valid token of keyA whose raw bytes are remainder over a multiple of three, so
// that it ends in a certain amount of base64 padding.
func withLength(t testing.TB, remainder int) string {
	t.Helper()
	for blocks := range 3 {
		plaintext := foreign().json() + strings.Repeat(" ", 16*blocks)
		if token := seal(t, plaintext); len(mustDecode(t, token))%3 == remainder {
			return token
		}
	}
	t.Fatalf("no token with remainder %d", remainder)
	return ""
}

func mustDecode(t testing.TB, token string) []byte {
	t.Helper()
	raw, err := base64.URLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestOpenRefusesEveryChangedCharacter(t *testing.T) {
	s := newSealer(t, keyA)
	token := seal(t, foreign().json())
	mustOpen(t, s, token)
	for i := range token {
		for _, c := range []byte{token[i] ^ 1, token[i] ^ 0x20, token[i] ^ 0x80, '!', '=', '\n', ' ', 0} {
			if c == token[i] {
				continue
			}
			assertInvalid(t, s, token[:i]+string([]byte{c})+token[i+1:])
		}
	}
}

func TestOpenRefusesEveryChangedByte(t *testing.T) {
	s := newSealer(t, keyA)
	raw := mustDecode(t, seal(t, foreign().json()))
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			assertInvalid(t, s, base64.URLEncoding.EncodeToString(changed))
		}
	}
}

func TestOpenRefusesEveryTruncation(t *testing.T) {
	s := newSealer(t, keyA)
	token := seal(t, foreign().json())
	raw := mustDecode(t, token)
	for i := range token {
		assertInvalid(t, s, token[:i])
		assertInvalid(t, s, token[i+1:])
	}
	for i := range raw {
		assertInvalid(t, s, base64.URLEncoding.EncodeToString(raw[:i]))
	}
}

func TestOpenRefusesLineBreaksAnywhere(t *testing.T) {
	s := newSealer(t, keyA)
	token := seal(t, foreign().json())
	for i := range len(token) + 1 {
		for _, lineBreak := range []string{"\n", "\r", "\r\n"} {
			assertInvalid(t, s, token[:i]+lineBreak+token[i:])
		}
	}
}

func TestOpenRefusesEveryRespellingOfTheLastCharacter(t *testing.T) {
	s := newSealer(t, keyA)
	for remainder, stray := range []int{0, 4, 2} { // bits of the last character that carry nothing
		token := withLength(t, remainder)
		mustOpen(t, s, token)
		last := strings.IndexByte(token+"=", '=') - 1
		value := strings.IndexByte(urlAlphabet, token[last])
		for v := range 64 {
			respelt := token[:last] + urlAlphabet[v:v+1] + token[last+1:]
			if v == value {
				continue
			}
			if v>>stray == value>>stray && !bytes.Equal(mustDecode(t, respelt), mustDecode(t, token)) {
				t.Fatal("not a re-spelling: the test is wrong")
			}
			assertInvalid(t, s, respelt)
		}
	}
}

func TestOpenRefusesOtherSpellings(t *testing.T) {
	s := newSealer(t, keyA)
	padded, unpadded := withLength(t, 1), withLength(t, 0)
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(padded)
	if standard == padded {
		t.Fatal("the token has no character that the alphabets spell differently")
	}
	for name, token := range map[string]string{
		"empty":                          "",
		"standard alphabet":              standard,
		"padding stripped":               strings.TrimRight(padded, "="),
		"half of the padding":            strings.TrimSuffix(padded, "="),
		"more padding":                   padded + "=",
		"padding where none belongs":     unpadded + "==",
		"a whole quantum of padding":     unpadded + "====",
		"trailing bang":                  padded + "!!!!",
		"trailing bang, no padding":      unpadded + "!!!!",
		"trailing NUL":                   padded + "\x00",
		"trailing second token":          padded + padded,
		"trailing token, no padding":     unpadded + unpadded,
		"trailing token after a dot":     padded + "." + padded,
		"trailing quantum":               unpadded + "AAAA",
		"leading space":                  " " + padded,
		"trailing space":                 padded + " ",
		"leading byte order mark":        "\ufeff" + padded,
		"percent-encoded padding":        strings.ReplaceAll(padded, "=", "%3D"),
		"quoted":                         `"` + padded + `"`,
		"lower case":                     strings.ToLower(padded),
		"base64 of base64":               base64.URLEncoding.EncodeToString([]byte(padded)),
		"raw bytes":                      string(mustDecode(t, padded)),
		"invalid UTF-8":                  "\xff\xfe" + padded,
		"longer than any context":        strings.Repeat("A", MaxToken+4),
		"only padding":                   "====",
		"a bang before a valid token":    "!" + padded,
		"line break at the very end":     padded + "\n",
		"a full-width character inside":  padded[:8] + "Ａ" + padded[9:],
		"a soft hyphen between quanta":   padded[:8] + "\u00ad" + padded[8:],
		"padding in the middle":          padded[:8] + "====" + padded[8:],
		"the two halves in wrong order":  padded[len(padded)/2:] + padded[:len(padded)/2],
		"the first quantum twice":        padded[:4] + padded,
		"a token of a wrong first digit": "hAAA" + padded[4:],
	} {
		t.Run(name, func(t *testing.T) { assertInvalid(t, s, token) })
	}
}

func TestOpenRefusesWhatItDidNotSeal(t *testing.T) {
	s := newSealer(t, keyA)
	good := rawToken{version: 0x80, time: uint64(now.Unix())}
	subkey, err := hkdf.Key(sha256.New, decodeKey(t, keyA), nil, "otpd verification id", sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	text := foreign().json()
	text += strings.Repeat(" ", 16-len(text)%16) // whole blocks
	mustOpen(t, s, good.seal(t, keyA, text))
	for name, token := range map[string]string{
		"foreign key":                     good.seal(t, keyB, text),
		"a subkey, as another kind has":   good.seal(t, base64.URLEncoding.EncodeToString(subkey), text),
		"version 0":                       rawToken{version: 0}.seal(t, keyA, text),
		"version 0x81":                    rawToken{version: 0x81}.seal(t, keyA, text),
		"no ciphertext, right MAC":        good.sign(t, keyA, nil),
		"less than a block, right MAC":    good.sign(t, keyA, make([]byte, 15)),
		"a block and a byte, right MAC":   good.sign(t, keyA, make([]byte, 17)),
		"a block of noise, right MAC":     good.sign(t, keyA, make([]byte, 16)),
		"padding of 0":                    good.encrypt(t, keyA, text+strings.Repeat("\x00", 16)),
		"padding longer than the token":   good.encrypt(t, keyA, strings.Repeat("\xff", 32)),
		"uneven padding":                  good.encrypt(t, keyA, text+"\x0f"+strings.Repeat("\x10", 14)+"\x0f"),
		"nothing but padding":             good.seal(t, keyA, ""),
		"too long, right MAC":             good.seal(t, keyA, text+strings.Repeat(" ", MaxToken)),
		"right MAC and a byte after it":   base64.URLEncoding.EncodeToString(append(mustDecode(t, good.seal(t, keyA, text)), 0)),
		"right MAC and a block after it":  base64.URLEncoding.EncodeToString(append(mustDecode(t, good.seal(t, keyA, text)), make([]byte, 16)...)),
		"the MAC alone":                   base64.URLEncoding.EncodeToString(make([]byte, 32)),
		"a valid head and MAC, swapped":   base64.URLEncoding.EncodeToString(append(make([]byte, 32), mustDecode(t, good.sign(t, keyA, nil))[:25]...)),
		"sealed text":                     seal(t, "hello"),
		"sealed null":                     seal(t, "null"),
		"sealed number":                   seal(t, "1"),
		"sealed array":                    seal(t, "["+text+"]"),
		"sealed string":                   seal(t, `"`+strings.Repeat("a", 64)+`"`),
		"sealed empty object":             seal(t, "{}"),
		"two sealed values":               seal(t, text+text),
		"sealed value and a comma":        seal(t, text+","),
		"sealed value and a NUL":          seal(t, text+"\x00"),
		"byte order mark before the JSON": seal(t, "\ufeff"+text),
		"JSON cut short":                  seal(t, strings.TrimRight(text, "} ")),
		"deep nesting":                    seal(t, strings.Repeat("[", 6000)),
		"UTF-16":                          seal(t, "{\x00}\x00"),
	} {
		t.Run(name, func(t *testing.T) { assertInvalid(t, s, token) })
	}
}

// A context may be as long as MaxToken says, and no longer.
func TestOpenBoundsTheToken(t *testing.T) {
	s := newSealer(t, keyA)
	atMost := (MaxToken/4*3-fernetHead-fernetTail)/16*16 - 1
	for extra, ok := range map[int]bool{0: true, 16: false} {
		text := foreign().json()
		token := seal(t, text+strings.Repeat(" ", atMost-len(text)+extra))
		if (len(token) <= MaxToken) != ok {
			t.Fatalf("a token of %d characters: the test is wrong", len(token))
		}
		if _, err := s.Open(token); (err == nil) != ok {
			t.Errorf("a token of %d characters: %v", len(token), err)
		}
	}
}
