package otp

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/ledger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A key for tests, of no use elsewhere.
const testKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fixture is a service on a clock that stands still, with what it has told the audit log.
type fixture struct {
	*Service
	sealer *otpcontext.Sealer
	clock  time.Time
	caller Caller

	mu     sync.Mutex
	events []Event
}

// newFixture returns one with the defaults of the configuration, edited.
func newFixture(t testing.TB, l Ledger, edits ...func(*Config)) *fixture {
	t.Helper()
	return newFixtureWithKey(t, testKey, l, edits...)
}

func newFixtureWithKey(t testing.TB, key string, l Ledger, edits ...func(*Config)) *fixture {
	t.Helper()
	ring, err := otpcontext.ParseRing([]string{key})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{sealer: otpcontext.NewSealer(ring), clock: start}
	cfg := defaults()
	cfg.Sealer, cfg.Ledger, cfg.Audit = f.sealer, l, f.audit
	cfg.Now = func() time.Time { return f.clock }
	for _, edit := range edits {
		edit(&cfg)
	}
	if f.Service, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

func defaults() Config {
	return Config{
		Expiry: 300 * time.Second, SessionExpiry: 900 * time.Second, MaxRetries: 3,
		Length: 6, Alphabet: Numeric, MaxResends: 5, ResendCooldown: 30 * time.Second,
	}
}

func (f *fixture) audit(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

// eventNames returns the names of the events since it was last asked.
func (f *fixture) eventNames() (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		names = append(names, e.Name)
	}
	f.events = nil
	return names
}

func (f *fixture) mustGenerate(t testing.TB, r GenerateRequest) Issued {
	t.Helper()
	issued, err := f.Generate(f.caller, r)
	if err != nil {
		t.Fatalf("Generate: %v", err)
	}
	return issued
}

// try attempts a code, presenting nothing else.
func (f *fixture) try(token, code string) (Verified, error) {
	return f.Verify(context.Background(), f.caller, VerifyRequest{OTP: code, Context: token})
}

// mustBeWrong attempts a wrong code and returns what is said of it.
func (f *fixture) mustBeWrong(t testing.TB, token string) *WrongCodeError {
	t.Helper()
	_, err := f.try(token, noCode)
	wrong, ok := errors.AsType[*WrongCodeError](err)
	if !ok {
		t.Fatalf("a wrong code: %v", err)
	}
	return wrong
}

func (f *fixture) resend(token string) (Issued, error) {
	resent, err := f.Resend(context.Background(), f.caller, ResendRequest{Context: token})
	return resent.Issued, err
}

// reseal returns token with its claims edited.
func (f *fixture) reseal(t testing.TB, token string, edit func(*otpcontext.Claims)) string {
	t.Helper()
	claims, err := f.sealer.Open(token)
	if err != nil {
		t.Fatal(err)
	}
	edit(claims)
	token, err = f.sealer.Seal(claims, f.clock)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// noCode is no code of any alphabet.
const noCode = "!"

// ledgers are those that every outcome must be the same under, but where one remembers.
var ledgers = []struct {
	name string
	open func(t testing.TB) Ledger
}{
	{"memory", newMemory},
	{"none", func(testing.TB) Ledger { return ledger.None{} }},
}

// throttle is the default one.
var throttle = ledger.Throttle{After: 20, Factor: time.Second, Max: time.Hour}

func newMemory(t testing.TB) Ledger { return newMemoryOf(t, 1_000_000) }

func newMemoryOf(t testing.TB, maxEntries int) Ledger {
	t.Helper()
	m := ledger.NewMemory(maxEntries, throttle, func() time.Time { return start })
	t.Cleanup(m.Close)
	return m
}

// stubLedger says what it is told to, and counts how often it is asked.
type stubLedger struct {
	outcome Outcome
	err     error
	asked   int
}

func (s *stubLedger) answer() (Outcome, error) {
	s.asked++
	return s.outcome, s.err
}

func (s *stubLedger) Attempt(context.Context, Verification, bool) (Outcome, error) { return s.answer() }
func (s *stubLedger) Resend(context.Context, Verification, time.Duration) (Outcome, error) {
	return s.answer()
}
func (s *stubLedger) Withdraw(context.Context, Verification) error          { return s.err }
func (s *stubLedger) Revoke(context.Context, Verification) (Outcome, error) { return s.answer() }
func (s *stubLedger) State(context.Context, Verification) (Outcome, error)  { return s.answer() }
func (s *stubLedger) Unlock(context.Context, string) (Outcome, error)       { return s.answer() }
func (s *stubLedger) Ping(context.Context) error                            { return s.err }

func pointer[T any](v T) *T { return &v }
