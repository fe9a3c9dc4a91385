package main

import (
	"context"
	"fmt"
	"time"
)

// identifiers are attacks on the ledger's keys by what an identifier says.
var identifiers = []attack{
	{"identifiers made to look like another's ledger keys: states changed", nothing, injected},
}

// victims are verifications that nobody but their owner may change.
type victims struct {
	identifier string
	used       answer    // a right code was sent
	begun      answer    // a wrong one was
	since      time.Time // when the first of 20 wrong codes for the identifier was sent
}

func newVictims(ctx context.Context, c *client) (v victims, err error) {
	v.identifier = someone()
	if v.used, err = c.issue(ctx, someone()); err != nil {
		return v, err
	}
	if err := c.finish(ctx, v.used); err != nil {
		return v, err
	}
	if v.begun, err = c.issue(ctx, someone()); err != nil {
		return v, err
	}
	if _, err := inTurn(ctx, guesses(1, c, v.begun), evaluated); err != nil {
		return v, err
	}
	all, err := issueAll(ctx, c, v.identifier, throttleAfter)
	if err != nil {
		return v, err
	}
	v.since = time.Now()
	_, err = volley(ctx, throttleAfter, oneGuessEach(c, all), evaluated)
	return v, err
}

// changes counts the states that are not as they were.
func (v victims) changes(ctx context.Context, t *target, before [2]answer) (changes int, err error) {
	after, err := v.inspect(ctx, t.main)
	if err != nil {
		return 0, err
	}
	for i := range before {
		if before[i].State != after[i].State || before[i].AttemptsRemaining != after[i].AttemptsRemaining {
			changes++
		}
	}
	if t.ledger == none {
		return changes, nil // and there is no throttle
	}
	// One wrong code more locks the identifier.
	all, err := issueAll(ctx, t.main, v.identifier, 10)
	if err != nil {
		return changes, err
	}
	got, err := inTurn(ctx, oneGuessEach(t.main, all), evaluated)
	if got < 1 || throttleAfter+got > throttleAllows(time.Since(v.since)) {
		changes++
	}
	return changes, err
}

func (v victims) inspect(ctx context.Context, c *client) (states [2]answer, err error) {
	for i, issued := range []answer{v.used, v.begun} {
		if states[i], err = c.must(ctx, inspect, fields{"context": issued.Context}); err != nil {
			return states, err
		}
	}
	return states, nil
}

// injections returns identifiers, for whoever knows all but the signing key.
func (v victims) injections(subject string) (all []string) {
	for _, key := range []string{
		"otpd:{" + subject + "}", "otpd:{" + subject + "}:" + v.begun.ID, "otpd:{" + v.begun.ID + "}:" + v.begun.ID,
		"{" + subject + "}", subject, v.begun.ID, v.used.ID, v.identifier, "}:" + v.begun.ID, "}:" + v.used.ID,
	} {
		all = append(all, key, "}"+key, key+"}", "{"+key+"}", "{}"+key, key+" ", "*"+key, key+":", key+"\u2028", key+"\u00a0",
			key+"\r\nFLUSHALL\r\n", "\r\n*1\r\n$8\r\nFLUSHALL\r\n"+key, key+"\x00", "\x00"+key, key+"\n", key+"\x7f")
	}
	return append(all, "*", "?", "[a-z]*", "otpd:*", "{", "}", "{}", "}{", "}:", ":{", "nil", "'", `"`, `\`, `\x00`,
		"]] return redis.call('FLUSHALL')", "KEYS[1]", "', 0)", "%s", "${jndi:x}", "../..", "\ufffd", "\u202e", "é", "e\u0301")
}

// injected makes all that can be made of verifications for such identifiers.
func injected(ctx context.Context, t *target) (outcome, error) {
	result := outcome{allowed: always(0)}
	v, err := newVictims(ctx, t.main)
	if err != nil {
		return result, err
	}
	before, err := v.inspect(ctx, t.main)
	if err != nil {
		return result, err
	}
	for _, identifier := range v.injections(t.subject(v.identifier)) {
		if identifier == v.identifier {
			continue // whose wrong codes are the identifier's own
		}
		if err := t.useUp(ctx, identifier); err != nil {
			return result, fmt.Errorf("identifier %q: %w", identifier, err)
		}
		result.tried++
	}
	result.evaluated, err = v.changes(ctx, t, before)
	return result, err
}

// useUp has verifications of an identifier fail, succeed, be resent and revoked, and unlocks it. An
// identifier with control characters is refused.
func (t *target) useUp(ctx context.Context, identifier string) error {
	for _, end := range []func(answer) []call{
		func(issued answer) []call { return guesses(maxRetries, t.noCooldown, issued) },
		func(issued answer) []call { return rightCodes(1, t.noCooldown, issued) },
		func(issued answer) []call {
			return []call{{t.noCooldown, resend, fields{"context": issued.Context}}, {t.noCooldown, revoke, fields{"context": issued.Context}}}
		},
		func(answer) []call { return []call{{t.noCooldown, unlock, fields{"identifier": identifier}}} },
	} {
		issued, err := t.noCooldown.post(ctx, generate, fields{"identifier": identifier})
		if err != nil {
			return err
		}
		if _, err := inTurn(ctx, end(issued), evaluated); err != nil {
			return err
		}
	}
	return nil
}
