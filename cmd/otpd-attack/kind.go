package main

import (
	"context"
	"strings"
)

// kinds are attacks with sealed tokens in places that are not theirs.
var kinds = []attack{
	{"every sealed token in place of every other kind, at every endpoint: accepted", nothing, crossed},
	{"respelt and changed devices and challenges: accepted", nothing, respeltKinds},
}

// place is where a request takes a sealed token.
type place struct {
	kind, path string
	body       func(token string) fields
}

// places returns all there are. What else a request needs is right.
func places(issued, login answer, d *device) (all []place) {
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
	return all
}

// invalid reports whether a token was refused for what it is.
func invalid(a answer) bool {
	return a.ErrorCode == "INVALID_CONTEXT" || a.ErrorCode == "INVALID_DEVICE" || a.ErrorCode == "INVALID_CHALLENGE"
}

func notInvalid(a answer) bool { return !invalid(a) }

func crossed(ctx context.Context, t *target) (outcome, error) {
	d, login, err := t.deviceAndLogin(ctx)
	if err != nil {
		return outcome{}, err
	}
	issued, err := t.main.issue(ctx, d.identifier)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, p := range places(issued, login, d) {
		for _, token := range []struct{ kind, text string }{
			{"context", issued.Context}, {"device", d.unconfirmed}, {"device", d.first}, {"challenge", login.Challenge},
		} {
			if token.kind != p.kind {
				calls = append(calls, call{t.main, p.path, p.body(token.text)})
			}
		}
	}
	got, err := inTurn(ctx, calls, notInvalid)
	if err == nil && got == 0 {
		err = unharmed(ctx, t.main, d, login, issued)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

// unharmed is an error if a device, a challenge or a verification does not work. None works twice.
func unharmed(ctx context.Context, c *client, d *device, login, issued answer) error {
	_, err := tryComplete(c, login, fields{"device": d.first, "otp": d.code(1)}).must(ctx)
	if err == nil {
		err = c.finish(ctx, issued)
	}
	return err
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
