package device

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestSkew(t *testing.T) {
	for steps, want := range map[int]error{-2: errWrongCode, -1: nil, 0: nil, +1: nil, +2: errWrongCode} {
		for _, at := range []time.Duration{0, 29 * time.Second} { // the ends of a step
			t.Run(fmt.Sprintf("%+d steps, %s into one", steps, at), func(t *testing.T) {
				forEachLedger(t, func(t *testing.T, l Ledger) {
					f := newFixture(t, l)
					token, app := f.device(t, EnrollRequest{})
					f.later(at)
					verified, err := f.verify(token, app.at(f.clock.Add(app.wait(steps))))
					if verdict(err) != want {
						t.Fatalf("%v, want %v", err, want)
					}
					if err == nil && verified.Number != app.step(start)+int64(steps) {
						t.Errorf("said to be of step %d, at %d", verified.Number, app.step(start))
					}
				})
			})
		}
	}
}

// Each step is worth one success, and none before the last one that had it is worth any. Offsets are of codes from
// the step of the clock, which does not move.
func TestStepsInOrder(t *testing.T) {
	type attempt struct {
		offset int
		want   error
	}
	for name, attempts := range map[string][]attempt{
		"T-1, then T":           {{-1, nil}, {0, nil}},
		"T-1, T, then T+1":      {{-1, nil}, {0, nil}, {+1, nil}},
		"T twice":               {{0, nil}, {0, ErrCodeAlreadyUsed}},
		"T, then T-1":           {{0, nil}, {-1, errWrongCode}},
		"T+1, then T and T-1":   {{+1, nil}, {0, errWrongCode}, {-1, errWrongCode}},
		"T-1, T, then both":     {{-1, nil}, {0, nil}, {-1, errWrongCode}, {0, ErrCodeAlreadyUsed}},
		"a wrong code, then T":  {{-5, errWrongCode}, {0, nil}},
		"T, a wrong one, and T": {{0, nil}, {-5, errWrongCode}, {0, ErrCodeAlreadyUsed}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, l := range ledgers {
				t.Run(l.name+", with each new version", func(t *testing.T) {
					f := newFixture(t, l.open(t))
					token, app := f.device(t, EnrollRequest{})
					for _, a := range attempts {
						verified, err := f.verify(token, app.code(app.step(start)+int64(a.offset)))
						if verdict(err) != a.want {
							t.Fatalf("T%+d: %v, want %v", a.offset, err, a.want)
						}
						if err == nil {
							token = verified.Device
						}
					}
				})
				if !l.remembers {
					continue
				}
				t.Run(l.name+", always with the first version", func(t *testing.T) {
					f := newFixture(t, l.open(t))
					token, app := f.device(t, EnrollRequest{})
					for _, a := range attempts {
						if _, err := f.verify(token, app.code(app.step(start)+int64(a.offset))); verdict(err) != a.want {
							t.Fatalf("T%+d: %v, want %v", a.offset, err, a.want)
						}
					}
				})
			}
		})
	}
}

// A code that was right before is not held against the user who typed it again, and one of an older step is.
func TestUsedCodeIsNotCounted(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		for _, kind := range []string{TOTP, HOTP} {
			f := newFixture(t, l)
			token, app := f.device(t, EnrollRequest{Type: kind})
			number := int64(3)
			if kind == TOTP {
				number = app.step(start)
			}
			token = f.mustVerify(t, token, app.code(number)).Device
			for range 5 {
				if _, err := f.verify(token, app.code(number)); err != ErrCodeAlreadyUsed {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			if failures := f.mustInspect(t, token).Failures; failures != 0 {
				t.Errorf("%s: %d wrong codes are counted", kind, failures)
			}
			token = f.mustBeWrong(t, token, app.code(number-1))
			if failures := f.mustInspect(t, token).Failures; failures != 1 {
				t.Errorf("%s: after an older code, %d wrong codes are counted", kind, failures)
			}
		}
	})
}

// The window follows a clock that runs fast or slow, a step at each success, until it is 10 steps off.
func TestDriftIsLearned(t *testing.T) {
	for _, direction := range []int{+1, -1} {
		t.Run(fmt.Sprintf("%+d", direction), func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			token, app := f.device(t, EnrollRequest{})
			off := func(steps int) string { return app.at(f.clock.Add(app.wait(direction * steps))) }
			for steps := 1; steps <= maxDrift+1; steps++ {
				f.later(time.Hour)
				if steps < maxDrift {
					token = f.mustBeWrong(t, token, off(steps+1))
				}
				token = f.mustVerify(t, token, off(steps)).Device
				if drift, want := f.mustInspect(t, token).Drift, direction*min(steps, maxDrift); drift != want {
					t.Fatalf("a code %d steps off: drift %d, want %d", steps, drift, want)
				}
			}
			f.later(time.Hour)
			token = f.mustBeWrong(t, token, off(maxDrift+2))
			token = f.mustBeWrong(t, token, off(0)) // the window has left the right time
			for steps := maxDrift - 1; steps >= 0; steps-- {
				f.later(time.Hour)
				token = f.mustVerify(t, token, off(steps)).Device
			}
			if drift := f.mustInspect(t, token).Drift; drift != 0 {
				t.Errorf("back in time, drift %d", drift)
			}
		})
	}
}

// Once a clock is known to be off, codes may be late or early by a step more, towards the right time.
func TestWindowOfAClockThatIsOff(t *testing.T) {
	for drift, good := range map[int][2]int{
		-10: {-11, -8}, -3: {-4, -1}, -1: {-2, 1}, 0: {-1, 1}, 1: {-1, 2}, 3: {1, 4}, 10: {8, 11},
	} {
		for steps := good[0] - 1; steps <= good[1]+1; steps++ {
			f := newFixture(t, newMemory(t))
			token, app := f.device(t, EnrollRequest{})
			token = f.edit(t, token, func(d *state) { d.drift = drift })
			_, err := f.verify(token, app.at(start.Add(app.wait(steps))))
			if want := good[0] <= steps && steps <= good[1]; (err == nil) != want {
				t.Errorf("drift %d, a code %d steps off: %v", drift, steps, err)
			}
		}
	}
}

// A wrong code moves no window.
func TestDriftIsLearnedFromSuccessOnly(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, app := f.device(t, EnrollRequest{})
	token = f.mustBeWrong(t, token, app.at(start.Add(app.wait(2))))
	token = f.mustBeWrong(t, token, app.at(start.Add(app.wait(2))))
	if drift := f.mustInspect(t, token).Drift; drift != 0 {
		t.Errorf("drift %d", drift)
	}
}

func TestLastUse(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, app := f.device(t, EnrollRequest{})
	if used := f.mustInspect(t, token).LastUsedAt; !used.IsZero() {
		t.Errorf("a new device was used at %s", used)
	}
	f.later(time.Hour)
	token = f.mustVerify(t, token, app.at(f.clock)).Device
	f.later(time.Hour)
	token = f.mustBeWrong(t, token, noCode)
	if used := f.mustInspect(t, token).LastUsedAt; !used.Equal(start.Add(time.Hour)) {
		t.Errorf("it was used at %s", used)
	}
}

func TestResyncTOTP(t *testing.T) {
	for name, test := range map[string]struct {
		first, second int // steps from the clock's
		want          error
		drift         int
	}{
		"as far behind as can be": {-10, -9, nil, -9},
		"further behind":          {-11, -10, errWrongCode, 0},
		"as far ahead as can be":  {9, 10, nil, 10},
		"further ahead":           {10, 11, errWrongCode, 0},
		"in time":                 {-1, 0, nil, 0},
		"not in a row":            {3, 5, errWrongCode, 0},
		"in the wrong order":      {4, 3, errWrongCode, 0},
		"the same code twice":     {3, 3, errWrongCode, 0},
	} {
		t.Run(name, func(t *testing.T) {
			forEachLedger(t, func(t *testing.T, l Ledger) {
				f := newFixture(t, l)
				token, app := f.device(t, EnrollRequest{})
				code := func(steps int) string { return app.at(f.clock.Add(app.wait(steps))) }
				resynced, id, err := f.Resync(context.Background(), f.caller, token, code(test.first), code(test.second))
				if verdict(err) != test.want {
					t.Fatalf("%v, want %v", err, test.want)
				}
				if err != nil {
					if failures := f.mustInspect(t, err.(*WrongCodeError).Device).Failures; failures != 1 {
						t.Errorf("%d wrong codes are counted", failures)
					}
					return
				}
				if inspected := f.mustInspect(t, resynced); inspected.Drift != test.drift || inspected.DeviceID != id {
					t.Errorf("%+v of %s, want drift %d", inspected, id, test.drift)
				}
				if _, err := f.verify(resynced, code(test.second)); err != ErrCodeAlreadyUsed {
					t.Errorf("its second code to verify: %v", err)
				}
				f.later(app.wait(1))
				f.mustVerify(t, resynced, code(test.second))
			})
		})
	}
}

// Two codes that were used, or are older than one that was, set nothing right.
func TestResyncReplaysNothing(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, app := f.device(t, EnrollRequest{})
		resync := func(first int64) error {
			_, _, err := f.Resync(context.Background(), f.caller, token, app.code(first), app.code(first+1))
			return err
		}
		now := app.step(start)
		f.mustVerify(t, token, app.code(now))
		for _, test := range []struct {
			first int64
			want  error
		}{{now - 3, errWrongCode}, {now - 1, ErrCodeAlreadyUsed}, {now + 4, nil}, {now + 4, ErrCodeAlreadyUsed}, {now, errWrongCode}} {
			if err := resync(test.first); verdict(err) != test.want {
				t.Errorf("codes from T%+d on: %v, want %v", test.first-now, err, test.want)
			}
		}
	})
}

// An app whose clock is off cannot confirm a device before it has been set right.
func TestResyncBeforeConfirmation(t *testing.T) {
	for _, kind := range []string{TOTP, HOTP} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			enrolled, app := f.mustEnroll(t, EnrollRequest{Type: kind})
			first := int64(500)
			if kind == TOTP {
				first = app.step(start) + 7
			}
			ctx := context.Background()
			if _, err := f.Confirm(ctx, f.caller, enrolled.Device, app.code(first)); verdict(err) != errWrongCode {
				t.Fatalf("before it: %v", err)
			}
			token, id, err := f.Resync(ctx, f.caller, enrolled.Device, app.code(first), app.code(first+1))
			if err != nil || id != enrolled.DeviceID {
				t.Fatalf("%q, %v", id, err)
			}
			if f.mustInspect(t, token).Confirmed {
				t.Error("it is confirmed by that")
			}
			if _, err := f.Confirm(ctx, f.caller, token, app.code(first+2)); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}
