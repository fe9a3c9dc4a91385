package main

import (
	"context"
	"maps"
)

// purposes are attacks that use a code for something else than it was issued for.
var purposes = []attack{
	{"the right code for another purpose, transaction or identifier", otherUse},
	{"resends for another purpose: codes", otherUseResend},
}

// use is what a code is issued for.
var use = fields{"identifier": "payer@example.com", "purpose": "payment", "binding": "12.00 EUR to Ann"}

func beginUse(ctx context.Context, c *client) (answer, error) {
	issuedFor := maps.Clone(use)
	issuedFor["identifier"] = someone()
	a, err := c.must(ctx, generate, issuedFor)
	return a, err
}

func otherUse(ctx context.Context, t *target) (outcome, error) {
	issued, err := beginUse(ctx, t.main)
	if err != nil {
		return outcome{}, err
	}
	plain, err := t.main.begin(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	try := func(issued answer, otherwise fields) {
		request := attempt(issued, issued.OTP)
		maps.Copy(request, otherwise)
		calls = append(calls, call{t.main, verify, request})
	}
	try(issued, fields{})
	purpose, binding := use["purpose"].(string), use["binding"].(string)
	for _, other := range []string{"", "login", "Payment", purpose + " ", purpose + "s", purpose[1:]} {
		try(issued, fields{"purpose": other, "binding": binding})
	}
	for _, other := range []string{"", "120.00 EUR to Ann", binding + " ", binding + "\n", "12.00 eur to ann", binding[1:]} {
		try(issued, fields{"purpose": purpose, "binding": other})
	}
	for _, other := range []string{"", "payer", "PAYER@example.com", someone()} {
		try(issued, fields{"purpose": purpose, "binding": binding, "identifier": other})
	}
	try(plain, fields{"purpose": purpose})
	try(plain, fields{"binding": binding})
	try(plain, fields{"identifier": someone()})
	got, err := inTurn(ctx, calls, evaluated)
	if err == nil && got == 0 {
		_, err = t.main.must(ctx, verify, fields{
			"otp": issued.OTP, "context": issued.Context, "purpose": purpose, "binding": binding,
		})
	}
	if err == nil && got == 0 {
		err = t.main.finish(ctx, plain)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func otherUseResend(ctx context.Context, t *target) (outcome, error) {
	issued, err := beginUse(ctx, t.hasty)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, other := range []string{"login", "Payment", "payments"} {
		calls = append(calls, call{t.hasty, resend, fields{"context": issued.Context, "purpose": other}})
	}
	got, err := inTurn(ctx, calls, resent)
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}
