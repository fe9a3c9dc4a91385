package main

import (
	"context"
	"errors"
)

// losses are attacks while the ledger does not answer, or after it has lost what it knew.
var losses = []attack{
	{"100 wrong codes at once while the ledger stands still, until it answers", wrongWhileStill},
	{"100 times the right code at once while the ledger stands still, until it answers: right", rightWhileStill},
	{"the right code again after FLUSHALL: right", replayAfterFlush},
}

const noServer = skipped("needs a Redis that was started for it")

// command sends one command to the Redis.
func (t *target) command(ctx context.Context, command string) error {
	reply, err := t.rig.redis.do(ctx, command)
	if err == nil && reply != "+OK" {
		err = errors.New(command + ": " + reply)
	}
	return err
}

// beginForLoss has a code issued by a service whose Redis can be disturbed.
func beginForLoss(ctx context.Context, t *target) (answer, error) {
	if t.rig == nil || t.rig.redis == nil {
		return answer{}, noServer
	}
	return t.main.begin(ctx, someone())
}

// standstill is longer than the service waits for its ledger. What it sent is carried out at its end.
const standstill = "CLIENT PAUSE 600 ALL"

// wrongWhileStill has all attempts but one counted before. What is taken back afterwards must not be more
// than was counted in between.
func wrongWhileStill(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	issued, err := beginForLoss(ctx, t)
	if err != nil {
		return outcome{}, err
	}
	calls := guesses(tried, t.main, issued)
	before, err := inTurn(ctx, calls[:maxRetries-1], evaluated)
	if err == nil {
		err = t.command(ctx, standstill)
	}
	if err != nil {
		return outcome{}, err
	}
	after, err := volley(ctx, tried, calls[maxRetries-1:], evaluated)
	return outcome{tried: tried, evaluated: before + after, least: maxRetries, allowed: ledgered(maxRetries)}, err
}

func rightWhileStill(ctx context.Context, t *target) (outcome, error) {
	issued, err := beginForLoss(ctx, t)
	if err == nil {
		err = t.command(ctx, standstill)
	}
	if err != nil {
		return outcome{}, err
	}
	const tried = 100
	got, err := volley(ctx, tried, rightCodes(tried, t.main, issued), right)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: ledgered(1)}, err
}

func replayAfterFlush(ctx context.Context, t *target) (outcome, error) {
	issued, err := beginForLoss(ctx, t)
	if err == nil {
		err = t.main.finish(ctx, issued)
	}
	if err == nil {
		err = t.command(ctx, "FLUSHALL")
	}
	if err != nil {
		return outcome{}, err
	}
	const tried = 10
	got, err := inTurn(ctx, rightCodes(tried, t.main, issued), right)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: limits{promise: 0, redis: 1}}, err
}
