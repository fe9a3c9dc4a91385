package main

import (
	"cmp"
	"io"

	"github.com/otpd/otpd/internal/token"
)

// keygenJWT prints a new private key for access tokens, in PEM. The algorithm may be empty.
func keygenJWT(stdout io.Writer, algorithm string) error {
	key, err := token.GenerateKey(cmp.Or(algorithm, "EdDSA"))
	if err != nil {
		return err
	}
	_, err = stdout.Write(key)
	return err
}
