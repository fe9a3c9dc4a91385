package main

import (
	"context"
	"slices"
)

// versions are attacks with codes that a device has accepted, and with older versions of it.
var versions = []attack{
	{"a step's and a counter's code, each 250 times at once: right", nothing, codesAtOnce},
	{"steps and counters up to the last, with the newest versions of two devices: right", nothing, spentNewest},
	{"steps and counters up to the last, with the first versions of two devices: right", nothing, spentFirst},
	{"an enrolled device by every operation but confirm: done", nothing, notConfirmed},
	{"an enrolled device confirmed six times at once, and again: confirmed", nothing, confirmAgain},
	{"a device after it was disabled, by every operation, at once: done", nothing, afterDisabling},
	{"one backup code 20 times at once: right", nothing, backupAtOnce},
	{"ten backup codes at once, and again with the first version: right", nothing, backupAllAgain},
	{"a backup code again with the newest version, and spelt otherwise: right", nothing, backupAgain},
	{"backup codes of before a renewal, with the newest version: right", nothing, backupOldNewest},
	{"backup codes of before a renewal, with the first version: right", nothing, backupOldFirst},
}

func codesAtOnce(ctx context.Context, t *target) (outcome, error) {
	all, err := t.devices(ctx, steps, counters)
	if err != nil {
		return outcome{}, err
	}
	calls := alternately(crowd/2, all[0].try(all[0].first, all[0].code(1)), all[1].try(all[1].first, all[1].code(1)))
	got, err := volley(ctx, crowd, calls, right)
	return outcome{tried: crowd, evaluated: got, least: 2, allowed: ledgered(2)}, err
}

// alternately returns n times the calls, in turn.
func alternately(n int, calls ...call) []call { return slices.Repeat(calls, n) }

// spentDevices returns devices that have accepted a code, and one beyond it for the device with counters.
func (t *target) spentDevices(ctx context.Context) (all []*device, err error) {
	if all, err = t.devices(ctx, steps, counters); err != nil {
		return nil, err
	}
	for i, code := range []int{1, 3} {
		if err := all[i].accept(ctx, all[i].code(code)); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// spent returns calls with codes that are used, or older than a used one. For each device no more of them than
// three are wrong, or it would be locked.
func spent(all []*device, version func(*device) string) []call {
	clock, counter := all[0], all[1]
	c, n := version(clock), version(counter)
	return []call{
		clock.try(c, clock.code(1)), clock.tryMatch(c, clock.code(1)), clock.tryResync(c, clock.code(0), clock.code(1)),
		clock.try(c, clock.code(-1)), clock.try(c, clock.code(0)), clock.tryMatch(c, clock.code(0)),
		counter.try(n, counter.code(3)), counter.tryMatch(n, counter.code(1)), counter.tryResync(n, counter.code(2), counter.code(3)),
	}
}

func spentNewest(ctx context.Context, t *target) (outcome, error) {
	all, err := t.spentDevices(ctx)
	if err != nil {
		return outcome{}, err
	}
	calls := spent(all, func(d *device) string { return d.newest })
	got, err := inTurn(ctx, calls, succeeded)
	for i, next := range []int{2, 4} {
		if err == nil && got == 0 {
			err = all[i].accept(ctx, all[i].code(next))
		}
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func spentFirst(ctx context.Context, t *target) (outcome, error) {
	all, err := t.spentDevices(ctx)
	if err != nil {
		return outcome{}, err
	}
	calls := spent(all, func(d *device) string { return d.first })
	got, err := inTurn(ctx, calls, succeeded)
	return outcome{tried: len(calls), evaluated: got, allowed: ledgered(0)}, err
}

func notConfirmed(ctx context.Context, t *target) (outcome, error) {
	d, err := t.main.enroll(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	login, err := t.main.login(ctx, d.identifier)
	if err != nil {
		return outcome{}, err
	}
	v, code := d.unconfirmed, d.code(0)
	calls := []call{
		d.try(v, code), d.tryMatch(v, code), d.tryBackup(v, "AAAAA-AAAAA"), {t.main, renew, fields{"device": v}},
		tryComplete(t.main, login, fields{"device": v, "otp": code}),
	}
	got, err := inTurn(ctx, calls, succeeded)
	if err == nil && got == 0 {
		_, err = call{t.main, confirm, fields{"device": v, "otp": code}}.must(ctx)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func confirmAgain(ctx context.Context, t *target) (outcome, error) {
	const atOnce = 6
	d, err := t.main.enroll(ctx, counters)
	if err != nil {
		return outcome{}, err
	}
	result := outcome{tried: atOnce + 2, least: 1, allowed: ledgered(1)}
	again := func(code int) call {
		return call{t.main, confirm, fields{"device": d.unconfirmed, "otp": d.code(code)}}
	}
	if result.evaluated, err = volley(ctx, atOnce, repeat(atOnce, again(0)), succeeded); err != nil {
		return result, err
	}
	got, err := inTurn(ctx, []call{again(0), again(1)}, succeeded)
	result.evaluated += got
	return result, err
}

// judging returns a right code for each operation that takes one. Each is good if the others are not sent.
func (d *device) judging(version string, login answer) []call {
	return []call{
		d.try(version, d.code(1)), d.tryBackup(version, d.backupCodes[0]), d.tryMatch(version, d.code(1)),
		d.tryResync(version, d.code(1), d.code(2)),
		tryComplete(d.client, login, fields{"device": version, "otp": d.code(1)}),
	}
}

func afterDisabling(ctx context.Context, t *target) (outcome, error) {
	d, login, err := t.deviceAndLogin(ctx)
	if err == nil {
		err = t.disable(ctx, d)
	}
	if err != nil {
		return outcome{}, err
	}
	calls := append(d.judging(d.first, login), call{t.main, renew, fields{"device": d.first}})
	got, err := volley(ctx, len(calls), calls, succeeded)
	return outcome{tried: len(calls), evaluated: got, allowed: ledgered(0)}, err
}

// deviceAndLogin makes a device, and a challenge for its user.
func (t *target) deviceAndLogin(ctx context.Context) (d *device, login answer, err error) {
	if d, err = t.main.device(ctx, steps); err == nil {
		login, err = t.main.login(ctx, d.identifier)
	}
	return d, login, err
}

// disable ends a device, as far as the ledger can.
func (t *target) disable(ctx context.Context, d *device) error {
	return t.end(ctx, call{d.client, disable, fields{"device": d.newest}})
}

func backupAtOnce(ctx context.Context, t *target) (outcome, error) {
	const tried = 20
	d, err := t.main.device(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	got, err := volley(ctx, tried, repeat(tried, d.tryBackup(d.first, d.backupCodes[0])), right)
	return outcome{tried: tried, evaluated: got, least: 1, allowed: ledgered(1)}, err
}

// backupAllAgain sends each code with the first version, which knows of none that another was used.
func backupAllAgain(ctx context.Context, t *target) (outcome, error) {
	d, err := t.main.device(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	n := len(d.backupCodes)
	result := outcome{tried: 2 * n, least: n, allowed: ledgered(n)}
	for range 2 {
		var calls []call
		for _, code := range d.backupCodes {
			calls = append(calls, d.tryBackup(d.first, code))
		}
		got, err := volley(ctx, n, calls, right)
		result.evaluated += got
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

func backupAgain(ctx context.Context, t *target) (outcome, error) {
	d, err := t.main.device(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	a, err := d.tryBackup(d.first, d.backupCodes[0]).must(ctx)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, code := range sameCodes(d.backupCodes[0]) {
		calls = append(calls, d.tryBackup(a.Device, code))
	}
	got, err := inTurn(ctx, calls, right)
	if err == nil && got == 0 {
		_, err = d.tryBackup(a.Device, d.backupCodes[1]).must(ctx)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

// renewed makes a device whose backup codes are no longer those that it has.
func (t *target) renewed(ctx context.Context) (*device, error) {
	d, err := t.main.device(ctx, steps)
	if err != nil {
		return nil, err
	}
	a, err := t.main.must(ctx, renew, fields{"device": d.first})
	d.newest = a.Device
	return d, err
}

// backupOldNewest sends fewer of them than lock the device.
func backupOldNewest(ctx context.Context, t *target) (outcome, error) {
	d, err := t.renewed(ctx)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, code := range d.backupCodes[:deviceFree] {
		calls = append(calls, d.tryBackup(d.newest, code))
	}
	got, err := inTurn(ctx, calls, right)
	if err == nil && got == 0 {
		err = d.accept(ctx, d.code(1))
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func backupOldFirst(ctx context.Context, t *target) (outcome, error) {
	d, err := t.renewed(ctx)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, code := range d.backupCodes {
		calls = append(calls, d.tryBackup(d.first, code))
	}
	got, err := volley(ctx, len(calls), calls, right)
	if err == nil && got == 0 {
		err = d.accept(ctx, d.code(1))
	}
	return outcome{tried: len(calls), evaluated: got, allowed: ledgered(0)}, err
}
