package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// decoys are attacks that ask whether there is such a user: what is sent to nobody must look as if it were sent.
var decoys = []attack{
	{"20 decoys sent and resent, each with the code of another: messages, and right codes", startedService, decoySent},
	{"answers to decoys that differ from others in more than a text of the same length", startedService, decoyAnswers},
}

// decoySent has codes that are good for the same identifiers.
func decoySent(ctx context.Context, t *target) (outcome, error) {
	const tried = 20
	result := outcome{allowed: always(0)}
	for range tried {
		to, next, known := someone(), someone(), someone()
		request := letter(to, next)
		request["decoy"], request["identifier"] = true, known
		issued, err := t.noCooldown.must(ctx, sendCode, request)
		if err != nil {
			return result, err
		}
		genuine, err := t.sent(ctx, t.noCooldown, known)
		if err != nil {
			return result, err
		}
		calls := []call{{t.noCooldown, verify, attempt(issued, genuine.OTP)}}
		calls = append(append(calls, resends(1, t.noCooldown, issued)...), calls...)
		got, err := inTurn(ctx, calls, right)
		result.tried, result.evaluated = result.tried+len(calls), result.evaluated+got+t.rig.inbox.arrived(to, next)
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

// decoyAnswers has addresses of different lengths, lest the length of a context be rounded to the same by chance.
func decoyAnswers(ctx context.Context, t *target) (outcome, error) {
	const lengths = 17
	result := outcome{allowed: always(0)}
	for length := range lengths {
		pad := strings.Repeat("m", length)
		var told [2][]answer
		for i, isDecoy := range []bool{false, true} {
			request := letter(pad+someone(), pad+someone())
			request["decoy"], request["purpose"] = isDecoy, "login"
			var err error
			if told[i], err = tellings(ctx, t.main, request); err != nil {
				return result, err
			}
		}
		for i, genuine := range told[0] {
			result.tried++
			same, err := alike(genuine, told[1][i])
			if err != nil {
				return result, err
			}
			if !same {
				result.evaluated++
			}
		}
	}
	return result, nil
}

// tellings returns the answers to all that can be asked of what was sent, but for the right code.
func tellings(ctx context.Context, c *client, request fields) ([]answer, error) {
	sent, err := c.must(ctx, sendCode, request)
	all := []answer{sent}
	context := fields{"context": sent.Context}
	for _, next := range []call{
		{c, sendCode, request}, {c, resend, context}, {c, inspect, context},
		{c, verify, fields{"context": sent.Context, "otp": "no code", "purpose": "login"}}, {c, inspect, context},
	} {
		if err != nil {
			return nil, err
		}
		var a answer
		a, err = next.to.post(ctx, next.path, next.body)
		all = append(all, a)
	}
	return all, err
}

// unlikeAnyway are the members whose length is a matter of chance.
var unlikeAnyway = []string{"request_id", "expires_at", "session_expires_at"}

// alike reports whether answers have the same status, the same error and members of the same lengths.
func alike(a, b answer) (bool, error) {
	lengths := func(a answer) (map[string]int, error) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(a.body, &members); err != nil {
			return nil, fmt.Errorf("the answer is no object: %w", err)
		}
		all := make(map[string]int)
		for name, value := range members {
			all[name] = len(value)
		}
		for _, name := range unlikeAnyway {
			if all[name] > 0 {
				all[name] = 1
			}
		}
		return all, nil
	}
	first, err := lengths(a)
	if err != nil {
		return false, err
	}
	second, err := lengths(b)
	return a.code == b.code && a.ErrorCode == b.ErrorCode && maps.Equal(first, second), err
}
