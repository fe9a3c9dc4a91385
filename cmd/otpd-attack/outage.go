package main

import (
	"context"
	"errors"
	"time"
)

// restarts are attacks on a service that is killed and started again.
var restarts = []attack{
	{"the right code again after SIGKILL and restart: right", startedService, replayAfterKill},
	{"500 wrong codes at once, SIGKILL amid, restart, and 500 more", startedService, wrongAroundKill},
	{"500 times the right code at once, SIGKILL amid, restart, and 500 more: right", startedService, rightAroundKill},
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
	c, p, err := s.rig.launch(ctx, s.rig.keys, "")
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

// aroundKill makes the calls at once, kills the service soon after the first answer that counts, and makes
// them again. What was under way gets no answer.
func aroundKill(ctx context.Context, t *target, calls func(*client, answer) []call, counts func(answer) bool) (outcome, error) {
	var result outcome
	s, err := t.startOwn(ctx)
	if err != nil {
		return result, err
	}
	issued, err := s.now.issue(ctx, someone())
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
	before, _ := volley(ctx, crowd, calls(s.now, issued), func(a answer) bool {
		if counts(a) {
			first <- struct{}{}
		}
		return counts(a)
	})
	<-killed
	if err := s.restart(ctx); err != nil {
		return result, err
	}
	after, err := volley(ctx, crowd, calls(s.now, issued), counts)
	result.tried, result.evaluated, result.least = 2*crowd, before+after, 1
	return result, err
}

func wrongAroundKill(ctx context.Context, t *target) (outcome, error) {
	result, err := aroundKill(ctx, t, func(c *client, issued answer) []call { return guesses(crowd, c, issued) }, evaluated)
	result.allowed = shared(maxRetries, 2*maxRetries)
	return result, err
}

func rightAroundKill(ctx context.Context, t *target) (outcome, error) {
	result, err := aroundKill(ctx, t, func(c *client, issued answer) []call { return rightCodes(crowd, c, issued) }, right)
	result.allowed = shared(1, 2)
	return result, err
}

// losses are attacks while the ledger does not answer, or after it has lost what it knew.
var losses = []attack{
	{"100 wrong codes at once while the ledger stands still, until it answers", startedRedis, wrongWhileStill},
	{"100 times the right code at once while the ledger stands still, until it answers: right", startedRedis, rightWhileStill},
	{"the right code again after FLUSHALL: right", startedRedis, replayAfterFlush},
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

// wrongWhileStill has all attempts but one counted before. What is taken back afterwards must not be more
// than was counted in between.
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
	return outcome{tried: tried, evaluated: before + after, least: maxRetries, allowed: ledgered(maxRetries)}, err
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
