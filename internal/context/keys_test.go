package otpcontext

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestParseRingTakesBothSpellings(t *testing.T) {
	urlSafe := keyB
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(keyB)
	if standard == urlSafe {
		t.Fatal("the key is spelt alike in both alphabets: the test is wrong")
	}
	token := mustSeal(t, newSealer(t, standard), newClaims())
	mustOpen(t, newSealer(t, urlSafe), token)
}

func TestParseRingRefuses(t *testing.T) {
	raw := decodeKey(t, keyB)
	standard := base64.StdEncoding.EncodeToString(raw)
	tests := []struct {
		name string
		keys []string
		want string // in the error
	}{
		{"no key", nil, "no key"},
		{"an empty key", []string{""}, "key 1 is not 32 bytes"},
		{"an empty fallback", []string{keyA, ""}, "key 2 is not 32 bytes"},
		{"31 bytes", []string{base64.URLEncoding.EncodeToString(raw[:31])}, "key 1 is not 32 bytes"},
		{"33 bytes", []string{base64.URLEncoding.EncodeToString(append(raw, 0))}, "key 1 is not 32 bytes"},
		{"unpadded", []string{strings.TrimRight(keyB, "=")}, "key 1 is not 32 bytes"},
		{"too much padding", []string{keyB + "="}, "key 1 is not 32 bytes"},
		{"hexadecimal", []string{hex.EncodeToString(raw)}, "key 1 is not 32 bytes"},
		{"a line break at the end", []string{keyB + "\n"}, "key 1 is not 32 bytes"},
		{"a line break inside", []string{keyB[:20] + "\n" + keyB[20:]}, "key 1 is not 32 bytes"},
		{"a carriage return inside", []string{keyB[:20] + "\r" + keyB[20:]}, "key 1 is not 32 bytes"},
		{"a line break for the padding", []string{keyB[:43] + "\n"}, "key 1 is not 32 bytes"},
		{"a space before", []string{" " + keyB}, "key 1 is not 32 bytes"},
		{"both alphabets in one key", []string{"+" + keyB[1:]}, "key 1 is not 32 bytes"},
		{"stray bits in the last character", []string{keyB[:42] + "B="}, "key 1 is not 32 bytes"},
		{"not base64", []string{strings.Repeat("!", 44)}, "key 1 is not 32 bytes"},
		{"all zero", []string{base64.URLEncoding.EncodeToString(make([]byte, 32))}, "key 1 is all zero"},
		{"an all-zero fallback", []string{keyA, base64.URLEncoding.EncodeToString(make([]byte, 32))}, "key 2 is all zero"},
		{"a key twice", []string{keyB, keyB}, "key 2 is key 1 again"},
		{"a key twice, spelt differently", []string{keyA, keyB, standard}, "key 3 is key 2 again"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ring, err := ParseRing(test.keys)
			if err == nil || ring != nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("ParseRing = %v, %v; want an error with %q", ring, err, test.want)
			}
			for _, key := range test.keys {
				if len(key) > 8 && strings.Contains(err.Error(), strings.TrimSpace(key)[:8]) {
					t.Errorf("the error %q quotes a key", err)
				}
			}
		})
	}
}

func TestGenerateKey(t *testing.T) {
	first, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	second, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	newRing(t, first, second) // refuses a bad key, and the same one twice
}
