package main

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"
)

// tenants are attacks of one API key's holder on another's verifications, or of nobody's.
var tenants = []attack{
	{"the right code under another API key", secondKey, otherKey},
	{"wrong codes under another API key: attempts used up", secondKey, otherKeyWears},
	{"resending, revoking and inspecting under another API key: done", secondKey, otherKeyManages},
	{"wrong codes for another's identifier under one's own API key: locked out", secondKey, otherKeyLocks},
	{"unlocking an identifier under another API key, to guess on", secondKey, otherKeyUnlocks},
	{"another API key's tokens of every kind, by every operation: accepted", secondKey, otherKeyTokens},
	{"wrong codes for another's device under one's own API key: locked out", secondKey, otherKeyLocksDevice},
	{"every operation with no API key or a wrong one: done", firstKey, noKey},
}

func otherKey(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	const tried = 100
	got, err := volley(ctx, 10, rightCodes(tried, t.other, issued), evaluated)
	if err == nil && got == 0 {
		err = t.main.finish(ctx, issued)
	}
	return outcome{tried: tried, evaluated: got, allowed: always(0)}, err
}

func otherKeyWears(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	const tried = 100
	if _, err := volley(ctx, 10, guesses(tried, t.other, issued), evaluated); err != nil {
		return outcome{}, err
	}
	a, err := t.main.must(ctx, inspect, fields{"context": issued.Context})
	return outcome{tried: tried, evaluated: maxRetries - a.AttemptsRemaining, allowed: always(0)}, err
}

func otherKeyManages(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, path := range []string{resend, revoke, inspect} {
		calls = append(calls, call{t.other, path, fields{"context": issued.Context}})
	}
	got, err := inTurn(ctx, calls, succeeded)
	if err == nil && got == 0 {
		err = t.main.finish(ctx, issued)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

// otherKeyLocks also tries an identifier that is the same when it is written behind the tenant's name.
func otherKeyLocks(ctx context.Context, t *target) (outcome, error) {
	const each = throttleAfter + 5
	identifier := someone()
	result := outcome{allowed: always(0)}
	for _, attacked := range []string{identifier, mainTenant[len(otherTenant):] + identifier} {
		all, err := issueAll(ctx, t.other, attacked, each)
		if err != nil {
			return result, err
		}
		if _, err := volley(ctx, each, oneGuessEach(t.other, all), evaluated); err != nil {
			return result, err
		}
		result.tried += each
	}
	issued, err := t.main.issue(ctx, identifier)
	if err != nil {
		return result, err
	}
	a, err := t.main.post(ctx, verify, attempt(issued, issued.OTP))
	if err == nil && !right(a) {
		result.evaluated++
	}
	return result, err
}

func otherKeyUnlocks(ctx context.Context, t *target) (outcome, error) {
	const rounds, each = 5, throttleAfter + 5
	identifier := someone()
	result := outcome{least: throttleAfter + 1}
	start := time.Now()
	for range rounds {
		all, err := issueAll(ctx, t.main, identifier, each)
		if err != nil {
			return result, err
		}
		got, err := volley(ctx, each, oneGuessEach(t.main, all), evaluated)
		if err != nil {
			return result, err
		}
		result.tried, result.evaluated = result.tried+each, result.evaluated+got
		if _, err := t.other.post(ctx, unlock, fields{"identifier": identifier}); err != nil {
			return result, err
		}
	}
	result.allowed = ledgered(throttleAllows(time.Since(start)))
	return result, nil
}

// otherKeyTokens also mixes tokens of both tenants for one user.
func otherKeyTokens(ctx context.Context, t *target) (outcome, error) {
	h, err := t.holdings(ctx)
	if err != nil {
		return outcome{}, err
	}
	mixed := h
	if mixed.login, err = t.other.login(ctx, h.device.identifier); err != nil {
		return outcome{}, err
	}
	if mixed.issued, err = t.other.issue(ctx, h.device.identifier); err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, p := range slices.Concat(h.places(), mixed.places()) {
		calls = append(calls, call{t.other, p.path, p.body(h.of(p.kind))})
	}
	got, err := inTurn(ctx, calls, notInvalid)
	if err == nil && got == 0 {
		err = h.unharmed(ctx, t.main)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func otherKeyLocksDevice(ctx context.Context, t *target) (outcome, error) {
	const tried = 2 * (deviceFree + 1)
	d, err := t.device(ctx, counters)
	if err != nil {
		return outcome{}, err
	}
	for _, code := range d.wrongCodes(tried) {
		if _, err := t.other.post(ctx, verifyDevice, fields{"device": d.first, "otp": code}); err != nil {
			return outcome{}, err
		}
	}
	result := outcome{tried: tried, allowed: always(0)}
	a, err := t.main.post(ctx, verifyDevice, fields{"device": d.first, "otp": d.code(1)})
	if err == nil && !right(a) {
		result.evaluated++
	}
	return result, err
}

func noKey(ctx context.Context, t *target) (outcome, error) {
	h, err := t.holdings(ctx)
	if err != nil {
		return outcome{}, err
	}
	secret := t.main.secret
	var calls []call
	for _, wrong := range []string{"", secret[:len(secret)-1], secret + "x", mainTenant, mainTenant + ":" + secret, "null"} {
		nobody := t.main.with(wrong)
		for _, path := range []string{generate, unlock, enroll, challenge} {
			calls = append(calls, call{nobody, path, fields{"identifier": "someone"}})
		}
		for _, p := range h.places() {
			calls = append(calls, call{nobody, p.path, p.body(h.of(p.kind))})
		}
		calls = append(calls, sendTo(nobody, someone()), call{nobody, revokeToken, fields{"token": h.tokens.RefreshToken}})
	}
	refused := func(a answer) bool { return a.code == http.StatusUnauthorized }
	got, err := inTurn(ctx, calls, func(a answer) bool { return !refused(a) })
	if err == nil && got == 0 {
		err = h.unharmed(ctx, t.main)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

// purposes are attacks that use a code for something else than it was issued for.
var purposes = []attack{
	{"the right code for another purpose, transaction or identifier", nothing, otherUse},
	{"resends for another purpose: codes", nothing, otherUseResend},
}

// use is what a code is issued for.
var use = fields{"identifier": "payer@example.com", "purpose": "payment", "binding": "12.00 EUR to Ann"}

func issueForUse(ctx context.Context, c *client) (answer, error) {
	issuedFor := maps.Clone(use)
	issuedFor["identifier"] = someone()
	return c.must(ctx, generate, issuedFor)
}

func otherUse(ctx context.Context, t *target) (outcome, error) {
	issued, err := issueForUse(ctx, t.main)
	if err != nil {
		return outcome{}, err
	}
	plain, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	try := func(issued answer, otherwise fields) {
		request := attempt(issued, issued.OTP)
		maps.Copy(request, otherwise)
		calls = append(calls, call{t.main, verify, request})
	}
	try(issued, fields{})
	purpose, binding := use["purpose"].(string), use["binding"].(string)
	for _, other := range []string{"", "login", "Payment", purpose + " ", purpose + "s", purpose[1:]} {
		try(issued, fields{"purpose": other, "binding": binding})
	}
	for _, other := range []string{"", "120.00 EUR to Ann", binding + " ", binding + "\n", "12.00 eur to ann", binding[1:]} {
		try(issued, fields{"purpose": purpose, "binding": other})
	}
	for _, other := range []string{"", "payer", "PAYER@example.com", someone()} {
		try(issued, fields{"purpose": purpose, "binding": binding, "identifier": other})
	}
	try(plain, fields{"purpose": purpose})
	try(plain, fields{"binding": binding})
	try(plain, fields{"identifier": someone()})
	got, err := inTurn(ctx, calls, evaluated)
	if err == nil && got == 0 {
		_, err = t.main.must(ctx, verify, fields{
			"otp": issued.OTP, "context": issued.Context, "purpose": purpose, "binding": binding,
		})
	}
	if err == nil && got == 0 {
		err = t.main.finish(ctx, plain)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func otherUseResend(ctx context.Context, t *target) (outcome, error) {
	issued, err := issueForUse(ctx, t.noCooldown)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, other := range []string{"login", "Payment", "payments"} {
		calls = append(calls, call{t.noCooldown, resend, fields{"context": issued.Context, "purpose": other}})
	}
	got, err := inTurn(ctx, calls, resent)
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}
