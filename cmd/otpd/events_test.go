package main

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// eventsTo are the variables that have events go to a URL.
func eventsTo(url string) []string {
	return []string{"OTP_EVENTS_URL=" + url, "OTP_EVENTS_SECRETS=" + webhookSecret}
}

// loginEvents sends a wrong code and then the right one, uses the tokens and throws them away. It returns the events that
// this is.
func loginEvents(tb testing.TB, c *client) []string {
	tb.Helper()
	issued := c.generate(tb)
	wrong := c.verify(tb, "400 INVALID_OTP", wrongCode, issued.Context)
	in := c.post(tb, "200 verified", "/v1/otp/verify", fields{"otp": issued.OTP, "context": wrong.Context, "issue": "tokens"})
	next := c.post(tb, "200", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
	c.post(tb, "409 REFRESH_TOKEN_REUSED", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
	c.post(tb, "200 revoked", "/v1/tokens/revoke", fields{"token": next.AccessToken})
	return []string{
		"otp.generated", "otp.failed", "otp.verified", "login.succeeded", "token.refreshed", "token.reused", "token.revoked",
	}
}

// awaitEvents waits until as many events as wanted have come, which must be those.
func awaitEvents(tb testing.TB, e *endpoint, want []string) {
	tb.Helper()
	eventually(tb, strconv.Itoa(len(want))+" events", func() bool { return len(e.events(tb, webhookSecret)) >= len(want) })
	if got := e.events(tb, webhookSecret); !slices.Equal(got, want) {
		tb.Errorf("the events are %q, want %q", got, want)
	}
}

// metricOf returns the value of a metric, written as in a scrape; 0 if there is none.
func metricOf(tb testing.TB, p *process, name string) float64 {
	tb.Helper()
	for line := range strings.Lines(string(newClient(tb, p.admin, nil).get(tb, "200", "/metrics").body)) {
		if text, found := strings.CutPrefix(line, name+" "); found {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				tb.Fatal(err)
			}
			return value
		}
	}
	return 0
}

// TestEventsOfEverything looks for each event of a day in the order of the audit log.
func TestEventsOfEverything(t *testing.T) {
	t.Parallel()
	e, m := startEndpoint(t, "", nil), startMailServer(t)
	env := slices.Concat(eventsTo(e.url+"/events"), m.variables(), []string{
		keyVariable + "=" + newKey(t), "OTP_JWT_PRIVATE_KEY_FILE=" + newFile(t, newJWTKey(t, "EdDSA")), "OTP_RESEND_COOLDOWN_SECONDS=0",
		"OTP_API_KEYS=app:" + appSecret, "OTP_DELIVERY_TIMEOUT=8s",
	})
	p := launchBuilt(t, env...)
	c := newClient(t, p.addr, nil)
	c.secret = appSecret
	want := loginEvents(t, c)
	sent := c.do(t, "200", http.MethodPost, "/v1/otp/send", fields{"channel": "email", "to": "you@example.com"}, http.Header{"X-Request-Id": {"my-own-id"}})
	c.sendMail(t, "429 SEND_LIMIT_EXCEEDED", "you@example.com")
	resent := c.post(t, "200", "/v1/otp/resend", fields{"context": sent.Context})
	c.post(t, "200 revoked", "/v1/otp/revoke", fields{"context": resent.Context})
	challenge, issued := c.post(t, "200", "/v1/challenges", fields{"identifier": "user@example.com"}), c.generate(t)
	c.post(t, "200 verified", "/v1/challenges/verify", fields{
		"challenge": challenge.Challenge, "context": issued.Context, "otp": issued.OTP, "issue": "tokens",
	})
	enrolled, _ := c.enroll(t, "totp")
	c.device(t, "200 disabled", "disable", fields{"device": enrolled.Device})
	eventually(t, "the audit log", func() bool {
		lines := p.stderr.lines("audit")
		return len(lines) > len(want) && lines[len(lines)-1]["event"] == "device.disabled"
	})
	logged := p.stderr.lines("audit")
	want = nil
	for _, line := range logged {
		want = append(want, line["event"].(string))
	}
	for _, name := range []string{
		"otp.generated", "otp.failed", "otp.verified", "otp.resent", "otp.revoked", "delivery.sent", "delivery.limited", "device.enrolled", "device.disabled", "challenge.issued", "challenge.completed",
		"login.succeeded", "token.refreshed", "token.reused", "token.revoked",
	} {
		if !slices.Contains(want, name) {
			t.Errorf("%s is not logged", name)
		}
	}
	awaitEvents(t, e, want)
	i := 0
	for _, post := range e.received() {
		for _, event := range post.Data.Events {
			line := logged[i]
			i++
			if event.ID != line["id"] || event.Namespace != "app" || event.RequestID != line["request_id"] || event.EventID == "" {
				t.Errorf("the event %+v is logged as %v", event, line)
			}
		}
		if post.path != "/events" || post.header.Get("Content-Type") != "application/json" {
			t.Errorf("posted to %s: %v", post.path, post.header)
		}
	}
	eventually(t, "the metrics", func() bool { return metricOf(t, p, "otpd_events_sent_total") == float64(len(want)) })
	if queued := metricOf(t, p, "otpd_events_queued"); queued != 0 {
		t.Errorf("%v events are queued", queued)
	}
	if status := p.end(t, syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// tokenEnv are variables for an otpd that issues tokens and sends events to a URL.
func tokenEnv(tb testing.TB, url string, more ...string) []string {
	tb.Helper()
	return slices.Concat(eventsTo(url), more, []string{
		keyVariable + "=" + newKey(tb), "OTP_JWT_PRIVATE_KEY_FILE=" + newFile(tb, newJWTKey(tb, "EdDSA")),
	})
}

func TestEventsWaitForTheirEndpoint(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := launch(t, tokenEnv(t, "http://127.0.0.1:"+port)...)
	c := newClient(t, p.addr, nil)
	want := loginEvents(t, c)
	p.logged(t, "events could not be sent, and will be tried again")
	want = append(want, loginEvents(t, c)...)
	if dropped := metricOf(t, p, `otpd_events_dropped_total{reason="full"}`); dropped != 0 {
		t.Errorf("%v events are dropped", dropped)
	}
	awaitEvents(t, startEndpoint(t, port, nil), want)
}

// TestEventsAreRepeated has an endpoint fail now and then.
func TestEventsAreRepeated(t *testing.T) {
	t.Parallel()
	failures := make(chan int, 2)
	failures <- http.StatusInternalServerError
	failures <- http.StatusTooManyRequests
	e := startEndpoint(t, "", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case status := <-failures:
			w.WriteHeader(status)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
	p := launch(t, tokenEnv(t, e.url)...)
	want := loginEvents(t, newClient(t, p.addr, nil))
	eventually(t, "two failures", func() bool { return len(failures) == 0 })
	eventually(t, "the events", func() bool { return metricOf(t, p, "otpd_events_sent_total") == float64(len(want)) })
	awaitEvents(t, e, want)
	if failed := metricOf(t, p, `otpd_events_posts_total{result="failed"}`); failed != 2 {
		t.Errorf("%v posts failed, want 2", failed)
	}
}

// TestEventsDoNotHoldUpRequests has an endpoint stall for as long as requests come.
func TestEventsDoNotHoldUpRequests(t *testing.T) {
	t.Parallel()
	begun, more := make(chan struct{}, 100), make(chan struct{})
	e := startEndpoint(t, "", func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		select {
		case <-more:
			w.WriteHeader(http.StatusOK)
		case <-r.Context().Done():
		}
	})
	p := launch(t, tokenEnv(t, e.url)...)
	c := newClient(t, p.addr, nil)
	want := []string{"otp.generated", "otp.failed", "otp.verified"}
	if err := c.verifyFlow(); err != nil {
		t.Fatal(err)
	}
	<-begun
	for range 50 {
		if err := c.verifyFlow(); err != nil {
			t.Fatal(err)
		}
		want = append(want, "otp.generated", "otp.failed", "otp.verified")
	}
	if queued := metricOf(t, p, "otpd_events_queued"); queued != float64(len(want)) {
		t.Errorf("%v events are queued, want %d", queued, len(want))
	}
	close(more)
	awaitEvents(t, e, want)
}

func TestShutdownSendsWhatIsQueued(t *testing.T) {
	t.Parallel()
	begun, more := make(chan struct{}, 100), make(chan struct{})
	e := startEndpoint(t, "", func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		select {
		case <-more:
			w.WriteHeader(http.StatusOK)
		case <-r.Context().Done():
		}
	})
	p := launch(t, tokenEnv(t, e.url, "OTP_SHUTDOWN_TIMEOUT=10m")...)
	c := newClient(t, p.addr, nil)
	want := loginEvents(t, c)
	<-begun
	want = append(want, loginEvents(t, c)...)
	p.signal(t, syscall.SIGTERM)
	p.logged(t, "shutting down")
	close(more)
	awaitEvents(t, e, want)
	if status := p.ended(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// TestShutdownLeavesEventsThatNobodyTakes ends otpd while its endpoint is down, or stalls.
func TestShutdownLeavesEventsThatNobodyTakes(t *testing.T) {
	t.Parallel()
	stalling := startEndpoint(t, "", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for name, url := range map[string]string{"down": "http://127.0.0.1:1", "stalls": stalling.url} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, tokenEnv(t, url, "OTP_SHUTDOWN_TIMEOUT=1s")...)
			want := loginEvents(t, newClient(t, p.addr, nil))
			if status := p.end(t, syscall.SIGTERM); status != 0 {
				t.Errorf("exit status %d: %s", status, p.stderr.String())
			}
			left := p.stderr.lines("events were not sent before the end")
			if len(left) != 1 || left[0]["count"] != float64(len(want)) {
				t.Errorf("logged %v, want %d events", left, len(want))
			}
		})
	}
}
