package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Paths of tokens.
const (
	refresh     = "/v1/tokens/refresh"
	introspect  = "/v1/tokens/introspect"
	revokeToken = "/v1/tokens/revoke"
)

// issuing are attacks to get tokens without a right code, or more than it is worth.
var issuing = []attack{
	{"tokens asked for with a wrong code, for nobody, for a decoy or in other words: issued", nothing, issueWrongly},
	{"one right code 100 times at once, and again, with tokens asked for: issued", nothing, issueAtOnce},
	{"one challenge and 100 right codes at once, with tokens asked for: issued", nothing, issueForChallenge},
}

// refreshing are attacks with refresh tokens.
var refreshing = []attack{
	{"100 refreshes with one refresh token at once: refreshed", nothing, refreshAtOnce},
	{"tokens of a login after one of its refresh tokens was used twice: accepted", nothing, afterReuse},
	{"tokens of a login after a logout with any of them: accepted", nothing, afterLogout},
	{"another tenant's tokens refreshed, introspected and revoked: done", secondKey, otherKeyRefreshes},
}

// issuedTokens reports whether a has tokens.
func issuedTokens(a answer) bool { return a.AccessToken != "" || a.RefreshToken != "" }

// accepted reports whether a token was taken for what it should be, by any operation that says so.
func accepted(a answer) bool {
	return a.RefreshToken != "" || a.Active != nil && *a.Active || a.ErrorCode == "REFRESH_TOKEN_REUSED"
}

// good reports whether a token is.
func good(a answer) bool { return a.RefreshToken != "" || a.Active != nil && *a.Active }

// asking is an attempt with tokens asked for.
func asking(issued answer, code string) fields {
	request := attempt(issued, code)
	request["issue"] = "tokens"
	return request
}

// tokens has tokens issued for somebody. A service without them is no target.
func (c *client) tokens(ctx context.Context) (answer, error) {
	issued, err := c.issue(ctx, someone())
	if err != nil {
		return answer{}, err
	}
	a, err := c.post(ctx, verify, asking(issued, issued.OTP))
	switch {
	case err != nil:
	case a.ErrorCode == "TOKENS_DISABLED":
		err = skipped("needs OTP_JWT_PRIVATE_KEY_FILE")
	case a.AccessToken == "" || a.RefreshToken == "":
		err = fmt.Errorf("%s: %v, and there should be tokens", verify, a)
	}
	return a, err
}

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

// nameless has a code issued for nobody.
func (c *client) nameless(ctx context.Context) (answer, error) {
	return c.must(ctx, generate, fields{})
}

func issueWrongly(ctx context.Context, t *target) (outcome, error) {
	if _, err := t.main.tokens(ctx); err != nil { // or nothing would be issued anyway
		return outcome{}, err
	}
	nobody, err := t.main.nameless(ctx)
	if err != nil {
		return outcome{}, err
	}
	decoy, err := t.main.must(ctx, generate, fields{"identifier": someone(), "decoy": true})
	if err != nil {
		return outcome{}, err
	}
	bound, err := issueForUse(ctx, t.main)
	if err != nil {
		return outcome{}, err
	}
	plain, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	wrong := guesses(1, t.main, plain)[0].code()
	calls := []call{
		{t.main, verify, asking(nobody, nobody.OTP)}, {t.main, verify, asking(decoy, decoy.OTP)},
		{t.main, verify, asking(bound, bound.OTP)}, {t.main, verify, asking(plain, wrong)},
	}
	for _, issue := range []any{
		"token", "Tokens", "TOKENS", " tokens", "tokens ", "tokens\x00", "access_token", "all", true, 1,
		[]string{"tokens"}, fields{"tokens": true},
	} {
		request := attempt(plain, plain.OTP)
		request["issue"] = issue
		calls = append(calls, call{t.main, verify, request})
	}
	got, err := inTurn(ctx, calls, issuedTokens)
	for _, issued := range []answer{nobody, plain} {
		if err == nil && got == 0 {
			err = t.main.finish(ctx, issued)
		}
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func issueAtOnce(ctx context.Context, t *target) (outcome, error) {
	const atOnce, after = 100, 10
	if _, err := t.main.tokens(ctx); err != nil {
		return outcome{}, err
	}
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	try := call{t.main, verify, asking(issued, issued.OTP)}
	got, err := volley(ctx, atOnce, repeat(atOnce, try), issuedTokens)
	if err != nil {
		return outcome{}, err
	}
	again, err := inTurn(ctx, repeat(after, try), issuedTokens)
	return outcome{tried: atOnce + after, evaluated: got + again, least: 1, allowed: ledgered(1)}, err
}

func issueForChallenge(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	if _, err := t.main.tokens(ctx); err != nil {
		return outcome{}, err
	}
	login, all, err := t.main.loginWithCodes(ctx, tried)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, issued := range all {
		calls = append(calls, tryComplete(t.main, login, asking(issued, issued.OTP)))
	}
	got, err := volley(ctx, tried, calls, issuedTokens)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: ledgered(1)}, err
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
