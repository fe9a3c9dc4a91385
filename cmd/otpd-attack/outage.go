package main

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"
)

// restarts are attacks on a service that is killed and started again.
var restarts = []attack{
	{"the right code again after SIGKILL and restart: right", startedService, replayAfterKill},
	{"500 wrong codes at once, SIGKILL amid, restart, and 500 more", startedService, wrongAroundKill},
	{"500 times the right code at once, SIGKILL amid, restart, and 500 more: right", startedService, rightAroundKill},
	{"a step's code, a backup code and a challenge again after SIGKILL and restart: right", startedService, deviceAfterKill},
	{"one backup code 10 times at once, SIGKILL amid, restart, and 10 more: right", startedService, backupAroundKill},
	{"a spent refresh token and one of before a logout, after SIGKILL and restart: refreshed", startedService, tokensAfterKill},
	{"10 sends to a recipient who has got a message before SIGKILL and restart: messages", startedService, sendAfterKill},
}

// ownService is one that is the attack's own, to be killed and started again.
type ownService struct {
	rig  *rig
	now  *client
	kill func()
}

func (t *target) startOwn(ctx context.Context) (s ownService, err error) {
	s.rig = t.rig
	err = s.restart(ctx)
	return s, err
}

func (s *ownService) restart(ctx context.Context) error {
	c, p, err := s.rig.launch(ctx, s.rig.keys)
	if err == nil {
		s.now, s.kill = c, p.kill
	}
	return err
}

func replayAfterKill(ctx context.Context, t *target) (outcome, error) {
	const tried = 10
	result := outcome{tried: tried, allowed: shared(0, 1)}
	s, err := t.startOwn(ctx)
	if err != nil {
		return result, err
	}
	issued, err := s.now.issue(ctx, someone())
	if err == nil {
		err = s.now.finish(ctx, issued)
	}
	if err != nil {
		return result, err
	}
	s.kill()
	if err := s.restart(ctx); err != nil {
		return result, err
	}
	result.evaluated, err = inTurn(ctx, rightCodes(tried, s.now, issued), right)
	return result, err
}

// aroundKill makes the calls at once that prepare returns, kills the service soon after the first answer that
// counts, and makes them again. What was under way gets no answer.
func aroundKill(
	ctx context.Context, t *target, prepare func(context.Context, *client) ([]call, error), counts func(answer) bool,
) (outcome, error) {
	var result outcome
	s, err := t.startOwn(ctx)
	if err != nil {
		return result, err
	}
	calls, err := prepare(ctx, s.now)
	if err != nil {
		return result, err
	}
	killed := make(chan struct{})
	first := make(chan struct{}, crowd)
	go func() {
		defer close(killed)
		select {
		case <-first:
		case <-time.After(time.Second):
		}
		s.kill()
	}()
	before, _ := volley(ctx, len(calls), calls, func(a answer) bool {
		if counts(a) {
			first <- struct{}{}
		}
		return counts(a)
	})
	<-killed
	if err := s.restart(ctx); err != nil {
		return result, err
	}
	after, err := volley(ctx, len(calls), at(s.now, calls), counts)
	result.tried, result.evaluated, result.least = 2*len(calls), before+after, 1
	return result, err
}

func wrongAroundKill(ctx context.Context, t *target) (outcome, error) {
	result, err := aroundKill(ctx, t, func(ctx context.Context, c *client) ([]call, error) {
		issued, err := c.issue(ctx, someone())
		return guesses(crowd, c, issued), err
	}, evaluated)
	result.allowed = shared(maxRetries, 2*maxRetries)
	return result, err
}

func rightAroundKill(ctx context.Context, t *target) (outcome, error) {
	result, err := aroundKill(ctx, t, func(ctx context.Context, c *client) ([]call, error) {
		issued, err := c.issue(ctx, someone())
		return rightCodes(crowd, c, issued), err
	}, right)
	result.allowed = shared(1, 2)
	return result, err
}

func backupAroundKill(ctx context.Context, t *target) (outcome, error) {
	const each = 10
	result, err := aroundKill(ctx, t, func(ctx context.Context, c *client) ([]call, error) {
		d, err := c.device(ctx, steps)
		if err != nil {
			return nil, err
		}
		return repeat(each, d.tryBackup(d.first, d.backupCodes[0])), nil
	}, right)
	result.allowed = shared(1, 2)
	return result, err
}

// used makes a device, a challenge that a context has completed, and returns calls that have succeeded.
func (c *client) used(ctx context.Context) ([]call, error) {
	d, err := c.device(ctx, steps)
	if err != nil {
		return nil, err
	}
	login, all, err := c.loginWithCodes(ctx, 2)
	if err != nil {
		return nil, err
	}
	calls := append(d.codeAndBackupCode(), completions(c, login, all[:1])...)
	for _, call := range calls {
		if _, err := call.must(ctx); err != nil {
			return nil, err
		}
	}
	// Again, but for the challenge with a fresh code.
	return append(d.codeAndBackupCode(), completions(c, login, all[1:])...), nil
}

func deviceAfterKill(ctx context.Context, t *target) (outcome, error) {
	const times = 3
	s, err := t.startOwn(ctx)
	if err != nil {
		return outcome{}, err
	}
	calls, err := s.now.used(ctx)
	if err != nil {
		return outcome{}, err
	}
	s.kill()
	if err := s.restart(ctx); err != nil {
		return outcome{}, err
	}
	again := slices.Repeat(at(s.now, calls), times)
	got, err := inTurn(ctx, again, right)
	return outcome{tried: len(again), evaluated: got, allowed: shared(0, len(calls))}, err
}

// losses are attacks while the ledger does not answer, or after it has lost what it knew.
var losses = []attack{
	{"100 wrong codes at once while the ledger stands still, until it answers", startedRedis, wrongWhileStill},
	{"100 times the right code at once while the ledger stands still, until it answers: right", startedRedis, rightWhileStill},
	{"wrong codes sent to a stopped ledger, and looked up: the most of 10 verifications", startedRedis, wrongToStopped},
	{"the right code sent to a stopped ledger, and again: right, the most of 10 verifications", startedRedis, rightToStopped},
	{"the right code again after FLUSHALL: right", startedRedis, replayAfterFlush},
	{"refresh tokens sent to a stopped ledger, and again: refreshed, the most of 10 logins", startedRedis, refreshAtStopped},
	{"sends asked of a stopped ledger, and again: messages, the most of 10 recipients", startedRedis, sendAtStopped},
	{"spent and ended refresh tokens, and a send, again after FLUSHALL: done", startedRedis, spentAfterFlush},
}

// command sends one command to the Redis.
func (t *target) command(ctx context.Context, command string) error {
	reply, err := t.rig.redis.do(ctx, command)
	if err == nil && reply != "+OK" {
		err = errors.New(command + ": " + reply)
	}
	return err
}

// standstill is longer than the service waits for its ledger. What it sent is carried out at its end.
const standstill = "CLIENT PAUSE 600 ALL"

// wrongWhileStill has all attempts but one counted before. The last may go to a code whose answer is lost.
func wrongWhileStill(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	issued, err := t.main.issue(ctx, someone())
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
	return outcome{tried: tried, evaluated: before + after, least: maxRetries - 1, allowed: ledgered(maxRetries)}, err
}

func rightWhileStill(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
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

// How many verifications are attacked at once while Redis is stopped, and how often a request is repeated
// afterwards. A replica undoes what it has to within a second, which is over before the last time.
const (
	stoppedFlows = 10
	repeats      = 13
)

// atStopped sends calls to a service whose Redis is stopped, and lets it go on when all are answered. It
// sends afterwards at once then, and repeats that until nothing more will be undone. It returns all answers
// in turn.
func (t *target) atStopped(ctx context.Context, calls, afterwards []call) ([]answer, error) {
	server := t.rig.redis.cmd.Process
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		return nil, err
	}
	answers, err := sendAll(ctx, calls)
	err = errors.Join(err, server.Signal(syscall.SIGCONT))
	for range repeats {
		if err != nil {
			return nil, err
		}
		var more []answer
		if more, err = sendAll(ctx, afterwards); err == nil {
			err = sleep(ctx, pause)
		}
		answers = append(answers, more...)
	}
	return answers, err
}

// flow is which verification the i-th answer is for, where there are two calls for each.
func flow(i int) int { return i / 2 % stoppedFlows }

// issueNameless has codes issued for nobody, so that no throttle counts.
func (t *target) issueNameless(ctx context.Context) ([]answer, error) {
	all := make([]answer, stoppedFlows)
	for i := range all {
		var err error
		if all[i], err = t.main.must(ctx, generate, fields{}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// wrongToStopped learns from the attempts that remain that a code was wrong, though its answer was lost.
// It must not get such an attempt back.
func wrongToStopped(ctx context.Context, t *target) (outcome, error) {
	const stops, each = 4, 2
	result := outcome{tried: stops * each * stoppedFlows, least: maxRetries, allowed: ledgered(maxRetries)}
	all, err := t.issueNameless(ctx)
	if err != nil {
		return result, err
	}
	var looks []call
	for _, issued := range all {
		look := call{t.replica, inspect, fields{"context": issued.Context}}
		looks = append(looks, look, call{t.main, look.path, look.body})
	}
	learnt := make([]int, stoppedFlows)
	remaining := slices.Repeat([]int{maxRetries}, stoppedFlows)
	for stop := range stops {
		var calls []call
		for _, issued := range all {
			calls = append(calls, guesses(stops*each, t.main, issued)[stop*each:][:each]...)
		}
		answers, err := t.atStopped(ctx, calls, looks)
		if err != nil {
			return result, err
		}
		before, fewest := slices.Clone(remaining), slices.Clone(remaining)
		for i, a := range answers {
			if f := flow(i); succeeded(a) {
				remaining[f], fewest[f] = a.AttemptsRemaining, min(fewest[f], a.AttemptsRemaining)
			}
		}
		for f := range learnt {
			learnt[f] += before[f] - fewest[f]
		}
	}
	result.evaluated = slices.Max(learnt)
	return result, nil
}

// rightToStopped sends the right code again while what it did without an answer is undone, and has Redis
// stopped once more after success.
func rightToStopped(ctx context.Context, t *target) (outcome, error) {
	const stops = 2
	result := outcome{tried: stops * (1 + repeats) * 2 * stoppedFlows, least: 1, allowed: ledgered(1)}
	all, err := t.issueNameless(ctx)
	if err != nil {
		return result, err
	}
	var calls []call
	for _, issued := range all {
		calls = append(calls, atBoth(rightCodes(2, t.main, issued), t.replica)...)
	}
	accepted := make([]int, stoppedFlows)
	for range stops {
		answers, err := t.atStopped(ctx, calls, calls)
		if err != nil {
			return result, err
		}
		for i, a := range answers {
			if right(a) {
				accepted[flow(i)]++
			}
		}
		if slices.Min(accepted) == 0 {
			return result, errors.New("a right code is used up, and nobody was told")
		}
	}
	result.evaluated = slices.Max(accepted)
	return result, nil
}

func replayAfterFlush(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
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
