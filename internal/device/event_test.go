package device

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// The events of a device's whole life, none of which holds what must not leave.
func TestEvents(t *testing.T) {
	for _, kind := range []string{TOTP, HOTP} {
		forEachMemory(t, func(t *testing.T, l Ledger) {
			f := newFixture(t, l)
			f.caller = otp.Caller{Namespace: "shop", RequestID: "r"}
			ctx := context.Background()
			var all []otp.Event
			expect := func(what string, names ...string) {
				t.Helper()
				all = append(all, f.events...)
				f.wantEvents(t, what, names...)
			}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			enrolled, app := f.mustEnroll(t, EnrollRequest{Type: kind, Name: "Ann's phone"})
			expect("enroll", EventEnrolled)
			next := int64(0)
			if kind == TOTP {
				next = app.step(start) - 1
			}
			code := func() string { next++; return app.code(next) }

			_, _ = f.confirm(enrolled.Device, noCode)
			expect("a wrong code to confirm", EventFailed)
			confirmed, err := f.confirm(enrolled.Device, code())
			must(err)
			expect("confirm", EventConfirmed)
			_, _ = f.confirm(enrolled.Device, noCode)
			expect("confirm again")
			used := code()
			token := f.mustVerify(t, confirmed.Device, used).Device
			expect("verify", EventVerified)
			_, _ = f.verify(token, used)
			expect("a used code", EventFailed)
			verified, err := f.verifyBackup(token, confirmed.BackupCodes[0])
			must(err)
			expect("a backup code", EventBackupCodeUsed, EventVerified)
			_, _ = f.verifyBackup(verified.Device, confirmed.BackupCodes[0])
			expect("a used backup code", EventFailed)
			_, _ = f.verifyBackup(verified.Device, "2222233333")
			expect("a wrong backup code", EventFailed)
			f.mustInspect(t, token)
			_, err = f.Reseal(f.caller, []string{token})
			must(err)
			expect("inspect and reseal")
			f.later(time.Minute)
			if kind == TOTP {
				next = app.step(f.clock)
			}
			first := code()
			_, _, err = f.Resync(ctx, f.caller, token, first, noCode)
			if verdict(err) != errWrongCode {
				t.Fatal(err)
			}
			expect("a wrong resync", EventFailed)
			token, _, err = f.Resync(ctx, f.caller, token, first, code())
			must(err)
			expect("resync", EventResynced)
			renewed, err := f.RenewBackupCodes(ctx, f.caller, token)
			must(err)
			expect("backup-codes", EventBackupCodesRenewed)
			_, _ = f.verifyBackup(token, confirmed.BackupCodes[1])
			expect("a backup code of a version with older ones")
			for range 4 {
				f.mustBeWrong(t, renewed.Device, noCode)
			}
			expect("four wrong codes", EventFailed, EventFailed, EventFailed, EventFailed)
			_, _ = f.verify(renewed.Device, code())
			_, _ = f.verifyBackup(renewed.Device, renewed.BackupCodes[0])
			_, _, _ = f.Resync(ctx, f.caller, renewed.Device, code(), code())
			expect("while it is locked", EventLocked, EventLocked, EventLocked)
			_, _, err = f.Unlock(ctx, f.caller, renewed.Device)
			must(err)
			expect("unlock", EventUnlocked)
			_, err = f.Disable(ctx, f.caller, token)
			must(err)
			expect("disable", EventDisabled)
			_, _ = f.verify(renewed.Device, noCode)
			expect("when it is disabled")

			secrets := append(append([]string{
				enrolled.Secret, string(app.secret), ann, "Ann's phone", enrolled.Device, confirmed.Device, token, used,
			}, confirmed.BackupCodes...), renewed.BackupCodes...)
			for _, e := range all {
				if e.ID != enrolled.DeviceID || e.IdentifierHash != f.sealer.Subject("shop", ann) || e.Caller != f.caller ||
					e.At.Before(start) || !slices.Contains(EventNames, e.Name) {
					t.Errorf("%+v", e)
				}
				for _, secret := range secrets {
					if text := fmt.Sprintf("%+v", e); strings.Contains(text, secret) {
						t.Errorf("%s tells %q", text, secret)
					}
				}
			}
			if failed := all[1]; failed.RetryCount != 1 {
				t.Errorf("the first wrong code is said to be number %d", failed.RetryCount)
			}
		})
	}
}
