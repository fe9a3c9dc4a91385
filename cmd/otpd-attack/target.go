package main

import (
	"context"
	"crypto/rand"
	"strings"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// Ledgers.
const (
	memory = "memory"
	redis  = "redis"
	none   = "none"
)

// What the default configuration allows.
const (
	maxRetries = 3
	maxResends = 5
)

// target is a service to attack.
type target struct {
	ledger  string
	main    *client
	hasty   *client // without a cooldown between resends
	other   *client // the same service for another tenant; nil if there is none
	replica *client // nil if there is one only
	rig     *rig    // what was started; nil if it was not
}

// aim starts a service with a ledger, or takes the one that o names.
func aim(ctx context.Context, ledger string, o options) (*target, error) {
	if o.urls == nil {
		return start(ctx, ledger, o.binary)
	}
	t := &target{ledger: ledger, main: newClient(strings.TrimSuffix(o.urls[0], "/"), o.key)}
	t.hasty = t.main
	if o.other != "" {
		t.other = t.main.with(o.other)
	}
	if len(o.urls) > 1 {
		t.replica = newClient(strings.TrimSuffix(o.urls[1], "/"), o.key)
	}
	return t, nil
}

func (t *target) close() {
	if t.rig != nil {
		t.rig.close()
	}
}

// someone is an identifier that nobody has used.
func someone() string { return strings.ToLower(rand.Text()) + "@example.com" }

// subject returns what the ledger's keys have for an identifier of the first tenant. An attacker does not
// know it, but for the reader of a log.
func (t *target) subject(identifier string) string {
	if t.rig == nil {
		return "subject"
	}
	ring, err := otpcontext.ParseRing(t.rig.keys)
	if err != nil {
		panic(err) // they are from GenerateKey
	}
	return otpcontext.NewSealer(ring).Subjects(mainTenant, identifier)[0]
}
