package device

import (
	"context"
	"testing"
	"time"
)

// recordingLedger notes how long it was to remember the last operation.
type recordingLedger struct {
	Ledger
	until time.Time
}

func (l *recordingLedger) AttemptDevice(ctx context.Context, v Version, p Proof) (Standing, error) {
	l.until = v.Until
	return l.Ledger.AttemptDevice(ctx, v, p)
}

func (l *recordingLedger) RenewDevice(ctx context.Context, v Version) (Standing, error) {
	l.until = v.Until
	return l.Ledger.RenewDevice(ctx, v)
}

func (l *recordingLedger) DisableDevice(ctx context.Context, v Version) (Standing, error) {
	l.until = v.Until
	return l.Ledger.DisableDevice(ctx, v)
}

// A ledger is asked to remember each operation for as long as an older version could gain by its forgetting: a step
// until no drift brings it back into the window, what is left of an enrollment until its end, and all else longer
// than versions are kept.
func TestRetention(t *testing.T) {
	const (
		years      = 10 * 365 * 24 * time.Hour
		enrollment = 24 * time.Hour
	)
	// A step accepted 11 ahead of the clock, under the most drift, is good for 11 behind, under the least.
	steps := func(period time.Duration) time.Duration { return 24 * period }
	for name, test := range map[string]struct {
		request     EnrollRequest
		unconfirmed bool
		operation   string
		want        time.Duration
	}{
		"a TOTP code":                            {EnrollRequest{}, false, "verify", steps(30 * time.Second)},
		"a TOTP code of a longer period":         {EnrollRequest{Period: pointer(60)}, false, "verify", steps(time.Minute)},
		"two TOTP codes":                         {EnrollRequest{}, false, "resync", steps(30 * time.Second)},
		"a HOTP code":                            {EnrollRequest{Type: HOTP}, false, "verify", years},
		"two HOTP codes":                         {EnrollRequest{Type: HOTP}, false, "resync", years},
		"a backup code":                          {EnrollRequest{}, false, "backup code", years},
		"new backup codes":                       {EnrollRequest{}, false, "backup-codes", years},
		"the end of a device":                    {EnrollRequest{}, false, "disable", years},
		"the end of a device, by an old version": {EnrollRequest{}, true, "disable", years},
		"a confirmation":                         {EnrollRequest{}, true, "confirm", enrollment},
		"a confirmation of HOTP":                 {EnrollRequest{Type: HOTP}, true, "confirm", years},
		"two TOTP codes before it":               {EnrollRequest{}, true, "resync", steps(30 * time.Second)},
		"two HOTP codes before it":               {EnrollRequest{Type: HOTP}, true, "resync", enrollment},
	} {
		t.Run(name, func(t *testing.T) {
			l := &recordingLedger{Ledger: newMemory(t)}
			f := newFixture(t, l)
			token, app := f.deviceWith(t, test.request, "ABCDEFGHJK")
			if test.unconfirmed {
				token = f.edit(t, token, asEnrolled)
			}
			number := int64(1)
			if test.request.Type != HOTP {
				number = app.step(start)
			}
			for _, op := range operations {
				if op.name != test.operation {
					continue
				}
				if err := op.do(f, token, app.code(number), app.code(number+1)); err != nil {
					t.Fatal(err)
				}
			}
			if remembered := l.until.Sub(start); remembered != test.want {
				t.Errorf("remembered for %s, want %s", remembered, test.want)
			}
		})
	}
}
