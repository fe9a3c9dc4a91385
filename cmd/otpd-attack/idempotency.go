package main

import (
	"context"
	"crypto/rand"
	"maps"
	"sync"
)

// keyed are attacks on Idempotency-Keys.
var keyed = []attack{
	{"100 sends with one Idempotency-Key at once, and 20 later: messages, or answers unlike", startedService, keyAtOnce},
	{"100 resends with one Idempotency-Key at once, and 20 later: answers unlike", startedService, keyResend},
	{"another tenant's Idempotency-Keys with the same request: its answers, or none", startedService, otherKeysKey},
	{"other requests with a used Idempotency-Key: done", startedService, keyReused},
}

// without reports whether a is what a service without a ledger has for an Idempotency-Key.
func (t *target) without(a answer) bool { return t.ledger == none && a.ErrorCode == "LEDGER_DISABLED" }

// once is how many answers there may be to one request with a key: none where nothing is remembered.
func once() limits { return limits{promise: 1, memory: 1, redis: 1} }

// answersUnlike makes the same call at once and later, with a key, and counts the answers, but for those that are the
// same as another or say that one is under way.
func (t *target) answersUnlike(ctx context.Context, atOnce, later []call) (outcome, error) {
	var mu sync.Mutex
	contexts := make(map[string]bool)
	others := func(a answer) bool {
		if succeeded(a) {
			mu.Lock()
			contexts[a.DeliveryID+a.OTP+a.Context] = true
			mu.Unlock()
			return false
		}
		return a.ErrorCode != "IDEMPOTENCY_KEY_IN_USE" && !t.without(a)
	}
	got, err := volley(ctx, len(atOnce), atOnce, others)
	if err != nil {
		return outcome{}, err
	}
	after, err := inTurn(ctx, later, others)
	result := outcome{tried: len(atOnce) + len(later), evaluated: got + after + len(contexts), allowed: once()}
	if t.ledger != none {
		result.least = 1
	}
	return result, err
}

// keyAtOnce counts the messages too. The recipient's own limit would stop those, but not without a word.
func keyAtOnce(ctx context.Context, t *target) (outcome, error) {
	to := someone()
	try := sendTo(t.main.keyed(rand.Text()), to)
	result, err := t.answersUnlike(ctx, repeat(100, try), repeat(20, try))
	result.evaluated = max(result.evaluated, t.rig.inbox.arrived(to))
	return result, err
}

func keyResend(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.noCooldown.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	c := t.noCooldown.keyed(rand.Text())
	return t.answersUnlike(ctx, resends(100, c, issued), resends(20, c, issued))
}

// first has a code sent with a key, as far as the ledger can.
func (t *target) first(ctx context.Context, c *client, request fields) (answer, error) {
	a, err := c.must(ctx, sendCode, request)
	if t.without(a) {
		err = nil
	}
	return a, err
}

// otherKeysKey would learn what another was answered, or keep it from an answer.
func otherKeysKey(ctx context.Context, t *target) (outcome, error) {
	const tried = 20
	result := outcome{tried: tried, allowed: always(0)}
	for range tried {
		request, key := letter(someone()), rand.Text()
		before, err := t.first(ctx, t.main.keyed(key), request)
		if err != nil {
			return result, err
		}
		a, err := t.other.keyed(key).post(ctx, sendCode, request)
		if err != nil {
			return result, err
		}
		if a.Context == before.Context && succeeded(a) || !succeeded(a) && !t.without(a) {
			result.evaluated++
		}
	}
	return result, nil
}

// keyReused sends what is another request in as little as can be, and then the same once more.
func keyReused(ctx context.Context, t *target) (outcome, error) {
	to := someone()
	c := t.noCooldown.keyed(rand.Text())
	issued, err := t.first(ctx, c, letter(to))
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, otherwise := range []fields{
		{"to": someone()}, {"to": to + "m"}, {"to": "x" + to}, {"to": " " + to}, {"fallback": []string{"webhook"}},
		{"fallback": []fields{{"channel": "webhook", "to": someone()}}}, {"identifier": someone()}, {"identifier": to},
		{"purpose": "login"}, {"binding": "12.00 EUR"}, {"metadata": 1}, {"length": 8}, {"max_retries": 10},
		{"decoy": true}, {"locale": "de"}, {"template": "other"}, {"variables": fields{"name": "Ann"}},
	} {
		request := letter(to)
		maps.Copy(request, otherwise)
		calls = append(calls, call{c, sendCode, request})
	}
	calls = append(calls, resends(1, c, issued)...)
	got, err := inTurn(ctx, calls, succeeded)
	if err == nil && got == 0 && t.ledger != none {
		_, err = c.must(ctx, sendCode, letter(to))
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}
