package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

// deviceLosses are attacks on devices while the ledger does not answer or takes no writes, or after it has lost
// what it knew.
var deviceLosses = []attack{
	{"wrong codes for a device sent to a stopped ledger, and looked up: the most of 3 devices", startedRedis, deviceWrongToStopped},
	{"a device's right codes sent to a stopped ledger, and again: right, the most of 3 devices", startedRedis, deviceRightToStopped},
	{"right and wrong codes while the ledger takes no writes: answers unlike", startedRedis, toldApart},
	{"after right and wrong codes whose answers were lost, while it takes no writes: answers unlike", startedRedis, toldApartLost},
	{"a step's code, a backup code and a challenge again after FLUSHALL: right", startedRedis, deviceAfterFlush},
}

// deviceWrongToStopped learns from the failures of a device that codes were wrong, though their answers were lost.
// It must not get such an attempt back.
func deviceWrongToStopped(ctx context.Context, t *target) (outcome, error) {
	const stops, each = 3, 10
	all, err := t.devices(ctx, steps, steps, steps)
	if err != nil {
		return outcome{}, err
	}
	var looks []call // at the replica that lost nothing, and so has nothing to undo first
	for _, d := range all {
		looks = append(looks, call{t.replica, inspectDevice, fields{"device": d.first}})
	}
	start := time.Now()
	learnt, known := make([]int, len(all)), make([]int, len(all))
	for stop := range stops {
		var calls []call
		for _, d := range all {
			calls = append(calls, d.tries(d.first, d.wrongCodes(stops * each)[stop*each:][:each])...)
		}
		answers, err := t.atStopped(ctx, calls, looks)
		if err != nil {
			return outcome{}, err
		}
		before, most := slices.Clone(known), slices.Clone(known)
		for i, a := range answers[len(calls):] {
			if n := i % len(all); succeeded(a) {
				known[n], most[n] = a.Failures, max(most[n], a.Failures)
			}
		}
		for n := range all {
			learnt[n] += most[n] - before[n]
		}
	}
	return outcome{
		tried: stops * each * len(all), evaluated: slices.Max(learnt), least: deviceFree + 1,
		allowed: ledgered(deviceAllows(time.Since(start))),
	}, nil
}

// deviceRightToStopped has Redis stopped once more after success. A counter's code and a backup code would not get
// to it: the service asks first how the device stands.
func deviceRightToStopped(ctx context.Context, t *target) (outcome, error) {
	const stops = 2
	all, err := t.devices(ctx, steps, steps, steps)
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, c := range []call{
		all[0].try(all[0].first, all[0].code(1)), all[1].tryMatch(all[1].first, all[1].code(1)),
		all[2].tryResync(all[2].first, all[2].code(0), all[2].code(1)),
	} {
		calls = append(calls, atBoth(repeat(2, c), t.replica)...)
	}
	result := outcome{least: 1, allowed: ledgered(1)}
	got := make([]int, len(all))
	for range stops {
		answers, err := t.atStopped(ctx, calls, calls)
		if err != nil {
			return result, err
		}
		result.tried += len(answers)
		for i, a := range answers {
			if succeeded(a) {
				got[i/2%len(all)]++
			}
		}
		if slices.Min(got) == 0 {
			return result, errors.New("a right code is used up, and nobody was told")
		}
	}
	result.evaluated = slices.Max(got)
	return result, nil
}

// What makes Redis refuse writes, and take them again.
const (
	refuseWrites = "CONFIG SET min-replicas-to-write 1"
	takeWrites   = "CONFIG SET min-replicas-to-write 0"
)

// pair is the same call with a right code and with a wrong one.
type pair [2]call

// unlike counts the pairs whose answers differ. Each call is sent once, and all at once.
func unlike(ctx context.Context, pairs []pair) (n int, err error) {
	var calls []call
	for _, p := range pairs {
		calls = append(calls, p[0], p[1])
	}
	answers, err := sendAll(ctx, calls)
	for i := range pairs {
		if a, b := answers[2*i], answers[2*i+1]; a.code != b.code || a.ErrorCode != b.ErrorCode {
			n++
		}
	}
	return n, err
}

// toldApart repeats what the ledger refuses to count: with any answer to it, nothing would limit the guesses.
func toldApart(ctx context.Context, t *target) (outcome, error) {
	const rounds = 5
	d, login, err := t.deviceAndLogin(ctx)
	if err != nil {
		return outcome{}, err
	}
	unconfirmed, err := t.main.enroll(ctx, steps)
	if err != nil {
		return outcome{}, err
	}
	codes := d.wrongCodes(1)
	proof := func(code string) fields { return fields{"device": d.first, "otp": code} }
	toConfirm := func(code string) call {
		return call{t.main, confirm, fields{"device": unconfirmed.unconfirmed, "otp": code}}
	}
	pairs := slices.Repeat([]pair{
		{d.try(d.first, d.code(1)), d.try(d.first, codes[0])},
		{d.tryMatch(d.first, d.code(1)), d.tryMatch(d.first, codes[0])},
		{d.tryResync(d.first, d.code(1), d.code(2)), d.tryResync(d.first, codes[0], codes[0])},
		{d.tryBackup(d.first, d.backupCodes[0]), d.tryBackup(d.first, codes[0])},
		{tryComplete(t.main, login, proof(d.code(1))), tryComplete(t.main, login, proof(codes[0]))},
		{toConfirm(unconfirmed.code(0)), toConfirm(unconfirmed.wrongCodes(1)[0])},
	}, rounds)
	if err := t.command(ctx, refuseWrites); err != nil {
		return outcome{}, err
	}
	got, err := unlike(ctx, pairs)
	if err = errors.Join(err, t.command(ctx, takeWrites)); err == nil && got == 0 {
		err = d.accept(ctx, d.code(1))
	}
	return outcome{tried: 2 * len(pairs), evaluated: got, allowed: always(0)}, err
}

// toldApartLost looks at what the replica that lost the answers does about them.
func toldApartLost(ctx context.Context, t *target) (outcome, error) {
	const looks = 3
	all, err := t.devices(ctx, steps, steps)
	if err != nil {
		return outcome{}, err
	}
	lost := pair{all[0].try(all[0].first, all[0].code(1)), all[1].try(all[1].first, all[1].wrongCodes(1)[0])}
	if err := t.loseThenRefuse(ctx, lost[:]); err != nil {
		return outcome{}, err
	}
	got := 0
	for range looks {
		var pairs []pair
		for _, look := range []func(*device) call{
			func(d *device) call { return call{t.main, inspectDevice, fields{"device": d.first}} },
			func(d *device) call { return d.try(d.first, d.wrongCodes(2)[1]) },
			func(d *device) call { return d.try(d.first, d.code(1)) },
		} {
			pairs = append(pairs, pair{look(all[0]), look(all[1])})
		}
		var n int
		if n, err = unlike(ctx, pairs); err != nil {
			break
		}
		got += n
	}
	if err = errors.Join(err, t.command(ctx, takeWrites)); err == nil && got == 0 {
		for _, d := range all {
			err = errors.Join(err, d.accept(ctx, d.code(1)))
		}
	}
	return outcome{tried: 2 * 3 * looks, evaluated: got, allowed: always(0)}, err
}

// loseThenRefuse has Redis carry out calls whose answers are lost, and then take no writes, before anyone could
// undo them: it reads what was sent first.
func (t *target) loseThenRefuse(ctx context.Context, calls []call) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.rig.redis.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	replies := bufio.NewReader(conn)
	ask := func(command string) (string, error) {
		_, err := fmt.Fprintf(conn, "%s\r\n", command)
		if err == nil && command == refuseWrites {
			err = t.rig.redis.cmd.Process.Signal(syscall.SIGCONT)
		}
		if err != nil {
			return "", err
		}
		line, err := replies.ReadString('\n')
		return strings.TrimSpace(line), err
	}
	if reply, err := ask("PING"); err != nil || reply != "+PONG" { // the server has taken the connection
		return errors.Join(err, errors.New("PING: "+reply))
	}
	if err := t.rig.redis.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	_, err = sendAll(ctx, calls)
	reply, refused := ask(refuseWrites)
	if err = errors.Join(err, refused); err == nil && reply != "+OK" {
		err = errors.New(refuseWrites + ": " + reply)
	}
	return err
}

// deviceAfterFlush sends the backup code and the step's with the first version. The newest one knows of them.
func deviceAfterFlush(ctx context.Context, t *target) (outcome, error) {
	calls, err := t.main.used(ctx)
	if err == nil {
		err = t.command(ctx, "FLUSHALL")
	}
	if err != nil {
		return outcome{}, err
	}
	again := slices.Repeat(calls, 3)
	got, err := inTurn(ctx, again, right)
	return outcome{tried: len(again), evaluated: got, least: 1, allowed: limits{promise: 0, redis: len(calls)}}, err
}
