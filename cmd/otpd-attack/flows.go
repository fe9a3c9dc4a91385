package main

import (
	"context"
	"errors"
	"time"
)

// flows are attacks on one identifier, over many verifications.
var flows = []attack{
	{"a wrong code in each of 200 verifications of one identifier, at once", manyFlows},
	{"wrong codes for one identifier in fresh verifications, for 7 s", patientFlows},
}

// The default throttle.
const (
	throttleAfter  = 20
	throttleFactor = time.Second
	throttleMax    = time.Hour
)

// throttleAllows is how many wrong codes for one identifier the throttle lets pass in some time: the free
// ones, the one that locks, and one more whenever a lock ends. It is not meant for 100 and more.
func throttleAllows(elapsed time.Duration) int {
	allowed, lock := throttleAfter+1, 2*throttleFactor
	for elapsed >= lock {
		elapsed -= lock
		lock = min(2*lock, throttleMax)
		allowed++
	}
	return allowed
}

// begin has n codes issued for one identifier.
func begin(ctx context.Context, c *client, identifier string, n int) ([]answer, error) {
	all := make([]answer, n)
	for i := range all {
		var err error
		if all[i], err = c.begin(ctx, identifier); err != nil {
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
	all, err := begin(ctx, t.main, someone(), tried)
	if err != nil {
		return outcome{}, err
	}
	start := time.Now()
	got, err := volley(ctx, tried, oneGuessEach(t.main, all), evaluated)
	return outcome{
		tried: tried, evaluated: got, least: throttleAfter + 1, allowed: ledgered(throttleAllows(time.Since(start))),
	}, err
}

// patientFlows sends a guess as soon as the lock ends.
func patientFlows(ctx context.Context, t *target) (outcome, error) {
	const patience, most = 7 * time.Second, 1000
	identifier, result := someone(), outcome{least: throttleAfter + 1}
	start := time.Now()
	for time.Since(start) < patience && result.tried < most {
		issued, err := t.main.begin(ctx, identifier)
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
