package main

import (
	"context"
	"fmt"
)

// issuing are attacks to get tokens without a right code, or more than it is worth.
var issuing = []attack{
	{"tokens asked for with a wrong code, for nobody, for a decoy or in other words: issued", nothing, issueWrongly},
	{"one right code 100 times at once, and again, with tokens asked for: issued", nothing, issueAtOnce},
	{"one challenge and 100 right codes at once, with tokens asked for: issued", nothing, issueForChallenge},
}

// issuedTokens reports whether a has tokens.
func issuedTokens(a answer) bool { return a.AccessToken != "" || a.RefreshToken != "" }

// asking is an attempt with tokens asked for.
func asking(issued answer, code string) fields {
	request := attempt(issued, code)
	request["issue"] = "tokens"
	return request
}

// tokens has tokens issued for somebody. A service without them is no target.
func (c *client) tokens(ctx context.Context) (answer, error) {
	issued, err := c.issue(ctx, someone())
	if err != nil {
		return answer{}, err
	}
	a, err := c.post(ctx, verify, asking(issued, issued.OTP))
	switch {
	case err != nil:
	case a.ErrorCode == "TOKENS_DISABLED":
		err = skipped("needs OTP_JWT_PRIVATE_KEY_FILE")
	case a.AccessToken == "" || a.RefreshToken == "":
		err = fmt.Errorf("%s: %v, and there should be tokens", verify, a)
	}
	return a, err
}

// nameless has a code issued for nobody.
func (c *client) nameless(ctx context.Context) (answer, error) {
	return c.must(ctx, generate, fields{})
}

func issueWrongly(ctx context.Context, t *target) (outcome, error) {
	if _, err := t.main.tokens(ctx); err != nil { // or nothing would be issued anyway
		return outcome{}, err
	}
	nobody, err := t.main.nameless(ctx)
	if err != nil {
		return outcome{}, err
	}
	decoy, err := t.main.must(ctx, generate, fields{"identifier": someone(), "decoy": true})
	if err != nil {
		return outcome{}, err
	}
	bound, err := issueForUse(ctx, t.main)
	if err != nil {
		return outcome{}, err
	}
	plain, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	wrong := guesses(1, t.main, plain)[0].code()
	calls := []call{
		{t.main, verify, asking(nobody, nobody.OTP)}, {t.main, verify, asking(decoy, decoy.OTP)},
		{t.main, verify, asking(bound, bound.OTP)}, {t.main, verify, asking(plain, wrong)},
	}
	for _, issue := range []any{
		"token", "Tokens", "TOKENS", " tokens", "tokens ", "tokens\x00", "access_token", "all", true, 1,
		[]string{"tokens"}, fields{"tokens": true},
	} {
		request := attempt(plain, plain.OTP)
		request["issue"] = issue
		calls = append(calls, call{t.main, verify, request})
	}
	got, err := inTurn(ctx, calls, issuedTokens)
	for _, issued := range []answer{nobody, plain} {
		if err == nil && got == 0 {
			err = t.main.finish(ctx, issued)
		}
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func issueAtOnce(ctx context.Context, t *target) (outcome, error) {
	const atOnce, after = 100, 10
	if _, err := t.main.tokens(ctx); err != nil {
		return outcome{}, err
	}
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	try := call{t.main, verify, asking(issued, issued.OTP)}
	got, err := volley(ctx, atOnce, repeat(atOnce, try), issuedTokens)
	if err != nil {
		return outcome{}, err
	}
	again, err := inTurn(ctx, repeat(after, try), issuedTokens)
	return outcome{tried: atOnce + after, evaluated: got + again, least: 1, allowed: ledgered(1)}, err
}

func issueForChallenge(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	if _, err := t.main.tokens(ctx); err != nil {
		return outcome{}, err
	}
	login, all, err := t.main.loginWithCodes(ctx, tried)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, issued := range all {
		calls = append(calls, tryComplete(t.main, login, asking(issued, issued.OTP)))
	}
	got, err := volley(ctx, tried, calls, issuedTokens)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: ledgered(1)}, err
}
