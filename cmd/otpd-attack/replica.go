package main

import (
	"context"
	"slices"
	"time"
)

// replicas are attacks on two services that share the signing key and, if it can be shared, the ledger.
var replicas = []attack{
	{"500 wrong codes at two replicas at once", secondReplica, replicasWrong},
	{"500 times the right code at two replicas at once: right", secondReplica, replicasRight},
	{"the right code at one replica after success at the other: right", secondReplica, replicasReplay},
	{"the right code at one replica after revoking at the other: right", secondReplica, replicasRevoked},
	{"a wrong code in each of 200 verifications of one identifier, at two replicas at once", secondReplica, replicasFlows},
	{"500 wrong codes for a device at two replicas at once", secondReplica, replicasDeviceWrong},
	{"a step's code 250 times and a backup code 10 times, at two replicas at once: right", secondReplica, replicasDeviceRight},
	{"a step's code and a backup code at one replica after success at the other: right", secondReplica, replicasDeviceReplay},
	{"a disabled device, and backup codes of before a renewal, at the other replica: right", secondReplica, replicasDeviceEnded},
	{"one challenge and 100 codes, each right, at two replicas at once: completed", secondReplica, replicasChallenge},
	{"100 refreshes with one refresh token at two replicas at once: refreshed", secondReplica, replicasRefresh},
	{"a spent refresh token and one of before a logout, at the other replica: refreshed", secondReplica, replicasEndedTokens},
	{"100 sends to one recipient at two replicas at once: messages", startedService, replicasSend},
	{"100 sends with one Idempotency-Key at two replicas at once, and 20 later: answers unlike", startedService, replicasKey},
	{"500 wrong codes at two replicas, of which one has a newer signing key", startedService, replicasRotated},
	{"a wrong code in each of 200 verifications, issued by these two for one identifier", startedService, replicasRotatedFlows},
}

// atBoth gives every other call to the second replica.
func atBoth(calls []call, second *client) []call {
	calls = slices.Clone(calls)
	for i := 1; i < len(calls); i += 2 {
		calls[i].to = second
	}
	return calls
}

func replicasWrong(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, crowd, atBoth(guesses(crowd, t.main, issued), t.replica), evaluated)
	return outcome{tried: crowd, evaluated: got, least: maxRetries, allowed: shared(maxRetries, 2*maxRetries)}, err
}

func replicasRight(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, crowd, atBoth(rightCodes(crowd, t.main, issued), t.replica), right)
	return outcome{tried: crowd, evaluated: got, least: 1, allowed: shared(1, 2)}, err
}

func replicasReplay(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err == nil {
		err = t.main.finish(ctx, issued)
	}
	if err != nil {
		return outcome{}, err
	}
	const tried = 10
	got, err := inTurn(ctx, rightCodes(tried, t.replica, issued), right)
	return outcome{tried: tried, evaluated: got, allowed: shared(0, 1)}, err
}

func replicasRevoked(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err == nil {
		err = t.revoke(ctx, t.main, issued)
	}
	if err != nil {
		return outcome{}, err
	}
	const tried = 10
	got, err := inTurn(ctx, rightCodes(tried, t.replica, issued), right)
	return outcome{tried: tried, evaluated: got, allowed: shared(0, 1)}, err
}

func replicasFlows(ctx context.Context, t *target) (outcome, error) {
	const tried = 200
	all, err := issueAll(ctx, t.main, someone(), tried)
	if err != nil {
		return outcome{}, err
	}
	start := time.Now()
	got, err := volley(ctx, tried, atBoth(oneGuessEach(t.main, all), t.replica), evaluated)
	allowed := throttleAllows(time.Since(start))
	return outcome{tried: tried, evaluated: got, least: throttleAfter + 1, allowed: shared(allowed, 2*allowed)}, err
}

func replicasDeviceWrong(ctx context.Context, t *target) (outcome, error) {
	d, err := t.device(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	result, err := guessDevice(ctx, crowd, atBoth(d.tries(d.first, d.wrongCodes(crowd)), t.replica))
	result.allowed = shared(result.allowed.promise, 2*result.allowed.promise)
	return result, err
}

func replicasDeviceRight(ctx context.Context, t *target) (outcome, error) {
	d, err := t.main.device(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	calls := append(repeat(10, d.tryBackup(d.first, d.backupCodes[0])), repeat(crowd/2, d.try(d.first, d.code(1)))...)
	got, err := volley(ctx, len(calls), atBoth(calls, t.replica), right)
	return outcome{tried: len(calls), evaluated: got, least: 2, allowed: shared(2, 4)}, err
}

func replicasDeviceReplay(ctx context.Context, t *target) (outcome, error) {
	d, err := t.main.device(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	calls := d.codeAndBackupCode()
	for _, c := range calls {
		if _, err := c.must(ctx); err != nil {
			return outcome{}, err
		}
	}
	again := slices.Repeat(at(t.replica, calls), 3)
	got, err := inTurn(ctx, again, right)
	return outcome{tried: len(again), evaluated: got, allowed: shared(0, len(calls))}, err
}

// codeAndBackupCode returns an attempt with each, both with the first version.
func (d *device) codeAndBackupCode() []call {
	return []call{d.try(d.first, d.code(1)), d.tryBackup(d.first, d.backupCodes[0])}
}

// at gives the calls to another client.
func at(c *client, calls []call) []call {
	calls = slices.Clone(calls)
	for i := range calls {
		calls[i].to = c
	}
	return calls
}

func replicasDeviceEnded(ctx context.Context, t *target) (outcome, error) {
	disabled, err := t.device(ctx, steps)
	if err == nil {
		err = t.disable(ctx, disabled)
	}
	if err != nil {
		return outcome{}, err
	}
	renewed, err := t.renewed(ctx)
	if err != nil {
		return outcome{}, err
	}
	calls := at(t.replica, []call{
		disabled.try(disabled.first, disabled.code(1)), renewed.tryBackup(renewed.first, renewed.backupCodes[0]),
	})
	got, err := inTurn(ctx, calls, right)
	return outcome{tried: len(calls), evaluated: got, allowed: shared(0, len(calls))}, err
}

func replicasChallenge(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	login, all, err := t.main.loginWithCodes(ctx, tried)
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, tried, atBoth(completions(t.main, login, all), t.replica), right)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: shared(1, 2)}, err
}

// newer returns a replica that seals with another key of the ring.
func (t *target) newer(ctx context.Context) (*client, error) {
	keys := slices.Clone(t.rig.keys)
	slices.Reverse(keys)
	second, _, err := t.rig.launch(ctx, keys)
	return second, err
}

// replicasRotated sends guesses with all contexts that it gets, which the one or the other has sealed.
func replicasRotated(ctx context.Context, t *target) (outcome, error) {
	second, err := t.newer(ctx)
	if err != nil {
		return outcome{}, err
	}
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	result := outcome{tried: crowd, least: maxRetries, allowed: shared(maxRetries, 2*maxRetries)}
	contexts := []string{issued.Context}
	for i, guess := range guesses(crowd, t.main, issued) {
		to := []*client{t.main, second}[i%2]
		a, err := to.post(ctx, verify, fields{"otp": guess.code(), "context": contexts[i/2%len(contexts)]})
		if err != nil {
			return result, err
		}
		if evaluated(a) {
			result.evaluated++
			contexts = append(contexts, a.Context)
		}
	}
	return result, nil
}

// replicasRotatedFlows has the verifications of one identifier under two names, one for each key.
func replicasRotatedFlows(ctx context.Context, t *target) (outcome, error) {
	second, err := t.newer(ctx)
	if err != nil {
		return outcome{}, err
	}
	const each = 100
	identifier := someone()
	olds, err := issueAll(ctx, t.main, identifier, each)
	if err != nil {
		return outcome{}, err
	}
	news, err := issueAll(ctx, second, identifier, each)
	if err != nil {
		return outcome{}, err
	}
	start := time.Now()
	calls := slices.Concat(oneGuessEach(t.main, olds), oneGuessEach(second, news))
	got, err := volley(ctx, 2*each, calls, evaluated)
	allowed := throttleAllows(time.Since(start))
	return outcome{
		tried: 2 * each, evaluated: got, least: throttleAfter + 1,
		allowed: limits{promise: allowed, memory: 2 * allowed, redis: 2 * allowed, none: unlimited},
	}, err
}
