package device

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

const backupCode = "ABCDE-FGHJK"

// operation is a call of one method with a device, all else about it being right. code is the device's next one and
// the one after it the next but one.
type operation struct {
	name string
	do   func(f *fixture, token string, code, next string) error
}

var operations = []operation{
	{"confirm", func(f *fixture, token, code, _ string) error {
		_, err := f.confirm(token, code)
		return err
	}},
	{"verify", func(f *fixture, token, code, _ string) error {
		_, err := f.verify(token, code)
		return err
	}},
	{"backup code", func(f *fixture, token, _, _ string) error {
		_, err := f.verifyBackup(token, backupCode)
		return err
	}},
	{"match", func(f *fixture, token, code, _ string) error {
		_, _, err := f.match(code, token)
		return err
	}},
	{"resync", func(f *fixture, token, code, next string) error {
		_, _, err := f.Resync(context.Background(), f.caller, token, code, next)
		return err
	}},
	{"inspect", func(f *fixture, token, _, _ string) error {
		_, err := f.Inspect(context.Background(), f.caller, token)
		return err
	}},
	{"backup-codes", func(f *fixture, token, _, _ string) error {
		_, err := f.RenewBackupCodes(context.Background(), f.caller, token)
		return err
	}},
	{"reseal", func(f *fixture, token, _, _ string) error {
		_, err := f.Reseal(f.caller, []string{token})
		return err
	}},
	{"unlock", func(f *fixture, token, _, _ string) error {
		_, _, err := f.Unlock(context.Background(), f.caller, token)
		return err
	}},
	{"disable", func(f *fixture, token, _, _ string) error {
		_, err := f.Disable(context.Background(), f.caller, token)
		return err
	}},
}

// answers are what each operation says, by its name. What is not there succeeds.
type answers map[string]error

// all returns the answer err of those operations that ask for the device's state.
func all(err error, but answers) answers {
	a := answers{"confirm": err, "verify": err, "backup code": err, "match": err, "resync": err, "inspect": err, "backup-codes": err}
	for name, err := range but {
		a[name] = err
	}
	return a
}

// Each operation on a device in each of its states.
func TestOperationsByState(t *testing.T) {
	states := []struct {
		name    string
		edit    func(*state)                      // of a confirmed device with a backup code
		prepare func(f *fixture, v Version) error // on the ledger
		late    bool                              // past the end of the enrollment
		want    answers
		without answers // without a ledger, if it differs
	}{
		{name: "confirmed", want: answers{"confirm": ErrAlreadyConfirmed}},
		{name: "unconfirmed", edit: asEnrolled, want: answers{
			"verify": ErrNotConfirmed, "backup code": ErrNotConfirmed, "match": ErrNotConfirmed, "backup-codes": ErrNotConfirmed,
		}},
		{name: "too late to confirm", edit: asEnrolled, late: true, want: all(ErrEnrollmentExpired, answers{"inspect": nil})},
		{name: "locked", edit: func(d *state) { d.failures, d.lockedUntil = 4, start.Add(time.Second) }, want: answers{
			"confirm": ErrAlreadyConfirmed, "verify": errLocked, "backup code": errLocked, "match": errLocked, "resync": errLocked,
		}},
		{
			name: "locked, and the version is older",
			prepare: func(f *fixture, v Version) (err error) {
				for range 4 {
					_, err = f.cfg.Ledger.AttemptDevice(context.Background(), v, Proof{})
				}
				return err
			},
			want: answers{
				"confirm": ErrAlreadyConfirmed, "verify": errLocked, "backup code": errLocked, "match": errLocked, "resync": errLocked,
			},
			without: answers{"confirm": ErrAlreadyConfirmed},
		},
		{
			name: "unconfirmed and locked",
			edit: func(d *state) { asEnrolled(d); d.failures, d.lockedUntil = 4, start.Add(time.Second) },
			want: answers{
				"confirm": errLocked, "verify": ErrNotConfirmed, "backup code": ErrNotConfirmed, "match": ErrNotConfirmed,
				"resync": errLocked, "backup-codes": ErrNotConfirmed,
			},
		},
		{
			name: "superseded by new backup codes",
			prepare: func(f *fixture, v Version) error {
				_, err := f.cfg.Ledger.RenewDevice(context.Background(), v)
				return err
			},
			want:    answers{"confirm": ErrAlreadyConfirmed, "backup code": ErrSuperseded},
			without: answers{"confirm": ErrAlreadyConfirmed},
		},
		{
			name: "confirmed since",
			edit: asEnrolled,
			prepare: func(f *fixture, v Version) error {
				_, err := f.cfg.Ledger.AttemptDevice(context.Background(), v, Proof{Right: true, Confirms: true, Number: v.Next})
				return err
			},
			want: answers{
				"confirm": ErrAlreadyConfirmed, "verify": ErrNotConfirmed, "backup code": ErrNotConfirmed, "match": ErrNotConfirmed,
				"resync": ErrAlreadyConfirmed, "inspect": ErrAlreadyConfirmed, "backup-codes": ErrNotConfirmed,
			},
			without: answers{
				"verify": ErrNotConfirmed, "backup code": ErrNotConfirmed, "match": ErrNotConfirmed, "backup-codes": ErrNotConfirmed,
			},
		},
		{
			name: "disabled",
			prepare: func(f *fixture, v Version) error {
				_, err := f.cfg.Ledger.DisableDevice(context.Background(), v)
				return err
			},
			want:    all(ErrDisabled, answers{"confirm": ErrAlreadyConfirmed, "unlock": ErrDisabled}),
			without: answers{"confirm": ErrAlreadyConfirmed},
		},
		{
			name: "disabled before it was confirmed",
			edit: asEnrolled,
			prepare: func(f *fixture, v Version) error {
				_, err := f.cfg.Ledger.DisableDevice(context.Background(), v)
				return err
			},
			want: all(ErrDisabled, answers{
				"verify": ErrNotConfirmed, "backup code": ErrNotConfirmed, "match": ErrNotConfirmed, "backup-codes": ErrNotConfirmed,
				"unlock": ErrDisabled,
			}),
			without: answers{
				"verify": ErrNotConfirmed, "backup code": ErrNotConfirmed, "match": ErrNotConfirmed, "backup-codes": ErrNotConfirmed,
			},
		},
	}
	for _, l := range ledgers {
		for _, kind := range []string{TOTP, HOTP} {
			if kind == HOTP && l.name != "memory" {
				continue // the kind changes what is asked of a ledger, and not what it says
			}
			for _, s := range states {
				for _, op := range operations {
					t.Run(strings.Join([]string{l.name, kind, s.name, op.name}, "/"), func(t *testing.T) {
						t.Parallel() // hashing takes time
						f := newFixture(t, l.open(t))
						token, app := f.deviceWith(t, EnrollRequest{Type: kind}, "ABCDEFGHJK")
						if s.edit != nil {
							token = f.edit(t, token, s.edit)
						}
						if s.prepare != nil {
							d := f.state(t, token)
							if err := s.prepare(f, d.version(f.clock.Add(time.Hour), f.clock)); err != nil {
								t.Fatal(err)
							}
						}
						if s.late {
							f.later(24*time.Hour + time.Second)
						}
						number := int64(1)
						if kind == TOTP {
							number = app.step(f.clock)
						}
						want := s.want[op.name]
						switch {
						case l.remembers:
						case op.name == "disable":
							want = otp.ErrLedgerDisabled
						case s.without != nil:
							want = s.without[op.name]
						}
						if op.name == "backup-codes" && want == nil && l.name != "memory" {
							t.Skip("ten hashes take their time, and other tests renew under each ledger")
						}
						if err := op.do(f, token, app.code(number), app.code(number+1)); verdict(err) != want {
							t.Errorf("%v, want %v", err, want)
						}
					})
				}
			}
		}
	}
}

// Whoever disabled a device and got no answer can do it again, with any version.
func TestDisable(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		oldest, app := f.device(t, EnrollRequest{})
		newest := f.mustVerify(t, oldest, app.at(f.clock)).Device
		for _, token := range []string{oldest, newest, oldest} {
			id, err := f.Disable(context.Background(), f.caller, token)
			if err != nil || id != f.state(t, newest).id {
				t.Errorf("%s, %v", id, err)
			}
		}
		f.later(time.Hour)
		for _, token := range []string{oldest, newest} {
			if _, err := f.verify(token, app.at(f.clock)); err != ErrDisabled {
				t.Errorf("a right code: %v", err)
			}
		}
		if resealed, err := f.Reseal(f.caller, []string{newest}); err != nil {
			t.Error(err)
		} else if _, err := f.verify(resealed[0], app.at(f.clock)); err != ErrDisabled {
			t.Errorf("a right code, resealed: %v", err)
		}
	})
}

// What is no device of the caller's is nothing but invalid, to each operation, and reaches no ledger.
func TestWhatIsNoDevice(t *testing.T) {
	stub := &stubLedger{standing: Standing{Verdict: "admitted"}}
	f := newFixture(t, stub)
	f.caller.Namespace = "shop"
	token, app := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
	payload := f.state(t, token).marshal()
	sealAs := func(kind otpcontext.Kind, data []byte) string {
		token, err := f.sealer.SealAs(kind, data, f.clock)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	identifier := ann
	mailed, err := f.sealer.Seal(&otpcontext.Claims{
		ID: otp.NewID(), Identifier: &identifier, Timestamp: 1767225600, OTPExpiry: 1767225900, SessionExpiry: 1767226500, MaxRetries: 3,
	}, f.clock)
	if err != nil {
		t.Fatal(err)
	}
	foreign := newFixture(t, stub)
	foreign.sealer.Use(newRing(t, testKeyB))
	foreignToken, _ := foreign.device(t, EnrollRequest{})
	f.caller.Namespace = "bank"
	otherTenant, _ := f.device(t, EnrollRequest{})
	f.caller.Namespace = "shop"

	for name, token := range map[string]string{
		"nothing":                        "",
		"text":                           "hello",
		"a context":                      mailed,
		"a challenge":                    sealAs(otpcontext.Challenge, []byte(`{"id":"AAAAAAAAAAAAAAAAAAAAAA"}`)),
		"a device sealed as a challenge": sealAs(otpcontext.Challenge, payload),
		"another tenant's device":        otherTenant,
		"a device of another key":        foreignToken,
		"a device cut short":             token[:len(token)-4],
		"a device with a line break":     token + "\n",
		"a device in another case":       strings.ToLower(token),
		"no payload of a device":         sealAs(otpcontext.Device, []byte("{}")),
		"a payload cut short":            sealAs(otpcontext.Device, payload[:len(payload)-1]),
		"a payload with a byte too many": sealAs(otpcontext.Device, append(payload, 0)),
		"the payload of a later otpd":    sealAs(otpcontext.Device, append([]byte{format + 1}, payload[1:]...)),
	} {
		for _, op := range operations {
			if err := op.do(f, token, app.at(start), app.at(start.Add(app.wait(1)))); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s, %s: %v", name, op.name, err)
			}
		}
		if name != "another tenant's device" {
			if _, err := Describe(f.sealer, token); err != ErrInvalid {
				t.Errorf("%s, describe: %v", name, err)
			}
		}
	}
	if stub.asked > 0 {
		t.Errorf("the ledger was asked %d times", stub.asked)
	}
	f.takeEvents()
	for _, op := range operations {
		_ = op.do(f, otherTenant, noCode, noCode)
	}
	f.wantEvents(t, "what is no device")
}

// A device without a namespace is any caller's, and one with a namespace its own key's only.
func TestTenants(t *testing.T) {
	for _, test := range []struct {
		by, to string
		want   error
	}{
		{"", "", nil}, {"", "shop", nil}, {"shop", "shop", nil}, {"shop", "bank", ErrInvalid}, {"shop", "", ErrInvalid},
	} {
		for _, op := range operations {
			f := newFixture(t, newMemory(t))
			f.caller.Namespace = test.by
			token, app := f.deviceWith(t, EnrollRequest{}, "ABCDEFGHJK")
			if op.name == "confirm" {
				token = f.edit(t, token, asEnrolled)
			}
			f.caller.Namespace = test.to
			if err := op.do(f, token, app.at(start), app.at(start.Add(app.wait(1)))); !errors.Is(err, test.want) {
				t.Errorf("enrolled by %q, %s by %q: %v", test.by, op.name, test.to, err)
			}
		}
	}
}

// A device and its versions stay their tenant's.
func TestVersionsStayTheTenants(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller.Namespace = "shop"
	token, app := f.device(t, EnrollRequest{})
	versions := []string{f.mustBeWrong(t, token, noCode), f.mustVerify(t, token, app.at(start)).Device}
	resealed, err := f.Reseal(f.caller, versions)
	if err != nil {
		t.Fatal(err)
	}
	f.caller.Namespace = "bank"
	for _, token := range append(versions, resealed...) {
		if _, err := f.Inspect(context.Background(), f.caller, token); err != ErrInvalid {
			t.Error(err)
		}
	}
}

func TestIdentifierToMatch(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, app := f.device(t, EnrollRequest{Identifier: ann})
	for identifier, want := range map[string]error{ann: nil, "Ann@example.invalid": otp.ErrContextMismatch, "": otp.ErrContextMismatch} {
		f.later(time.Hour)
		_, err := f.Verify(context.Background(), f.caller, VerifyRequest{Device: token, Identifier: &identifier, OTP: app.at(f.clock)})
		if err != want {
			t.Errorf("%q: %v", identifier, err)
		}
		if want != nil {
			f.mustVerify(t, token, app.at(f.clock)) // nothing was consumed
		}
	}
}

// Nothing is verified, and nothing said of the code, while the ledger does not answer.
func TestLedgerThatDoesNotAnswer(t *testing.T) {
	for _, kind := range []string{TOTP, HOTP} {
		stub := brokenLedger()
		f := newFixture(t, stub)
		token, app := f.deviceWith(t, EnrollRequest{Type: kind}, "ABCDEFGHJK")
		unconfirmed := f.edit(t, token, asEnrolled)
		f.takeEvents()
		right := app.code(0)
		if kind == TOTP {
			right = app.at(start)
		}
		ask := func(says string) {
			for _, op := range operations {
				if op.name == "reseal" {
					continue // which needs none
				}
				token := token
				if op.name == "confirm" {
					token = unconfirmed
				}
				for _, code := range []string{right, noCode} {
					err := op.do(f, token, code, noCode)
					if !errors.Is(err, otp.ErrLedgerUnavailable) || !strings.Contains(err.Error(), says) {
						t.Errorf("%s, %s: %v", kind, op.name, err)
					}
				}
			}
		}
		ask("no route")
		*stub = stubLedger{standing: Standing{Verdict: "who knows"}}
		ask("who knows")
		for _, standing := range []Standing{
			{Verdict: "admitted", Next: maxCounter + 1}, {Verdict: "wrong", Next: -1}, {Verdict: "admitted", Failures: -1},
		} {
			*stub = stubLedger{standing: standing}
			ask("out of bounds")
		}
		f.wantEvents(t, kind)
	}
}

func TestFullLedgerConsumesNothing(t *testing.T) {
	f := newFixture(t, newMemoryOf(t, 1, throttle))
	first, app := f.device(t, EnrollRequest{})
	second, _ := f.device(t, EnrollRequest{})
	f.mustBeWrong(t, first, noCode)
	for _, code := range []string{app.at(start), noCode} {
		if _, err := f.verify(second, code); !errors.Is(err, otp.ErrLedgerUnavailable) {
			t.Errorf("a device that is new to the ledger: %v", err)
		}
	}
	f.mustVerify(t, first, app.at(start))
	if inspected := f.mustInspect(t, second); inspected.Failures != 0 {
		t.Errorf("the new one, inspected: %+v", inspected)
	}
}

func TestNew(t *testing.T) {
	good := newFixture(t, newMemory(t)).cfg
	for name, edit := range map[string]func(*Config){
		"without a sealer":         func(c *Config) { c.Sealer = nil },
		"without a ledger":         func(c *Config) { c.Ledger = nil },
		"without an issuer":        func(c *Config) { c.Issuer = "" },
		"an issuer with a colon":   func(c *Config) { c.Issuer = "a:b" },
		"too long an issuer":       func(c *Config) { c.Issuer = strings.Repeat("a", MaxName+1) },
		"without a time to enroll": func(c *Config) { c.Enrollment = 0 },
	} {
		cfg := good
		edit(&cfg)
		if s, err := New(cfg); err == nil || s != nil || !strings.HasPrefix(err.Error(), "device: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.Audit, good.Now = nil, nil
	s, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	enrolled, err := s.Enroll(otp.Caller{}, EnrollRequest{Identifier: ann})
	if left := time.Until(enrolled.ExpiresAt); err != nil || left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("by the clock of the machine there are %s left, %v", left, err)
	}
}

func TestErrorTexts(t *testing.T) {
	for _, err := range []error{ErrInvalid, &InvalidError{Index: 3}, &WrongCodeError{Device: "gAAAAA", Devices: []string{"gAAAAA"}}} {
		if text := err.Error(); !strings.HasPrefix(text, "device: ") || strings.Contains(text, "gAAAAA") {
			t.Errorf("%T says %q", err, text)
		}
	}
}
