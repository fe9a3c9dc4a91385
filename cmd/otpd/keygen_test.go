package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/otpd/otpd/internal/token"
)

func TestKeygenJWT(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"", "EdDSA", "ES256", "RS256"} {
		var out bytes.Buffer
		if err := keygenJWT(&out, algorithm); err != nil {
			t.Fatal(err)
		}
		if _, err := token.ParseKeys(out.Bytes()); err != nil || !strings.HasPrefix(out.String(), "-----BEGIN PRIVATE KEY-----\n") {
			t.Errorf("%q: %v", algorithm, err)
		}
	}
}

func TestKeygenJWTOfAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"none", "HS256", "PS256", "eddsa"} {
		var out bytes.Buffer
		if err := keygenJWT(&out, algorithm); err == nil || out.Len() > 0 {
			t.Errorf("%q: %v and %d bytes", algorithm, err, out.Len())
		}
	}
}
