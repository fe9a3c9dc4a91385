package device

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/otpd/otpd/internal/otp"
)

func (f *fixture) mustRenew(t testing.TB, token string) Renewed {
	t.Helper()
	renewed, err := f.RenewBackupCodes(context.Background(), f.caller, token)
	if err != nil {
		t.Fatalf("RenewBackupCodes: %v", err)
	}
	return renewed
}

// Each code of a set is good once, with whichever version it comes.
func TestBackupCodesAreGoodOnce(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, _ := f.device(t, EnrollRequest{})
		renewed := f.mustRenew(t, token)
		if renewed.DeviceID != f.state(t, token).id || len(renewed.BackupCodes) != 10 {
			t.Fatalf("%d codes of %s", len(renewed.BackupCodes), renewed.DeviceID)
		}
		newest := renewed.Device
		for i, code := range renewed.BackupCodes {
			verified, err := f.verifyBackup(newest, code)
			if err != nil || verified.BackupCodesRemaining != 9-i || verified.Method != BackupCode || verified.Identifier != ann {
				t.Fatalf("code %d: %+v, %v", i+1, verified, err)
			}
			newest = verified.Device
			if remaining := f.mustInspect(t, newest).BackupCodesRemaining; remaining != 9-i {
				t.Errorf("%d are said to remain, want %d", remaining, 9-i)
			}
		}
		for _, code := range renewed.BackupCodes[:3] {
			for name, token := range map[string]string{"newest": newest, "oldest": renewed.Device} {
				if _, err := f.verifyBackup(token, code); err != ErrCodeAlreadyUsed {
					t.Errorf("again, with the %s version: %v", name, err)
				}
			}
		}
		if inspected := f.mustInspect(t, renewed.Device); inspected.BackupCodesRemaining != 0 || inspected.Failures != 0 {
			t.Errorf("the oldest version, inspected: %+v", inspected)
		}
	})
}

// Without a ledger the newest version knows which are used, and an older one does not.
func TestBackupCodesWithoutALedger(t *testing.T) {
	f := newFixture(t, ledgers[2].open(t))
	oldest, _ := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK", "2222233333")
	verified, err := f.verifyBackup(oldest, "ABCDEFGHJK")
	if err != nil || verified.BackupCodesRemaining != 1 {
		t.Fatalf("%+v, %v", verified, err)
	}
	if _, err := f.verifyBackup(verified.Device, "ABCDEFGHJK"); err != ErrCodeAlreadyUsed {
		t.Errorf("again, with the newest version: %v", err)
	}
	if _, err := f.verifyBackup(oldest, "ABCDEFGHJK"); err != nil {
		t.Errorf("again, with the oldest version: %v", err)
	}
}

func TestHowBackupCodesAreTyped(t *testing.T) {
	for name, test := range map[string]struct {
		typed string
		want  error
	}{
		"as shown":                     {"ABCDE-FGHJK", nil},
		"without the hyphen":           {"ABCDEFGHJK", nil},
		"in lower case":                {"abcde-fghjk", nil},
		"in both cases":                {"aBcDe-FgHjK", nil},
		"with spaces":                  {" ABC DE FGH JK ", nil},
		"with a line break":            {"ABCDE\nFGHJK\r\n", nil},
		"with hyphens anywhere":        {"A-BCDEFG--HJK-", nil},
		"a character short":            {"ABCDE-FGHJ", errWrongCode},
		"a character long":             {"ABCDE-FGHJKK", errWrongCode},
		"the groups the wrong way":     {"FGHJK-ABCDE", errWrongCode},
		"with a character alike":       {"ABCDE-FGHJ\u212a", errWrongCode}, // the Kelvin sign
		"with a hyphen of typesetters": {"ABCDE\u2013FGHJK", errWrongCode},
		"nothing but a hyphen":         {"-", errWrongCode},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			token, _ := f.deviceWith(t, EnrollRequest{}, "2222233333", "ABCDEFGHJK")
			if _, err := f.verifyBackup(token, test.typed); verdict(err) != test.want {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestWhatIsNoBackupCodeOfTheDevice(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, app := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
		without, _ := f.device(t, EnrollRequest{})
		for name, test := range map[string]struct{ token, code string }{
			"another device's":                 {token, "2222233333"},
			"a device has none":                {without, "ABCDEFGHJK"},
			"a code of the app":                {token, app.at(start)},
			"the hash of one":                  {token, string(f.state(t, token).hashes[0])},
			"nothing, for a device with none ": {without, "-"},
		} {
			_, err := f.verifyBackup(test.token, test.code)
			if verdict(err) != errWrongCode {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := f.verify(token, "ABCDEFGHJK"); verdict(err) != errWrongCode {
			t.Errorf("a backup code for a code of the app: %v", err)
		}
	})
}

// Guesses at backup codes and at codes lock the same device.
func TestBackupCodesAreThrottled(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, app := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
		for range 2 {
			f.mustBeWrong(t, token, noCode)
			if _, err := f.verifyBackup(token, "2222233333"); verdict(err) != errWrongCode {
				t.Fatal(err)
			}
		}
		for _, code := range []string{"ABCDEFGHJK", "2222233333"} {
			if _, err := f.verifyBackup(token, code); lockedFor(err) != time.Second {
				t.Errorf("a backup code: %v", err)
			}
		}
		if _, err := f.verify(token, app.at(f.clock)); lockedFor(err) != time.Second {
			t.Errorf("a code: %v", err)
		}
		f.later(time.Second)
		if verified, err := f.verifyBackup(token, "ABCDEFGHJK"); err != nil {
			t.Error(err)
		} else if failures := f.mustInspect(t, verified.Device).Failures; failures != 0 {
			t.Errorf("after a right one %d wrong codes are counted", failures)
		}
	})
}

// A backup code takes nothing from the codes of the app, and the other way round.
func TestBackupCodesAndStepsAreApart(t *testing.T) {
	for _, kind := range []string{TOTP, HOTP} {
		f := newFixture(t, newMemory(t))
		token, app := f.deviceWith(t, EnrollRequest{Type: kind}, "ABCDEFGHJK", "2222233333")
		number := int64(0) // the first backup code has it too
		if kind == TOTP {
			number = app.step(start)
		}
		verified, err := f.verifyBackup(token, "ABCDEFGHJK")
		if err != nil {
			t.Fatal(err)
		}
		verified = f.mustVerify(t, verified.Device, app.code(number))
		if verified.BackupCodesRemaining != 1 {
			t.Errorf("%s: %d remain", kind, verified.BackupCodesRemaining)
		}
		if verified, err = f.verifyBackup(verified.Device, "2222233333"); err != nil || verified.BackupCodesRemaining != 0 {
			t.Errorf("%s: %+v, %v", kind, verified, err)
		}
		if d := f.state(t, verified.Device); d.next != number+1 {
			t.Errorf("%s: next is %d", kind, d.next)
		}
	}
}

// patiently calls do again for as long as the service is overloaded, as clients should.
func patiently(do func() error) error {
	for {
		if err := do(); err != ErrOverloaded {
			return err
		}
	}
}

func TestBackupCodeInParallel(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, _ := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
		var right, used atomic.Int32
		var clients sync.WaitGroup
		for range 30 {
			clients.Go(func() {
				switch err := patiently(func() error { _, err := f.verifyBackup(token, "ABCDEFGHJK"); return err }); err {
				case nil:
					right.Add(1)
				case ErrCodeAlreadyUsed:
					used.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		clients.Wait()
		if right.Load() != 1 || used.Load() != 29 {
			t.Errorf("%d succeeded, %d were told it is used; want 1 and 29", right.Load(), used.Load())
		}
	})
}

// A new set ends the one before it. Versions that have the older one verify codes of the app as ever, and become
// versions without backup codes by that.
func TestRenewBackupCodes(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, app := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
		first := f.mustRenew(t, token)
		second := f.mustRenew(t, token) // the answer with the first got lost
		for name, older := range map[string]struct{ token, code string }{
			"before the first": {token, "ABCDEFGHJK"}, "the first": {first.Device, first.BackupCodes[0]},
		} {
			for _, code := range []string{older.code, second.BackupCodes[0]} {
				if _, err := f.verifyBackup(older.token, code); err != ErrSuperseded {
					t.Errorf("%s: %v", name, err)
				}
			}
			if _, err := f.verifyBackup(second.Device, older.code); verdict(err) != errWrongCode {
				t.Errorf("%s, with the newest version: %v", name, err)
			}
			if remaining := f.mustInspect(t, older.token).BackupCodesRemaining; remaining != 0 {
				t.Errorf("%s: %d are said to remain", name, remaining)
			}
			f.later(app.wait(2))
			verified := f.mustVerify(t, older.token, app.at(f.clock))
			if verified.BackupCodesRemaining != 0 {
				t.Errorf("%s: after a code of the app %d are said to remain", name, verified.BackupCodesRemaining)
			}
			if _, err := f.verifyBackup(verified.Device, older.code); verdict(err) != errWrongCode {
				t.Errorf("%s, with the version of after that: %v", name, err)
			}
		}
		if inspected := f.mustInspect(t, second.Device); inspected.BackupCodesRemaining != 10 {
			t.Errorf("the newest: %+v", inspected)
		}
		if _, err := f.verifyBackup(second.Device, second.BackupCodes[9]); err != nil {
			t.Error(err)
		}
		f.later(app.wait(2))
		f.mustVerify(t, second.Device, app.at(f.clock))
	})
}

// A version that has missed the newest backup codes stays a device when one of these is used.
func TestVersionWithoutTheNewestCodes(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		older, app := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
		renewed := f.mustRenew(t, older)
		if _, err := f.verifyBackup(renewed.Device, renewed.BackupCodes[0]); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			older = f.mustBeWrong(t, older, noCode)
			older = f.mustVerify(t, older, app.at(f.clock)).Device
			if remaining := f.mustInspect(t, older).BackupCodesRemaining; remaining != 0 {
				t.Errorf("%d are said to remain", remaining)
			}
			f.later(app.wait(1))
		}
		again := f.mustRenew(t, older)
		if _, err := f.verifyBackup(again.Device, again.BackupCodes[0]); err != nil {
			t.Errorf("the first code of a set of its own: %v", err)
		}
	})
}

// What an older version used, of codes and of backup codes, is used after a new set too, where it still matters.
func TestRenewKeepsTheRest(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		oldest, app := f.device(t, EnrollRequest{})
		f.mustVerify(t, oldest, app.at(f.clock))
		renewed := f.mustRenew(t, oldest)
		if _, err := f.verify(renewed.Device, app.at(f.clock)); err != ErrCodeAlreadyUsed {
			t.Errorf("a used code: %v", err)
		}
		if remaining := f.mustInspect(t, renewed.Device).BackupCodesRemaining; remaining != 10 {
			t.Errorf("%d remain", remaining)
		}
	})
}

func TestRenewWithoutALedger(t *testing.T) {
	f := newFixture(t, ledgers[2].open(t))
	token, _ := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
	renewed := f.mustRenew(t, token)
	if _, err := f.verifyBackup(renewed.Device, "ABCDEFGHJK"); verdict(err) != errWrongCode {
		t.Errorf("an old code with the new version: %v", err)
	}
	if _, err := f.verifyBackup(token, "ABCDEFGHJK"); err != nil {
		t.Errorf("an old code with the old version, which holds: %v", err)
	}
	if d := f.state(t, renewed.Device); d.generation != 2 {
		t.Errorf("generation %d", d.generation)
	}
}

// The codes are as they should be read, and kept as Argon2id of 19 MiB, two passes and one lane, under a salt that no
// other set has.
func TestHowBackupCodesAreKept(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, _ := f.device(t, EnrollRequest{})
	shape := regexp.MustCompile(`^[2-9A-HJ-NP-Z]{5}-[2-9A-HJ-NP-Z]{5}$`)
	seen := make(map[string]bool)
	for range 2 {
		renewed := f.mustRenew(t, token)
		d := f.state(t, renewed.Device)
		if len(d.salt) != 16 || seen[string(d.salt)] || len(d.hashes) != 10 {
			t.Errorf("salt %x, seen before: %t; %d hashes", d.salt, seen[string(d.salt)], len(d.hashes))
		}
		seen[string(d.salt)] = true
		for i, code := range renewed.BackupCodes {
			if !shape.MatchString(code) || seen[code] {
				t.Errorf("%q is no new backup code", code)
			}
			seen[code] = true
			const memory = 19 * 1024 // KiB
			if want := argon2.IDKey([]byte(strings.ReplaceAll(code, "-", "")), d.salt, 2, memory, 1, 16); !bytes.Equal(d.hashes[i], want) {
				t.Errorf("code %d is kept as %x, want %x", i, d.hashes[i], want)
			}
		}
		if bytes.Contains(d.marshal(), []byte(strings.ReplaceAll(renewed.BackupCodes[0], "-", ""))) {
			t.Error("a code is sealed as it is")
		}
	}
}

// takeAllTurns has all turns at hashing taken and as many waiting for one as there may be, until end is called.
func takeAllTurns(t testing.TB, h *hasher) (end func()) {
	t.Helper()
	for range cap(h.turns) {
		h.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var waiters sync.WaitGroup
	for range maxWaiting {
		waiters.Go(func() {
			if _, err := h.enter(ctx); err != ErrOverloaded {
				t.Errorf("one that waited: %v", err)
			}
		})
	}
	for deadline := time.Now().Add(2 * time.Second); h.waiting.Load() < maxWaiting; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait for their turn", h.waiting.Load())
		}
	}
	return func() {
		cancel()
		waiters.Wait()
		for range cap(h.turns) {
			<-h.turns
		}
	}
}

// A flood is told to come back, at once, and learns nothing from it.
func TestOverload(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, app := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
		enrolled, _ := f.mustEnroll(t, EnrollRequest{})
		f.takeEvents()
		end := takeAllTurns(t, f.hasher)
		for name, do := range map[string]func() error{
			"a right backup code": func() error { _, err := f.verifyBackup(token, "ABCDEFGHJK"); return err },
			"a wrong backup code": func() error { _, err := f.verifyBackup(token, "2222233333"); return err },
			"to confirm":          func() error { _, err := f.confirm(enrolled.Device, app.at(f.clock)); return err },
			"not to confirm":      func() error { _, err := f.confirm(enrolled.Device, noCode); return err },
			"new backup codes": func() error {
				_, err := f.RenewBackupCodes(context.Background(), f.caller, token)
				return err
			},
		} {
			if err := do(); err != ErrOverloaded {
				t.Errorf("%s: %v", name, err)
			}
		}
		f.wantEvents(t, "overloaded")
		verified := f.mustVerify(t, token, app.at(f.clock)) // which takes no hash
		end()
		if waiting := f.hasher.waiting.Load(); waiting != 0 {
			t.Errorf("%d still wait", waiting)
		}
		if inspected := f.mustInspect(t, enrolled.Device); inspected.Failures != 0 || inspected.Confirmed {
			t.Errorf("the one to confirm: %+v", inspected)
		}
		if d := f.state(t, verified.Device); d.failures != 0 || d.generation != 1 {
			t.Errorf("%d wrong codes are counted, generation %d", d.failures, d.generation)
		}
		if _, err := f.verifyBackup(token, "ABCDEFGHJK"); err != nil {
			t.Errorf("the right backup code, afterwards: %v", err)
		}
	})
}

func TestTurnsAtHashing(t *testing.T) {
	h := newHasher()
	if turns := cap(h.turns); turns < 1 || turns > 4 || turns > runtime.GOMAXPROCS(0) {
		t.Errorf("%d may hash at once", turns)
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHasher()
		ctx := context.Background()
		var leave []func()
		for range cap(h.turns) {
			end, err := h.enter(ctx)
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, end)
		}
		begin := time.Now()
		if _, err := h.enter(ctx); err != ErrOverloaded || time.Since(begin) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		time.AfterFunc(2*time.Second, leave[0])
		begin = time.Now()
		end, err := h.enter(ctx)
		if err != nil || time.Since(begin) != 2*time.Second {
			t.Errorf("after %s: %v, want the turn that came free", time.Since(begin), err)
		}
		limited, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		begin = time.Now()
		if _, err := h.enter(limited); err != ErrOverloaded || time.Since(begin) != time.Second {
			t.Errorf("of a request that is given up, after %s: %v", time.Since(begin), err)
		}
		if waiting := h.waiting.Load(); waiting != 0 {
			t.Errorf("%d still wait", waiting)
		}
		end()
	})
}

// The turn of a request ends with it, whatever its answer.
func TestTurnsEnd(t *testing.T) {
	stub := &stubLedger{standing: Standing{Verdict: "admitted"}}
	f := newFixture(t, stub)
	token, _ := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
	enrolled, app := f.mustEnroll(t, EnrollRequest{})
	ctx := context.Background()
	_, _ = f.verifyBackup(token, "ABCDEFGHJK")
	_, _ = f.verifyBackup(token, "2222233333")
	_, _ = f.confirm(enrolled.Device, app.at(f.clock))
	_, _ = f.RenewBackupCodes(ctx, f.caller, token)
	stub.err = errors.New("no route")
	_, _ = f.verifyBackup(token, "ABCDEFGHJK")
	_, _ = f.confirm(enrolled.Device, app.at(f.clock))
	if _, err := f.RenewBackupCodes(ctx, f.caller, token); !errors.Is(err, otp.ErrLedgerUnavailable) {
		t.Error(err)
	}
	if taken := len(f.hasher.turns); taken != 0 {
		t.Errorf("%d turns are still taken", taken)
	}
}
