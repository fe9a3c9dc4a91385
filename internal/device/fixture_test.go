package device

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
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

const ann = "ann@example.invalid"

// start is the beginning of a step, whatever its period.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fixture is a service on a clock that stands still, with what it has told the audit log.
type fixture struct {
	*Service
	sealer *otpcontext.Sealer
	clock  time.Time
	caller otp.Caller

	mu     sync.Mutex
	events []otp.Event
}

// newFixture returns one with the defaults of the configuration, edited.
func newFixture(t testing.TB, l Ledger, edits ...func(*Config)) *fixture {
	t.Helper()
	f := &fixture{sealer: otpcontext.NewSealer(newRing(t, testKey)), clock: start}
	cfg := Config{
		Sealer: f.sealer, Ledger: l, Issuer: "otpd", Enrollment: 24 * time.Hour,
		Audit: f.audit, Now: func() time.Time { return f.clock },
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	var err error
	if f.Service, err = New(cfg); err != nil {
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

// takeEvents returns the events since it was last asked.
func (f *fixture) takeEvents() []otp.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.events
	f.events = nil
	return events
}

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

// later moves the clock.
func (f *fixture) later(d time.Duration) { f.clock = f.clock.Add(d) }

// mustEnroll enrolls a device with a secret that is always the same, unless r has one: else one code in a million that
// is to be wrong would be right.
func (f *fixture) mustEnroll(t testing.TB, r EnrollRequest) (Enrolled, app) {
	t.Helper()
	r.Identifier = cmp.Or(r.Identifier, ann)
	r.Secret = cmp.Or(r.Secret, base32Of(digits64[:20]))
	enrolled, err := f.Enroll(f.caller, r)
	if err != nil {
		t.Fatalf("Enroll: %v", err)
	}
	return enrolled, scan(t, enrolled.URI)
}

// device returns a device as it is once it has been confirmed, but without backup codes: ten hashes take their time.
func (f *fixture) device(t testing.TB, r EnrollRequest) (string, app) {
	t.Helper()
	r.Identifier = cmp.Or(r.Identifier, ann)
	r.Secret = cmp.Or(r.Secret, base32Of(digits64[:20]))
	token, err := Import(f.sealer, Imported{EnrollRequest: r, Namespace: f.caller.Namespace}, f.clock)
	if err != nil {
		t.Fatalf("Import: %v", err)
	}
	return token, scan(t, f.state(t, token).uri("otpd"))
}

// asEnrolled makes a confirmed device one that is still to be.
func asEnrolled(d *state) {
	d.generation, d.hashes, d.enrollBy = 0, nil, start.Add(24*time.Hour).Unix()
}

// deviceWith is device with backup codes, as they are hashed.
func (f *fixture) deviceWith(t testing.TB, r EnrollRequest, codes ...string) (string, app) {
	t.Helper()
	token, app := f.device(t, r)
	return f.edit(t, token, func(d *state) {
		d.salt = testSalt
		for _, code := range codes {
			d.hashes = append(d.hashes, testHash(code))
		}
	}), app
}

var testSalt = []byte("a salt of a test")

var testHashes sync.Map // by code

// testHash computes each hash but once.
func testHash(code string) []byte {
	known, ok := testHashes.Load(code)
	if !ok {
		known, _ = testHashes.LoadOrStore(code, hashBackupCode([]byte(code), testSalt))
	}
	return known.([]byte)
}

// state returns what is sealed in a token.
func (f *fixture) state(t testing.TB, token string) *state {
	t.Helper()
	data, _, err := f.sealer.OpenAs(otpcontext.Device, token)
	if err != nil {
		t.Fatal(err)
	}
	d, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// edit returns token with its state edited.
func (f *fixture) edit(t testing.TB, token string, edit func(*state)) string {
	t.Helper()
	d := f.state(t, token)
	edit(d)
	token, err := f.seal(d, f.clock)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (f *fixture) verify(token, code string) (Verified, error) {
	return f.Verify(context.Background(), f.caller, VerifyRequest{Device: token, OTP: code})
}

func (f *fixture) verifyBackup(token, code string) (Verified, error) {
	return f.Verify(context.Background(), f.caller, VerifyRequest{Device: token, BackupCode: code})
}

func (f *fixture) mustVerify(t testing.TB, token, code string) Verified {
	t.Helper()
	verified, err := f.verify(token, code)
	if err != nil {
		t.Fatalf("a right code: %v", err)
	}
	return verified
}

// mustBeWrong fails t unless a code is judged and found wrong, and returns the device's new version.
func (f *fixture) mustBeWrong(t testing.TB, token, code string) string {
	t.Helper()
	_, err := f.verify(token, code)
	wrong, ok := errors.AsType[*WrongCodeError](err)
	if !ok {
		t.Fatalf("a wrong code: %v", err)
	}
	return wrong.Device
}

func (f *fixture) match(code string, tokens ...string) (int, Verified, error) {
	return f.Match(context.Background(), f.caller, tokens, code)
}

func (f *fixture) mustInspect(t testing.TB, token string) Inspected {
	t.Helper()
	inspected, err := f.Inspect(context.Background(), f.caller, token)
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	return inspected
}

var errLocked = errors.New("locked")

// verdict returns what an error means: itself, or one value for those that carry something.
func verdict(err error) error {
	if _, wrong := errors.AsType[*WrongCodeError](err); wrong {
		return errWrongCode
	}
	if _, locked := errors.AsType[*otp.ThrottledError](err); locked {
		return errLocked
	}
	return err
}

func lockedFor(err error) time.Duration {
	if locked, ok := errors.AsType[*otp.ThrottledError](err); ok {
		return locked.RetryAfter
	}
	return 0
}

// noCode is the code of no step and no counter.
const noCode = "!"

// app is an authenticator app. It makes codes by the arithmetic of RFC 4226 §5.3 and RFC 6238 §4.2, and by nothing
// of this package.
type app struct {
	secret []byte
	hash   func() hash.Hash
	digits int
	period int64 // seconds; 0 for HOTP
}

var appHashes = map[string]func() hash.Hash{"SHA1": sha1.New, "SHA256": sha256.New, "SHA512": sha512.New}

// scan returns the app that has read a URI.
func scan(t testing.TB, uri string) app {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(q.Get("secret"))
	if err != nil {
		t.Fatal(err)
	}
	a := app{secret: secret, hash: appHashes[q.Get("algorithm")]}
	if a.digits, err = strconv.Atoi(q.Get("digits")); err != nil {
		t.Fatal(err)
	}
	if u.Host == TOTP {
		if a.period, err = strconv.ParseInt(q.Get("period"), 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// code returns the code of a step or counter.
func (a app) code(number int64) string {
	mac := hmac.New(a.hash, a.secret)
	_ = binary.Write(mac, binary.BigEndian, number) // a hash takes everything
	sum := mac.Sum(nil)
	truncated := uint64(binary.BigEndian.Uint32(sum[sum[len(sum)-1]&15:]) & (1<<31 - 1))
	text := fmt.Sprintf("%010d", truncated)
	return text[len(text)-a.digits:]
}

// at returns the code that is shown at a time.
func (a app) at(now time.Time) string { return a.code(a.step(now)) }

func (a app) step(now time.Time) int64 { return now.Unix() / a.period }

// wait returns as long as some steps take.
func (a app) wait(steps int) time.Duration { return time.Duration(int64(steps)*a.period) * time.Second }

// ledgers are those that every outcome must be the same under, but where one remembers.
var ledgers = []struct {
	name      string
	remembers bool
	open      func(t testing.TB) Ledger
}{
	{"memory", true, newMemory},
	{"redis", true, newRedis},
	{"none", false, func(testing.TB) Ledger { return ledger.None{Throttle: throttle} }},
}

// forEachLedger runs test under each.
func forEachLedger(t *testing.T, test func(t *testing.T, l Ledger)) {
	for _, l := range ledgers {
		t.Run(l.name, func(t *testing.T) { test(t, l.open(t)) })
	}
}

// forEachMemory runs test under each that remembers.
func forEachMemory(t *testing.T, test func(t *testing.T, l Ledger)) {
	for _, l := range ledgers {
		if l.remembers {
			t.Run(l.name, func(t *testing.T) { test(t, l.open(t)) })
		}
	}
}

// throttle is the default one.
var throttle = ledger.Throttle{After: 20, Factor: time.Second, Max: time.Hour}

func newMemory(t testing.TB) Ledger { return newMemoryOf(t, 1_000_000, throttle) }

func newMemoryOf(t testing.TB, maxEntries int, throttle ledger.Throttle) Ledger {
	t.Helper()
	m := ledger.NewMemory(maxEntries, throttle, func() time.Time { return start })
	t.Cleanup(m.Close)
	return m
}

// stubLedger says what it is told to.
type stubLedger struct {
	standing Standing
	err      error
	asked    int
}

func (s *stubLedger) answer() (Standing, error) {
	s.asked++
	return s.standing, s.err
}

func (s *stubLedger) AttemptDevice(context.Context, Version, Proof) (Standing, error) {
	return s.answer()
}
func (s *stubLedger) RenewDevice(context.Context, Version) (Standing, error)    { return s.answer() }
func (s *stubLedger) DisableDevice(context.Context, Version) (Standing, error)  { return s.answer() }
func (s *stubLedger) ForgiveDevice(context.Context, Version) (Standing, error)  { return s.answer() }
func (s *stubLedger) DeviceStanding(context.Context, Version) (Standing, error) { return s.answer() }

// brokenLedger answers nothing.
func brokenLedger() *stubLedger { return &stubLedger{err: errors.New("no route")} }

func pointer[T any](v T) *T { return &v }

func base32Of(secret string) *string {
	return pointer(strings.TrimRight(base32.StdEncoding.EncodeToString([]byte(secret)), "="))
}

// newRedis returns a ledger in the tests' own redis-server.
func newRedis(t testing.TB) Ledger {
	t.Helper()
	address, err := ledger.ParseAddress("redis://" + testtool.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	r := ledger.NewRedis(address, 10*time.Second, throttle)
	t.Cleanup(r.Close)
	return r
}
