package device

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

func (f *fixture) confirm(token, code string) (Renewed, error) {
	return f.Confirm(context.Background(), f.caller, token, code)
}

func TestConfirm(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		f.clock = start.Add(900 * time.Millisecond)
		enrolled, app := f.mustEnroll(t, EnrollRequest{Name: "Ann's phone"})
		if want := start.Add(24 * time.Hour); !enrolled.ExpiresAt.Equal(want) {
			t.Errorf("it can be confirmed until %s, want %s", enrolled.ExpiresAt, want)
		}
		f.later(time.Minute)
		confirmed, err := f.confirm(enrolled.Device, app.at(f.clock))
		if err != nil {
			t.Fatal(err)
		}
		if len(confirmed.BackupCodes) != 10 || confirmed.DeviceID != enrolled.DeviceID {
			t.Errorf("%d backup codes of device %s, want 10 of %s", len(confirmed.BackupCodes), confirmed.DeviceID, enrolled.DeviceID)
		}
		want := Inspected{
			DeviceID: enrolled.DeviceID, Type: TOTP, Name: "Ann's phone", Identifier: ann, Confirmed: true,
			CreatedAt: start, LastUsedAt: start.Add(time.Minute), BackupCodesRemaining: 10, SealedWithPrimaryKey: true,
		}
		if got := f.mustInspect(t, confirmed.Device); got != want {
			t.Errorf("%+v\nwant %+v", got, want)
		}
		if generation := f.state(t, confirmed.Device).generation; generation != 1 {
			t.Errorf("its backup codes are generation %d", generation)
		}
		if _, err := f.verify(confirmed.Device, app.at(f.clock)); err != ErrCodeAlreadyUsed {
			t.Errorf("the code that confirmed it, to verify: %v", err)
		}
		f.later(app.wait(1))
		if verified := f.mustVerify(t, confirmed.Device, app.at(f.clock)); verified.BackupCodesRemaining != 10 ||
			verified.Identifier != ann || verified.DeviceID != enrolled.DeviceID {
			t.Errorf("%+v", verified)
		}
	})
}

func TestEnrollmentExpiry(t *testing.T) {
	for _, late := range []time.Duration{-time.Second, 0, time.Second} {
		t.Run(late.String(), func(t *testing.T) {
			f := newFixture(t, newMemory(t), func(c *Config) { c.Enrollment = time.Hour })
			enrolled, app := f.mustEnroll(t, EnrollRequest{})
			f.clock = start.Add(time.Hour + late)
			var want error
			if late > 0 {
				want = ErrEnrollmentExpired
			}
			if _, err := f.confirm(enrolled.Device, app.at(f.clock)); err != want {
				t.Errorf("%v, want %v", err, want)
			}
		})
	}
}

// What cannot be confirmed any more says so, whether or not the code is right, and counts nothing.
func TestLateCodeIsNotJudged(t *testing.T) {
	f := newFixture(t, brokenLedger(), func(c *Config) { c.Enrollment = time.Hour })
	enrolled, app := f.mustEnroll(t, EnrollRequest{})
	f.clock = start.Add(2 * time.Hour)
	for _, code := range []string{app.at(f.clock), noCode} {
		if _, err := f.confirm(enrolled.Device, code); err != ErrEnrollmentExpired {
			t.Error(err)
		}
	}
}

// A confirmed device outlives the time for its enrollment.
func TestConfirmedDeviceDoesNotExpire(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, app := f.device(t, EnrollRequest{})
	f.later(10 * 365 * 24 * time.Hour)
	f.mustVerify(t, token, app.at(f.clock))
}

func TestConfirmWithAWrongCode(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		enrolled, app := f.mustEnroll(t, EnrollRequest{})
		_, err := f.confirm(enrolled.Device, app.at(f.clock.Add(app.wait(2))))
		wrong, ok := errors.AsType[*WrongCodeError](err)
		if !ok {
			t.Fatal(err)
		}
		if inspected := f.mustInspect(t, wrong.Device); inspected.Confirmed || inspected.Failures != 1 || inspected.BackupCodesRemaining != 0 {
			t.Errorf("%+v", inspected)
		}
		if _, err := f.confirm(wrong.Device, app.at(f.clock)); err != nil {
			t.Errorf("then the right one: %v", err)
		}
	})
}

// Whoever has confirmed a device cannot do so again with the version from before, neither with the code that did
// nor with the next.
func TestConfirmTwice(t *testing.T) {
	for _, kind := range []string{TOTP, HOTP} {
		t.Run(kind, func(t *testing.T) {
			forEachMemory(t, func(t *testing.T, l Ledger) {
				f := newFixture(t, l)
				enrolled, app := f.mustEnroll(t, EnrollRequest{Type: kind})
				first := int64(0)
				if kind == TOTP {
					first = app.step(start)
				}
				confirmed, err := f.confirm(enrolled.Device, app.code(first))
				if err != nil {
					t.Fatal(err)
				}
				for name, token := range map[string]string{"from before": enrolled.Device, "confirmed": confirmed.Device} {
					for _, code := range []string{app.code(first), app.code(first + 1), noCode} {
						if _, err := f.confirm(token, code); err != ErrAlreadyConfirmed {
							t.Errorf("the version %s, %s: %v", name, code, err)
						}
					}
				}
				if failures := f.mustInspect(t, confirmed.Device).Failures; failures != 0 {
					t.Errorf("%d wrong codes are counted", failures)
				}
				f.mustVerify(t, confirmed.Device, app.code(first+1))
			})
		})
	}
}

// With the version from before a confirmation nothing can be done but to confirm it, even if the answer got lost.
func TestLostConfirmation(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		ctx := context.Background()
		enrolled, app := f.mustEnroll(t, EnrollRequest{})
		if _, err := f.confirm(enrolled.Device, app.at(f.clock)); err != nil {
			t.Fatal(err)
		}
		f.later(time.Minute)
		if _, err := f.verify(enrolled.Device, app.at(f.clock)); err != ErrNotConfirmed {
			t.Errorf("to verify: %v", err)
		}
		if _, err := f.RenewBackupCodes(ctx, f.caller, enrolled.Device); err != ErrNotConfirmed {
			t.Errorf("to renew its backup codes: %v", err)
		}
		f.clock = enrolled.ExpiresAt // and no sooner is the confirmation forgotten
		if _, err := f.confirm(enrolled.Device, app.at(f.clock)); err != ErrAlreadyConfirmed {
			t.Errorf("to confirm it at the last moment: %v", err)
		}
		f.later(time.Second)
		if _, err := f.confirm(enrolled.Device, app.at(f.clock)); err != ErrEnrollmentExpired {
			t.Errorf("to confirm it too late: %v", err)
		}
	})
}

func TestConfirmInParallel(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		enrolled, app := f.mustEnroll(t, EnrollRequest{})
		var confirmed, refused atomic.Int32
		var clients sync.WaitGroup
		for i := range 12 {
			clients.Go(func() {
				code := app.code(app.step(start) + int64(i%3) - 1)
				err := patiently(func() error { _, err := f.confirm(enrolled.Device, code); return err })
				switch {
				case err == nil:
					confirmed.Add(1)
				case err == ErrAlreadyConfirmed:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		clients.Wait()
		if confirmed.Load() != 1 || refused.Load() != 11 {
			t.Errorf("%d confirmed it, %d were refused; want 1 and 11", confirmed.Load(), refused.Load())
		}
	})
}

// Without a ledger nobody knows of a confirmation but the version that it gave.
func TestConfirmTwiceWithoutALedger(t *testing.T) {
	f := newFixture(t, ledgers[2].open(t))
	enrolled, app := f.mustEnroll(t, EnrollRequest{})
	for range 2 {
		if _, err := f.confirm(enrolled.Device, app.at(f.clock)); err != nil {
			t.Error(err)
		}
	}
	if _, err := f.RenewBackupCodes(context.Background(), f.caller, enrolled.Device); err != ErrNotConfirmed {
		t.Errorf("backup codes for a version from before: %v", err)
	}
}

// A flood of guesses at devices to be confirmed locks each of them like any other.
func TestUnconfirmedDeviceIsLocked(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		enrolled, app := f.mustEnroll(t, EnrollRequest{})
		token := enrolled.Device
		for range 4 {
			_, err := f.confirm(token, noCode)
			wrong, ok := errors.AsType[*WrongCodeError](err)
			if !ok {
				t.Fatal(err)
			}
			token = wrong.Device
		}
		if _, err := f.confirm(token, app.at(f.clock)); lockedFor(err) != time.Second {
			t.Errorf("a right code while it is locked: %v", err)
		}
		f.later(time.Second)
		if _, err := f.confirm(token, app.at(f.clock)); err != nil {
			t.Errorf("after the lock: %v", err)
		}
	})
}

// Confirm answers with the ledger's failure, whatever the code, and has confirmed nothing then.
func TestConfirmWithoutAnAnswer(t *testing.T) {
	for _, kind := range []string{TOTP, HOTP} {
		stub := brokenLedger()
		f := newFixture(t, stub)
		enrolled, app := f.mustEnroll(t, EnrollRequest{Type: kind})
		code := app.code(0)
		if kind == TOTP {
			code = app.at(start)
		}
		for _, code := range []string{code, noCode} {
			if _, err := f.confirm(enrolled.Device, code); !errors.Is(err, otp.ErrLedgerUnavailable) {
				t.Errorf("%s: %v", kind, err)
			}
		}
		f.wantEvents(t, kind, EventEnrolled)
	}
}
