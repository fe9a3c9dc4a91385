package device

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
)

func TestThrottle(t *testing.T) {
	for name, always := range map[string]bool{"with each new version": false, "always with the oldest version": true} {
		t.Run(name, func(t *testing.T) {
			for _, l := range ledgers {
				if always && !l.remembers {
					continue
				}
				t.Run(l.name, func(t *testing.T) {
					f := newFixture(t, l.open(t))
					oldest, app := f.device(t, EnrollRequest{})
					token := oldest
					for wrong, lock := range []time.Duration{0, 0, 0, 1, 2, 4, 8, 16} {
						lock *= time.Second
						newest := f.mustBeWrong(t, token, noCode)
						if !always {
							token = newest
						}
						if inspected := f.mustInspect(t, token); inspected.Failures != wrong+1 ||
							lock == 0 != inspected.LockedUntil.IsZero() || lock > 0 && !inspected.LockedUntil.Equal(f.clock.Add(lock)) {
							t.Fatalf("wrong code %d at %s: %+v, want a lock of %s", wrong+1, f.clock, inspected, lock)
						}
						if lock == 0 {
							continue
						}
						f.later(lock - time.Millisecond)
						for _, code := range []string{app.at(f.clock), noCode} {
							if _, err := f.verify(token, code); lockedFor(err) != time.Millisecond {
								t.Fatalf("1 ms before the end of lock %s: %v", lock, err)
							}
						}
						f.later(time.Millisecond)
					}
					verified := f.mustVerify(t, token, app.at(f.clock)) // which nothing had consumed
					if inspected := f.mustInspect(t, verified.Device); inspected.Failures != 0 || !inspected.LockedUntil.IsZero() {
						t.Errorf("after a right code: %+v", inspected)
					}
					token = verified.Device
					for range 3 {
						token = f.mustBeWrong(t, token, noCode)
					}
					f.later(app.wait(1))
					f.mustVerify(t, token, app.at(f.clock))
				})
			}
		})
	}
}

// What the ledger remembers of wrong codes holds for every version, and so does what a version says to a ledger that
// has forgotten.
func TestFailuresAreMerged(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		oldest, app := f.device(t, EnrollRequest{})
		token := oldest
		for range 4 {
			token = f.mustBeWrong(t, token, noCode)
		}
		for _, version := range []string{oldest, token} {
			if _, err := f.verify(version, app.at(f.clock)); lockedFor(err) != time.Second {
				t.Errorf("%v, want a lock", err)
			}
		}
		if failures := f.mustInspect(t, oldest).Failures; failures != 4 {
			t.Errorf("the oldest version tells of %d wrong codes", failures)
		}
		elsewhere := newFixture(t, newMemory(t)) // a ledger that knows nothing
		if _, err := elsewhere.verify(token, app.at(f.clock)); lockedFor(err) != time.Second {
			t.Errorf("by the version alone: %v", err)
		}
		elsewhere.later(time.Second)
		elsewhere.mustBeWrong(t, token, noCode)
		if _, err := elsewhere.verify(token, noCode); lockedFor(err) != 2*time.Second {
			t.Errorf("by the version alone, after one more: %v", err)
		}
	})
}

func TestThrottleSettings(t *testing.T) {
	for name, test := range map[string]struct {
		throttle ledger.Throttle
		wrong    int
		want     time.Duration
	}{
		"fewer are free than three": {ledger.Throttle{After: 1, Factor: time.Second, Max: time.Hour}, 2, time.Second},
		"none is free":              {ledger.Throttle{After: 0, Factor: time.Second, Max: time.Hour}, 1, time.Second},
		"a factor":                  {ledger.Throttle{After: 20, Factor: 5 * time.Second, Max: time.Hour}, 5, 10 * time.Second},
		"the longest lock":          {ledger.Throttle{After: 20, Factor: time.Second, Max: 3 * time.Second}, 6, 3 * time.Second},
		"factor 0":                  {ledger.Throttle{After: 0, Factor: 0, Max: time.Hour}, 150, 0},
		"before the 100th":          {ledger.Throttle{After: 20, Factor: time.Second, Max: time.Hour}, 99, time.Hour},
		"the 100th":                 {ledger.Throttle{After: 20, Factor: time.Second, Max: time.Hour}, 100, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			for _, l := range []Ledger{newMemoryOf(t, 1_000_000, test.throttle), ledger.None{Throttle: test.throttle}} {
				f := newFixture(t, l)
				token, app := f.device(t, EnrollRequest{})
				for range test.wrong {
					f.later(24 * time.Hour)
					token = f.mustBeWrong(t, token, noCode)
				}
				if _, err := f.verify(token, app.at(f.clock)); lockedFor(err) != test.want || test.want == 0 && err != nil {
					t.Errorf("%T: after %d wrong codes: %v, want a lock of %s", l, test.wrong, err, test.want)
				}
			}
		})
	}
}

// The device is locked, and not the user: another of theirs is not.
func TestThrottleIsPerDevice(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		locked, _ := f.device(t, EnrollRequest{})
		other, app := f.device(t, EnrollRequest{})
		for range 4 {
			f.mustBeWrong(t, locked, noCode)
		}
		f.mustVerify(t, other, app.at(f.clock))
	})
}

// Whoever runs the application can lift a lock. The version that gives is not locked, and the ledger is not either.
func TestUnlock(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		for _, kind := range []string{TOTP, HOTP} {
			f := newFixture(t, l)
			oldest, app := f.device(t, EnrollRequest{Type: kind})
			code := app.code(1)
			if kind == TOTP {
				code = app.at(f.clock)
			}
			token := oldest
			for range 4 {
				token = f.mustBeWrong(t, token, noCode)
			}
			f.takeEvents()
			unlocked, id, err := f.Unlock(context.Background(), f.caller, token)
			if err != nil || id != f.state(t, oldest).id {
				t.Fatalf("%s, %v", id, err)
			}
			f.wantEvents(t, "unlock", EventUnlocked)
			if inspected := f.mustInspect(t, unlocked); inspected.Failures != 0 || !inspected.LockedUntil.IsZero() {
				t.Errorf("%+v", inspected)
			}
			if _, err := f.verify(token, code); lockedFor(err) != time.Second {
				t.Errorf("a version that says that it is locked: %v", err)
			}
			f.mustVerify(t, f.mustBeWrong(t, unlocked, noCode), code)
		}
	})
}

// An answer to a wrong code says how long the device is locked from then on.
func TestWrongCodeTellsTheLock(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		first, _ := f.device(t, EnrollRequest{})
		second, _ := f.device(t, EnrollRequest{})
		for _, want := range []time.Duration{0, 0, 0, 1, 2} {
			_, err := f.verify(first, noCode)
			wrong, ok := errors.AsType[*WrongCodeError](err)
			if !ok || wrong.RetryAfter != want*time.Second {
				t.Fatalf("%+v, %v, want a lock of %d s", wrong, err, want)
			}
			first = wrong.Device
			f.later(wrong.RetryAfter)
		}
		_, _, err := f.match(noCode, first, second)
		wrong, ok := errors.AsType[*WrongCodeError](err)
		if !ok || len(wrong.Devices) != 2 {
			t.Fatal(err)
		}
		if locked := f.state(t, wrong.Devices[0]).lockedUntil; !locked.Equal(f.clock.Add(4 * time.Second)) {
			t.Errorf("to match, the first is locked until %s", locked)
		}
	})
}

// A version that says that it is locked needs no ledger and no hash to be refused, whatever the code.
func TestLockedVersionCostsNothing(t *testing.T) {
	stub := brokenLedger()
	f := newFixture(t, stub)
	token, app := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
	lock := func(d *state) { d.failures, d.lockedUntil = 4, start.Add(time.Second) }
	confirmed := f.edit(t, token, lock)
	enrolled := f.edit(t, f.edit(t, token, asEnrolled), lock)
	for _, op := range operations {
		token := confirmed
		switch op.name {
		case "confirm":
			token = enrolled
		case "verify", "backup code", "match":
		default:
			continue
		}
		for _, code := range []string{app.at(start), noCode} {
			if err := op.do(f, token, code, noCode); lockedFor(err) != time.Second {
				t.Errorf("%s: %v", op.name, err)
			}
			f.wantEvents(t, op.name, EventLocked)
		}
	}
	if stub.asked > 0 {
		t.Errorf("the ledger was asked %d times", stub.asked)
	}
}
