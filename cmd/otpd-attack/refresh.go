package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Paths of tokens.
const (
	refresh     = "/v1/tokens/refresh"
	introspect  = "/v1/tokens/introspect"
	revokeToken = "/v1/tokens/revoke"
)

// refreshing are attacks with refresh tokens.
var refreshing = []attack{
	{"100 refreshes with one refresh token at once: refreshed", nothing, refreshAtOnce},
	{"tokens of a login after one of its refresh tokens was used twice: accepted", nothing, afterReuse},
	{"tokens of a login after a logout with any of them: accepted", nothing, afterLogout},
	{"another tenant's tokens refreshed, introspected and revoked: done", secondKey, otherKeyRefreshes},
}

// accepted reports whether a token was taken for what it should be, by any operation that says so.
func accepted(a answer) bool {
	return a.RefreshToken != "" || a.Active != nil && *a.Active || a.ErrorCode == "REFRESH_TOKEN_REUSED"
}

// good reports whether a token is.
func good(a answer) bool { return a.RefreshToken != "" || a.Active != nil && *a.Active }

func refreshWith(c *client, a answer) call {
	return call{c, refresh, fields{"refresh_token": a.RefreshToken}}
}

func introspectOf(c *client, token string) call {
	return call{c, introspect, fields{"token": token}}
}

// uses returns calls that tell whether tokens are good, and leave them so but for the last.
func uses(c *client, a answer) []call {
	return []call{introspectOf(c, a.AccessToken), introspectOf(c, a.RefreshToken), refreshWith(c, a)}
}

// live is an error if tokens are not good. They are spent by it.
func (c *client) live(ctx context.Context, a answer) error {
	calls := uses(c, a)
	got, err := inTurn(ctx, calls, good)
	if err == nil && got < len(calls) {
		err = errors.New("tokens that nobody had to do with are dead")
	}
	return err
}

func refreshAtOnce(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	first, err := t.main.tokens(ctx)
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, tried, repeat(tried, refreshWith(t.main, first)), succeeded)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: ledgered(1)}, err
}

// family returns three generations of tokens of one login.
func (c *client) family(ctx context.Context) ([]answer, error) {
	a, err := c.tokens(ctx)
	all := []answer{a}
	for range 2 {
		if err == nil {
			a, err = refreshWith(c, a).must(ctx)
			all = append(all, a)
		}
	}
	return all, err
}

// usesOfAll returns a use of every token of a family, of the newest first.
func usesOfAll(c *client, family []answer) (calls []call) {
	for _, a := range slices.Backward(family) {
		calls = append(calls, uses(c, a)...)
	}
	return calls
}

// afterReuse has each of the two spent tokens of a family used again, and another login left alone.
func afterReuse(ctx context.Context, t *target) (outcome, error) {
	result := outcome{allowed: ledgered(0)}
	untouched, err := t.main.tokens(ctx)
	if err != nil {
		return result, err
	}
	for spent := range 2 {
		family, err := t.main.family(ctx)
		if err != nil {
			return result, err
		}
		reuse := refreshWith(t.main, family[spent])
		if _, err := reuse.to.post(ctx, reuse.path, reuse.body); err != nil {
			return result, err
		}
		calls := usesOfAll(t.main, family)
		got, err := inTurn(ctx, calls, good)
		if err != nil {
			return result, err
		}
		result.tried, result.evaluated = result.tried+len(calls), result.evaluated+got
	}
	return result, t.main.live(ctx, untouched)
}

// afterLogout has one login for each token that can end it.
func afterLogout(ctx context.Context, t *target) (outcome, error) {
	result := outcome{allowed: ledgered(0)}
	untouched, err := t.main.tokens(ctx)
	if err != nil {
		return result, err
	}
	for _, of := range []func([]answer) string{
		func(family []answer) string { return family[0].RefreshToken },
		func(family []answer) string { return family[0].AccessToken },
		func(family []answer) string { return family[2].RefreshToken },
		func(family []answer) string { return family[2].AccessToken },
	} {
		family, err := t.main.family(ctx)
		if err == nil {
			err = t.logOut(ctx, t.main, of(family))
		}
		if err != nil {
			return result, err
		}
		calls := usesOfAll(t.main, family)
		got, err := inTurn(ctx, calls, good)
		if err != nil {
			return result, err
		}
		result.tried, result.evaluated = result.tried+len(calls), result.evaluated+got
	}
	return result, t.main.live(ctx, untouched)
}

// logOut ends what a token is of, as far as the ledger can.
func (t *target) logOut(ctx context.Context, c *client, token string) error {
	return t.end(ctx, call{c, revokeToken, fields{"token": token}})
}

// otherKeyRefreshes looks at what became of the tokens, as the answer to a logout is always the same.
func otherKeyRefreshes(ctx context.Context, t *target) (outcome, error) {
	a, err := t.main.tokens(ctx)
	if err != nil {
		return outcome{}, err
	}
	calls := append(uses(t.other, a), uses(t.other, answer{AccessToken: a.RefreshToken, RefreshToken: a.AccessToken})...)
	got, err := inTurn(ctx, calls, accepted)
	if err != nil {
		return outcome{}, err
	}
	ends := []call{
		{t.other, revokeToken, fields{"token": a.AccessToken}}, {t.other, revokeToken, fields{"token": a.RefreshToken}},
	}
	if _, err := inTurn(ctx, ends, succeeded); err != nil {
		return outcome{}, err
	}
	result := outcome{tried: len(calls) + len(ends), evaluated: got, allowed: always(0)}
	if got == 0 {
		err = t.main.live(ctx, a)
	}
	return result, err
}

// tokensExpired also has them refreshed and ended when they have.
func tokensExpired(ctx context.Context, t *target) (outcome, error) {
	brief, p, err := t.rig.launch(ctx, t.rig.keys, "OTP_ACCESS_TOKEN_SECONDS=1", "OTP_REFRESH_TOKEN_SECONDS=1")
	if err != nil {
		return outcome{}, err
	}
	defer p.kill()
	a, err := brief.tokens(ctx)
	if err == nil {
		err = sleep(ctx, 1100*time.Millisecond)
	}
	if err != nil {
		return outcome{}, err
	}
	calls := slices.Repeat(append(uses(brief, a), uses(t.main, a)...), 3)
	got, err := inTurn(ctx, calls, accepted)
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}
