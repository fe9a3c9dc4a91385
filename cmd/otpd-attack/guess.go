package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// patience are attacks that mostly wait, and so are carried out while others are.
var patience = []attack{
	{"the right code after it has expired, and after its session has", nothing, afterExpiry},
	{"right codes for a challenge after it has expired", startedService, challengeExpired},
	{"an access token and a refresh token after they have expired: accepted", startedService, tokensExpired},
	{"wrong codes for one identifier in fresh verifications, for 7 s", nothing, patientFlows},
	{"wrong codes for a device with its newest version, for 5 s", nothing, patientDevice},
}

// guessing are attacks on one verification, by whoever holds its contexts.
var guessing = []attack{
	{"rollback: 10,000 guesses, all with the first context", nothing, rollback},
	{"500 wrong codes at once", nothing, wrongAtOnce},
	{"500 times the right code at once: right", nothing, rightAtOnce},
	{"250 right and 250 wrong codes at once: right", nothing, mixedAtOnce},
	{"the right code again after success: right", nothing, replay},
	{"the right code after revoking: right", nothing, afterRevoking},
}

// guesses returns n different codes as calls, none of them the right one.
func guesses(n int, c *client, issued answer) (calls []call) {
	for i := 0; len(calls) < n; i++ {
		if code := fmt.Sprintf("%06d", i); code != issued.OTP {
			calls = append(calls, call{c, verify, attempt(issued, code)})
		}
	}
	return calls
}

// rightCodes returns n times the right code.
func rightCodes(n int, c *client, issued answer) []call {
	return repeat(n, call{c, verify, attempt(issued, issued.OTP)})
}

// rollback guesses on after the last attempt, and then has the code.
func rollback(ctx context.Context, t *target) (outcome, error) {
	const tried, width, space = 10_000, 64, 1_000_000
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	start := time.Now()
	calls := append(guesses(tried-1, t.main, issued), rightCodes(1, t.main, issued)...)
	got, err := volley(ctx, width, calls, evaluated)
	result := outcome{tried: tried, evaluated: got, least: maxRetries, allowed: ledgered(maxRetries)}
	if rate := float64(got) / time.Since(start).Seconds(); t.ledger == none {
		result.note = fmt.Sprintf("%.0f a second. All codes of six digits take %.0f s, and half of them %.0f s.",
			rate, space/rate, space/2/rate)
	}
	return result, err
}

func wrongAtOnce(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, crowd, guesses(crowd, t.main, issued), evaluated)
	return outcome{tried: crowd, evaluated: got, least: maxRetries, allowed: ledgered(maxRetries)}, err
}

func rightAtOnce(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, crowd, rightCodes(crowd, t.main, issued), right)
	return outcome{tried: crowd, evaluated: got, least: 1, allowed: ledgered(1)}, err
}

// mixedAtOnce may be left without an attempt before the first right code. So that it shows something,
// the verification allows more wrong ones than others do.
func mixedAtOnce(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.must(ctx, generate, fields{"identifier": someone(), "max_retries": 10})
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, guess := range guesses(crowd/2, t.main, issued) {
		calls = append(append(calls, rightCodes(1, t.main, issued)...), guess)
	}
	got, err := volley(ctx, crowd, calls, right)
	return outcome{tried: crowd, evaluated: got, allowed: ledgered(1)}, err
}

func replay(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err == nil {
		err = t.main.finish(ctx, issued)
	}
	if err != nil {
		return outcome{}, err
	}
	const tried, width = 100, 50
	got, err := volley(ctx, width, rightCodes(tried, t.main, issued), right)
	return outcome{tried: tried, evaluated: got, allowed: ledgered(0)}, err
}

func afterRevoking(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err == nil {
		err = t.revoke(ctx, t.main, issued)
	}
	if err != nil {
		return outcome{}, err
	}
	const tried, width = 100, 50
	got, err := volley(ctx, width, rightCodes(tried, t.main, issued), right)
	return outcome{tried: tried, evaluated: got, allowed: ledgered(0)}, err
}

// afterExpiry also has a resend of what has ended.
func afterExpiry(ctx context.Context, t *target) (outcome, error) {
	const tried, life = 20, 1
	result := outcome{tried: 2*tried + 1, allowed: always(0)}
	var calls []call
	for _, request := range []fields{
		{"identifier": someone(), "expiry_seconds": life},
		{"identifier": someone(), "expiry_seconds": life, "session_expiry_seconds": life},
	} {
		issued, err := t.noCooldown.must(ctx, generate, request)
		if err != nil {
			return result, err
		}
		calls = append(calls, rightCodes(tried, t.noCooldown, issued)...)
		if request["session_expiry_seconds"] != nil {
			calls = append(calls, resends(1, t.noCooldown, issued)...)
		}
	}
	err := sleep(ctx, (life*1000+100)*time.Millisecond)
	if err == nil {
		result.evaluated, err = volley(ctx, tried, calls, func(a answer) bool { return evaluated(a) || resent(a) })
	}
	return result, err
}

// revoke ends a verification, as far as the ledger can.
func (t *target) revoke(ctx context.Context, c *client, issued answer) error {
	return t.end(ctx, call{c, revoke, fields{"context": issued.Context}})
}

// end makes a call that needs a ledger: without one, the service refuses to.
func (t *target) end(ctx context.Context, c call) error {
	a, err := c.to.post(ctx, c.path, c.body)
	if disabled := t.ledger == none && a.ErrorCode == "LEDGER_DISABLED"; err == nil && !succeeded(a) && !disabled {
		err = fmt.Errorf("%s: %v", c.path, a)
	}
	return err
}

// flows are attacks on one identifier, over many verifications.
var flows = []attack{
	{"a wrong code in each of 200 verifications of one identifier, at once", nothing, manyFlows},
}

// The default throttle.
const (
	throttleAfter  = 20
	throttleFactor = time.Second
)

// throttleAllows is how many wrong codes for one identifier the throttle lets pass in some time: the free
// ones, the one that locks, and one more whenever a lock ends. Within the bound no lock comes to the longest.
func throttleAllows(elapsed time.Duration) int {
	return throttleAfter + 1 + locksEnded(elapsed, 2*throttleFactor)
}

// locksEnded is how many locks end in some time, the first of them as long as lock and each twice as long as the
// one before.
func locksEnded(elapsed, lock time.Duration) (ended int) {
	for ; elapsed >= lock; lock *= 2 {
		elapsed -= lock
		ended++
	}
	return ended
}

// issueAll has n codes issued for one identifier.
func issueAll(ctx context.Context, c *client, identifier string, n int) ([]answer, error) {
	all := make([]answer, n)
	for i := range all {
		var err error
		if all[i], err = c.issue(ctx, identifier); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// oneGuessEach returns a wrong code for each verification.
func oneGuessEach(c *client, verifications []answer) (calls []call) {
	for _, issued := range verifications {
		calls = append(calls, guesses(1, c, issued)...)
	}
	return calls
}

func manyFlows(ctx context.Context, t *target) (outcome, error) {
	const tried = 200
	all, err := issueAll(ctx, t.main, someone(), tried)
	if err != nil {
		return outcome{}, err
	}
	start := time.Now()
	got, err := volley(ctx, tried, oneGuessEach(t.main, all), evaluated)
	return outcome{
		tried: tried, evaluated: got, least: throttleAfter + 1, allowed: ledgered(throttleAllows(time.Since(start))),
	}, err
}

// patientFlows sends a guess as soon as the lock ends. However slow the machine is, it sends some that have to
// be refused.
func patientFlows(ctx context.Context, t *target) (outcome, error) {
	const howLong, most = 7 * time.Second, 1000
	identifier, result := someone(), outcome{least: throttleAfter + 1}
	start := time.Now()
	for result.tried < 2*result.least || time.Since(start) < howLong && result.tried < most {
		issued, err := t.main.issue(ctx, identifier)
		if err != nil {
			return result, err
		}
		got, err := volley(ctx, 1, guesses(1, t.main, issued), evaluated)
		if err != nil {
			return result, err
		}
		result.tried++
		result.evaluated += got
		if got == 0 {
			if err := sleep(ctx, 10*time.Millisecond); err != nil {
				return result, errors.New("no time is left")
			}
		}
	}
	result.allowed = ledgered(throttleAllows(time.Since(start)))
	return result, nil
}
