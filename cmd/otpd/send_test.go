package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// longest is the most time that a delivery may be given, as a variable and as what it says.
const (
	longest      = "OTP_DELIVERY_TIMEOUT=8s"
	longestTaken = 8 * time.Second
)

// sendMail sends a code by mail to an address.
func (c *client) sendMail(tb testing.TB, want, to string) *answer {
	tb.Helper()
	return c.post(tb, want, "/v1/otp/send", fields{"channel": "email", "to": to})
}

// TestFailedSends has a mail server fail in all ways. Each failure counts nothing, so that one message after all of
// them is within the recipient's limits.
func TestFailedSends(t *testing.T) {
	t.Parallel()
	m := startMailServer(t)
	p := launch(t, append(m.variables(), keyVariable+"="+newKey(t), longest)...)
	c := newClient(t, p.addr, nil)
	const to = "you@example.com"
	for _, test := range []struct {
		refusal *smtp.SMTPError
		want    string
	}{
		{&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted"}, "502 DELIVERY_FAILED"},
		{&smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 2, 2}, Message: "mailbox full"}, "422 UNDELIVERABLE"},
		{&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody here"}, "422 UNDELIVERABLE"},
		{&smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "closing"}, "502 DELIVERY_FAILED"},
	} {
		m.use("", func(mail) error { return test.refusal })
		c.sendMail(t, test.want, to)
	}
	m.use("", nil)
	sent := c.sendMail(t, "200", to)
	c.verify(t, "200 verified", m.codeFor(t, to), sent.Context)
	limited := c.sendMail(t, "429 SEND_LIMIT_EXCEEDED", to)
	if limited.Header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After: %v", limited.Header)
	}
	for result, want := range map[string]float64{"sent": 1, "failed": 2, "undeliverable": 2} {
		if got := metricOf(t, p, `otpd_delivery_duration_seconds_count{channel="email",result="`+result+`"}`); got != want {
			t.Errorf("%v deliveries were %s, want %v", got, result, want)
		}
	}
}

// TestDecoysSendNothing compares the answers to a recipient and to a decoy.
func TestDecoysSendNothing(t *testing.T) {
	t.Parallel()
	m := startMailServer(t)
	p := launch(t, append(m.variables(), keyVariable+"="+newKey(t), longest)...)
	c := newClient(t, p.addr, nil)
	shapes := make(map[bool]string)
	for _, decoy := range []bool{false, true} {
		request := fields{"channel": "email", "to": fmt.Sprintf("u%v@example.com", len(shapes)), "decoy": decoy}
		a := c.post(t, "200", "/v1/otp/send", request)
		c.verify(t, "400 INVALID_OTP", wrongCode, a.Context)
		var members map[string]any
		if err := json.Unmarshal(a.body, &members); err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(members))
		shapes[decoy] = fmt.Sprint(names, len(a.Context), a.Channel, len(a.ToMasked), len(a.DeliveryID), a.AttemptsRemaining)
	}
	if shapes[false] != shapes[true] {
		t.Errorf("a recipient is answered %s, and a decoy %s", shapes[false], shapes[true])
	}
	if n := len(m.taken()); n != 1 {
		t.Errorf("%d mails were sent, want the one to the recipient", n)
	}
}

// TestShutdownWaitsForADelivery ends otpd while the mail server thinks about a message.
func TestShutdownWaitsForADelivery(t *testing.T) {
	t.Parallel()
	m := newMailServer(t)
	held, more := make(chan time.Time, 1), make(chan struct{})
	m.judge = func(mail) error {
		held <- time.Now()
		<-more
		return nil
	}
	m.serve(t)
	p := launchBuilt(t, append(m.variables(), keyVariable+"="+newKey(t), longest, "OTP_SHUTDOWN_TIMEOUT=10m")...)
	c := newClient(t, p.addr, nil)
	answered := make(chan *answer)
	go func() {
		a, err := c.send(http.MethodPost, "/v1/otp/send", fields{"channel": "email", "to": "you@example.com"}, nil)
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	begun := <-held
	p.signal(t, syscall.SIGTERM)
	p.logged(t, "shutting down")
	close(more)
	a := <-answered
	// On a machine so slow that the time of the delivery is over, that is the answer.
	if a == nil || a.StatusCode != http.StatusOK && (a.ErrorCode != "DELIVERY_FAILED" || time.Since(begun) < longestTaken) {
		t.Errorf("the request under way is answered %v", a)
	}
	if status := p.ended(t); status != 0 {
		t.Errorf("exit status %d: %s", status, p.stderr.String())
	}
	eventually(t, "the end of the session", func() bool { return m.heard("QUIT\r\n") || a.StatusCode != http.StatusOK })
}

// sender keeps sending codes by mail from many clients at once, until it is stopped.
type sender struct {
	overloaded, failed, sent atomic.Int64

	stopped atomic.Bool
	clients sync.WaitGroup
}

func startSender(tb testing.TB, c *client, clients int) *sender {
	s := new(sender)
	for i := range clients {
		s.clients.Go(func() {
			for n := 0; !s.stopped.Load(); n++ {
				a, err := c.send(http.MethodPost, "/v1/otp/send", fields{"channel": "email", "to": fmt.Sprintf("u%d-%d@example.com", i, n)}, nil)
				if err != nil {
					tb.Error(err)
					return
				}
				switch a.verdict() {
				case "503 OVERLOADED":
					s.overloaded.Add(1)
					if a.Header.Get("Retry-After") != "1" {
						tb.Errorf("no Retry-After: %v", a.Header)
					}
				case "502 DELIVERY_FAILED":
					s.failed.Add(1)
				case "200 ":
					s.sent.Add(1)
				default:
					tb.Errorf("send: %s", a)
					return
				}
			}
		})
	}
	tb.Cleanup(s.stop)
	return s
}

func (s *sender) stop() {
	s.stopped.Store(true)
	s.clients.Wait()
}

// TestStalledMailServer sends to one that takes connections and says nothing, and then does.
func TestStalledMailServer(t *testing.T) {
	t.Parallel()
	const clients, mayBeUnderWay = 80, 64
	m, hook := newMailServer(t), startEndpoint(t, "", nil)
	p := launchBuilt(t, append(m.variables(), keyVariable+"="+newKey(t), longest,
		"OTP_DELIVERY_WEBHOOK_URL="+hook.url, "OTP_DELIVERY_WEBHOOK_SECRETS="+webhookSecret)...)
	c := newClient(t, p.addr, nil)
	goroutines := func() float64 { return metricOf(t, p, "go_goroutines") }

	sending := startSender(t, c, clients)
	eventually(t, "sends that are refused", func() bool { return sending.overloaded.Load() > 5*clients || t.Failed() })
	const ofConnections = 4 * (clients + mayBeUnderWay) // goroutines
	if n := goroutines(); n < mayBeUnderWay || n > ofConnections {
		t.Errorf("%v goroutines, want at least %d and at most %d", n, mayBeUnderWay, ofConnections)
	}
	for i := range 5 {
		if err := c.verifyFlow(); err != nil {
			t.Error(err)
		}
		to := fmt.Sprintf("u%d@example.com", i)
		sent := c.post(t, "200", "/v1/otp/send", fields{"channel": "webhook", "to": to})
		c.verify(t, "200 verified", hook.codeFor(t, to, webhookSecret), sent.Context)
	}
	if n := sending.sent.Load(); n != 0 {
		t.Errorf("%d mails were sent to a server that says nothing", n)
	}

	m.serve(t)
	eventually(t, "sends that arrive", func() bool { return sending.sent.Load() > clients || t.Failed() })
	sending.stop()
	sent := c.sendMail(t, "200", "after@example.com")
	c.verify(t, "200 verified", m.codeFor(t, "after@example.com"), sent.Context)
	newClient(t, p.addr, nil).get(t, "200 ready", "/readyz")
	c.http.CloseIdleConnections()
	eventually(t, "fewer goroutines", func() bool { return goroutines() < mayBeUnderWay })
	if status := p.end(t, syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d: %s", status, p.stderr.String())
	}
}

// TestMetricsOfDelivery counts what may be looked at, and looks for what a caller has made up.
func TestMetricsOfDelivery(t *testing.T) {
	t.Parallel()
	m := startMailServer(t)
	e := startEndpoint(t, "", nil)
	p := launch(t, slices.Concat(tokenEnv(t, e.url, longest), m.variables(), []string{"OTP_RESEND_COOLDOWN_SECONDS=0"})...)
	c := newClient(t, p.addr, nil)
	for i, source := range []string{
		"https://dashboard.example.com/", "https://shop.example.com/?utm_source=made-up-1&utm_campaign=made-up-2",
		"https://shop.example.com/register", "https://made-up-3.example.com/made-up-4", "",
	} {
		to := fmt.Sprintf("made-up-%d@example.com", i)
		request := fields{"channel": "email", "to": to, "source_url": source, "variables": fields{"app": "made-up"}}
		if source == "" {
			delete(request, "source_url")
		}
		sent := c.do(t, "200", http.MethodPost, "/v1/otp/send", request, http.Header{"Idempotency-Key": {"made-up-" + to}})
		in := c.post(t, "200 verified", "/v1/otp/verify", fields{"otp": m.codeFor(t, to), "context": sent.Context, "issue": "tokens"})
		if found := bytes.Contains(in.body, []byte(`"source":{`)); found != (source != "") {
			t.Errorf("verified: %s", in)
		}
		next := c.post(t, "200", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
		c.post(t, "200", "/v1/tokens/introspect", fields{"token": next.AccessToken})
	}
	m.use("", func(mail) error { return errors.New("no") }) // 554
	sent := c.post(t, "200", "/v1/otp/generate", fields{})
	c.post(t, "200", "/v1/otp/resend", fields{"context": sent.Context})
	c.sendMail(t, "", "made-up@example.com")
	c.post(t, "400 CHANNEL_NOT_CONFIGURED", "/v1/otp/send", fields{"channel": "sms", "to": "+4915123456789"})
	c.post(t, "400 INVALID_REQUEST", "/v1/otp/send", fields{"channel": "made-up", "to": "x"})
	eventually(t, "the events", func() bool { return metricOf(t, p, "otpd_events_queued") == 0 })

	text := string(newClient(t, p.admin, nil).get(t, "200", "/metrics").body)
	for _, want := range []string{
		`otpd_delivery_duration_seconds_count{channel="email",result="sent"} 5`,
		`otpd_otp_sources_total{category="dashboard"} 1`, `otpd_otp_sources_total{category="campaign"} 1`,
		`otpd_otp_sources_total{category="registration"} 1`, `otpd_otp_sources_total{category="website"} 1`,
		`otpd_otp_events_total{event="delivery.sent"} 5`, `otpd_otp_events_total{event="delivery.failed"} 1`,
		`otpd_otp_events_total{event="delivery.limited"} 0`, `otpd_otp_events_total{event="login.succeeded"} 5`,
		`otpd_otp_events_total{event="token.refreshed"} 5`, `otpd_otp_events_total{event="token.reused"} 0`,
		`otpd_otp_events_total{event="token.revoked"} 0`,
		`otpd_events_queued 0`, `otpd_events_sent_total `, `otpd_events_posts_total{result="accepted"} `,
		`otpd_events_posts_total{result="failed"} 0`, `otpd_events_posts_total{result="refused"} 0`,
		`otpd_events_dropped_total{reason="full"} 0`, `otpd_events_dropped_total{reason="refused"} 0`,
		`otpd_events_dropped_total{reason="shutdown"} 0`,
		`otpd_ledger_operations_total{operation="spend"} 6`, `otpd_ledger_operations_total{operation="reserve"} 5`,
		`otpd_ledger_operations_total{operation="settle"} 5`, `otpd_ledger_operations_total{operation="refresh"} 5`,
		`otpd_ledger_operations_total{operation="withdraw"} 0`,
		`otpd_http_requests_total{route="/v1/otp/send",status="200"} 5`,
		`otpd_http_requests_total{route="/v1/tokens/introspect",status="200"} 5`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no metric %s", want)
		}
	}
	if strings.Contains(text, "made-up") {
		t.Errorf("a metric holds what a client made up:\n%s", text)
	}
}
