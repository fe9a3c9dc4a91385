package httpapi_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/otpd/otpd/internal/token"
)

// published returns the algorithms and the ids of the keys.
func (s *server) published(tb testing.TB) (algorithms, ids []string) {
	tb.Helper()
	a := s.get(tb, "/.well-known/jwks.json")
	a.is(tb, 200, "")
	var set struct{ Keys []map[string]any }
	noError(tb, json.Unmarshal([]byte(a.body), &set))
	for _, key := range set.Keys {
		algorithms, ids = append(algorithms, key["alg"].(string)), append(ids, key["kid"].(string))
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if key[private] != nil {
				tb.Errorf("the private part %s is published", private)
			}
		}
	}
	return algorithms, ids
}

func TestKeysArePublishedToAnybody(t *testing.T) {
	want := []string{"ES256", "EdDSA", "RS256"}
	s := newServer(t, options{keys: twoKeys, jwtKeys: jwtKeys(t, want...)})
	if got, _ := s.published(t); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, authorization := range []string{"", "Bearer wrong", "Bearer " + shopSecret} {
		r := s.request(http.MethodGet, "/.well-known/jwks.json", "")
		r.Header.Set("Authorization", authorization)
		a := s.send(t, r)
		a.is(t, 200, "")
		if a.header.Get("Content-Type") != "application/jwk-set+json" || a.header.Get("Cache-Control") != "public, max-age=300" {
			t.Errorf("the headers are %v", a.header)
		}
	}
	s.send(t, s.request(http.MethodHead, "/.well-known/jwks.json", "")).is(t, 200, "")
}

func TestNoKeysWithoutTokens(t *testing.T) {
	s := newServer(t, options{noTokens: true})
	if a := s.get(t, "/.well-known/jwks.json"); a.status != 200 || a.body != `{"keys":[]}` {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestKeysAreBehindTheHostGuard(t *testing.T) {
	s := newServer(t, options{guardHost: true})
	s.get(t, "/.well-known/jwks.json").is(t, 200, "")
	r := s.request(http.MethodGet, "/.well-known/jwks.json", "")
	r.Host = "evil.example"
	a := s.send(t, r)
	a.is(t, 403, "FORBIDDEN_HOST")
	if strings.Contains(a.body, "keys\":[") {
		t.Errorf("got %s", a.body)
	}
}

func TestKeysAreChangedWithoutALogout(t *testing.T) {
	generate := func() []byte {
		key, err := token.GenerateKey("EdDSA")
		noError(t, err)
		return key
	}
	keys, one, two := new(token.Keys), generate(), generate()
	use := func(pem ...[]byte) {
		set, err := token.ParseKeys(slices.Concat(pem...))
		noError(t, err)
		keys.Use(set)
	}
	use(one)
	s := newServer(t, options{jwtKeys: keys})
	before := s.login(t, fields{"identifier": ada})
	_, published := s.published(t)

	use(two, one)
	_, now := s.published(t)
	if len(now) != 2 || now[1] != published[0] {
		t.Errorf("%v are published after %v", now, published)
	}
	after := s.refresh(t, before.text("refresh_token"))
	for _, tokens := range []answer{before, after} {
		s.jwtClaims(t, tokens.text("access_token"))
		if !s.isActive(t, tokens.text("access_token")) {
			t.Error("a token of a published key is not active")
		}
	}

	use(two)
	if s.isActive(t, before.text("access_token")) || !s.isActive(t, after.text("access_token")) {
		t.Error("a token of a key that is gone is active, or one of the other is not")
	}
	s.refresh(t, after.text("refresh_token")).is(t, 200, "") // refresh tokens do not depend on them
}
