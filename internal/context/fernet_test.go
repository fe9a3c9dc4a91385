package otpcontext

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

type fernetVectors struct {
	Key                 string
	Good, Outlived, Bad []struct {
		Name, Token, IV, Plaintext string
		Time                       uint64
	}
}

func readFernetVectors(t testing.TB) (v fernetVectors) {
	t.Helper()
	data, err := os.ReadFile("testdata/fernet.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Good) == 0 || len(v.Outlived) == 0 || len(v.Bad) == 0 {
		t.Fatal("vectors are missing")
	}
	return v
}

func TestFernetVectors(t *testing.T) {
	vectors := readFernetVectors(t)
	ring := newRing(t, vectors.Key)
	for _, v := range vectors.Good {
		t.Run(v.Name, func(t *testing.T) {
			raw := rawToken{version: 0x80, time: v.Time}
			if n, err := hex.Decode(raw.iv[:], []byte(v.IV)); err != nil || n != len(raw.iv) {
				t.Fatalf("IV of %d bytes, %v", n, err)
			}
			if got := raw.seal(t, vectors.Key, v.Plaintext); got != v.Token {
				t.Errorf("the tests' own writer made\n%s, want\n%s", got, v.Token)
			}
			if data, opened := ring.decrypt(v.Token); opened == nil || string(data) != v.Plaintext {
				t.Errorf("decrypt = %q, opened %t; want %q", data, opened != nil, v.Plaintext)
			}
		})
	}
	for _, v := range vectors.Outlived {
		t.Run(v.Name+" is for the claims to refuse", func(t *testing.T) {
			if data, opened := ring.decrypt(v.Token); opened == nil || string(data) != v.Plaintext {
				t.Errorf("decrypt = %q, opened %t; want %q", data, opened != nil, v.Plaintext)
			}
		})
	}
	for _, v := range vectors.Bad {
		t.Run(v.Name, func(t *testing.T) {
			if data, opened := ring.decrypt(v.Token); opened != nil {
				t.Errorf("decrypt = %q, want a refusal", data)
			}
		})
	}
}

func TestSealWritesPlainFernet(t *testing.T) {
	s := newSealer(t, keyA)
	token := mustSeal(t, s, newClaims())
	raw, err := base64.URLEncoding.Strict().DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	again := rawToken{version: 0x80, time: uint64(now.Unix())}
	copy(again.iv[:], raw[9:])
	if want := again.seal(t, keyA, string(newClaims().marshal(nil))); token != want {
		t.Errorf("Seal = %s\nwant   %s", token, want)
	}
	if token == mustSeal(t, s, newClaims()) {
		t.Error("two tokens of the same claims are the same: the IV is not random")
	}
}
