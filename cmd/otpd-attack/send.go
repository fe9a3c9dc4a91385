package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

const sendCode = "/v1/otp/send"

// sends are attacks on the limits of a recipient, to write to whom they please, or to keep others from it.
var sends = []attack{
	{"100 sends to one recipient at once, for different identifiers and purposes: messages", startedService, sendAtOnce},
	{"sends to spellings of a mailbox and of a phone number, at once: messages", startedService, sendSpellings},
	{"sends to one recipient and resends that come to be for it, at once: messages", startedService, sendAndResend},
	{"one recipient as the fallback of 50 whom nothing reaches, and alone, at once: messages", startedService, sendFallback},
	{"sends to one recipient of which every other fails, at once and in turn: messages", startedService, sendFailing},
	{"a send to a recipient whom 20 did not reach: refused", startedService, sendAfterFailures},
	{"sends to another's recipient under one's own API key: its sends refused", startedService, otherKeySends},
	{"a sent context resent, revoked and inspected under another API key: done", startedService, otherKeyResends},
	{"200 SMS to numbers of one country at two replicas at once, with a budget of 20: messages", startedService, sendBudget},
}

// letter is a request to send a code by webhook, to the first recipient and should that fail to the next.
func letter(to string, fallback ...string) fields {
	request := fields{"channel": "webhook", "to": to}
	var routes []fields
	for _, next := range fallback {
		routes = append(routes, fields{"channel": "webhook", "to": next})
	}
	if routes != nil {
		request["fallback"] = routes
	}
	return request
}

// sendTo is a call that has a code sent.
func sendTo(c *client, to string, fallback ...string) call {
	return call{c, sendCode, letter(to, fallback...)}
}

// sent has a code sent to somebody, and returns the answer together with the code, which has to arrive.
func (t *target) sent(ctx context.Context, c *client, to string, fallback ...string) (answer, error) {
	a, err := sendTo(c, to, fallback...).must(ctx)
	if a.OTP = t.rig.inbox.code(to); err == nil && a.OTP == "" {
		err = errors.New("a code was sent, and nothing has arrived")
	}
	return a, err
}

// flood makes calls at once and counts what some recipients got since start.
func (t *target) flood(ctx context.Context, start time.Time, calls []call, recipients ...string) (outcome, error) {
	_, err := volley(ctx, len(calls), calls, succeeded)
	return outcome{
		tried: len(calls), evaluated: t.rig.inbox.arrived(recipients...),
		least: 1, allowed: ledgered(sendsAllowed(time.Since(start))),
	}, err
}

func sendAtOnce(ctx context.Context, t *target) (outcome, error) {
	const tried = 100
	to := someone()
	var calls []call
	for i := range tried {
		request := letter(to)
		request["metadata"], request["locale"] = i, []string{"en", "de", "ja"}[i%3]
		if i%2 == 0 {
			request["identifier"] = someone()
		}
		if i%3 == 0 {
			request["purpose"] = fmt.Sprint("purpose ", i)
		}
		calls = append(calls, call{t.main, sendCode, request})
	}
	return t.flood(ctx, time.Now(), calls, to)
}

// mailboxes returns spellings of what is one mailbox, most likely.
func mailboxes() (all []string) {
	name := "ann" + strings.ToLower(rand.Text())
	for _, local := range []string{
		name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], name + "+shop", name + "+1+2", name + "+",
		name[:3] + "." + name[3:], strings.Join(strings.Split(name, ""), "."), name[:1] + "." + name[1:] + "+a.b", `"` + name + `"`,
		`"` + name + `+x"`, `"` + name[:2] + `\` + name[2:] + `"`,
	} {
		for _, domain := range []string{"gmail.com", "GMail.COM", "googlemail.com"} {
			all = append(all, local+"@"+domain)
		}
		all = append(all, " "+local+"@gmail.com", local+"@gmail.com ", local+"@ｇｍａｉｌ.com", local+"@gmail。com")
	}
	return all
}

// phone returns a number that nobody has used, in E.164.
func phone() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1e8))
	if err != nil {
		panic(err) // crypto/rand has none
	}
	return fmt.Sprintf("+49151%08d", n)
}

// phones returns spellings of one number.
func phones() []string {
	number := phone()
	country, area, rest := number[:3], number[3:6], number[6:]
	return []string{
		number, country + " " + area + " " + rest, country + "-" + area + "-" + rest, country + "." + area + "." + rest,
		country + " (" + area + ") " + rest, country + "(0)" + area + rest, country + " (0) " + area + "-" + rest,
		country + area + " " + rest[:4] + " " + rest[4:], country + area + "-" + rest[:2] + "-" + rest[2:],
	}
}

// sendSpellings has two recipients, each of which is one however it is spelt.
func sendSpellings(ctx context.Context, t *target) (outcome, error) {
	all := slices.Concat(mailboxes(), phones())
	var calls []call
	for _, to := range all {
		calls = append(calls, sendTo(t.main, to))
	}
	result, err := t.flood(ctx, time.Now(), calls, all...)
	result.least, result.allowed = 2, ledgered(2*result.allowed.promise)
	return result, err
}

// sendAndResend begins with codes that are sent to others. Their resends go to the next recipient, who is the same
// for all.
func sendAndResend(ctx context.Context, t *target) (outcome, error) {
	const each = 20
	to, start := someone(), time.Now()
	var calls []call
	for range each {
		a, err := t.sent(ctx, t.noCooldown, someone(), to)
		if err != nil {
			return outcome{}, err
		}
		calls = append(calls, sendTo(t.noCooldown, to))
		calls = append(calls, resends(2, t.noCooldown, a)...)
	}
	return t.flood(ctx, start, calls, to)
}

func sendFallback(ctx context.Context, t *target) (outcome, error) {
	const each = 50
	to := someone()
	var calls []call
	for range each {
		nobody := someone()
		t.rig.inbox.answer(nobody, forGood)
		calls = append(calls, sendTo(t.main, nobody, to), sendTo(t.main, to))
	}
	return t.flood(ctx, time.Now(), calls, to)
}

// sendFailing keeps off the service that decoys are asked of: there they would fail as often, for a while.
func sendFailing(ctx context.Context, t *target) (outcome, error) {
	const atOnce, inTurns = 100, 10
	to, start := someone(), time.Now()
	t.rig.inbox.answer(to, forGood, 200, forNow, 200)
	if _, err := volley(ctx, atOnce, repeat(atOnce, sendTo(t.noCooldown, to)), succeeded); err != nil {
		return outcome{}, err
	}
	_, err := inTurn(ctx, repeat(inTurns, sendTo(t.noCooldown, to)), succeeded)
	return outcome{
		tried: atOnce + inTurns, evaluated: t.rig.inbox.arrived(to),
		least: 1, allowed: ledgered(sendsAllowed(time.Since(start))),
	}, err
}

// sendAfterFailures would keep a recipient from codes, if what failed were counted.
func sendAfterFailures(ctx context.Context, t *target) (outcome, error) {
	const tried = 20
	to := someone()
	t.rig.inbox.answer(to, forGood)
	got, err := volley(ctx, tried, repeat(tried, sendTo(t.main, to)), succeeded)
	if err == nil && got > 0 {
		err = errors.New("the inbox takes nothing, and codes are sent")
	}
	if err != nil {
		return outcome{}, err
	}
	t.rig.inbox.answer(to)
	return t.refused(ctx, tried, to)
}

// refused counts a send to somebody if it is.
func (t *target) refused(ctx context.Context, tried int, to string) (outcome, error) {
	result := outcome{tried: tried, allowed: always(0)}
	before := t.rig.inbox.arrived(to)
	a, err := t.main.post(ctx, sendCode, letter(to))
	if err == nil && (!succeeded(a) || t.rig.inbox.arrived(to) == before) {
		result.evaluated++
	}
	return result, err
}

// otherKeySends also has the recipient as a fallback.
func otherKeySends(ctx context.Context, t *target) (outcome, error) {
	const each = 20
	to := someone()
	nobody := someone()
	t.rig.inbox.answer(nobody, forGood)
	calls := append(repeat(each, sendTo(t.other, to)), repeat(each, sendTo(t.other, nobody, to))...)
	if _, err := volley(ctx, len(calls), calls, succeeded); err != nil {
		return outcome{}, err
	}
	return t.refused(ctx, len(calls), to)
}

func otherKeyResends(ctx context.Context, t *target) (outcome, error) {
	to, next := someone(), someone()
	a, err := t.sent(ctx, t.main, to, next)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, path := range []string{resend, revoke, inspect} {
		calls = append(calls, call{t.noCooldown.with(otherSecret), path, fields{"context": a.Context}})
	}
	got, err := inTurn(ctx, calls, succeeded)
	got += t.rig.inbox.arrived(to, next) - 1
	if err == nil && got == 0 {
		err = t.main.finish(ctx, a)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

// sendBudget has a recipient for each message, as whoever earns by them.
func sendBudget(ctx context.Context, t *target) (outcome, error) {
	const tried, budget = 200, 20
	first, err := t.frugal(ctx, budget)
	if err != nil {
		return outcome{}, err
	}
	second, err := t.frugal(ctx, budget)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	var recipients []string
	for range tried {
		to := phone()
		recipients = append(recipients, to)
		calls = append(calls, call{first, sendCode, fields{"channel": "sms", "to": to}})
	}
	result, err := t.flood(ctx, time.Now(), atBoth(calls, second), recipients...)
	result.least, result.allowed = budget, shared(budget, 2*budget)
	return result, err
}

// frugal returns a service with a budget for SMS to each country.
func (t *target) frugal(ctx context.Context, budget int) (*client, error) {
	c, _, err := t.rig.launch(ctx, t.rig.keys, fmt.Sprint("OTP_SMS_BUDGET=", budget))
	return c, err
}
