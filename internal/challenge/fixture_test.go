package challenge

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/testtool"
)

func TestMain(m *testing.M) { testtool.Main(m) }

// Keys for tests, of no use elsewhere.
const (
	testKey  = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	testKeyB = "_wECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

const (
	ann    = "ann@example.invalid"
	noCode = "!" // of no device and no context
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// rememberer is what the services ask of a ledger together.
type rememberer interface {
	otp.Ledger
	device.Ledger
	Ledger
}

// fixture is the three services that a login takes, on a clock that stands still.
type fixture struct {
	*Service
	codes   *otp.Service
	devices *device.Service
	sealer  *otpcontext.Sealer
	clock   time.Time
	caller  otp.Caller

	mu     sync.Mutex
	events []otp.Event
}

func newFixture(t testing.TB, l rememberer) *fixture { return newFixtureOf(t, l, l) }

// newFixtureOf returns one whose challenges have a ledger of their own.
func newFixtureOf(t testing.TB, challenges Ledger, l rememberer) *fixture {
	t.Helper()
	f := &fixture{sealer: otpcontext.NewSealer(newRing(t, testKey)), clock: start}
	now := func() time.Time { return f.clock }
	var errCodes, errDevices, err error
	f.codes, errCodes = otp.New(otp.Config{
		Sealer: f.sealer, Ledger: l, Expiry: 300 * time.Second, SessionExpiry: 900 * time.Second, MaxRetries: 3,
		Length: 6, Alphabet: otp.Numeric, MaxResends: 5, ResendCooldown: 30 * time.Second, Audit: f.audit, Now: now,
	})
	f.devices, errDevices = device.New(device.Config{
		Sealer: f.sealer, Ledger: l, Issuer: "otpd", Enrollment: 24 * time.Hour, Audit: f.audit, Now: now,
	})
	f.Service, err = New(Config{
		Sealer: f.sealer, Ledger: challenges, Codes: f.codes, Devices: f.devices, Expiry: 120 * time.Second, Audit: f.audit, Now: now,
	})
	if err := errors.Join(errCodes, errDevices, err); err != nil {
		t.Fatal(err)
	}
	return f
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

// wantEvents compares the names of the events since it was last called.
func (f *fixture) wantEvents(t testing.TB, what string, want ...string) {
	t.Helper()
	var names []string
	for _, e := range f.takeEvents() {
		names = append(names, e.Name)
	}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("%s: events %v, want %v", what, names, want)
	}
}

func (f *fixture) takeEvents() []otp.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.events
	f.events = nil
	return events
}

func (f *fixture) mustIssue(t testing.TB, r IssueRequest) string {
	t.Helper()
	if r.Identifier == "" {
		r.Identifier = ann
	}
	issued, err := f.Issue(f.caller, r)
	if err != nil {
		t.Fatalf("Issue: %v", err)
	}
	return issued.Challenge
}

func (f *fixture) complete(r CompleteRequest) (Completed, error) {
	return f.Complete(context.Background(), f.caller, r)
}

// device returns a confirmed device of somebody.
func (f *fixture) device(t testing.TB, identifier string) string {
	t.Helper()
	secret := base32.StdEncoding.EncodeToString([]byte(testSecret))
	token, err := device.Import(f.sealer, device.Imported{
		EnrollRequest: device.EnrollRequest{Identifier: identifier, Secret: &secret}, Namespace: f.caller.Namespace,
	}, f.clock)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

const testSecret = "12345678901234567890"

// shown returns the code that the app shows for [fixture.device], RFC 6238.
func (f *fixture) shown() string {
	mac := hmac.New(sha1.New, []byte(testSecret))
	_ = binary.Write(mac, binary.BigEndian, f.clock.Unix()/30) // a hash takes everything
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:])&(1<<31-1)%1_000_000)
}

// mail returns a context of somebody and its code.
func (f *fixture) mail(t testing.TB, identifier *string, purpose string) otp.Issued {
	t.Helper()
	issued, err := f.codes.Generate(f.caller, otp.GenerateRequest{Identifier: identifier, Purpose: purpose})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// mailBound returns a context of ann for a transaction, and its code.
func (f *fixture) mailBound(t testing.TB, binding string) otp.Issued {
	t.Helper()
	issued, err := f.codes.Generate(f.caller, otp.GenerateRequest{Identifier: pointer(ann), Binding: binding})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// reseal returns a challenge with other claims, as JSON.
func (f *fixture) reseal(t testing.TB, token string, edit func(map[string]any)) string {
	t.Helper()
	data, _, err := f.sealer.OpenAs(otpcontext.Challenge, token)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	edit(members)
	if data, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	return f.seal(t, string(data))
}

// seal returns any data as a challenge.
func (f *fixture) seal(t testing.TB, data string) string {
	t.Helper()
	token, err := f.sealer.SealAs(otpcontext.Challenge, []byte(data), f.clock)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// ledgers are those that every outcome must be the same under, but where one remembers.
var ledgers = []struct {
	name      string
	remembers bool
	open      func(t testing.TB) rememberer
}{
	{"memory", true, newMemory},
	{"redis", true, newRedis},
	{"none", false, func(testing.TB) rememberer { return ledger.None{Throttle: throttle} }},
}

func forEachLedger(t *testing.T, test func(t *testing.T, l rememberer, remembers bool)) {
	for _, l := range ledgers {
		t.Run(l.name, func(t *testing.T) { test(t, l.open(t), l.remembers) })
	}
}

// throttle is the default one.
var throttle = ledger.Throttle{After: 20, Factor: time.Second, Max: time.Hour}

func newMemory(t testing.TB) rememberer {
	t.Helper()
	m := ledger.NewMemory(1_000_000, throttle, func() time.Time { return start })
	t.Cleanup(m.Close)
	return m
}

// stubLedger says what it is told to, and counts what it is asked.
type stubLedger struct {
	outcome           otp.Outcome
	err               error
	claimed, released int
}

func (s *stubLedger) Claim(context.Context, otp.Verification) (otp.Outcome, func(context.Context), error) {
	s.claimed++
	return s.outcome, func(context.Context) { s.released++ }, s.err
}

func pointer[T any](v T) *T { return &v }

// newRedis returns a ledger in the tests' own redis-server.
func newRedis(t testing.TB) rememberer {
	t.Helper()
	address, err := ledger.ParseAddress("redis://" + testtool.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	r := ledger.NewRedis(address, 10*time.Second, throttle)
	t.Cleanup(r.Close)
	return r
}
