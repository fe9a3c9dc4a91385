package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/events"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/testtool"
	"github.com/otpd/otpd/internal/webhook"
)

// standardWebhooks is the reference library that verifies in Node.
const standardWebhooks = "standardwebhooks@1.1.1"

// receivers start a receiver in one language each.
var receivers = map[string]func(testing.TB) *exec.Cmd{
	"Python": func(tb testing.TB) *exec.Cmd {
		testtool.Need(tb, "CI", "python3")
		return exec.CommandContext(tb.Context(), "python3", "webhook.py")
	},
	"Node": func(tb testing.TB) *exec.Cmd {
		testtool.Need(tb, "CI", "node", "npm")
		dir := tb.TempDir()
		install := exec.CommandContext(tb.Context(), "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund",
			"--prefix", dir, standardWebhooks)
		if out, err := install.CombinedOutput(); err != nil && os.Getenv("CI") == "" {
			tb.Skipf("npm cannot install %s here", standardWebhooks)
		} else if err != nil {
			tb.Fatalf("npm: %v\n%s", err, out)
		}
		// Where Node finds the library.
		if err := os.WriteFile(filepath.Join(dir, "webhook.mjs"), []byte(readFile(tb, "webhook.mjs")), 0o600); err != nil {
			tb.Fatal(err)
		}
		return exec.CommandContext(tb.Context(), "node", filepath.Join(dir, "webhook.mjs"))
	},
}

// forEachReceiver runs test with the URL of each receiver, and what it writes.
func forEachReceiver(t *testing.T, test func(t *testing.T, url string, out *output)) {
	for name, command := range receivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, out := command(t), new(output)
			cmd.Env = append(os.Environ(), "PORT=0", "WEBHOOK_SECRET="+ourSecret)
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			test(t, "http://127.0.0.1:"+out.after(t, "Listening at "), out)
		})
	}
}

var (
	ourSecret   = webhookSecret("our ")
	otherSecret = webhookSecret("new ")
)

func webhookSecret(word string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(word), 8))
}

func newEndpoint(tb testing.TB, cfg webhook.Config) *webhook.Endpoint {
	tb.Helper()
	endpoint, err := webhook.NewEndpoint(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(endpoint.Close)
	return endpoint
}

func TestReceiverTakesCodesAndEvents(t *testing.T) {
	t.Parallel()
	forEachReceiver(t, func(t *testing.T, url string, out *output) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		// Whichever of otpd's secrets it knows.
		for _, secrets := range [][]string{{ourSecret}, {otherSecret, ourSecret}, {ourSecret, otherSecret}} {
			endpoint := newEndpoint(t, webhook.Config{URL: url, Secrets: secrets})
			message := delivery.Message{
				ID: otp.NewID(), To: "Jörg <joerg@example.com>", Code: "123456", VerificationID: otp.NewID(), SentAt: time.Now(),
				ExpiresAt: time.Now().Add(time.Minute),
			}
			for range 2 { // as if the first answer had been lost
				if err := delivery.NewWebhook(endpoint).Deliver(ctx, message); err != nil {
					t.Fatal(err)
				}
			}
			queue, err := events.New(events.Config{Endpoint: endpoint, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
			if err != nil {
				t.Fatal(err)
			}
			queue.Record(otp.Event{Name: otp.EventGenerated, At: time.Now(), ID: message.VerificationID})
			queue.Record(otp.Event{Name: otp.EventVerified, At: time.Now(), ID: message.VerificationID, Caller: otp.Caller{UserAgent: "Größe 😀"}})
			if left := queue.Close(ctx); left != 0 {
				t.Fatalf("%d events were not taken", left)
			}
			out.after(t, "Event: otp.verified "+message.VerificationID)
			if n := strings.Count(out.String(), "Event: otp.generated "+message.VerificationID); n != 1 {
				t.Errorf("it took otp.generated %d times", n)
			}
		}
		if n := strings.Count(out.String(), "Code: 123456 for Jörg <joerg@example.com>\n"); n != 3 {
			t.Errorf("it took %d codes, not 3", n)
		}
	})
}

// changing is a transport that changes a request after it has been signed.
type changing func(*http.Request)

func (change changing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	change(r)
	return http.DefaultTransport.RoundTrip(r)
}

func TestReceiverRefusesWhatIsNotSigned(t *testing.T) {
	t.Parallel()
	later := func(d time.Duration) func() time.Time {
		return func() time.Time { return time.Now().Add(d) }
	}
	set := func(name, value string) changing {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	body := []byte(`{"type":"otp.code","data":{"code":"123456","to":"ann"}}`)
	tests := map[string]webhook.Config{
		"another secret":       {Secrets: []string{otherSecret}},
		"six minutes old":      {Now: later(-6 * time.Minute)},
		"six minutes ahead":    {Now: later(6 * time.Minute)},
		"another id":           {Client: &http.Client{Transport: set("Webhook-Id", "other")}},
		"no id":                {Client: &http.Client{Transport: set("Webhook-Id", "")}},
		"another time":         {Client: &http.Client{Transport: set("Webhook-Timestamp", "1767225600")}},
		"no time":              {Client: &http.Client{Transport: set("Webhook-Timestamp", "")}},
		"a time that is none":  {Client: &http.Client{Transport: set("Webhook-Timestamp", "now")}},
		"no signature":         {Client: &http.Client{Transport: set("Webhook-Signature", "")}},
		"an empty signature":   {Client: &http.Client{Transport: set("Webhook-Signature", "v1,")}},
		"a signature of bytes": {Client: &http.Client{Transport: set("Webhook-Signature", "v1,\xff\xfe")}},
		"another body": {Client: &http.Client{Transport: changing(func(r *http.Request) {
			r.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte("ann"), []byte("eve"), 1)))
		})}},
		"a huge body": {Client: &http.Client{Transport: changing(func(r *http.Request) {
			r.ContentLength = 2 << 20
			r.Body = io.NopCloser(bytes.NewReader(make([]byte, r.ContentLength)))
		})}},
	}
	forEachReceiver(t, func(t *testing.T, url string, out *output) {
		for name, cfg := range tests {
			cfg.URL = url
			if cfg.Secrets == nil {
				cfg.Secrets = []string{ourSecret}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			err := newEndpoint(t, cfg).Try(ctx, otp.NewID(), body)
			cancel()
			failure, failed := errors.AsType[*webhook.Failure](err)
			// It may close the connection on a huge body before that has been written.
			if !failed || failure.Status != 401 && (name != "a huge body" || failure.Status != 0) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if strings.Contains(out.String(), "Code:") {
			t.Errorf("it took a code:\n%s", out)
		}
	})
}
