package httpapi_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fernet/fernet-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd"
	"github.com/otpd/otpd/internal/challenge"
	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/httpapi"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

const (
	signingKey = "b3RwZCB0ZXN0IGtleSwgbm90IGZvciB1c2UhISEhISE="
	foreignKey = "YW5vdGhlciB0ZXN0IGtleSwgbm90IGZvciB1c2UhISE="
	requestID  = "request-1" // of every request that does not bring its own
)

// The limits of the service under test.
const (
	expiry        = 300 * time.Second
	sessionExpiry = 900 * time.Second
	cooldown      = 30 * time.Second
	maxRetries    = 3
	maxResends    = 2

	issuer          = "Shop"
	enrollment      = 24 * time.Hour
	challengeExpiry = 2 * time.Minute

	smsBudget = 3
	jwtIssuer = "https://login.example.com"
	audience  = "https://api.example.com"

	accessLife  = 900 * time.Second
	refreshLife = 7 * 24 * time.Hour
)

// throttle is that of the ledgers in memory.
var throttle = ledger.Throttle{After: 20, Factor: time.Second, Max: time.Hour}

// ledgerOfAll remembers all that there is to remember.
type ledgerOfAll interface {
	otp.Ledger
	device.Ledger
	challenge.Ledger
	delivery.Ledger
	token.Ledger
}

// options is what tests need different.
type options struct {
	ledger    ledgerOfAll // nil for a memory ledger
	keys      []string    // API keys, name:secret
	liveKeys  *httpapi.Keys
	guardHost bool
	logLevel  slog.Level

	enrollment time.Duration // 0 for a day
	jwtKeys    *token.Keys   // nil for one of EdDSA
	noTokens   bool
}

// server is the service behind its real router, on a clock that stands still.
type server struct {
	api      *httpapi.API
	now      time.Time
	log      bytes.Buffer
	registry *prometheus.Registry
	telling  sync.Mutex
	events   []otp.Event // what was told to the audit log
	bearer   string      // API key to call with, if any

	// What was delivered. There is no webhook, so that one channel is not set up.
	email, sms, console *box
	deliveries          *delivery.Service
}

func newServer(tb testing.TB, o options) *server {
	tb.Helper()
	s := &server{now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), registry: prometheus.NewRegistry()}
	clock := func() time.Time { return s.now }
	if o.ledger == nil {
		o.ledger = memoryLedger(tb, 1000)
	}
	ring, err := otpcontext.ParseRing([]string{signingKey})
	noError(tb, err)
	sealer := otpcontext.NewSealer(ring)
	audit := func(e otp.Event) {
		s.telling.Lock()
		defer s.telling.Unlock()
		s.events = append(s.events, e)
	}
	service, err := otp.New(otp.Config{
		Sealer: sealer, Ledger: o.ledger, Expiry: expiry, SessionExpiry: sessionExpiry,
		MaxRetries: maxRetries, Length: 6, Alphabet: otp.Numeric, MaxResends: maxResends,
		ResendCooldown: cooldown, Now: clock, Audit: audit,
	})
	noError(tb, err)
	devices, err := device.New(device.Config{
		Sealer: sealer, Ledger: o.ledger, Issuer: issuer, Enrollment: cmp.Or(o.enrollment, enrollment), Now: clock, Audit: audit,
	})
	noError(tb, err)
	challenges, err := challenge.New(challenge.Config{
		Sealer: sealer, Ledger: o.ledger, Codes: service, Devices: devices, Expiry: challengeExpiry, Now: clock, Audit: audit,
	})
	noError(tb, err)
	s.deliveries, err = delivery.New(delivery.Config{
		Sealer: sealer, Ledger: o.ledger, Codes: service, Timeout: delivery.MaxTimeout, SMSBudget: smsBudget, Now: clock, Audit: audit,
	})
	noError(tb, err)
	s.email, s.sms, s.console = newBoxes(tb)
	s.deliveries.Use(map[string]delivery.Channel{delivery.Email: s.email, delivery.SMS: s.sms, delivery.Console: s.console})
	if o.jwtKeys == nil && !o.noTokens {
		o.jwtKeys = jwtKeys(tb, "EdDSA")
	}
	tokens, err := token.New(token.Config{
		Sealer: sealer, Ledger: o.ledger, Keys: o.jwtKeys, Issuer: jwtIssuer, Audience: audience,
		AccessLife: accessLife, RefreshLife: refreshLife, Now: clock, Audit: audit,
	})
	noError(tb, err)
	keys := o.liveKeys
	if o.keys != nil {
		set, err := httpapi.ParseKeys(o.keys)
		noError(tb, err)
		keys = new(httpapi.Keys)
		keys.Use(set)
	}
	s.api = httpapi.New(httpapi.Config{
		Service: service, Devices: devices, Challenges: challenges, Delivery: s.deliveries, Tokens: tokens,
		Keys: keys, GuardHost: o.guardHost, Metrics: s.registry, Contract: otpd.OpenAPI,
		Log: slog.New(slog.NewJSONHandler(&s.log, &slog.HandlerOptions{Level: o.logLevel})),
	})
	return s
}

func memoryLedger(tb testing.TB, maxEntries int) *ledger.Memory {
	// Nothing may expire while a test runs: what has expired is for the service to say.
	m := ledger.NewMemory(maxEntries, throttle, func() time.Time { return time.Time{} })
	tb.Cleanup(m.Close)
	return m
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
	fields map[string]any // of the body, if it is a JSON object
}

func (a answer) text(field string) string { text, _ := a.fields[field].(string); return text }
func (a answer) code() string             { return a.text("error_code") }

// number returns a field that must be one.
func (a answer) number(tb testing.TB, field string) int {
	tb.Helper()
	n, ok := a.fields[field].(float64)
	if !ok {
		tb.Fatalf("no number %s in %s", field, a.body)
	}
	return int(n)
}

// is fails the test unless a has this status and error code, empty for a success.
func (a answer) is(tb testing.TB, status int, code string) {
	tb.Helper()
	if a.status != status || a.code() != code {
		tb.Fatalf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
}

// send is how every request of every test goes: it holds the answer against the contract.
func (s *server) send(tb testing.TB, r *http.Request) answer {
	tb.Helper()
	return s.answerTo(tb, r, replay(tb, r))
}

// sendUnread is send for a body that must be left to the service alone, or that the contract need not
// allow: it holds only the answer against it.
func (s *server) sendUnread(tb testing.TB, r *http.Request) answer {
	tb.Helper()
	sent := r.Clone(tb.Context())
	sent.Body = nil
	return s.answerTo(tb, r, sent)
}

// answerTo serves r and holds the answer against the contract, with sent as what the client sent.
func (s *server) answerTo(tb testing.TB, r, sent *http.Request) answer {
	tb.Helper()
	a := s.serve(r)
	if strings.HasPrefix(a.body, "{") {
		noError(tb, json.Unmarshal([]byte(a.body), &a.fields))
	}
	checkContract(tb, sent, a)
	return a
}

// serve serves r and nothing more. It is safe for concurrent use.
func (s *server) serve(r *http.Request) answer {
	recorder := httptest.NewRecorder()
	s.api.ServeHTTP(recorder, r)
	return answer{status: recorder.Code, header: recorder.Header(), body: recorder.Body.String()}
}

// request returns one that has all it needs.
func (s *server) request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost"
	r.Header.Set("X-Request-Id", requestID)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+s.bearer)
	}
	return r
}

func (s *server) get(tb testing.TB, path string) answer {
	tb.Helper()
	return s.send(tb, s.request(http.MethodGet, path, ""))
}

func (s *server) post(tb testing.TB, path, body string) answer {
	tb.Helper()
	return s.send(tb, s.request(http.MethodPost, path, body))
}

// fields is a JSON request.
type fields map[string]any

func (f fields) String() string {
	data, err := json.Marshal(map[string]any(f))
	if err != nil {
		panic(err)
	}
	return string(data)
}

// with returns f with one more field.
func (f fields) with(name string, value any) fields {
	more := fields{name: value}
	for name, value := range f {
		if _, given := more[name]; !given {
			more[name] = value
		}
	}
	return more
}

func (s *server) generate(tb testing.TB, f fields) answer {
	tb.Helper()
	a := s.post(tb, "/v1/otp/generate", f.String())
	a.is(tb, 200, "")
	return a
}

func (s *server) verify(tb testing.TB, otp, context string) answer {
	tb.Helper()
	return s.post(tb, "/v1/otp/verify", fields{"otp": otp, "context": context}.String())
}

func (s *server) resend(tb testing.TB, context string) answer {
	tb.Helper()
	return s.post(tb, "/v1/otp/resend", fields{"context": context}.String())
}

func (s *server) revoke(tb testing.TB, context string) answer {
	tb.Helper()
	return s.post(tb, "/v1/otp/revoke", fields{"context": context}.String())
}

func (s *server) unlock(tb testing.TB, identifier string) answer {
	tb.Helper()
	return s.post(tb, "/v1/identifiers/unlock", fields{"identifier": identifier}.String())
}

func (s *server) inspect(tb testing.TB, context string) answer {
	tb.Helper()
	return s.post(tb, "/v1/otp/inspect", fields{"context": context}.String())
}

// stillGood fails the test unless what generate answered has all its attempts and verifies.
func (s *server) stillGood(tb testing.TB, issued answer) {
	tb.Helper()
	inspected := s.inspect(tb, issued.text("context"))
	if got, want := inspected.number(tb, "attempts_remaining"), issued.number(tb, "attempts_remaining"); got != want {
		tb.Errorf("attempts_remaining is %d, want %d", got, want)
	}
	verified := s.verify(tb, issued.text("otp"), issued.text("context"))
	verified.is(tb, 200, "")
	if got := verified.number(tb, "retry_count"); got != 0 {
		tb.Errorf("retry_count is %d, want 0", got)
	}
}

// wrongCode returns a code that a six-digit one is not.
func wrongCode(right string) string {
	if right == "000000" {
		return "000001"
	}
	return "000000"
}

// seal returns payload as a Fernet token under key, whatever it holds.
func seal(tb testing.TB, key string, payload []byte) string {
	tb.Helper()
	k, err := fernet.DecodeKey(key)
	noError(tb, err)
	token, err := fernet.EncryptAndSign(payload, k)
	noError(tb, err)
	return string(token)
}

var errLedger = errors.New("the ledger's own words")

// brokenLedger fails in one way or another.
type brokenLedger struct {
	err   error // if panic is nil
	panic any
}

func (b brokenLedger) fail() (otp.Outcome, error) {
	if b.panic != nil {
		panic(b.panic)
	}
	return otp.Outcome{}, b.err
}

func (b brokenLedger) Attempt(context.Context, otp.Verification, bool) (otp.Outcome, error) {
	return b.fail()
}
func (b brokenLedger) Resend(context.Context, otp.Verification, time.Duration) (otp.Outcome, error) {
	return b.fail()
}
func (b brokenLedger) Withdraw(context.Context, otp.Verification) error {
	_, err := b.fail()
	return err
}
func (b brokenLedger) Refresh(context.Context, otp.Verification) (otp.Outcome, error) {
	return b.fail()
}
func (b brokenLedger) Spend(context.Context, string, time.Time, []delivery.Window) (time.Duration, func(context.Context), error) {
	_, err := b.fail()
	return 0, nil, err
}
func (b brokenLedger) Reserve(context.Context, string, string, time.Duration, time.Time) (string, error) {
	_, err := b.fail()
	return "", err
}
func (b brokenLedger) Settle(context.Context, string, string, string, time.Duration, time.Time) error {
	_, err := b.fail()
	return err
}
func (b brokenLedger) Unlock(context.Context, string) (otp.Outcome, error)           { return b.fail() }
func (b brokenLedger) Revoke(context.Context, otp.Verification) (otp.Outcome, error) { return b.fail() }
func (b brokenLedger) State(context.Context, otp.Verification) (otp.Outcome, error)  { return b.fail() }
func (b brokenLedger) Claim(context.Context, otp.Verification) (otp.Outcome, func(context.Context), error) {
	outcome, err := b.fail()
	return outcome, nil, err
}
func (b brokenLedger) Ping(context.Context) error { _, err := b.fail(); return err }

func (b brokenLedger) failDevice() (device.Standing, error) {
	_, err := b.fail()
	return device.Standing{}, err
}

func (b brokenLedger) AttemptDevice(context.Context, device.Version, device.Proof) (device.Standing, error) {
	return b.failDevice()
}
func (b brokenLedger) RenewDevice(context.Context, device.Version) (device.Standing, error) {
	return b.failDevice()
}
func (b brokenLedger) DisableDevice(context.Context, device.Version) (device.Standing, error) {
	return b.failDevice()
}
func (b brokenLedger) ForgiveDevice(context.Context, device.Version) (device.Standing, error) {
	return b.failDevice()
}
func (b brokenLedger) DeviceStanding(context.Context, device.Version) (device.Standing, error) {
	return b.failDevice()
}
