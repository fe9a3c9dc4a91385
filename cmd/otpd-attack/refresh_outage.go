package main

import (
	"context"
	"errors"
	"slices"
)

// replicasRefresh has the token of one login refreshed at both.
func replicasRefresh(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	first, err := t.main.tokens(ctx)
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, tried, atBoth(repeat(tried, refreshWith(t.main, first)), t.replica), succeeded)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: shared(1, 2)}, err
}

// ended has two logins, of which one is over, and one has a refresh token that is spent. It returns what must not
// refresh.
func (t *target) ended(ctx context.Context, c *client) ([]call, error) {
	spent, err := c.tokens(ctx)
	if err == nil {
		_, err = refreshWith(c, spent).must(ctx)
	}
	if err != nil {
		return nil, err
	}
	over, err := c.tokens(ctx)
	if err == nil {
		err = t.logOut(ctx, c, over.AccessToken)
	}
	return []call{refreshWith(c, spent), refreshWith(c, over)}, err
}

func replicasEndedTokens(ctx context.Context, t *target) (outcome, error) {
	calls, err := t.ended(ctx, t.main)
	if err != nil {
		return outcome{}, err
	}
	again := slices.Repeat(at(t.replica, calls), 3)
	got, err := inTurn(ctx, again, succeeded)
	return outcome{tried: len(again), evaluated: got, allowed: shared(0, len(calls))}, err
}

func tokensAfterKill(ctx context.Context, t *target) (outcome, error) {
	s, err := t.startOwn(ctx)
	if err != nil {
		return outcome{}, err
	}
	calls, err := t.ended(ctx, s.now)
	if err != nil {
		return outcome{}, err
	}
	s.kill()
	if err := s.restart(ctx); err != nil {
		return outcome{}, err
	}
	again := slices.Repeat(at(s.now, calls), 3)
	got, err := inTurn(ctx, again, succeeded)
	return outcome{tried: len(again), evaluated: got, allowed: shared(0, len(calls))}, err
}

// refreshAtStopped sends a refresh token again while what it did without an answer is undone. What comes too late
// ends the login; somebody has tokens of it by then.
func refreshAtStopped(ctx context.Context, t *target) (outcome, error) {
	const logins = 10
	result := outcome{least: 1, allowed: ledgered(1)}
	var calls []call
	for range logins {
		a, err := t.main.tokens(ctx)
		if err != nil {
			return result, err
		}
		calls = append(calls, refreshWith(t.main, a), refreshWith(t.replica, a))
	}
	answers, err := t.atStopped(ctx, calls, calls)
	if err != nil {
		return result, err
	}
	refreshed := make([]int, logins)
	for i, a := range answers {
		if succeeded(a) {
			refreshed[i/2%logins]++
		}
	}
	result.tried, result.evaluated = len(answers), slices.Max(refreshed)
	if slices.Min(refreshed) == 0 {
		err = errors.New("a refresh token is spent, and nobody was told")
	}
	return result, err
}
