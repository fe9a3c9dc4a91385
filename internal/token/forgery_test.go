package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/otpd/otpd/internal/ledger"
)

// privateKey returns one of jwtKeys.
func privateKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(jwtKeys()[name])
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

// signer signs the first two segments of a JWT.
type signer func(t testing.TB, input string) []byte

// by signs as the algorithm of a key asks for.
func by(key crypto.Signer) signer {
	return func(t testing.TB, input string) []byte {
		t.Helper()
		digest := sha256.Sum256([]byte(input))
		switch key := key.(type) {
		case ed25519.PrivateKey:
			return ed25519.Sign(key, []byte(input))
		case *ecdsa.PrivateKey:
			r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			signature := make([]byte, 64)
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
			return signature
		case *rsa.PrivateKey:
			signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			return signature
		}
		t.Fatalf("a key of type %T", key)
		return nil
	}
}

func byHMAC(secret []byte) signer {
	return func(_ testing.TB, input string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
}

func byNobody(testing.TB, string) []byte { return nil }

// forge returns the JWT of a header and claims, whatever they are.
func forge(t testing.TB, header, claims string, sign signer) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(header)) + "." + encode([]byte(claims))
	return input + "." + encode(sign(t, input))
}

// A token as otpd issues it, made by other means, is good. So the forgeries below fail for what they are.
func TestForgeMakesTokens(t *testing.T) {
	t.Parallel()
	for _, algorithm := range algorithms {
		f := newFixture(t, ledger.None{}, algorithm)
		header, claims := segments(t, f.mustIssue(t).Access)
		f.wantActive(t, algorithm, forge(t, header, claims, by(privateKey(t, algorithm))), true)
	}
}

func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &stubLedger{err: errors.New("down")}, "EdDSA", "ES256", "RS256")
	jwks := f.JWKS()
	for _, algorithm := range algorithms {
		own := privateKey(t, algorithm)
		f.keys.Use(keySet(t, algorithm))
		header, claims := segments(t, f.mustIssue(t).Access)
		f.keys.Use(keySet(t, "EdDSA", "ES256", "RS256"))
		public := publicForms(t, own)
		public["the JWKS"] = jwks
		with := func(alg string) string { return edited(t, header, "alg", alg) }

		forgeries := map[string]string{
			"none":                      forge(t, with("none"), claims, byNobody),
			"None":                      forge(t, with("None"), claims, byNobody),
			"none, signed":              forge(t, with("none"), claims, by(own)),
			"no algorithm":              forge(t, edited(t, header, "alg", nil), claims, by(own)),
			"no signature":              forge(t, header, claims, byNobody),
			"another key, same header":  forge(t, header, claims, by(newKeyLike(t, own))),
			"another key of the set":    forge(t, header, claims, by(privateKey(t, another(algorithm)))),
			"another key and algorithm": forge(t, with(another(algorithm)), claims, by(privateKey(t, another(algorithm)))),
			"a signature of zeros": forge(t, header, claims, func(t testing.TB, input string) []byte {
				return make([]byte, len(by(own)(t, input)))
			}),
			"a signature over the claims alone": forge(t, header, claims, func(t testing.TB, input string) []byte {
				_, claims, _ := strings.Cut(input, ".")
				return by(own)(t, claims)
			}),
			"a hash for a signature": forge(t, header, claims, func(_ testing.TB, input string) []byte {
				sum := sha256.Sum256([]byte(input))
				return sum[:]
			}),
		}
		for _, alg := range []string{"HS256", "HS384", "HS512", "ES384", "ES512", "RS384", "PS256", "Ed25519", "ES256K", "", "eddsa"} {
			forgeries["as "+alg] = forge(t, with(alg), claims, by(own))
		}
		for form, secret := range public {
			forgeries["HS256 with "+form] = forge(t, with("HS256"), claims, byHMAC(secret))
			forgeries["an HMAC under the own header with "+form] = forge(t, header, claims, byHMAC(secret))
		}
		for name, forgery := range forgeries {
			f.wantActive(t, algorithm+", "+name, forgery, false)
			f.revoke(t, forgery) // which would be an error, had it reached the ledger
		}
	}
}

func another(algorithm string) string {
	if algorithm == "EdDSA" {
		return "ES256"
	}
	return "EdDSA"
}

// newKeyLike returns a key of the same kind.
func newKeyLike(t testing.TB, key crypto.Signer) crypto.Signer {
	t.Helper()
	switch key.(type) {
	case ed25519.PrivateKey:
		return privateKey(t, "another EdDSA")
	case *rsa.PrivateKey:
		return rsaKey(t, generatedRSA)
	}
	another, err := ecdsa.GenerateKey(key.(*ecdsa.PrivateKey).Curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return another
}

// publicForms are what an attacker may take for a secret.
func publicForms(t testing.TB, key crypto.Signer) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{
		"nothing": nil, "DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
	}
	if public, ok := key.Public().(ed25519.PublicKey); ok {
		forms["the bytes"] = public
	}
	return forms
}

// A header has one spelling, even if the key itself has signed another.
func TestHeaders(t *testing.T) {
	t.Parallel()
	f := newFixture(t, &stubLedger{err: errors.New("down")})
	own, attacker := privateKey(t, "EdDSA"), privateKey(t, "another EdDSA")
	header, claims := segments(t, f.mustIssue(t).Access)
	embedded := jose.JSONWebKey{Key: attacker.Public(), KeyID: f.keys.current.Load().signs.public.KeyID}
	for name, test := range map[string]struct {
		header string
		sign   signer
	}{
		"an unknown critical extension": {edited(t, header, "crit", []string{"exp"}), by(own)},
		"a known critical extension":    {edited(t, edited(t, header, "crit", []string{"b64"}), "b64", true), by(own)},
		"nothing critical":              {edited(t, header, "crit", []string{}), by(own)},
		"an extension":                  {edited(t, header, "b64", true), by(own)},
		"an embedded key":               {edited(t, header, "jwk", embedded), by(attacker)},
		"an embedded key, own":          {edited(t, header, "jwk", jose.JSONWebKey{Key: own.Public()}), by(own)},
		"an address of keys":            {edited(t, header, "jku", "https://attacker.example.invalid/jwks.json"), by(own)},
		"a chain of certificates":       {edited(t, header, "x5c", []string{"AAAA"}), by(own)},
		"a content type":                {edited(t, header, "cty", "JWT"), by(own)},
		"compression":                   {edited(t, header, "zip", "DEF"), by(own)},
		"typ JWT":                       {edited(t, header, "typ", "JWT"), by(own)},
		"typ in capitals":               {edited(t, header, "typ", "AT+JWT"), by(own)},
		"typ as a media type":           {edited(t, header, "typ", "application/at+jwt"), by(own)},
		"no typ":                        {edited(t, header, "typ", nil), by(own)},
		"no kid":                        {edited(t, header, "kid", nil), by(own)},
		"an empty kid":                  {edited(t, header, "kid", ""), by(own)},
		"an unknown kid":                {edited(t, header, "kid", strings.Repeat("A", 43)), by(own)},
		"a path for a kid":              {edited(t, header, "kid", "../../dev/null"), by(own)},
		"a number for a kid":            {edited(t, header, "kid", 1), by(own)},
		"a space":                       {strings.Replace(header, ",", ", ", 1), by(own)},
		"a member twice":                {strings.Replace(header, "{", `{"alg":"EdDSA",`, 1), by(own)},
		"a member twice, other":         {strings.Replace(header, "{", `{"alg":"none",`, 1), by(own)},
		"an escaped letter":             {strings.Replace(header, `"alg"`, `"\u0061lg"`, 1), by(own)},
		"nothing":                       {"", by(own)},
		"no object":                     {"null", by(own)},
		"no JSON":                       {"alg=EdDSA", by(own)},
	} {
		f.wantActive(t, name, forge(t, test.header, claims, test.sign), false)
	}
}

// Claims of the same key that are not those of an access token of otpd.
func TestClaims(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	own := privateKey(t, "EdDSA")
	header, claims := segments(t, f.mustIssue(t).Access)
	at := start.Unix()
	bad := map[string]string{
		"nothing": "", "null": "null", "an array": "[" + claims + "]", "text": `"sub"`, "an empty object": "{}",
		"twice": claims + claims, "more behind": claims + "x", "cut short": claims[:len(claims)-1], "not UTF-8": "\xff",
		"a claim twice":   strings.Replace(claims, "{", `{"sub":"`+ann+`",`, 1),
		"more than 8 KiB": edited(t, claims, "purpose", strings.Repeat("a", maxAccess)),
	}
	for _, edit := range []struct {
		claim  string
		values []any
	}{
		{"iss", []any{nil, "", "https://another.example.invalid", issuer + "/", []string{issuer}, 1}},
		{"aud", []any{nil, "", "https://another.example.invalid", []string{audience}, []string{audience, "x"}, 1}},
		{"exp", []any{nil, at, at - 1, "2200000000", 1e30, -1, 0.5}},
		{"nbf", []any{at + 61, "0", 0.5}},
		{"iat", []any{"0", 0.5}},
		{"sub", []any{1, []string{ann}}},
		{"sid", []any{nil, "", 1, strings.Repeat("A", 21), strings.Repeat("A", 23), strings.Repeat("A", 21) + "B"}},
		{"client_id", []any{"shop", 1}},
		{"amr", []any{"otp", []int{1}}},
		{"scope", []any{"none"}},
		{"cnf", []any{map[string]string{"jkt": "A"}}},
		{"Sub", []any{ann}},
	} {
		for _, value := range edit.values {
			bad[fmt.Sprintf("%s of %.40v", edit.claim, value)] = edited(t, claims, edit.claim, value)
		}
	}
	for name, claims := range bad {
		f.wantActive(t, name, forge(t, header, claims, by(own)), false)
	}
	f.wantActive(t, "a claim edited as it was", forge(t, header, edited(t, claims, "sub", ann), by(own)), true)
}

func TestEveryChangedCharacterIsRefused(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, algorithm := range algorithms {
		f := newFixture(t, &stubLedger{err: errors.New("down")}, algorithm)
		token := f.mustIssue(t).Access
		for i := range token {
			next := alphabet[(strings.IndexByte(alphabet, token[i])+1)%len(alphabet)]
			for _, c := range []byte{next, token[i] ^ 1, token[i] ^ 0x20} {
				f.wantActive(t, fmt.Sprint(algorithm, " ", i), token[:i]+string(rune(c))+token[i+1:], false)
			}
			f.wantActive(t, fmt.Sprint(algorithm, " without ", i), token[:i]+token[i+1:], false)
			f.wantActive(t, fmt.Sprint(algorithm, " up to ", i), token[:i], false)
		}
	}
}

// What decodes to the same bytes is another text, and so refused.
func TestRespeltTokens(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	f := newFixture(t, ledger.None{})
	token := f.mustIssue(t).Access
	parts := strings.Split(token, ".")
	spellings := []string{
		" " + token, token + " ", token + "\n", "\n" + token, token + ".", "." + token, token + ".e30", token + "=",
		strings.ReplaceAll(token, ".", ".\n"), "Bearer " + token, strings.ReplaceAll(token, ".", "%2E"),
		`{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
	}
	for i, part := range parts {
		with := func(part string) {
			respelt := append([]string(nil), parts...)
			respelt[i] = part
			spellings = append(spellings, strings.Join(respelt, "."))
		}
		with(part + strings.Repeat("=", (4-len(part)%4)%4) + "=")
		with(part + "\n")
		with(part[:10] + "\r\n" + part[10:])
		with("\n" + part)
		with(part + "A")
		for _, c := range alphabet {
			if last := len(part) - 1; byte(c) != part[last] {
				with(part[:last] + string(c))
			}
		}
		if standard := strings.NewReplacer("-", "+", "_", "/").Replace(part); standard != part {
			with(standard)
		}
	}
	lax := 0
	for _, spelling := range spellings {
		f.wantActive(t, fmt.Sprintf("%q", spelling), spelling, false)
		signed, err := jose.ParseSignedCompact(spelling, []jose.SignatureAlgorithm{jose.EdDSA})
		if err == nil {
			if _, err = signed.Verify(f.keys.current.Load().signs.public); err == nil {
				lax++
			}
		}
	}
	if lax < 20 {
		t.Errorf("go-jose takes %d of these: they are no test", lax)
	}
	f.wantActive(t, "as it was", token, true)
}
