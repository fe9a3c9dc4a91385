package main

import "context"

// resending are attacks by resends.
var resending = []attack{
	{"a resend of the first context after the last attempt, 20 times", nothing, resendToReset},
	{"a wrong code, a resend, a wrong code, and so on", nothing, resendAfterEach},
	{"three wrong codes with each of six contexts, from five resends", nothing, guessAtEach},
	{"100 resends of one context at once: codes", nothing, resendAtOnce},
	{"100 resends within the cooldown: codes", cooldown, resendTooSoon},
	{"10 resends in turn: codes", nothing, resendOn},
	{"the older code after a resend: right", nothing, olderCode},
	{"right codes and resends at once: right, the most of 20 verifications", nothing, resendRace},
}

// resend has a new code issued. A service with a cooldown is no target.
func (c *client) resend(ctx context.Context, issued answer) (answer, error) {
	a, err := c.post(ctx, resend, fields{"context": issued.Context})
	if err == nil && a.ErrorCode == "COOLDOWN_DURATION_PENDING" {
		err = skipped("needs OTP_RESEND_COOLDOWN_SECONDS=0")
	}
	return a, err
}

func resent(a answer) bool { return a.OTP != "" }

func resendToReset(ctx context.Context, t *target) (outcome, error) {
	result := outcome{least: maxRetries, allowed: ledgered(maxRetries)}
	issued, err := t.noCooldown.issue(ctx, someone())
	if err != nil {
		return result, err
	}
	for newest, round := issued, 0; ; round++ {
		calls := guesses(maxRetries, t.noCooldown, newest)
		got, err := inTurn(ctx, calls, evaluated)
		result.tried, result.evaluated = result.tried+len(calls), result.evaluated+got
		if err != nil || round == 20 {
			return result, err
		}
		a, err := t.noCooldown.resend(ctx, issued)
		if err != nil {
			return result, err
		}
		if resent(a) {
			newest = a
		}
	}
}

// resendAfterEach always uses the newest context, as an honest client does.
func resendAfterEach(ctx context.Context, t *target) (outcome, error) {
	result := outcome{least: maxRetries, allowed: always(maxRetries)}
	newest, err := t.noCooldown.issue(ctx, someone())
	for round := 0; err == nil && round <= 2*maxRetries; round++ {
		var a answer
		if a, err = t.noCooldown.post(ctx, verify, attempt(newest, guesses(1, t.noCooldown, newest)[0].code())); err != nil {
			break
		}
		result.tried++
		if wrong(a) {
			result.evaluated++
			newest.Context = a.Context
		}
		if a, err = t.noCooldown.resend(ctx, newest); err == nil && resent(a) {
			newest = a
		}
	}
	return result, err
}

// code returns the code in a call of guesses.
func (c call) code() string { return c.body.(fields)["otp"].(string) }

func guessAtEach(ctx context.Context, t *target) (outcome, error) {
	result := outcome{least: maxRetries, allowed: ledgered(maxRetries)}
	issued, err := t.noCooldown.issue(ctx, someone())
	all := []answer{issued}
	for newest := issued; err == nil && resent(newest) && len(all) <= maxResends; {
		if newest, err = t.noCooldown.resend(ctx, newest); err == nil && resent(newest) {
			all = append(all, newest)
		}
	}
	for _, each := range all {
		if err != nil {
			break
		}
		var got int
		calls := guesses(maxRetries, t.noCooldown, each)
		got, err = inTurn(ctx, calls, evaluated)
		result.tried, result.evaluated = result.tried+len(calls), result.evaluated+got
	}
	return result, err
}

func resends(n int, c *client, issued answer) []call {
	return repeat(n, call{c, resend, fields{"context": issued.Context}})
}

func resendAtOnce(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.noCooldown.issue(ctx, someone())
	if err == nil {
		issued, err = t.noCooldown.resend(ctx, issued)
	}
	if err != nil {
		return outcome{}, err
	}
	const tried = 100
	got, err := volley(ctx, tried, resends(tried, t.noCooldown, issued), resent)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: ledgered(1)}, err
}

func resendTooSoon(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	const tried = 100
	got, err := volley(ctx, tried, resends(tried, t.main, issued), resent)
	return outcome{tried: tried, evaluated: got, allowed: always(0)}, err
}

func resendOn(ctx context.Context, t *target) (outcome, error) {
	const tried = 10
	result := outcome{tried: tried, least: maxResends, allowed: always(maxResends)}
	newest, err := t.noCooldown.issue(ctx, someone())
	for range tried {
		if err != nil {
			break
		}
		var a answer
		if a, err = t.noCooldown.resend(ctx, newest); err == nil && resent(a) {
			newest = a
			result.evaluated++
		}
	}
	return result, err
}

func olderCode(ctx context.Context, t *target) (outcome, error) {
	const tried = 10
	result := outcome{tried: tried, allowed: ledgered(0)}
	issued, err := t.noCooldown.issue(ctx, someone())
	if err != nil {
		return result, err
	}
	newest, err := t.noCooldown.resend(ctx, issued)
	if err != nil {
		return result, err
	}
	result.evaluated, err = inTurn(ctx, rightCodes(tried, t.noCooldown, issued), right)
	if err == nil && result.evaluated == 0 {
		err = t.noCooldown.finish(ctx, newest)
	}
	return result, err
}

// resendRace tries to have both the older code and the newer one accepted.
func resendRace(ctx context.Context, t *target) (outcome, error) {
	const rounds, width = 20, 10
	result := outcome{least: 1, allowed: ledgered(1)}
	for range rounds {
		issued, err := t.noCooldown.issue(ctx, someone())
		if err != nil {
			return result, err
		}
		newest := make(chan answer, width)
		var calls []call
		for range width {
			calls = append(append(calls, rightCodes(1, t.noCooldown, issued)...), resends(1, t.noCooldown, issued)...)
		}
		got, err := volley(ctx, 2*width, calls, func(a answer) bool {
			if resent(a) {
				newest <- a
			}
			return right(a)
		})
		if err != nil {
			return result, err
		}
		close(newest)
		for a := range newest {
			accepted, err := inTurn(ctx, rightCodes(1, t.noCooldown, a), right)
			if err != nil {
				return result, err
			}
			got += accepted
		}
		result.tried += 2 * width
		result.evaluated = max(result.evaluated, got)
	}
	return result, nil
}
