package otpcontext

import (
	"strings"
	"testing"
)

func TestForeignKeysOpenWhatTheirsSealed(t *testing.T) {
	vectors := readFernetVectors(t)
	for _, keys := range [][]string{{vectors.Key}, {keyA, vectors.Key}} {
		foreign, err := ParseForeignKeys(keys)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range append(vectors.Good, vectors.Outlived...) {
			if data, err := foreign.Open(v.Token); err != nil || string(data) != v.Plaintext {
				t.Errorf("%s: Open = %q, %v; want %q", v.Name, data, err, v.Plaintext)
			}
		}
		for _, v := range vectors.Bad {
			if data, err := foreign.Open(v.Token); err != ErrInvalid || data != nil {
				t.Errorf("%s: Open = %q, %v; want ErrInvalid", v.Name, data, err)
			}
		}
	}
}

func TestForeignKeysOpenNothingElse(t *testing.T) {
	foreign, err := ParseForeignKeys([]string{keyB})
	if err != nil {
		t.Fatal(err)
	}
	token := rawToken{version: 0x80}.seal(t, keyA, "a secret")
	for name, token := range map[string]string{
		"of another key": token,
		"empty":          "",
		"not a token":    "JBSWY3DPEHPK3PXP",
		"re-spelt":       rawToken{version: 0x80}.seal(t, keyB, "a secret") + "\n",
		"cut off":        rawToken{version: 0x80}.seal(t, keyB, "a secret")[:96],
	} {
		if data, err := foreign.Open(token); err != ErrInvalid || data != nil {
			t.Errorf("%s: Open = %q, %v; want ErrInvalid", name, data, err)
		}
	}
	if data, err := foreign.Open(rawToken{version: 0x80}.seal(t, keyB, "a secret")); err != nil || string(data) != "a secret" {
		t.Errorf("of the key: Open = %q, %v", data, err)
	}
}

func TestForeignKeysAreParsedStrictly(t *testing.T) {
	const bad = "not-a-key-but-as-long-as-one-would-be-really"
	for _, test := range []struct {
		keys  []string
		place string
	}{
		{[]string{bad}, "key 1 "},
		{[]string{keyA, bad}, "key 2 "},
		{[]string{keyA, ""}, "key 2 "},
		{[]string{keyA[:43]}, "key 1 "},
	} {
		foreign, err := ParseForeignKeys(test.keys)
		if err == nil || foreign != nil || !strings.HasPrefix(err.Error(), test.place) || strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v, %v; want an error about %sthat does not quote it", test.keys, foreign, err, test.place)
		}
	}
}
