package main

import (
	"crypto/ed25519"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// sample is a token of a key, and the key.
func sample(tb testing.TB) (jwt, ed25519.PublicKey) {
	tb.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		tb.Fatal(err)
	}
	token := jwt{header: map[string]any{"alg": "EdDSA", "kid": "key", "typ": "at+jwt"}, payload: []byte(`{"sub":"ann"}`)}
	token.signature = ed25519.Sign(private, []byte(token.input()))
	return token, public
}

// verified counts the tokens that a lax verifier takes, which finds a key in what they say.
func verified(tokens []string, find func(jose.Header) any) (n int) {
	all := []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.HS256, jose.HS384, jose.HS512}
	for _, text := range tokens {
		if token, err := jose.ParseSignedCompact(text, all); err == nil {
			if _, err := token.Verify(find(token.Signatures[0].Header)); err == nil {
				n++
			}
		}
	}
	return n
}

func TestForgeries(t *testing.T) {
	t.Parallel()
	token, public := sample(t)
	own, err := token.ownKey([]any{"key"})
	if err != nil {
		t.Fatal(err)
	}
	if verified(own, func(h jose.Header) any { return h.JSONWebKey }) == 0 {
		t.Error("no token verifies with the key that it brings along")
	}
	body := []byte(`{"keys":["what the service publishes, as long as it may be"]}`)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "key"}}}
	secrets, err := publicTexts(body, set)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{body, public} {
		got := verified(token.confused(secrets, []any{"key"}), func(h jose.Header) any {
			if strings.HasPrefix(h.Algorithm, "HS") {
				return secret
			}
			return nil
		})
		if got == 0 {
			t.Errorf("no token verifies with %q for a secret", secret)
		}
	}
	all := slices.Concat(own, token.confused(secrets, []any{"key"}), token.unsigned())
	all = slices.DeleteFunc(all, func(text string) bool { return text == token.signed(as(token.signature)) })
	if n := verified(all, func(jose.Header) any { return public }); n > 0 {
		t.Errorf("%d are no forgeries", n)
	}
}

func TestMalleable(t *testing.T) {
	t.Parallel()
	token, _ := sample(t)
	second := func(signature []byte) *big.Int {
		half := slices.Clone(signature[32:])
		slices.Reverse(half)
		return new(big.Int).SetBytes(half)
	}
	changed := malleable(token.signature)
	difference := new(big.Int).Sub(second(changed), second(token.signature))
	if !slices.Equal(changed[:32], token.signature[:32]) || difference.Cmp(groupOrder) != 0 {
		t.Errorf("%x and %x are not the same to whoever reduces them", token.signature, changed)
	}
	if malleable(nil) != nil {
		t.Error("there is another signature for none")
	}
}

func TestBadJWT(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a.b", "..", "e30.e30.", "e30.e30.a.b", "e30.!.e30"} {
		if token, err := parseJWT(text); err == nil {
			t.Errorf("%q is %v", text, token)
		}
	}
}
