package delivery

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const ann = "ann@example.com"

// fixture is a service on a clock of its own, with two channels that keep what they deliver.
type fixture struct {
	*Service
	codes *otp.Service
	email *box
	sms   *box

	mu     sync.Mutex
	clock  time.Time
	events []otp.Event
}

func newFixture(tb testing.TB, l interface {
	Ledger
	otp.Ledger
}) *fixture {
	tb.Helper()
	f := &fixture{clock: start, email: new(box), sms: &box{prefix: "+49"}}
	key, err := otpcontext.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	ring, err := otpcontext.ParseRing([]string{key})
	if err != nil {
		tb.Fatal(err)
	}
	sealer := otpcontext.NewSealer(ring)
	f.codes, err = otp.New(otp.Config{
		Sealer: sealer, Ledger: l, Expiry: 5 * time.Minute, SessionExpiry: 15 * time.Minute, MaxRetries: 3, Length: 6,
		Alphabet: otp.Numeric, MaxResends: 5, ResendCooldown: 30 * time.Second, Now: f.now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	f.Service, err = New(Config{
		Sealer: sealer, Ledger: l, Codes: f.codes, Timeout: MaxTimeout, SMSBudget: 3, Now: f.now,
		Audit: func(e otp.Event) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.events = append(f.events, e)
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	f.Use(map[string]Channel{Email: f.email, SMS: f.sms})
	return f
}

func newMemory(tb testing.TB) *ledger.Memory {
	tb.Helper()
	m := ledger.NewMemory(1000, ledger.Throttle{After: 20, Factor: time.Second, Max: time.Hour}, func() time.Time { return start })
	tb.Cleanup(m.Close)
	return m
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock
}

func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = f.clock.Add(d)
}

// takeEvents returns the names of the events since the last time.
func (f *fixture) takeEvents() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, e := range f.events {
		names = append(names, e.Name)
	}
	f.events = nil
	return strings.Join(names, " ")
}

var caller = otp.Caller{Namespace: "shop", RequestID: "r"}

func (f *fixture) send(r SendRequest) (Sent, error) {
	return f.Send(context.Background(), caller, Idempotency{}, r)
}

func (f *fixture) mustSend(tb testing.TB, r SendRequest) Sent {
	tb.Helper()
	sent, err := f.send(r)
	if err != nil {
		tb.Fatal(err)
	}
	return sent
}

func (f *fixture) resend(context string) (Sent, error) { return f.resendKeyed("", context) }

func (f *fixture) resendKeyed(key, token string) (Sent, error) {
	i := Idempotency{Key: key, Request: []byte(token)}
	return f.Resend(context.Background(), caller, i, otp.ResendRequest{Context: token})
}

// verify is nil if a code is right.
func (f *fixture) verify(token, code string) error {
	_, err := f.codes.Verify(context.Background(), caller, otp.VerifyRequest{Context: token, OTP: code})
	return err
}

func byEmail() SendRequest { return SendRequest{Routes: []Route{{Email, ann}}} }

// box is a channel that keeps what it delivers, unless it fails.
type box struct {
	prefix string // of its recipients

	mu       sync.Mutex
	checked  Message // last
	messages []Message
	failure  error
	deliver  func(context.Context) // is called before
}

func (b *box) Recipient(to string) (Recipient, error) {
	if to == "nobody" {
		return Recipient{}, &otp.FieldError{Field: "to", Reason: "must be somebody"}
	}
	counted, _, _ := strings.Cut(strings.ToLower(to), "+")
	return Recipient{Address: strings.TrimSpace(to), Masked: to[:1] + "•••", Counted: counted, Prefix: b.prefix}, nil
}

func (b *box) Check(m Message) error {
	b.mu.Lock()
	b.checked = m
	b.mu.Unlock()
	if m.Template == "none" {
		return &otp.FieldError{Field: "template", Reason: "must be one of those there are"}
	}
	return nil
}

func (b *box) Deliver(ctx context.Context, m Message) error {
	b.mu.Lock()
	deliver := b.deliver
	b.mu.Unlock()
	if deliver != nil {
		deliver(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure != nil {
		return b.failure
	}
	b.messages = append(b.messages, m)
	return nil
}

func (b *box) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failure = err
}

// take returns what was delivered since the last time.
func (b *box) take() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.messages
	b.messages = nil
	return taken
}

// only returns the one message that was delivered since the last time.
func (b *box) only(tb testing.TB) Message {
	tb.Helper()
	messages := b.take()
	if len(messages) != 1 {
		tb.Fatalf("%d messages, want one", len(messages))
	}
	return messages[0]
}
