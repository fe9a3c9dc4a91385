package otpcontext

import (
	"crypto/aes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzOpen looks for a token that makes Open panic, or say anything but ErrInvalid.
func FuzzOpen(f *testing.F) {
	s := newSealer(f, keyA)
	token := seal(f, foreign().json())
	for _, seed := range []string{"", "gAAA", token, token + "\n", token[:len(token)-4], rawToken{version: 0x80}.sign(f, keyA, nil)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if claims, err := s.Open(token); err != nil && (!errors.Is(err, ErrInvalid) || claims != nil) {
			t.Errorf("Open = %v, %v", claims, err)
		}
	})
}

// FuzzOpenSigned does the same beyond the MAC: it signs whatever ciphertext it is given.
func FuzzOpenSigned(f *testing.F) {
	s := newSealer(f, keyA)
	good := mustDecode(f, seal(f, foreign().json()))
	for _, seed := range [][]byte{nil, make([]byte, aes.BlockSize), make([]byte, 17), good[fernetHead : len(good)-fernetTail]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, ciphertext []byte) {
		raw := rawToken{version: 0x80, time: uint64(now.Unix())}
		if claims, err := s.Open(raw.sign(t, keyA, ciphertext)); err != nil && (!errors.Is(err, ErrInvalid) || claims != nil) {
			t.Errorf("Open = %v, %v", claims, err)
		}
	})
}

// FuzzClaims looks for JSON that is taken for claims and does not come back the same after it was
// written, or is not within the bounds.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(foreign().json()))
	f.Add([]byte(foreign().with("metadata", `{"a":[1.0,"\u00e9",-0]}`).with("identifier", `"\ud83d\ude00"`).json()))
	f.Add(newClaims().marshal(nil))
	f.Add([]byte(foreign().with("decoy", "true").with("purpose", `"p"`).with("resends", "2").json()))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		claims, err := parseClaims(data)
		if err != nil {
			return
		}
		if !claims.wellFormed() {
			t.Errorf("%+v is out of bounds", claims)
		}
		again, err := parseClaims(claims.marshal(nil))
		if err != nil || !reflect.DeepEqual(again, claims) {
			t.Errorf("%+v\nbecame %+v, %v", claims, again, err)
		}
		if strings.Contains(string(claims.marshal(nil)), "\n") {
			t.Error("the JSON has a line break")
		}
	})
}
