package device

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// pair returns two devices of a user, each with a secret of its own.
func (f *fixture) pair(t testing.TB, kind string) (tokens [2]string, apps [2]app) {
	t.Helper()
	tokens[0], apps[0] = f.device(t, EnrollRequest{Type: kind})
	tokens[1], apps[1] = f.device(t, EnrollRequest{Type: kind, Secret: base32Of(digits64[20:40] + "2")})
	return tokens, apps
}

func TestMatch(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		for right := range 3 {
			f := newFixture(t, l)
			totp, apps := f.pair(t, TOTP)
			hotp, hotpApp := f.device(t, EnrollRequest{Type: HOTP, Name: "fob", Secret: base32Of("another secret")})
			tokens := []string{totp[0], hotp, totp[1]}
			code := []string{apps[0].at(start), hotpApp.code(3), apps[1].at(start)}[right]
			index, verified, err := f.match(code, tokens...)
			if err != nil || index != right || verified.DeviceID != f.state(t, tokens[right]).id || verified.Identifier != ann {
				t.Fatalf("the code of device %d: %d, %+v, %v", right, index, verified, err)
			}
			if want := []string{TOTP, HOTP, TOTP}[right]; verified.Method != want {
				t.Errorf("by %s, want %s", verified.Method, want)
			}
			for i, token := range tokens {
				if failures := f.mustInspect(t, token).Failures; failures != 0 {
					t.Errorf("the code of device %d counts against device %d", right, i)
				}
			}
			if _, err := f.verify(verified.Device, code); err != ErrCodeAlreadyUsed {
				t.Errorf("the code again: %v", err)
			}
		}
	})
}

// A wrong code counts on each device, and each has a new version.
func TestMatchOfAWrongCode(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		tokens, apps := f.pair(t, TOTP)
		f.takeEvents()
		_, _, err := f.match(noCode, tokens[:]...)
		wrong, ok := errors.AsType[*WrongCodeError](err)
		if !ok || len(wrong.Devices) != 2 || wrong.Device != "" {
			t.Fatalf("%+v, %v", wrong, err)
		}
		f.wantEvents(t, "a wrong code", EventFailed, EventFailed)
		for i, token := range wrong.Devices {
			if inspected := f.mustInspect(t, token); inspected.Failures != 1 || inspected.DeviceID != f.state(t, tokens[i]).id {
				t.Errorf("device %d: %+v", i, inspected)
			}
		}
		if index, _, err := f.match(apps[1].at(start), wrong.Devices...); err != nil || index != 1 {
			t.Errorf("then the right one: %d, %v", index, err)
		}
	})
}

// Devices that cannot be verified just now do not stand in the way of one that can, and none of them is counted
// against.
func TestMatchPassesOver(t *testing.T) {
	unable := []struct {
		name  string
		make  func(t *testing.T, f *fixture, token string) string
		alone error
		event string // of each that was passed over
	}{
		{"unconfirmed", func(t *testing.T, f *fixture, token string) string {
			return f.edit(t, token, asEnrolled)
		}, ErrNotConfirmed, ""},
		{"locked", func(t *testing.T, f *fixture, token string) string {
			return f.edit(t, token, func(d *state) { d.failures, d.lockedUntil = 4, start.Add(time.Second) })
		}, errLocked, EventLocked},
		{"locked by the ledger's word", func(t *testing.T, f *fixture, token string) string {
			for range 4 {
				f.mustBeWrong(t, token, noCode)
			}
			return token
		}, errLocked, EventLocked},
		{"disabled", func(t *testing.T, f *fixture, token string) string {
			if _, err := f.Disable(context.Background(), f.caller, token); err != nil {
				t.Fatal(err)
			}
			return token
		}, ErrDisabled, ""},
	}
	for _, kind := range []string{TOTP, HOTP} {
		for _, u := range unable {
			t.Run(kind+", "+u.name, func(t *testing.T) {
				forEachMemory(t, func(t *testing.T, l Ledger) {
					f := newFixture(t, l)
					tokens, apps := f.pair(t, kind)
					codes := [2]string{apps[0].code(1), apps[1].code(1)}
					if kind == TOTP {
						codes = [2]string{apps[0].at(start), apps[1].at(start)}
					}
					passed := u.make(t, f, tokens[0])
					failures := f.state(t, passed).failures
					var events []string
					if u.event != "" {
						events = append(events, u.event)
					}
					f.takeEvents()
					if _, _, err := f.match(codes[0], passed); verdict(err) != u.alone {
						t.Errorf("alone: %v, want %v", err, u.alone)
					}
					f.wantEvents(t, "alone", events...)

					_, _, err := f.match(codes[0], passed, tokens[1]) // right for the one that is passed over
					wrong, ok := errors.AsType[*WrongCodeError](err)
					if !ok || len(wrong.Devices) != 2 {
						t.Fatalf("its code, with another device: %v", err)
					}
					f.wantEvents(t, "its code, with another device", append(events, EventFailed)...)
					if d := f.state(t, wrong.Devices[0]); u.alone != errLocked && d.failures != failures {
						t.Errorf("%d wrong codes are counted against it", d.failures)
					}
					if d := f.state(t, wrong.Devices[1]); d.failures != 1 {
						t.Errorf("%d wrong codes are counted against the other", d.failures)
					}
					if index, _, err := f.match(codes[1], wrong.Devices...); err != nil || index != 1 {
						t.Errorf("the code of the other: %d, %v", index, err)
					}
				})
			})
		}
	}
}

// If no device can be verified, a locked one says when to come back; else the first says why not.
func TestMatchOfNoneThatCan(t *testing.T) {
	f := newFixture(t, newMemory(t))
	tokens, apps := f.pair(t, TOTP)
	unconfirmed := f.edit(t, tokens[0], asEnrolled)
	locked := f.edit(t, tokens[1], func(d *state) { d.failures, d.lockedUntil = 5, start.Add(2*time.Second) })
	for _, order := range [][]string{{unconfirmed, locked}, {locked, unconfirmed}} {
		if _, _, err := f.match(apps[0].at(start), order...); lockedFor(err) != 2*time.Second {
			t.Errorf("%v, want a lock", err)
		}
	}
	late := f.edit(t, tokens[1], func(d *state) { d.generation, d.enrollBy = 0, start.Unix()-1 })
	for want, order := range map[error][]string{ErrNotConfirmed: {unconfirmed, late}, ErrEnrollmentExpired: {late, unconfirmed}} {
		if _, _, err := f.match(apps[0].at(start), order...); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

// A code that was used is not tried on the others, and counts against none.
func TestMatchOfAUsedCode(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		for _, kind := range []string{TOTP, HOTP} {
			f := newFixture(t, l)
			tokens, apps := f.pair(t, kind)
			code := apps[1].code(4)
			if kind == TOTP {
				code = apps[1].at(start)
			}
			if _, _, err := f.match(code, tokens[:]...); err != nil {
				t.Fatal(err)
			}
			f.takeEvents()
			if _, _, err := f.match(code, tokens[:]...); err != ErrCodeAlreadyUsed {
				t.Errorf("%s: %v", kind, err)
			}
			f.wantEvents(t, kind, EventFailed)
			for i, token := range tokens {
				if failures := f.mustInspect(t, token).Failures; failures != 0 {
					t.Errorf("%s: %d wrong codes are counted against device %d", kind, failures, i)
				}
			}
		}
	})
}

func TestMatchErrors(t *testing.T) {
	f := newFixture(t, newMemory(t))
	tokens, apps := f.pair(t, TOTP)
	for name, test := range map[string]struct {
		tokens  []string
		invalid int
	}{
		"the first is invalid": {[]string{"x", tokens[0]}, 0},
		"the last is invalid":  {[]string{tokens[0], tokens[1], "x"}, 2},
		"two are invalid":      {[]string{tokens[0], "x", "y"}, 1},
	} {
		_, _, err := f.match(apps[0].at(start), test.tokens...)
		if invalid, ok := errors.AsType[*InvalidError](err); !ok || invalid.Index != test.invalid || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := f.mustBeWrong(t, tokens[0], noCode)
	for name, twice := range map[string][]string{
		"the same version": {tokens[0], tokens[1], tokens[0]}, "another version": {tokens[0], tokens[1], other},
	} {
		_, _, err := f.match(apps[0].at(start), twice...)
		if bad, ok := errors.AsType[*otp.FieldError](err); !ok || bad.Field != "devices" {
			t.Errorf("a device twice, %s: %v", name, err)
		}
	}
	f.mustVerify(t, tokens[0], apps[0].at(start)) // nothing was consumed
}

// lastingLedger answers so many attempts, and then no more.
type lastingLedger struct {
	Ledger
	answers int
}

func (l *lastingLedger) AttemptDevice(ctx context.Context, v Version, p Proof) (Standing, error) {
	if l.answers--; l.answers < 0 {
		return Standing{}, errors.New("no route")
	}
	return l.Ledger.AttemptDevice(ctx, v, p)
}

// A ledger that goes silent on the way leaves no verdict.
func TestMatchWithoutAnAnswer(t *testing.T) {
	for _, answers := range []int{0, 1} {
		t.Run(fmt.Sprint(answers), func(t *testing.T) {
			f := newFixture(t, &lastingLedger{newMemory(t), answers})
			tokens, _ := f.pair(t, TOTP)
			if _, _, err := f.match(noCode, tokens[:]...); !errors.Is(err, otp.ErrLedgerUnavailable) {
				t.Error(err)
			}
		})
	}
	f := newFixture(t, brokenLedger())
	tokens, apps := f.pair(t, HOTP)
	if _, _, err := f.match(apps[1].code(0), tokens[:]...); !errors.Is(err, otp.ErrLedgerUnavailable) {
		t.Error(err)
	}
}
