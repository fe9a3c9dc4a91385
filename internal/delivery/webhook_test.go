package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/webhook"
)

const webhookSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// newWebhookTo returns a channel to the endpoint that handler is.
func newWebhookTo(tb testing.TB, handler http.HandlerFunc) *WebhookChannel {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	endpoint, err := webhook.NewEndpoint(webhook.Config{URL: server.URL, Secrets: []string{webhookSecret}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(endpoint.Close)
	return NewWebhook(endpoint)
}

func TestRecipientOfWebhook(t *testing.T) {
	t.Parallel()
	var c Channel = NewWebhook(nil)
	long := strings.Repeat("x", 320)
	for _, test := range []struct{ to, masked, counted string }{
		{"user-4711", "u•••1", "user-4711"},
		{"User-4711", "U•••1", "user-4711"},
		{"A\u0308nne Müller", "A•••r", "änne müller"},
		{"abcdef", "a•••f", "abcdef"},
		{"abcde", "•••", "abcde"},
		{"7", "•••", "7"},
		{"用户名用户名", "用•••名", "用户名用户名"},
		{"A.B.C+x@gmail.com", "A•••@gmail.com", "abc@gmail.com"},
		{"Ada@Example.COM", "A•••@example.com", "ada@example.com"},
		{"ada@", "•••", "ada@"},
		{"Ada <ada@example.com>", "A•••>", "ada <ada@example.com>"},
		{"+49 (151) 234-56789", "+49•••••••89", "+4915123456789"},
		{"+49", "•••", "+49"},
		{long, "x•••x", long},
	} {
		want := Recipient{Address: test.to, Masked: test.masked, Counted: test.counted}
		if got, err := c.Recipient(test.to); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", test.to, got, err, want)
		}
	}
	for _, to := range []string{"", long + "x", "a\nb", "a\x00b", "\x7f", "a\xff"} {
		_, err := c.Recipient(to)
		if field, ok := errors.AsType[*otp.FieldError](err); !ok || field.Field != "to" {
			t.Errorf("%q: %v", to, err)
		}
	}
}

func TestWebhookChecksWhatItPassesOn(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for _, name := range "abcdefghijk" {
		many[string(name)] = ""
	}
	for _, test := range []struct {
		name    string
		message Message
		field   string // that the error blames; empty for none
	}{
		{"nothing", Message{}, ""},
		{"everything", Message{Locale: "pt-BR", Template: "step_up-2", Variables: map[string]string{"app": "Exämple"}}, ""},
		{"a language that nobody speaks", Message{Locale: "xx"}, ""},
		{"the longest template", Message{Template: strings.Repeat("a", 64)}, ""},
		{"no locale", Message{Locale: "not a locale"}, "locale"},
		{"a header in the locale", Message{Locale: "de\r\nX: y"}, "locale"},
		{"a path", Message{Template: "../code"}, "template"},
		{"a template with a line break", Message{Template: "code\n"}, "template"},
		{"too long a template", Message{Template: strings.Repeat("a", 65)}, "template"},
		{"too many variables", Message{Variables: many}, "variables"},
		{"a bad name", Message{Variables: map[string]string{"App": ""}}, "variables"},
		{"a long value", Message{Variables: map[string]string{"app": strings.Repeat("a", 201)}}, "variables"},
		{"a control character", Message{Variables: map[string]string{"app": "a\nb"}}, "variables"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := NewWebhook(nil).Check(test.message)
			field, refused := errors.AsType[*otp.FieldError](err)
			if refused != (test.field != "") || refused && field.Field != test.field {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWebhookPostsTheCode(t *testing.T) {
	t.Parallel()
	type request struct {
		header http.Header
		body   []byte
	}
	requests := make(chan request, 1)
	c := newWebhookTo(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- request{r.Header, body}
	})
	at := time.Date(2026, 5, 4, 14, 0, 0, 0, time.FixedZone("", 2*60*60))
	full := Message{
		ID: "AAECAwQFBgcICQoLDA0ODw", To: `"<ann>"@example.com`, Code: "123456", VerificationID: "DwAECAwQFBgcICQoLDA0OA",
		Purpose: "login", SentAt: at, ExpiresAt: at.Add(5 * time.Minute), Locale: "de", Template: "code",
		Variables: map[string]string{"app": "Exämple & Co"},
	}
	bare := Message{ID: full.ID, To: "ann", Code: "ABC", VerificationID: full.VerificationID, SentAt: at, ExpiresAt: at}
	for _, test := range []struct {
		message Message
		data    map[string]any
	}{
		{full, map[string]any{
			"delivery_id": full.ID, "to": full.To, "code": "123456", "verification_id": full.VerificationID, "purpose": "login",
			"expires_at": "2026-05-04T12:05:00Z", "locale": "de", "template": "code",
			"variables": map[string]any{"app": "Exämple & Co"},
		}},
		{bare, map[string]any{
			"delivery_id": full.ID, "to": "ann", "code": "ABC", "verification_id": full.VerificationID,
			"expires_at": "2026-05-04T12:00:00Z",
		}},
	} {
		if err := c.Deliver(t.Context(), test.message); err != nil {
			t.Fatal(err)
		}
		r := <-requests
		verifier, err := standardwebhooks.NewWebhook(webhookSecret)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(r.body, r.header); err != nil {
			t.Error(err)
		}
		if got := r.header.Get("webhook-id"); got != full.ID {
			t.Errorf("the id is %q", got)
		}
		var got map[string]any
		if err := json.Unmarshal(r.body, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"type": "otp.code", "timestamp": "2026-05-04T12:00:00Z", "data": test.data}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the payload is %s", r.body)
		}
	}
}

func TestWebhookFailureSaysWhetherItIsForGood(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]Failure{
		410: {Permanent: true, Reason: "the endpoint answered 410"},
		302: {Permanent: true, Reason: "the endpoint answered 302"},
		503: {Permanent: false, Reason: "the endpoint answered 503"},
		429: {Permanent: false, Reason: "the endpoint answered 429"},
	} {
		c := newWebhookTo(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60") // which is after the deadline
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "the code 123456 of ann is refused")
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		failure, ok := errors.AsType[*Failure](c.Deliver(ctx, Message{ID: "a", To: "ann", Code: "123456"}))
		if !ok || *failure != want || ctx.Err() != nil {
			t.Errorf("%d: %+v", status, failure)
		}
		cancel()
	}
}

func TestWebhookIsTriedAgain(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	c := newWebhookTo(t, func(w http.ResponseWriter, _ *http.Request) {
		if tries.Add(1) == 1 {
			w.WriteHeader(500)
		}
	})
	if err := c.Deliver(t.Context(), Message{ID: "a", To: "ann", Code: "123456"}); err != nil || tries.Load() != 2 {
		t.Errorf("%v after %d tries", err, tries.Load())
	}
}

func TestWebhookWithoutJSONFails(t *testing.T) {
	t.Parallel()
	c := newWebhookTo(t, func(http.ResponseWriter, *http.Request) { t.Error("it is sent") })
	failure, ok := errors.AsType[*Failure](c.Deliver(t.Context(), Message{SentAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}))
	if !ok || !failure.Permanent {
		t.Errorf("%+v", failure)
	}
}
