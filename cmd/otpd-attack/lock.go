package main

import (
	"context"
	"errors"
	"time"
)

// locks are attacks by guesses at devices.
var locks = []attack{
	{"500 wrong codes for a device at once, all with its first version", nothing, deviceRollback},
	{"wrong codes for a device by every operation that takes one, at once", nothing, guessEverywhere},
	{"100 wrong codes to confirm a device, at once", nothing, guessConfirm},
	{"wrong codes for three devices by match and for each alone, at once", nothing, guessMatch},
	{"wrong codes for a device with each version that backup-codes and reseal give", nothing, guessReset},
	{"right codes for a locked device, by every operation: done", nothing, rightWhileLocked},
}

// guessDevice sends guesses at a device, at once, and counts how many were judged.
func guessDevice(ctx context.Context, width int, calls []call) (outcome, error) {
	start := time.Now()
	got, err := volley(ctx, width, calls, evaluated)
	return outcome{
		tried: len(calls), evaluated: got, least: deviceFree + 1, allowed: ledgered(deviceAllows(time.Since(start))),
	}, err
}

func deviceRollback(ctx context.Context, t *target) (outcome, error) {
	d, err := t.device(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	return guessDevice(ctx, crowd, d.tries(d.first, d.wrongCodes(crowd)))
}

// guessEverywhere sends few backup codes: each that is judged takes the service a while.
func guessEverywhere(ctx context.Context, t *target) (outcome, error) {
	const each = 50
	d, err := t.device(ctx, counters)
	if err != nil {
		return outcome{}, err
	}
	login, err := t.main.login(ctx, d.identifier)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for i, code := range d.wrongCodes(each) {
		calls = append(calls, d.try(d.first, code), d.tryMatch(d.first, code), d.tryResync(d.first, code, code),
			tryComplete(t.main, login, fields{"device": d.first, "otp": code}))
		if i < each/10 {
			calls = append(calls, d.tryBackup(d.first, code), tryComplete(t.main, login, fields{"device": d.first, "backup_code": code}))
		}
	}
	return guessDevice(ctx, len(calls), calls)
}

func guessConfirm(ctx context.Context, t *target) (outcome, error) {
	const tried, width = 100, 50
	d, err := t.main.enroll(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, code := range d.wrongCodes(tried) {
		calls = append(calls, call{t.main, confirm, fields{"device": d.unconfirmed, "otp": code}})
	}
	return guessDevice(ctx, width, calls)
}

// guessMatch tries to have each device judge other codes.
func guessMatch(ctx context.Context, t *target) (outcome, error) {
	const each = 50 // times a guess for each alone, and one for all
	all, err := t.devices(ctx, counters, counters, steps)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	codes := all[0].wrongCodes(4 * each)
	for i := range each {
		codes := codes[4*i:]
		for n, d := range all {
			calls = append(calls, d.try(d.first, codes[n]))
		}
		versions := []string{all[i%3].first, all[(i+1)%3].first, all[(i+2)%3].first}
		calls = append(calls, call{t.main, match, fields{"devices": versions, "otp": codes[3]}})
	}
	result, err := guessDevice(ctx, len(calls), calls)
	result.allowed = ledgered(len(all) * result.allowed.promise)
	return result, err
}

// guess sends a guess with the newest version, and reports whether it was judged.
func (d *device) guess(ctx context.Context, code string) (bool, error) {
	a, err := d.client.post(ctx, verifyDevice, fields{"device": d.newest, "otp": code})
	if err == nil && evaluated(a) {
		d.newest = a.Device
	}
	return evaluated(a), err
}

// patientDevice sends a guess as soon as the lock ends, and has no older version: the application keeps one.
// However slow the machine is, it sends some that have to be refused.
func patientDevice(ctx context.Context, t *target) (outcome, error) {
	const howLong, most = 5 * time.Second, 1000
	result := outcome{least: deviceFree + 1}
	d, err := t.device(ctx, counters)
	if err != nil {
		return result, err
	}
	codes := d.wrongCodes(most)
	start := time.Now()
	for result.tried < 4*result.least || time.Since(start) < howLong && result.tried < most {
		judged, err := d.guess(ctx, codes[result.tried])
		if err != nil {
			return result, err
		}
		result.tried++
		if judged {
			result.evaluated++
		} else if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return result, errors.New("no time is left")
		}
	}
	result.allowed = always(deviceAllows(time.Since(start)))
	return result, nil
}

// guessReset tries to be rid of the lock by whatever gives a new version.
func guessReset(ctx context.Context, t *target) (outcome, error) {
	const each = 10
	result := outcome{least: deviceFree + 1}
	d, err := t.device(ctx, counters)
	if err != nil {
		return result, err
	}
	start := time.Now()
	for i, code := range d.wrongCodes(3 * each) {
		judged, err := d.guess(ctx, code)
		if err != nil {
			return result, err
		}
		result.tried++
		if judged {
			result.evaluated++
		}
		switch {
		case i == each:
			err = d.replace(ctx, call{t.main, renew, fields{"device": d.newest}})
		case i%each == each/2:
			err = d.replace(ctx, call{t.main, reseal, fields{"devices": []string{d.newest}}})
		}
		if err != nil {
			return result, err
		}
	}
	result.allowed = always(deviceAllows(time.Since(start)))
	return result, nil
}

// replace makes the version that a call gives the newest.
func (d *device) replace(ctx context.Context, c call) error {
	a, err := c.must(ctx)
	if d.newest = a.Device; len(a.Devices) > 0 {
		d.newest = a.Devices[0]
	}
	return err
}

// rightWhileLocked also tries the first version, which does not know of the lock. Once that has ended, everything
// is good.
func rightWhileLocked(ctx context.Context, t *target) (outcome, error) {
	d, login, err := t.deviceAndLogin(ctx)
	if err != nil {
		return outcome{}, err
	}
	var start time.Time
	for _, code := range d.wrongCodes(deviceFree + 1) {
		start = time.Now()
		if _, err := d.guess(ctx, code); err != nil {
			return outcome{}, err
		}
	}
	calls := append(d.judging(d.newest, login), d.judging(d.first, login)...)
	got, err := volley(ctx, len(calls), calls, succeeded)
	ended := min(locksEnded(time.Since(start), deviceFactor), 1)
	for err == nil && got == 0 && locksEnded(time.Since(start), deviceFactor) == 0 {
		err = sleep(ctx, pause)
	}
	if err == nil && got == 0 {
		err = d.accept(ctx, d.code(1))
	}
	return outcome{tried: len(calls), evaluated: got, allowed: ledgered(ended * len(calls))}, err
}
