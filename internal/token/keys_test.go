package token

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed" // of a key
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/otpd/otpd/internal/ledger"
)

func TestKeyIDIsTheThumbprint(t *testing.T) {
	t.Parallel()
	set, err := ParseKeys(rfc8037Key(t))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"keys":[{"use":"sig","kty":"OKP","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",` + // §A.3
		`"crv":"Ed25519","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	if got := string(set.jwks); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func rfc8037Key(t testing.TB) []byte {
	t.Helper()
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A") // §A.1
	if err != nil {
		t.Fatal(err)
	}
	return pkcs8(t, ed25519.NewKeyFromSeed(seed))
}

func TestAllKeysArePublishedAndNoSecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{}, "RS256", "EdDSA", "ES256")
	var published struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(f.JWKS(), &published); err != nil {
		t.Fatal(err)
	}
	want := []struct{ algorithm, kty, crv, members string }{
		{"RS256", "RSA", "", "alg e kid kty n use"},
		{"EdDSA", "OKP", "Ed25519", "alg crv kid kty use x"},
		{"ES256", "EC", "P-256", "alg crv kid kty use x y"},
	}
	if len(published.Keys) != len(want) {
		t.Fatalf("%d keys, want %d", len(published.Keys), len(want))
	}
	ids := make(map[string]bool)
	for i, key := range published.Keys {
		names := strings.Join(slices.Sorted(maps.Keys(key)), " ")
		if w := want[i]; key["alg"] != w.algorithm || key["kty"] != w.kty || key["crv"] != w.crv || key["use"] != "sig" || names != w.members {
			t.Errorf("key %d: %v, want %+v", i+1, key, w)
		}
		ids[key["kid"]] = true
	}
	if len(ids) != len(want) {
		t.Errorf("%d ids, want %d", len(ids), len(want))
	}
}

func TestParseKeysTakesWhatToolsWrite(t *testing.T) {
	t.Parallel()
	key, another := jwtKeys()["EdDSA"], jwtKeys()["ES256"]
	for name, data := range map[string][]byte{
		"one":                          key,
		"two":                          slices.Concat(key, another),
		"blank lines":                  slices.Concat([]byte("\n\n"), key, []byte("\n \t\n"), another, []byte("\n\n")),
		"no line break at the end":     bytes.TrimSpace(key),
		"line breaks of Windows":       bytes.ReplaceAll(slices.Concat(key, another), []byte("\n"), []byte("\r\n")),
		"RSA of 2048 bits":             pkcs8(t, rsaKey(t, 2048)),
		"RSA of 4096 bits":             rsa4096,
		"an Ed25519 key with a public": ed25519V2,
	} {
		if _, err := ParseKeys(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys for tests, of no use elsewhere, that take long to generate.
var (
	//go:embed testdata/rsa4096.pem
	rsa4096 []byte
	//go:embed testdata/rsa4104.pem
	rsa4104 []byte
)

// ed25519V2 is the second key of RFC 8410 §10.3, with an attribute and the public key, as some tools write them.
var ed25519V2 = []byte(`-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
`)

func TestParseKeysRefuses(t *testing.T) {
	t.Parallel()
	key, another := jwtKeys()["EdDSA"], jwtKeys()["ES256"]
	block, _ := pem.Decode(key)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(p256.Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := func(name string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der}) }
	damaged := bytes.Replace(key, []byte("\n"), []byte("\n*"), 1)
	for _, test := range []struct {
		name, begins string
		data         []byte
	}{
		{"nothing", "no key", nil},
		{"white space", "no key", []byte(" \n\t")},
		{"text", "block 1 is not PEM", []byte("correct horse battery staple")},
		{"a key in base64 alone", "block 1 is not PEM", []byte(base64.StdEncoding.EncodeToString(block.Bytes))},
		{"text before", "block 1 is not PEM", slices.Concat([]byte("staple\n"), key)},
		{"text between", "block 2 is not PEM", slices.Concat(key, []byte("staple\n"), another)},
		{"text after", "block 2 is not PEM", slices.Concat(key, []byte("staple"))},
		{"a NUL after", "block 2 is not PEM", slices.Concat(key, []byte{0})},
		{"text on the last line", "block 1 is not PEM", slices.Concat(bytes.TrimSpace(key), []byte("staple\n"))},
		{"a byte-order mark", "block 1 is not PEM", slices.Concat([]byte("\ufeff"), key)},
		{"a damaged key", "block 1 is not PEM", damaged},
		{"a damaged key before a good one", "block 1 is not PEM", slices.Concat(damaged, another)},
		{"a damaged key after a good one", "block 2 is not PEM", slices.Concat(another, damaged)},
		{"half a key before a good one", "block 1 is not PEM", slices.Concat(key[:60], []byte("\n"), another)},
		{"half a key after a good one", "block 2 is not PEM", slices.Concat(another, key[:60])},
		{"the same key again", "block 2 is block 1 again", slices.Concat(key, key)},
		{"the same key later", "block 3 is block 1 again", slices.Concat(key, another, key)},
		{"the same key, otherwise encoded", "block 2 is block 1 again", slices.Concat(ed25519V2, pkcs8(t, v2Key(t)))},
		{"SEC 1", "block 1 is not a PKCS #8", encode("EC PRIVATE KEY", sec1)},
		{"SEC 1 under a wrong name", "block 1 is damaged", encode(pemType, sec1)},
		{"PKCS #1", "block 2 is not a PKCS #8", slices.Concat(key, encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey(t, 2048))))},
		{"a public key", "block 1 is not a PKCS #8", encode("PUBLIC KEY", public)},
		{"a public key under a wrong name", "block 1 is damaged", encode(pemType, public)},
		{"a certificate", "block 1 is not a PKCS #8", encode("CERTIFICATE", block.Bytes)},
		{"a key with a password", "block 1 is not a PKCS #8", encode("ENCRYPTED PRIVATE KEY", block.Bytes)},
		{"PEM headers", "block 1 is not a PKCS #8", pem.EncodeToMemory(&pem.Block{
			Type: pemType, Bytes: block.Bytes, Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"},
		})},
		{"nothing in the block", "block 1 is damaged", encode(pemType, nil)},
		{"a byte after the key", "block 1 is damaged", encode(pemType, append(bytes.Clone(block.Bytes), 0))},
		{"a byte too few", "block 1 is damaged", encode(pemType, block.Bytes[:len(block.Bytes)-1])},
		{"P-384", "block 1 is not an Ed25519", pkcs8(t, p384)},
		{"X25519", "block 1 is not an Ed25519", pkcs8(t, x25519)},
		{"RSA of 1024 bits", "block 1 is not an Ed25519", pkcs8(t, rsaKey(t, 1024))},
		{"RSA of 2040 bits", "block 1 is not an Ed25519", pkcs8(t, rsaKey(t, 2040))},
		{"RSA of 4104 bits", "block 2 is not an Ed25519", slices.Concat(key, rsa4104)},
	} {
		set, err := ParseKeys(test.data)
		if set != nil || err == nil || !strings.HasPrefix(err.Error(), test.begins) {
			t.Errorf("%s: %v, want %q", test.name, err, test.begins)
			continue
		}
		for line := range strings.Lines(string(test.data)) {
			if line = strings.TrimSpace(line); len(line) > 3 && strings.Contains(err.Error(), line) {
				t.Errorf("%s: the error quotes a line: %v", test.name, err)
			}
		}
	}
}

func v2Key(t testing.TB) any {
	t.Helper()
	block, _ := pem.Decode(ed25519V2)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestGenerateKey(t *testing.T) {
	t.Parallel()
	for _, algorithm := range algorithms {
		set, err := ParseKeys(jwtKeys()[algorithm])
		if err != nil || string(set.signs.algorithm) != algorithm {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if key, ok := set.signs.public.Key.(*rsa.PublicKey); ok && key.N.BitLen() != generatedRSA {
			t.Errorf("%d bits", key.N.BitLen())
		}
	}
	if bytes.Equal(mustGenerate("EdDSA"), mustGenerate("EdDSA")) {
		t.Error("the same key twice")
	}
	if key, err := GenerateKey("HS256"); err == nil || key != nil {
		t.Errorf("HS256: %s, %v", key, err)
	}
}

// A file with the next key behind the present one, then in front of it, then alone.
func TestRotation(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"EdDSA", "another EdDSA"}, {"EdDSA", "ES256"}, {"RS256", "EdDSA"}} {
		t.Run(fmt.Sprint(pair), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, newMemory(t), pair[0])
			old := f.mustIssue(t)
			f.keys.Use(keySet(t, pair[0], pair[1]))
			announced := f.mustIssue(t)
			f.wantActive(t, "before, with the next announced", old.Access, true)
			if header(t, announced.Access) != header(t, old.Access) {
				t.Error("the announced key signs")
			}
			f.keys.Use(keySet(t, pair[1], pair[0]))
			next := f.mustIssue(t)
			if header(t, next.Access) == header(t, old.Access) {
				t.Error("the old key signs")
			}
			f.wantActive(t, "old, while published", old.Access, true)
			f.wantActive(t, "new", next.Access, true)
			f.keys.Use(keySet(t, pair[1]))
			f.wantActive(t, "old, no longer published", old.Access, false)
			f.wantActive(t, "new, alone", next.Access, true)
			f.wantActive(t, "of the old login, refreshed", f.mustRefresh(t, old.Refresh).Access, true)
		})
	}
}

func header(t testing.TB, token string) string {
	t.Helper()
	header, _ := segments(t, token)
	return header
}
