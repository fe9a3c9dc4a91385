package token

import (
	"context"
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/testtool"
)

func TestMain(m *testing.M) { testtool.Main(m) }

// Sealing keys for tests, of no use elsewhere.
const (
	testKey  = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	testKeyB = "_wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

const (
	ann      = "ann@example.invalid"
	issuer   = "https://login.example.invalid"
	audience = "https://api.example.invalid"
	loginID  = "AAAAAAAAAAAAAAAAAAAAAA" // of the verification
)

const (
	accessLife  = 15 * time.Minute
	refreshLife = 7 * 24 * time.Hour
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// jwtKeys are private keys in PEM, one for each algorithm, and a second one for EdDSA.
var jwtKeys = sync.OnceValue(func() map[string][]byte {
	keys := make(map[string][]byte)
	for _, algorithm := range algorithms {
		keys[algorithm] = mustGenerate(algorithm)
	}
	keys["another EdDSA"] = mustGenerate("EdDSA")
	return keys
})

var algorithms = []string{"EdDSA", "ES256", "RS256"}

func mustGenerate(algorithm string) []byte {
	key, err := GenerateKey(algorithm)
	if err != nil {
		panic(err)
	}
	return key
}

func keySet(t testing.TB, names ...string) *KeySet {
	t.Helper()
	var pem []byte
	for _, name := range names {
		pem = append(pem, jwtKeys()[name]...)
	}
	set, err := ParseKeys(pem)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// fixture is a service on a clock that stands still.
type fixture struct {
	*Service
	sealer *otpcontext.Sealer
	keys   *Keys
	clock  time.Time
	caller otp.Caller

	mu     sync.Mutex
	events []otp.Event
}

// newFixture returns a service whose access tokens are signed with the first of the named keys, EdDSA if none is.
func newFixture(t testing.TB, l Ledger, keys ...string) *fixture {
	t.Helper()
	if len(keys) == 0 {
		keys = []string{"EdDSA"}
	}
	f := &fixture{sealer: otpcontext.NewSealer(newRing(t, testKey)), keys: new(Keys), clock: start}
	f.keys.Use(keySet(t, keys...))
	f.Service = f.service(t, func(cfg *Config) { cfg.Ledger = l })
	return f
}

// service returns a service on the same clock and with the same keys, but for an edit.
func (f *fixture) service(t testing.TB, edit func(*Config)) *Service {
	t.Helper()
	cfg := Config{
		Sealer: f.sealer, Ledger: ledger.None{}, Keys: f.keys, Issuer: issuer, Audience: audience,
		AccessLife: accessLife, RefreshLife: refreshLife, Audit: f.audit, Now: func() time.Time { return f.clock },
	}
	edit(&cfg)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRing(t testing.TB, keys ...string) *otpcontext.Ring {
	t.Helper()
	ring, err := otpcontext.ParseRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func (f *fixture) audit(e otp.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

// wantEvents compares the names of the events since it was last called, and returns them.
func (f *fixture) wantEvents(t testing.TB, what string, want ...string) []otp.Event {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, e := range f.events {
		names = append(names, e.Name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("%s: events %v, want %v", what, names, want)
	}
	events := f.events
	f.events = nil
	return events
}

func (f *fixture) login() Login {
	return Login{Subject: ann, Purpose: "login", Methods: []string{"otp"}, At: f.clock, VerificationID: loginID}
}

func (f *fixture) mustIssue(t testing.TB) Tokens {
	t.Helper()
	tokens, err := f.Issue(f.caller, f.login())
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	return tokens
}

func (f *fixture) refresh(token string) (Tokens, error) {
	return f.Refresh(context.Background(), f.caller, token)
}

func (f *fixture) mustRefresh(t testing.TB, token string) Tokens {
	t.Helper()
	tokens, err := f.refresh(token)
	if err != nil {
		t.Fatalf("Refresh: %v", err)
	}
	return tokens
}

func (f *fixture) wantRefusal(t testing.TB, what, token string, want error) {
	t.Helper()
	if tokens, err := f.refresh(token); !errors.Is(err, want) || tokens != (Tokens{}) {
		t.Errorf("%s: %+v, %v, want %v", what, tokens, err, want)
	}
}

func (f *fixture) revoke(t testing.TB, token string) {
	t.Helper()
	if err := f.Revoke(context.Background(), f.caller, token); err != nil {
		t.Fatalf("Revoke: %v", err)
	}
}

func (f *fixture) introspect(t testing.TB, token string) Introspection {
	t.Helper()
	found, err := f.Introspect(context.Background(), f.caller, token)
	if err != nil {
		t.Fatalf("Introspect: %v", err)
	}
	return found
}

// wantActive compares whether a token is active. If it is not, nothing else may be said of it.
func (f *fixture) wantActive(t testing.TB, what, token string, want bool) {
	t.Helper()
	found := f.introspect(t, token)
	if found.Active != want || !want && !reflect.DeepEqual(found, Introspection{}) {
		t.Errorf("%s: %+v, want active %v", what, found, want)
	}
}

// family returns the id of a refresh token's family.
func (f *fixture) family(t testing.TB, refresh string) string {
	t.Helper()
	g := f.openRefresh(refresh)
	if g == nil {
		t.Fatal("no refresh token")
	}
	return g.Family
}

// sealAs returns any text as a token of a kind.
func (f *fixture) sealAs(t testing.TB, kind otpcontext.Kind, text string) string {
	t.Helper()
	token, err := f.sealer.SealAs(kind, []byte(text), f.clock)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// sealed returns what is sealed in a refresh token.
func (f *fixture) sealed(t testing.TB, refresh string) string {
	t.Helper()
	data, _, err := f.sealer.OpenAs(otpcontext.Refresh, refresh)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// segments returns the header and the claims of a JWT, as they are signed.
func segments(t testing.TB, token string) (header, claims string) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	var decoded [2]string
	for i := range decoded {
		data, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		decoded[i] = string(data)
	}
	return decoded[0], decoded[1]
}

// members returns the members of a JSON object, numbers as they are written.
func members(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// edited returns a JSON object with a member of another value, or without it if the value is nil.
func edited(t testing.TB, text, member string, value any) string {
	t.Helper()
	m := members(t, text)
	m[member] = value
	if value == nil {
		delete(m, member)
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// ledgers are those that every outcome must be the same under, but where one remembers.
var ledgers = []struct {
	name      string
	remembers bool
	open      func(t testing.TB) Ledger
}{
	{"memory", true, newMemory},
	{"redis", true, newRedis},
	{"none", false, func(testing.TB) Ledger { return ledger.None{} }},
}

func forEachLedger(t *testing.T, test func(t *testing.T, l Ledger, remembers bool)) {
	for _, l := range ledgers {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			test(t, l.open(t), l.remembers)
		})
	}
}

func newMemory(t testing.TB) Ledger {
	t.Helper()
	m := ledger.NewMemory(1_000_000, ledger.Throttle{}, func() time.Time { return start })
	t.Cleanup(m.Close)
	return m
}

// newRedis returns a ledger in the tests' own redis-server.
func newRedis(t testing.TB) Ledger {
	t.Helper()
	address, err := ledger.ParseAddress("redis://" + testtool.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	r := ledger.NewRedis(address, 30*time.Second, ledger.Throttle{})
	t.Cleanup(r.Close)
	return r
}

// stubLedger says what it is told to, and keeps what it is asked.
type stubLedger struct {
	outcome otp.Outcome
	err     error
	asked   []otp.Verification
}

func (s *stubLedger) answer(_ context.Context, v otp.Verification) (otp.Outcome, error) {
	s.asked = append(s.asked, v)
	return s.outcome, s.err
}

func (s *stubLedger) Refresh(ctx context.Context, v otp.Verification) (otp.Outcome, error) {
	return s.answer(ctx, v)
}

func (s *stubLedger) Revoke(ctx context.Context, v otp.Verification) (otp.Outcome, error) {
	return s.answer(ctx, v)
}

func (s *stubLedger) State(ctx context.Context, v otp.Verification) (otp.Outcome, error) {
	return s.answer(ctx, v)
}
