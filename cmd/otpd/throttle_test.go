package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"testing"
)

func (c *client) unlock(tb testing.TB, identifier string) {
	tb.Helper()
	c.post(tb, "200 unlocked", "/v1/identifiers/unlock", fields{"identifier": identifier})
}

// fail sends a wrong code for an identifier, which must be counted.
func (c *client) fail(tb testing.TB, identifier string) {
	tb.Helper()
	issued := c.post(tb, "200", "/v1/otp/generate", fields{"identifier": identifier})
	c.verify(tb, "400 INVALID_OTP", wrongCode, issued.Context)
}

func TestThrottleOverTheWire(t *testing.T) {
	t.Parallel()
	const user = "user@example.com"
	p := launch(t, keyVariable+"="+newKey(t), "OTP_THROTTLE_AFTER=1", "OTP_THROTTLE_FACTOR_SECONDS=1000", "OTP_THROTTLE_MAX_SECONDS=600")
	c := newClient(t, p.addr, nil)
	c.fail(t, user)
	c.fail(t, user)
	issued := c.generate(t)
	a := c.verify(t, "429 N_FAILED_ATTEMPTS", issued.OTP, issued.Context)
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || wait <= 500 || wait > 600 || !bytes.Contains(a.body, []byte(fmt.Sprintf(`"retry_after_seconds":%d`, wait))) {
		t.Errorf("Retry-After: %q in %s, want what is left of 600", a.Header.Get("Retry-After"), a)
	}
	c.unlock(t, user)
	c.verify(t, "200 verified", issued.OTP, issued.Context)
	c.post(t, "400 MISSING_FIELDS", "/v1/identifiers/unlock", fields{})
	c.do(t, "405 METHOD_NOT_ALLOWED", http.MethodGet, "/v1/identifiers/unlock", nil, nil)
	var throttled int
	for _, line := range p.stderr.lines("audit") {
		if line["event"] == "otp.throttled" && line["id"] == issued.ID {
			throttled++
		}
	}
	if throttled != 1 {
		t.Errorf("%d audit lines otp.throttled, want 1", throttled)
	}
}

func TestThrottleIsOff(t *testing.T) {
	t.Parallel()
	c := newClient(t, launch(t, keyVariable+"="+newKey(t), "OTP_THROTTLE_AFTER=0", "OTP_THROTTLE_FACTOR_SECONDS=0").addr, nil)
	for range 30 {
		c.fail(t, "user@example.com")
	}
	if err := c.verifyFlow(); err != nil {
		t.Error(err)
	}
}
