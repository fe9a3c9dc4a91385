package main

import (
	"context"
	"errors"
	"strings"
)

// kinds are attacks with sealed tokens, and access tokens, in places that are not theirs.
var kinds = []attack{
	{"every kind of token in place of every other, at every endpoint: accepted", nothing, crossed},
	{"respelt and changed devices and challenges: accepted", nothing, respeltKinds},
}

// holdings are tokens of each kind. Those that come with a login are missing where the service has none.
type holdings struct {
	issued, login, tokens answer
	device                *device
}

func (t *target) holdings(ctx context.Context) (h holdings, err error) {
	if h.device, h.login, err = t.deviceAndLogin(ctx); err != nil {
		return h, err
	}
	if h.issued, err = t.main.issue(ctx, h.device.identifier); err != nil {
		return h, err
	}
	h.tokens, err = t.main.tokens(ctx)
	if _, isSkipped := errors.AsType[skipped](err); isSkipped {
		return h, nil
	}
	return h, err
}

// of returns the token of a kind.
func (h holdings) of(kind string) string {
	return map[string]string{
		"context": h.issued.Context, "device": h.device.first, "challenge": h.login.Challenge,
		"refresh": h.tokens.RefreshToken, "access": h.tokens.AccessToken,
	}[kind]
}

// unharmed is an error if any of them does not work. None works twice.
func (h holdings) unharmed(ctx context.Context, c *client) error {
	_, err := tryComplete(c, h.login, fields{"device": h.device.first, "otp": h.device.code(1)}).must(ctx)
	if err == nil {
		err = c.finish(ctx, h.issued)
	}
	if err == nil && issuedTokens(h.tokens) {
		err = c.live(ctx, h.tokens)
	}
	return err
}

// place is where a request takes a token.
type place struct {
	kind, path string
	body       func(token string) fields
}

// takes reports whether a kind of token is right there.
func (p place) takes(kind string) bool {
	return p.kind == kind || p.path == introspect && (kind == "refresh" || kind == "access")
}

// places returns all there are whose answer tells whether a token was accepted. What else a request needs is right.
func (h holdings) places() (all []place) {
	add := func(kind, path, field string, rest fields) {
		all = append(all, place{kind, path, func(token string) fields {
			body := fields{field: token}
			if strings.HasSuffix(field, "s") {
				body[field] = []string{token}
			}
			for name, value := range rest {
				body[name] = value
			}
			return body
		}})
	}
	issued, login, d := h.issued, h.login, h.device
	code, backup := fields{"otp": d.code(1)}, fields{"backup_code": d.backupCodes[0]}
	add("context", verify, "context", fields{"otp": issued.OTP})
	for _, path := range []string{resend, revoke, inspect} {
		add("context", path, "context", nil)
	}
	add("context", complete, "context", fields{"challenge": login.Challenge, "otp": issued.OTP})
	add("device", confirm, "device", code)
	add("device", verifyDevice, "device", code)
	add("device", verifyDevice, "device", backup)
	add("device", match, "devices", code)
	add("device", resync, "device", fields{"otp": d.code(1), "next_otp": d.code(2)})
	for _, path := range []string{inspectDevice, unlockDevice, renew, disable} {
		add("device", path, "device", nil)
	}
	add("device", reseal, "devices", nil)
	add("device", complete, "device", fields{"challenge": login.Challenge, "otp": d.code(1)})
	add("challenge", complete, "challenge", fields{"device": d.first, "otp": d.code(1)})
	add("challenge", complete, "challenge", fields{"device": d.first, "backup_code": d.backupCodes[0]})
	add("challenge", complete, "challenge", fields{"context": issued.Context, "otp": issued.OTP})
	if issuedTokens(h.tokens) {
		add("refresh", refresh, "refresh_token", nil)
		add("refresh", introspect, "token", nil)
		add("access", introspect, "token", nil)
	}
	return all
}

// invalid reports whether a token was refused for what it is.
func invalid(a answer) bool {
	switch a.ErrorCode {
	case "INVALID_CONTEXT", "INVALID_DEVICE", "INVALID_CHALLENGE", "INVALID_REFRESH_TOKEN":
		return true
	}
	return a.Active != nil && !*a.Active
}

func notInvalid(a answer) bool { return !invalid(a) }

// crossed also has each token revoked where access and refresh tokens are, to which there is but one answer.
func crossed(ctx context.Context, t *target) (outcome, error) {
	h, err := t.holdings(ctx)
	if err != nil {
		return outcome{}, err
	}
	texts := []struct{ kind, text string }{{"device", h.device.unconfirmed}}
	for _, kind := range []string{"context", "device", "challenge", "refresh", "access"} {
		if text := h.of(kind); text != "" {
			texts = append(texts, struct{ kind, text string }{kind, text})
		}
	}
	var calls, ends []call
	for _, token := range texts {
		for _, p := range h.places() {
			if !p.takes(token.kind) {
				calls = append(calls, call{t.main, p.path, p.body(token.text)})
			}
		}
		if token.kind != "refresh" && token.kind != "access" && issuedTokens(h.tokens) {
			ends = append(ends, call{t.main, revokeToken, fields{"token": token.text}})
		}
	}
	got, err := inTurn(ctx, calls, notInvalid)
	if err == nil {
		_, err = inTurn(ctx, ends, succeeded)
	}
	if err == nil && got == 0 {
		err = h.unharmed(ctx, t.main)
	}
	return outcome{tried: len(calls) + len(ends), evaluated: got, allowed: always(0)}, err
}

// respeltKinds uses operations that leave the token as it is, should one be accepted.
func respeltKinds(ctx context.Context, t *target) (outcome, error) {
	result := outcome{allowed: always(0)}
	d, err := padded(1, func(name string) (string, error) {
		a, err := t.main.must(ctx, enroll, fields{"type": counters, "identifier": someone(), "name": name})
		return a.Device, err
	})
	if err != nil {
		return result, err
	}
	login, err := padded(2, func(name string) (string, error) {
		a, err := t.main.login(ctx, someone()+name)
		return a.Challenge, err
	})
	if err != nil {
		return result, err
	}
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return result, err
	}
	var calls []call
	for _, token := range append(spellings(d), changes(d)...) {
		calls = append(calls, call{t.main, inspectDevice, fields{"device": token}})
	}
	for _, token := range append(spellings(login), changes(login)...) {
		calls = append(calls, tryComplete(t.main, answer{Challenge: token}, attempt(issued, issued.OTP)))
	}
	result.tried = len(calls)
	result.evaluated, err = volley(ctx, 16, calls, notInvalid)
	if err == nil && result.evaluated == 0 {
		_, err = call{t.main, inspectDevice, fields{"device": d}}.must(ctx)
	}
	return result, err
}
