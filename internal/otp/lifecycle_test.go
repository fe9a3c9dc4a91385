package otp

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/ledger"
)

func TestInspect(t *testing.T) {
	verify := func(t *testing.T, f *fixture, issued Issued) string {
		if _, err := f.try(issued.Context, issued.OTP); err != nil {
			t.Fatal(err)
		}
		return issued.Context
	}
	revoke := func(t *testing.T, f *fixture, issued Issued) string {
		if _, err := f.Revoke(context.Background(), f.caller, issued.Context); err != nil {
			t.Fatal(err)
		}
		return issued.Context
	}
	resent := func(t *testing.T, f *fixture, issued Issued) Issued {
		f.clock = start.Add(time.Minute)
		renewed, err := f.resend(issued.Context)
		if err != nil {
			t.Fatal(err)
		}
		return renewed
	}
	spend := func(t *testing.T, f *fixture, issued Issued) string {
		token := issued.Context
		for range 3 {
			token = f.mustBeWrong(t, token).Context
		}
		return token
	}
	tests := []struct {
		name      string
		prepare   func(*testing.T, *fixture, Issued) string // returns the context to inspect
		at        time.Duration
		state     string
		remaining int
		resends   int
		forgets   string // the state that a ledger which remembers nothing leaves it in
	}{
		{"new", nil, 0, StateActive, 3, 0, ""},
		{"after a wrong code", func(t *testing.T, f *fixture, issued Issued) string { return f.mustBeWrong(t, issued.Context).Context },
			0, StateActive, 2, 0, ""},
		{"a resend", func(t *testing.T, f *fixture, issued Issued) string { return resent(t, f, issued).Context },
			time.Minute, StateActive, 3, 1, ""},
		{"at the end of the code", nil, 300 * time.Second, StateActive, 3, 0, ""},
		{"after the code", nil, 300*time.Second + time.Millisecond, StateOTPExpired, 3, 0, ""},
		{"at the end of the session", nil, 900 * time.Second, StateOTPExpired, 3, 0, ""},
		{"after the session", nil, 900*time.Second + time.Millisecond, StateSessionExpired, 3, 0, ""},
		{"exhausted", spend, 0, StateExhausted, 0, 0, ""},
		{"exhausted and the code expired", spend, 301 * time.Second, StateExhausted, 0, 0, ""},
		{"exhausted and the session expired", spend, 901 * time.Second, StateSessionExpired, 0, 0, ""},
		{"used", verify, 0, StateUsed, 3, 0, StateActive},
		{"used and the code expired", verify, 301 * time.Second, StateUsed, 3, 0, StateOTPExpired},
		{"revoked", revoke, 0, StateRevoked, 3, 0, "-"},
		{"superseded", func(t *testing.T, f *fixture, issued Issued) string { resent(t, f, issued); return issued.Context },
			time.Minute, StateSuperseded, 3, 0, StateActive},
	}
	for _, l := range ledgers {
		for _, test := range tests {
			_, forgets := l.open(t).(ledger.None)
			if forgets && test.forgets == "-" {
				continue // it cannot be done
			}
			t.Run(l.name+", "+test.name, func(t *testing.T) {
				f := newFixture(t, l.open(t))
				issued := f.mustGenerate(t, GenerateRequest{Purpose: ""})
				token := issued.Context
				if test.prepare != nil {
					token = test.prepare(t, f, issued)
				}
				f.clock = start.Add(test.at)
				f.eventNames()
				want := Inspected{
					ID: issued.ID, State: test.state, AttemptsRemaining: test.remaining, Resends: test.resends,
					ExpiresAt: issued.ExpiresAt.Add(time.Duration(test.resends) * time.Minute), SessionExpiresAt: issued.SessionExpiresAt,
				}
				if forgets && test.forgets != "" {
					want.State = test.forgets
				}
				for range 4 { // more often than there are attempts
					if got, err := f.Inspect(context.Background(), f.caller, token); err != nil || got != want {
						t.Errorf("inspected %+v, %v\nwant      %+v", got, err, want)
					}
				}
				if events := f.eventNames(); events != nil {
					t.Errorf("events %v, want none", events)
				}
			})
		}
	}
}

func TestInspectTellsThePurpose(t *testing.T) {
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{Purpose: "login", Binding: "x", MaxRetries: pointer(0)})
	got, err := f.Inspect(context.Background(), f.caller, issued.Context)
	if err != nil || got.Purpose != "login" || got.State != StateExhausted || got.AttemptsRemaining != 0 {
		t.Errorf("inspected %+v, %v", got, err)
	}
	if _, err := f.Inspect(context.Background(), f.caller, f.reseal(t, issued.Context, func(c *otpcontext.Claims) { c.RetryCount = 7 })); err != nil {
		t.Errorf("a context with more wrong codes than are allowed: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	ctx := context.Background()
	for name, prepare := range map[string]func(*fixture, Issued){
		"new":             func(*fixture, Issued) {},
		"used":            func(f *fixture, issued Issued) { _, _ = f.try(issued.Context, issued.OTP) },
		"revoked":         func(f *fixture, issued Issued) { _, _ = f.Revoke(ctx, f.caller, issued.Context) },
		"superseded":      func(f *fixture, issued Issued) { f.clock = start.Add(time.Minute); _, _ = f.resend(issued.Context) },
		"code expired":    func(f *fixture, _ Issued) { f.clock = start.Add(301 * time.Second) },
		"session expired": func(f *fixture, _ Issued) { f.clock = start.Add(901 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			issued := f.mustGenerate(t, GenerateRequest{})
			prepare(f, issued)
			f.eventNames()
			if id, err := f.Revoke(ctx, f.caller, issued.Context); err != nil || id != issued.ID {
				t.Errorf("Revoke = %q, %v; want %q", id, err, issued.ID)
			}
			if events := f.eventNames(); !reflect.DeepEqual(events, []string{EventRevoked}) {
				t.Errorf("events %v", events)
			}
		})
	}
	t.Run("every context of it is dead", func(t *testing.T) {
		f := newFixture(t, newMemory(t))
		issued := f.mustGenerate(t, GenerateRequest{})
		f.clock = start.Add(time.Minute)
		renewed, err := f.resend(issued.Context)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Revoke(ctx, f.caller, issued.Context); err != nil {
			t.Fatal(err)
		}
		if _, err := f.try(renewed.Context, renewed.OTP); err != ErrContextRevoked {
			t.Errorf("Verify: %v", err)
		}
		f.clock = start.Add(2 * time.Minute)
		if _, err := f.resend(renewed.Context); err != ErrContextRevoked {
			t.Errorf("Resend: %v", err)
		}
	})
	t.Run("without a ledger", func(t *testing.T) {
		f := newFixture(t, ledger.None{})
		issued := f.mustGenerate(t, GenerateRequest{})
		f.eventNames()
		if id, err := f.Revoke(ctx, f.caller, issued.Context); err != ErrLedgerDisabled || id != "" {
			t.Errorf("Revoke = %q, %v", id, err)
		}
		if events := f.eventNames(); events != nil {
			t.Errorf("events %v, want none", events)
		}
	})
}

func TestEvents(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller = Caller{Namespace: "shop", RequestID: "r1", IP: "192.0.2.1", UserAgent: "curl"}
	issued := f.mustGenerate(t, GenerateRequest{Identifier: pointer("Ann"), MaxRetries: pointer(1)})
	hash := f.sealer.Subjects("shop", "Ann")[0]
	spent := f.mustBeWrong(t, issued.Context).Context
	_, _ = f.try(spent, issued.OTP)
	_, _ = f.try(issued.Context, issued.OTP) // the ledger's refusal
	f.clock = start.Add(301 * time.Second)
	_, _ = f.try(issued.Context, issued.OTP)
	f.clock = start.Add(901 * time.Second)
	_, _ = f.try(issued.Context, issued.OTP)

	f.clock = start
	second := f.mustGenerate(t, GenerateRequest{Identifier: pointer("")}) // for nobody
	f.clock = start.Add(time.Minute)
	renewed, err := f.resend(second.Context)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.try(second.Context, second.OTP)
	if _, err := f.try(renewed.Context, renewed.OTP); err != nil {
		t.Fatal(err)
	}
	_, _ = f.try(renewed.Context, renewed.OTP)
	_, _ = f.Revoke(context.Background(), f.caller, renewed.Context)
	third := f.mustGenerate(t, GenerateRequest{})
	f.cfg.Ledger = &stubLedger{outcome: Outcome{Verdict: "throttled"}}
	_, _ = f.try(third.Context, third.OTP)

	later := start.Add(time.Minute)
	want := []Event{
		{Name: EventGenerated, At: start, ID: issued.ID, IdentifierHash: hash},
		{Name: EventFailed, At: start, ID: issued.ID, IdentifierHash: hash, RetryCount: 1},
		{Name: EventExhausted, At: start, ID: issued.ID, IdentifierHash: hash, RetryCount: 1},
		{Name: EventExhausted, At: start, ID: issued.ID, IdentifierHash: hash, RetryCount: 1},
		{Name: EventExpired, At: start.Add(301 * time.Second), ID: issued.ID, IdentifierHash: hash},
		{Name: EventExpired, At: start.Add(901 * time.Second), ID: issued.ID, IdentifierHash: hash},
		{Name: EventGenerated, At: start, ID: second.ID},
		{Name: EventResent, At: later, ID: second.ID},
		{Name: EventReplayed, At: later, ID: second.ID},
		{Name: EventVerified, At: later, ID: second.ID},
		{Name: EventReplayed, At: later, ID: second.ID},
		{Name: EventRevoked, At: later, ID: second.ID},
		{Name: EventGenerated, At: later, ID: third.ID},
		{Name: EventThrottled, At: later, ID: third.ID},
	}
	seen := make(map[string]bool)
	for i := range want {
		want[i].Caller = f.caller
		seen[want[i].Name] = true
	}
	if len(f.events) != len(want) {
		t.Fatalf("%d events, want %d: %+v", len(f.events), len(want), f.events)
	}
	for i, got := range f.events {
		if got != want[i] {
			t.Errorf("event %d is %+v\nwant %+v", i+1, got, want[i])
		}
	}
	for _, name := range EventNames {
		if !seen[name] {
			t.Errorf("%s is not tested", name)
		}
	}
}

func TestEventTellsThePurpose(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.mustGenerate(t, GenerateRequest{Purpose: "login"})
	if f.events[0].Purpose != "login" {
		t.Errorf("event %+v", f.events[0])
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		field string
		edit  func(*Config)
	}{
		{"Sealer", func(c *Config) { c.Sealer = nil }},
		{"Ledger", func(c *Config) { c.Ledger = nil }},
		{"Expiry", func(c *Config) { c.Expiry = time.Second - 1 }},
		{"Expiry", func(c *Config) { c.Expiry, c.SessionExpiry = 24*time.Hour+1, 24*time.Hour+1 }},
		{"SessionExpiry", func(c *Config) { c.SessionExpiry = c.Expiry - 1 }},
		{"SessionExpiry", func(c *Config) { c.SessionExpiry = 24*time.Hour + 1 }},
		{"MaxRetries", func(c *Config) { c.MaxRetries = -1 }},
		{"MaxRetries", func(c *Config) { c.MaxRetries = 11 }},
		{"Length", func(c *Config) { c.Length = 5 }},
		{"Length", func(c *Config) { c.Length = 13 }},
		{"Alphabet", func(c *Config) { c.Alphabet = "" }},
		{"Alphabet", func(c *Config) { c.Alphabet = "hex" }},
		{"MaxResends", func(c *Config) { c.MaxResends = -1 }},
		{"ResendCooldown", func(c *Config) { c.ResendCooldown = -1 }},
	}
	for _, test := range tests {
		cfg := defaults()
		cfg.Sealer, cfg.Ledger = newFixture(t, ledger.None{}).sealer, ledger.None{}
		test.edit(&cfg)
		if s, err := New(cfg); s != nil || err == nil || !strings.HasPrefix(err.Error(), "otp: "+test.field+" ") {
			t.Errorf("New = %v, %v; want an error about %s", s, err, test.field)
		}
	}
}

func TestNewAtTheBounds(t *testing.T) {
	for _, edit := range []func(*Config){
		func(c *Config) {
			c.Expiry, c.SessionExpiry, c.MaxRetries, c.Length, c.MaxResends, c.ResendCooldown = time.Second, time.Second, 0, 6, 0, 0
		},
		func(c *Config) {
			c.Expiry, c.SessionExpiry, c.MaxRetries, c.Length = 24*time.Hour, 24*time.Hour, 10, 12
		},
	} {
		newFixture(t, ledger.None{}, edit)
	}
}

// Without Audit and Now a service works all the same, on the time of day.
func TestNewDefaults(t *testing.T) {
	f := newFixture(t, newMemory(t), func(c *Config) { c.Audit, c.Now = nil, nil })
	before := time.Now()
	issued := f.mustGenerate(t, GenerateRequest{})
	if age := issued.ExpiresAt.Add(-300 * time.Second).Sub(before); age < -time.Second || age > time.Hour {
		t.Errorf("the code was issued %v from now", age)
	}
	if _, err := f.try(issued.Context, issued.OTP); err != nil {
		t.Error(err)
	}
}

func TestReady(t *testing.T) {
	for _, l := range ledgers {
		f := newFixture(t, l.open(t))
		if err := f.Ready(context.Background()); err != nil {
			t.Errorf("%s: %v", l.name, err)
		}
		if events := f.eventNames(); events != nil {
			t.Errorf("events %v, want none", events)
		}
	}
}

// The clock of a machine that is far off would make contexts that nobody opens.
func TestNotReadyOutOfTime(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.clock = time.Date(1985, 10, 26, 1, 20, 0, 0, time.UTC)
	if err := f.Ready(context.Background()); err == nil {
		t.Error("Ready in 1985")
	}
}

func TestErrorTextsHoldNoSecret(t *testing.T) {
	for _, err := range []error{
		&WrongCodeError{Context: "secret", AttemptsRemaining: 1},
		&CooldownError{RetryAfter: time.Second},
		&FieldError{Field: "length", Reason: "must be 6 to 12"},
	} {
		if text := err.Error(); !strings.HasPrefix(text, "otp: ") || strings.Contains(text, "secret") {
			t.Errorf("%T says %q", err, text)
		}
	}
}
