package main

import (
	"context"
	"time"
)

// logins are attacks on challenges.
var logins = []attack{
	{"one challenge and 100 codes, each right, at once: completed", nothing, challengeAtOnce},
	{"a completed challenge with a fresh code, backup code and context: completed", nothing, challengeAgain},
	{"a device's code and a context's for 50 challenges, and without, at once: right", nothing, oneCodeForMany},
	{"a challenge with the right codes of another user, or for another purpose", nothing, otherProof},
	{"500 wrong codes for one context, each with a challenge of its own, at once", nothing, guessChallenge},
}

// completions returns an attempt at a challenge with each verification, whose code is right.
func completions(c *client, login answer, verifications []answer) (calls []call) {
	for _, issued := range verifications {
		calls = append(calls, tryComplete(c, login, attempt(issued, issued.OTP)))
	}
	return calls
}

// loginWithCodes has a challenge issued, and as many codes for its user.
func (c *client) loginWithCodes(ctx context.Context, codes int) (login answer, all []answer, err error) {
	identifier := someone()
	if login, err = c.login(ctx, identifier); err == nil {
		all, err = issueAll(ctx, c, identifier, codes)
	}
	return login, all, err
}

func challengeAtOnce(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	login, all, err := t.main.loginWithCodes(ctx, tried)
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, tried, completions(t.main, login, all), right)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: ledgered(1)}, err
}

func challengeAgain(ctx context.Context, t *target) (outcome, error) {
	d, login, err := t.deviceAndLogin(ctx)
	if err != nil {
		return outcome{}, err
	}
	issued, err := t.main.issue(ctx, d.identifier)
	if err != nil {
		return outcome{}, err
	}
	completed, err := tryComplete(t.main, login, fields{"device": d.first, "otp": d.code(1)}).must(ctx)
	if err != nil {
		return outcome{}, err
	}
	newest := completed.Device
	calls := append(completions(t.main, login, []answer{issued}),
		tryComplete(t.main, login, fields{"device": newest, "otp": d.code(2)}),
		tryComplete(t.main, login, fields{"device": newest, "backup_code": d.backupCodes[0]}))
	got, err := inTurn(ctx, calls, right)
	if err == nil && got == 0 {
		err = t.main.finish(ctx, issued) // it was not used up
	}
	return outcome{tried: len(calls), evaluated: got, allowed: ledgered(0)}, err
}

func oneCodeForMany(ctx context.Context, t *target) (outcome, error) {
	const challenges = 50
	d, err := t.device(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	issued, err := t.main.issue(ctx, d.identifier)
	if err != nil {
		return outcome{}, err
	}
	calls := append(rightCodes(1, t.main, issued), d.try(d.first, d.code(1)), d.tryMatch(d.first, d.code(1)))
	for range challenges {
		login, err := t.main.login(ctx, d.identifier)
		if err != nil {
			return outcome{}, err
		}
		calls = append(calls, tryComplete(t.main, login, fields{"device": d.first, "otp": d.code(1)}))
		calls = append(calls, completions(t.main, login, []answer{issued})...)
	}
	got, err := volley(ctx, len(calls), calls, right)
	return outcome{tried: len(calls), evaluated: got, least: 2, allowed: ledgered(2)}, err
}

// otherProof tries what is right, but not for this challenge.
func otherProof(ctx context.Context, t *target) (outcome, error) {
	d, own, err := t.deviceAndLogin(ctx)
	if err != nil {
		return outcome{}, err
	}
	var strangers []answer
	for _, identifier := range []string{someone(), d.identifier + "m", d.identifier[1:], "x" + d.identifier} {
		login, err := t.main.login(ctx, identifier)
		if err != nil {
			return outcome{}, err
		}
		strangers = append(strangers, login)
	}
	payment, err := t.main.must(ctx, challenge, fields{"identifier": d.identifier, "purpose": "payment"})
	if err != nil {
		return outcome{}, err
	}
	plain, err := t.main.issue(ctx, d.identifier)
	if err != nil {
		return outcome{}, err
	}
	bound, err := t.main.must(ctx, generate, fields{"identifier": d.identifier, "purpose": "login"})
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, login := range strangers {
		calls = append(calls, tryComplete(t.main, login, fields{"device": d.first, "otp": d.code(1)}),
			tryComplete(t.main, login, fields{"device": d.first, "backup_code": d.backupCodes[0]}))
		calls = append(calls, completions(t.main, login, []answer{plain, bound})...)
	}
	calls = append(append(calls, completions(t.main, payment, []answer{plain, bound})...), completions(t.main, own, []answer{bound})...)
	got, err := inTurn(ctx, calls, evaluated)
	if err == nil && got == 0 {
		_, err = completions(t.main, own, []answer{plain})[0].must(ctx)
	}
	if err == nil && got == 0 {
		err = d.accept(ctx, d.code(1))
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func guessChallenge(ctx context.Context, t *target) (outcome, error) {
	identifier := someone()
	issued, err := t.main.issue(ctx, identifier)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, guess := range guesses(crowd, t.main, issued) {
		login, err := t.main.login(ctx, identifier)
		if err != nil {
			return outcome{}, err
		}
		calls = append(calls, tryComplete(t.main, login, attempt(issued, guess.code())))
	}
	got, err := volley(ctx, crowd, calls, evaluated)
	return outcome{tried: crowd, evaluated: got, least: maxRetries, allowed: ledgered(maxRetries)}, err
}

func challengeExpired(ctx context.Context, t *target) (outcome, error) {
	const tried = 10
	brief, p, err := t.rig.launch(ctx, t.rig.keys, "OTP_CHALLENGE_SECONDS=1")
	if err != nil {
		return outcome{}, err
	}
	defer p.kill()
	login, all, err := brief.loginWithCodes(ctx, tried)
	if err == nil {
		err = sleep(ctx, 1100*time.Millisecond)
	}
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, tried, completions(brief, login, all), evaluated)
	if err == nil && got == 0 {
		err = brief.finish(ctx, all[0])
	}
	return outcome{tried: tried, evaluated: got, allowed: always(0)}, err
}
