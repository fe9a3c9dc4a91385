package token

import (
	"crypto"
	"encoding/base64"
	"strings"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// Keys holds the set of keys for access tokens, once [Keys.Use] has given it one. It is safe for concurrent use.
type Keys struct{ current atomic.Pointer[KeySet] }

// Use makes k hold set from now on. Tokens signed with a key of the old set stay good as long as that key is in the
// new one.
func (k *Keys) Use(set *KeySet) { k.current.Store(set) }

// JWKS returns the public keys as a JWK Set (RFC 7517 §5), in JSON. Without tokens there are none.
func (s *Service) JWKS() []byte {
	if s.Enabled() != nil {
		return []byte(`{"keys":[]}`)
	}
	return s.cfg.Keys.current.Load().jwks
}

// KeySet is a list of keys that does not change: the first signs, all verify and are published. To replace a key
// without any verifier meeting one that it does not know, the next one is published before it signs, and the previous
// one until the last of its tokens has expired.
type KeySet struct {
	signs    *key
	byHeader map[string]*key
	jwks     []byte
}

// key is one key for JWS (RFC 7515).
type key struct {
	algorithm jose.SignatureAlgorithm
	signer    jose.Signer
	public    jose.JSONWebKey
	header    string // of all its tokens, in base64url
}

// jwtType tells access tokens from any other JWT that the key may sign, RFC 9068 §2.1.
const jwtType = "at+jwt"

func newKey(private crypto.Signer, algorithm jose.SignatureAlgorithm) (*key, error) {
	k := &key{algorithm: algorithm, public: jose.JSONWebKey{Key: private.Public(), Algorithm: string(algorithm), Use: "sig"}}
	thumbprint, err := k.public.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return nil, err
	}
	k.public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	k.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: private, KeyID: k.public.KeyID}},
		new(jose.SignerOptions).WithType(jwtType),
	)
	if err != nil {
		return nil, err
	}
	sample, err := k.sign(nil)
	k.header, _, _ = strings.Cut(sample, ".")
	return k, err
}

// newKeySet returns a set of one or more keys.
func newKeySet(keys []*key) (*KeySet, error) {
	set := &KeySet{signs: keys[0], byHeader: make(map[string]*key)}
	var published jose.JSONWebKeySet
	for _, k := range keys {
		set.byHeader[k.header] = k
		published.Keys = append(published.Keys, k.public)
	}
	var err error
	set.jwks, err = json.Marshal(published)
	return set, err
}

// sign returns payload in JWS Compact Serialization.
func (k *key) sign(payload []byte) (string, error) {
	signed, err := k.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// open returns what a key of the set has signed. The header of a token must be, to the letter, the one that goes with
// its key: no algorithm, key or extension that the header names is ever considered.
func (set *KeySet) open(text string) (payload []byte, ok bool) {
	header, _, _ := strings.Cut(text, ".")
	k := set.byHeader[header]
	if k == nil {
		return nil, false
	}
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{k.algorithm})
	if err != nil {
		return nil, false
	}
	if payload, err = signed.Verify(k.public); err != nil {
		return nil, false
	}
	// go-jose ignores line breaks and stray bits in base64, which gives a token many spellings.
	spelling, err := signed.CompactSerialize()
	return payload, err == nil && spelling == text
}
