package httpapi_test

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/token"
)

const (
	bob   = "bob@example.com"
	phone = "+4915123456789"
)

// box is a channel with the addresses and templates of a real one. It keeps what it delivers, unless it fails.
type box struct {
	delivery.Channel

	mu       sync.Mutex
	messages []delivery.Message
	failure  *delivery.Failure
	during   func() // is called with each delivery
}

func newBoxes(tb testing.TB) (email, sms, console *box) {
	tb.Helper()
	templates, err := loadTemplates()
	noError(tb, err)
	mail, err := delivery.NewEmail(delivery.EmailConfig{
		URL: "smtp://127.0.0.1:1?tls=none", From: "codes@example.com", Templates: templates,
	})
	noError(tb, err)
	text, err := delivery.NewSMS(delivery.SMSConfig{Templates: templates, Provider: struct{ delivery.SMSProvider }{}})
	noError(tb, err)
	return &box{Channel: mail}, &box{Channel: text}, &box{Channel: delivery.NewConsole(io.Discard, templates)}
}

var loadTemplates = sync.OnceValues(func() (*delivery.Templates, error) { return delivery.LoadTemplates("") })

func (b *box) Deliver(_ context.Context, m delivery.Message) error {
	b.mu.Lock()
	during := b.during
	b.mu.Unlock()
	if during != nil {
		during()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure != nil {
		return b.failure
	}
	b.messages = append(b.messages, m)
	return nil
}

// fail makes b fail from now on, or deliver again with nil.
func (b *box) fail(failure *delivery.Failure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failure = failure
}

// take returns what was delivered since the last time.
func (b *box) take() []delivery.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.messages
	b.messages = nil
	return taken
}

// only returns the one message that was delivered since the last time.
func (b *box) only(tb testing.TB) delivery.Message {
	tb.Helper()
	messages := b.take()
	if len(messages) != 1 {
		tb.Fatalf("%d messages were delivered, want one", len(messages))
	}
	return messages[0]
}

// undelivered fails the test if anything was delivered since it was last asked for.
func (s *server) undelivered(tb testing.TB) {
	tb.Helper()
	for name, b := range map[string]*box{"email": s.email, "sms": s.sms, "console": s.console} {
		if n := len(b.take()); n > 0 {
			tb.Errorf("%d messages were delivered by %s, want none", n, name)
		}
	}
}

func (s *server) sendCode(tb testing.TB, f fields) answer {
	tb.Helper()
	return s.post(tb, "/v1/otp/send", f.String())
}

// sent returns the answer to a send that is delivered by e-mail, and what was delivered.
func (s *server) sent(tb testing.TB, f fields) (answer, delivery.Message) {
	tb.Helper()
	a := s.sendCode(tb, f)
	a.is(tb, 200, "")
	return a, s.email.only(tb)
}

var mail = fields{"channel": "email", "to": ada}

// jwtKeys returns new keys of these algorithms.
func jwtKeys(tb testing.TB, algorithms ...string) *token.Keys {
	tb.Helper()
	var pem []byte
	for _, algorithm := range algorithms {
		key, err := token.GenerateKey(algorithm)
		noError(tb, err)
		pem = append(pem, key...)
	}
	set, err := token.ParseKeys(pem)
	noError(tb, err)
	keys := new(token.Keys)
	keys.Use(set)
	return keys
}

// login returns the answer to a verify that has tokens.
func (s *server) login(tb testing.TB, f fields) answer {
	tb.Helper()
	issued := s.generate(tb, f)
	request := fields{"otp": issued.text("otp"), "context": issued.text("context"), "issue": "tokens"}
	for _, field := range []string{"purpose", "binding"} {
		if f[field] != nil {
			request[field] = f[field]
		}
	}
	a := s.post(tb, "/v1/otp/verify", request.String())
	a.is(tb, 200, "")
	return a
}

func (s *server) refresh(tb testing.TB, token string) answer {
	tb.Helper()
	return s.post(tb, "/v1/tokens/refresh", fields{"refresh_token": token}.String())
}

func (s *server) introspect(tb testing.TB, token string) answer {
	tb.Helper()
	return s.post(tb, "/v1/tokens/introspect", fields{"token": token}.String())
}

func (s *server) logout(tb testing.TB, token string) answer {
	tb.Helper()
	return s.post(tb, "/v1/tokens/revoke", fields{"token": token}.String())
}

// isActive reports whether a token is good.
func (s *server) isActive(tb testing.TB, token string) bool {
	tb.Helper()
	a := s.introspect(tb, token)
	a.is(tb, 200, "")
	active, ok := a.fields["active"].(bool)
	if !ok {
		tb.Fatalf("got %s", a.body)
	}
	return active
}
