package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// forging are attacks by the text of an access token or a refresh token.
var forging = []attack{
	{"access tokens with no signature, one by another key, or one made with the public keys: active", nothing, forged},
	{"access tokens with other claims, or a signature that is changed and may still verify: active", nothing, altered},
	{"respelt and changed access and refresh tokens: accepted", nothing, respeltTokens},
}

const jwks = "/.well-known/jwks.json"

// publicKeys returns the body and the keys that the service publishes.
func (c *client) publicKeys(ctx context.Context) ([]byte, jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+jwks, nil)
	if err != nil {
		return nil, set, err
	}
	status, body, err := c.do(request)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d", jwks, status)
	}
	if err == nil {
		err = json.Unmarshal(body, &set)
	}
	return body, set, err
}

// genuine returns tokens, and the access token in its parts.
func (t *target) genuine(ctx context.Context) (a answer, token jwt, err error) {
	if a, err = t.main.tokens(ctx); err != nil {
		return a, token, err
	}
	token, err = parseJWT(a.AccessToken)
	return a, token, err
}

func forged(ctx context.Context, t *target) (outcome, error) {
	a, token, err := t.genuine(ctx)
	if err != nil {
		return outcome{}, err
	}
	body, set, err := t.main.publicKeys(ctx)
	if err != nil {
		return outcome{}, err
	}
	var kids []any
	for _, key := range set.Keys {
		kids = append(kids, key.KeyID)
	}
	secrets, err := publicTexts(body, set)
	if err != nil {
		return outcome{}, err
	}
	own, err := token.ownKey(kids)
	if err != nil {
		return outcome{}, err
	}
	return t.present(ctx, a, slices.Concat(token.unsigned(), own, token.confused(secrets, append(kids, nil))))
}

func altered(ctx context.Context, t *target) (outcome, error) {
	a, token, err := t.genuine(ctx)
	if err != nil {
		return outcome{}, err
	}
	var all []string
	for _, signature := range [][]byte{
		nil, make([]byte, 64), make([]byte, 63), malleable(token.signature), append(slices.Clone(token.signature), 0),
		token.signature[:max(len(token.signature)-1, 0)], append(slices.Clone(token.signature), token.signature...),
		append([]byte{1}, make([]byte, 63)...), // the neutral element
	} {
		all = append(all, token.signed(as(signature)), token.with(fields{"alg": "ES256"}).signed(as(signature)))
	}
	var claims map[string]any
	if err := json.Unmarshal(token.payload, &claims); err != nil {
		return outcome{}, err
	}
	for name, value := range map[string]any{
		"sub": someone(), "client_id": otherTenant, "exp": 4e9, "aud": "other", "iss": "other", "sid": rand.Text()[:22],
		"admin": true,
	} {
		changed := maps.Clone(claims)
		changed[name] = value
		other := token
		if other.payload, err = json.Marshal(changed); err != nil {
			return outcome{}, err
		}
		all = append(all, other.signed(as(token.signature)))
	}
	return t.present(ctx, a, slices.Concat(all, serializations(a.AccessToken)))
}

// present has tokens introspected, and sends them to every other operation as well, where they must do nothing.
func (t *target) present(ctx context.Context, a answer, tokens []string) (outcome, error) {
	var calls, ends []call
	for _, token := range tokens {
		if token == a.AccessToken || token == a.RefreshToken {
			continue // made anew
		}
		calls = append(calls, introspectOf(t.main, token), refreshWith(t.main, answer{RefreshToken: token}))
		ends = append(ends, call{t.main, revokeToken, fields{"token": token}})
	}
	got, err := volley(ctx, 16, calls, accepted)
	if err == nil {
		_, err = volley(ctx, 16, ends, succeeded)
	}
	if err == nil && got == 0 {
		err = t.main.live(ctx, a)
	}
	return outcome{tried: len(calls) + len(ends), evaluated: got, allowed: always(0)}, err
}

// respeltTokens also spells each part of an access token on its own.
func respeltTokens(ctx context.Context, t *target) (outcome, error) {
	a, _, err := t.genuine(ctx)
	if err != nil {
		return outcome{}, err
	}
	var all []string
	for _, token := range []string{a.RefreshToken, a.AccessToken} {
		all = slices.Concat(all, spellings(token), changes(token))
	}
	parts := strings.Split(a.AccessToken, ".")
	for i, part := range parts {
		for _, other := range spellings(part) {
			changed := slices.Clone(parts)
			changed[i] = other
			all = append(all, strings.Join(changed, "."))
		}
	}
	return t.present(ctx, a, all)
}
