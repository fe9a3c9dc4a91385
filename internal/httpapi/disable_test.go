package httpapi_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/otpd/otpd/internal/ledger"
)

// Whichever version disables a device, it stays so: that its enrollment has ended ends no other version.
func TestDeviceStaysDisabledWhenItsEnrollmentIsOver(t *testing.T) {
	for name, after := range map[string]time.Duration{"during the enrollment": 0, "after it": 20 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := ledger.NewMemory(100, throttle, nil)
				defer memory.Close()
				s := newServer(t, options{ledger: memory, enrollment: time.Minute})
				pass := func(wait time.Duration) {
					time.Sleep(wait) // on the clock of the bubble, by which the ledger forgets
					s.now = time.Now().UTC()
				}
				pass(0)
				enrolled := s.enroll(t, fields{"identifier": ada, "secret": secret}).text("device")
				confirmed := s.device(t, "confirm", fields{"device": enrolled, "otp": s.code(t)})
				confirmed.is(t, 200, "")
				pass(after)
				s.device(t, "disable", fields{"device": enrolled}).is(t, 200, "")
				for range 3 {
					pass(20 * time.Minute)
					s.verifyDevice(t, confirmed.text("device"), s.code(t)).is(t, 410, "DEVICE_DISABLED")
				}
			})
		})
	}
}
