package main

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"
)

// replicasSend counts messages to one recipient.
func replicasSend(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	to := someone()
	result, err := t.flood(ctx, time.Now(), atBoth(repeat(tried, sendTo(t.main, to)), t.replica), to)
	result.allowed = shared(result.allowed.promise, 2*result.allowed.promise)
	return result, err
}

// replicasKey has one answer of each replica where they share nothing.
func replicasKey(ctx context.Context, t *target) (outcome, error) {
	const atOnce, later = 100, 20
	try := sendTo(t.main.keyed(rand.Text()), someone())
	second := t.replica.keyed(try.to.key)
	result, err := t.answersUnlike(ctx, atBoth(repeat(atOnce, try), second), atBoth(repeat(later, try), second))
	result.allowed.memory = 2 * result.allowed.promise
	return result, err
}

// sendAfterKill has a recipient who has got a message.
func sendAfterKill(ctx context.Context, t *target) (outcome, error) {
	const tried = 10
	s, err := t.startOwn(ctx)
	if err != nil {
		return outcome{}, err
	}
	to, start := someone(), time.Now()
	if _, err := t.sent(ctx, s.now, to); err != nil {
		return outcome{}, err
	}
	s.kill()
	if err := s.restart(ctx); err != nil {
		return outcome{}, err
	}
	result, err := t.flood(ctx, start, repeat(tried, sendTo(s.now, to)), to)
	result.allowed = shared(result.allowed.promise, 2*result.allowed.promise)
	return result, err
}

// sendAtStopped sends once more while what was counted without an answer is undone.
func sendAtStopped(ctx context.Context, t *target) (outcome, error) {
	const recipients = 10
	var all []string
	var calls []call
	for range recipients {
		to := someone()
		all = append(all, to)
		calls = append(calls, sendTo(t.main, to), sendTo(t.replica, to))
	}
	start := time.Now()
	answers, err := t.atStopped(ctx, calls, calls)
	if err != nil {
		return outcome{}, err
	}
	var arrived []int
	for _, to := range all {
		arrived = append(arrived, t.rig.inbox.arrived(to))
	}
	if slices.Min(arrived) == 0 {
		err = errors.New("a message is counted that nobody has got")
	}
	return outcome{
		tried: len(answers), evaluated: slices.Max(arrived), least: 1, allowed: ledgered(sendsAllowed(time.Since(start))),
	}, err
}

// spentAfterFlush has a refresh token that is spent and a recipient who has got a message.
func spentAfterFlush(ctx context.Context, t *target) (outcome, error) {
	to := someone()
	if _, err := t.sent(ctx, t.main, to); err != nil {
		return outcome{}, err
	}
	calls, err := t.ended(ctx, t.main)
	if err == nil {
		err = t.command(ctx, "FLUSHALL")
	}
	if err != nil {
		return outcome{}, err
	}
	calls = append(calls, sendTo(t.main, to))
	again := slices.Repeat(calls, 3)
	got, err := inTurn(ctx, again, succeeded)
	return outcome{tried: len(again), evaluated: got, least: 1, allowed: limits{promise: 0, redis: len(calls)}}, err
}
