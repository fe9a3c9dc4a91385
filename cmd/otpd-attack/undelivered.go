package main

import "context"

// undelivered are attacks by resends that fail, after which the older code is good again.
var undelivered = []attack{
	{"wrong codes and resends that fail, in turn and at once: the most of 2 verifications", startedService, guessUndelivered},
	{"right codes and resends that fail, at once: right, the most of 20 verifications", startedService, rightUndelivered},
	{"older codes after a resend, and further resends that fail: right", startedService, olderUndelivered},
}

// stranded has a code sent whose resends will fail: nothing reaches who is next.
func (t *target) stranded(ctx context.Context) (answer, error) {
	nobody := someone()
	t.rig.inbox.answer(nobody, forGood)
	return t.sent(ctx, t.noCooldown, someone(), nobody)
}

// guessUndelivered has a resend before each code, as there is none once no attempt is left.
func guessUndelivered(ctx context.Context, t *target) (outcome, error) {
	const rounds = 50
	result := outcome{least: maxRetries, allowed: ledgered(maxRetries)}
	for _, width := range []int{1, 2 * rounds} {
		issued, err := t.stranded(ctx)
		if err != nil {
			return result, err
		}
		var calls []call
		for _, guess := range guesses(rounds, t.noCooldown, issued) {
			calls = append(append(calls, resends(1, t.noCooldown, issued)...), guess)
		}
		got, err := volley(ctx, width, calls, evaluated)
		if err != nil {
			return result, err
		}
		result.tried, result.evaluated = result.tried+rounds, max(result.evaluated, got)
	}
	return result, nil
}

// rightUndelivered sends a last code when all resends have failed, which leaves one that is good.
func rightUndelivered(ctx context.Context, t *target) (outcome, error) {
	const rounds, width = 20, 10
	result := outcome{least: 1, allowed: ledgered(1)}
	for range rounds {
		issued, err := t.stranded(ctx)
		if err != nil {
			return result, err
		}
		calls := alternately(width, rightCodes(1, t.noCooldown, issued)[0], resends(1, t.noCooldown, issued)[0])
		got, err := volley(ctx, len(calls), calls, right)
		if err != nil {
			return result, err
		}
		last, err := inTurn(ctx, rightCodes(1, t.noCooldown, issued), right)
		if err != nil {
			return result, err
		}
		result.tried, result.evaluated = result.tried+width+1, max(result.evaluated, got+last)
	}
	return result, nil
}

// olderUndelivered has the resend before the one that fails taken back as well, if that is all that is asked.
func olderUndelivered(ctx context.Context, t *target) (outcome, error) {
	const each = 10
	result := outcome{tried: 2 * each, allowed: ledgered(0)}
	first, nobody, next := someone(), someone(), someone()
	t.rig.inbox.answer(nobody, forGood)
	issued, err := t.sent(ctx, t.noCooldown, first, next, nobody)
	if err != nil {
		return result, err
	}
	newest, err := t.noCooldown.must(ctx, resend, fields{"context": issued.Context})
	if err != nil {
		return result, err
	}
	newest.OTP = t.rig.inbox.code(next)
	for _, failing := range []answer{newest, issued} {
		calls := append(resends(each, t.noCooldown, failing), rightCodes(each, t.noCooldown, issued)...)
		got, err := volley(ctx, len(calls), calls, right)
		if err != nil {
			return result, err
		}
		result.evaluated += got
	}
	if result.evaluated == 0 {
		err = t.noCooldown.finish(ctx, newest)
	}
	return result, err
}
