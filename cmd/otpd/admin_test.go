package main

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t))
	c, admin := newClient(t, p.addr, nil), newClient(t, p.admin, nil)
	if err := c.verifyFlow(); err != nil {
		t.Fatal(err)
	}
	const raw = "a-path-that-somebody-made-up"
	for _, path := range []string{"/" + raw, "/v1/otp/" + raw, "/readyz/" + raw, "/readyz?" + raw} {
		c.do(t, "", http.MethodGet, path, nil, nil)
	}
	c.do(t, "405 METHOD_NOT_ALLOWED", "X-"+strings.ToUpper(raw), "/readyz", nil, nil)

	text := string(admin.get(t, "200", "/metrics").body)
	for _, want := range []string{
		`otpd_otp_events_total{event="otp.generated"} 1`,
		`otpd_otp_events_total{event="otp.failed"} 1`,
		`otpd_otp_events_total{event="otp.verified"} 1`,
		`otpd_otp_events_total{event="otp.replayed"} 0`,
		`otpd_otp_events_total{event="otp.expired"} 0`,
		`otpd_otp_events_total{event="otp.exhausted"} 0`,
		`otpd_otp_events_total{event="otp.resent"} 0`,
		`otpd_otp_events_total{event="otp.revoked"} 0`,
		`otpd_otp_events_total{event="otp.throttled"} 0`,
		`otpd_http_requests_total{route="/v1/otp/generate",status="200"} 1`,
		`otpd_http_requests_total{route="/v1/otp/verify",status="200"} 1`,
		`otpd_http_requests_total{route="/v1/otp/verify",status="400"} 1`,
		`otpd_http_requests_total{route="unmatched",status="404"} 3`,
		`otpd_http_request_duration_seconds_bucket{route="/v1/otp/verify",le="5e-05"} `,
		`otpd_http_request_duration_seconds_bucket{route="/v1/otp/verify",le="1"} 2`,
		`otpd_http_request_duration_seconds_count{route="/v1/otp/verify"} 2`,
		`otpd_ledger_operations_total{operation="attempt"} 2`,
		`otpd_ledger_errors_total{operation="attempt"} 0`,
		`otpd_ledger_duration_seconds_count{operation="attempt"} 2`,
		`otpd_ledger_entries 1`,
		`otpd_ledger_max_entries 1e+06`,
		`otpd_build_info{`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no metric %s", want)
		}
	}
	if strings.Contains(strings.ToLower(text), raw) {
		t.Errorf("a metric holds what a client made up:\n%s", text)
	}
	routes := []string{"unmatched", "/v1/otp/generate", "/v1/otp/verify", "/readyz"}
	for _, match := range regexp.MustCompile(`route="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(routes, match[1]) {
			t.Errorf("route %q is not the pattern of one that was called", match[1])
		}
	}
}

func TestAdminListener(t *testing.T) {
	t.Parallel()
	key := keyVariable + "=" + newKey(t)
	t.Run("has metrics, no pprof and none of the API", func(t *testing.T) {
		t.Parallel()
		p := launch(t, key)
		admin := newClient(t, p.admin, nil)
		admin.get(t, "200", "/metrics")
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/v1/otp/generate", "/readyz"} {
			admin.get(t, "404 NOT_FOUND", path)
		}
		admin.do(t, "405 METHOD_NOT_ALLOWED", http.MethodPost, "/metrics", nil, nil)
		newClient(t, p.addr, nil).get(t, "404 NOT_FOUND", "/metrics")
	})
	t.Run("has pprof where it is asked for", func(t *testing.T) {
		t.Parallel()
		p := launch(t, key, "OTP_PPROF=true")
		admin := newClient(t, p.admin, nil)
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/symbol", "/debug/pprof/trace?seconds=0.01"} {
			admin.get(t, "200", path)
		}
		if line := admin.get(t, "", "/debug/pprof/cmdline"); line.StatusCode == http.StatusOK {
			t.Errorf("the command line is shown: %s", line)
		}
		newClient(t, p.addr, nil).get(t, "404 NOT_FOUND", "/debug/pprof/")
	})
	t.Run("is on a unix socket", func(t *testing.T) {
		t.Parallel()
		path := newSocketPath(t)
		launch(t, key, "OTP_ADMIN_ADDR=unix:"+path)
		newClient(t, path, nil).get(t, "200", "/metrics")
	})
	t.Run("is off", func(t *testing.T) {
		t.Parallel()
		p := launch(t, key, "OTP_ADMIN_ADDR=", "OTP_PPROF=true")
		if p.admin != "" {
			t.Errorf("it listens at %s", p.admin)
		}
		if n := listeningSockets(t, p); n != 1 {
			t.Errorf("%d sockets listen, want the one of the API", n)
		}
		newClient(t, p.addr, nil).get(t, "404 NOT_FOUND", "/metrics")
	})
}
