package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Bounds on the modulus of an RSA key, in bits. Verifiers refuse what is larger: its use is costly.
const (
	minRSA = 2048
	maxRSA = 4096
)

const (
	pemType  = "PRIVATE KEY" // PKCS #8, RFC 7468 §10
	pemBegin = "-----BEGIN "
)

// ParseKeys makes a set of the private keys in a PEM file, the signing one first: PKCS #8 without a password, and no
// key twice. An Ed25519 key signs as EdDSA, a P-256 key as ES256, an RSA key of 2048 to 4096 bits as RS256. There may
// be nothing but white space around the blocks. Errors name a block by its place, from 1, and never quote it.
func ParseKeys(pemData []byte) (*KeySet, error) {
	var keys []*key
	places := make(map[string]int) // by key id
	for rest := bytes.TrimSpace(pemData); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		n := len(keys) + 1
		var der []byte
		var err error
		if der, rest, err = cutBlock(rest); err != nil {
			return nil, fmt.Errorf("block %d %w", n, err)
		}
		k, err := parseKey(der)
		if err != nil {
			return nil, fmt.Errorf("block %d %w", n, err)
		}
		if first, ok := places[k.public.KeyID]; ok {
			return nil, fmt.Errorf("block %d is block %d again", n, first)
		}
		places[k.public.KeyID] = n
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("no key")
	}
	return newKeySet(keys)
}

// cutBlock returns what the PEM block at the beginning of data holds, and what follows it. [pem.Decode] passes over
// any text and, worse, over a key that is damaged, so that the next one would sign.
func cutBlock(data []byte) (der, rest []byte, err error) {
	block, rest := pem.Decode(data)
	if block == nil || !bytes.HasPrefix(data, []byte(pemBegin)) ||
		bytes.Count(data[:len(data)-len(rest)], []byte(pemBegin)) != 1 {
		return nil, nil, errors.New("is not PEM, or damaged")
	}
	if block.Type != pemType || len(block.Headers) > 0 {
		return nil, nil, errors.New("is not a PKCS #8 private key without a password (BEGIN PRIVATE KEY)")
	}
	return block.Bytes, rest, nil
}

func parseKey(der []byte) (*key, error) {
	if after, err := asn1.Unmarshal(der, new(asn1.RawValue)); err != nil || len(after) > 0 {
		return nil, errors.New("is damaged")
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("is damaged, or of a kind that is not supported")
	}
	switch private := private.(type) {
	case ed25519.PrivateKey:
		return newKey(private, jose.EdDSA)
	case *ecdsa.PrivateKey:
		if private.Curve == elliptic.P256() {
			return newKey(private, jose.ES256)
		}
	case *rsa.PrivateKey:
		if bits := private.N.BitLen(); bits >= minRSA && bits <= maxRSA {
			return newKey(private, jose.RS256)
		}
	}
	return nil, fmt.Errorf("is not an Ed25519, P-256 or RSA key of %d to %d bits", minRSA, maxRSA)
}

// generatedRSA is the size of a new RSA key in bits: 128 bits of security, NIST SP 800-57 Part 1 §5.6.1.
const generatedRSA = 3072

// GenerateKey returns a new random private key for an algorithm, EdDSA, ES256 or RS256, as [ParseKeys] reads it.
func GenerateKey(algorithm string) ([]byte, error) {
	var private crypto.Signer
	var err error
	switch jose.SignatureAlgorithm(algorithm) {
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(nil)
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.RS256:
		private, err = rsa.GenerateKey(rand.Reader, generatedRSA)
	default:
		err = errors.New("the algorithm must be EdDSA, ES256 or RS256")
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), err
}
