package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// secretive calls an otpd and remembers all that must not be in its output.
type secretive struct {
	*client
	secrets []string
}

func (s *secretive) post(tb testing.TB, want, op string, body fields) *answer {
	tb.Helper()
	a := s.do(tb, want, http.MethodPost, "/v1/otp/"+op, body, http.Header{
		"X-Otp-Client-Ip": {"2001:db8::7"}, "X-Otp-Client-User-Agent": {"Agent/1"}, "X-Request-Id": {"id-of-" + op},
	})
	for _, secret := range []string{a.OTP, a.Context} {
		if secret != "" {
			s.secrets = append(s.secrets, secret)
		}
	}
	return a
}

// TestNoSecretInOutput does all that a service goes through at the level that logs the most. Codes are
// long, so that none is found by chance among the digits of a time.
func TestNoSecretInOutput(t *testing.T) {
	t.Parallel()
	const (
		identifier = "someone-special@example.com"
		apiSecret  = "the-secret-of-an-app"
		otherAPI   = "the-secret-of-another"
		typed      = "typed-by-mistake"
		metadata   = "metadata-of-the-caller"
		binding    = "pay 100 to somebody"
		badKey     = "a-secret-that-is-none"
	)
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			key, fallback := newKey(t), newKey(t)
			keyFile := newFile(t, key+"\n"+fallback)
			p := start(t, command(t.Context(), nil, "OTP_LOG_LEVEL=debug", "OTP_LOG_FORMAT="+format,
				"OTP_SIGNING_KEY_FILE="+keyFile, "OTP_API_KEYS=app:"+apiSecret+",other:"+otherAPI,
				"OTP_DEFAULT_LENGTH=12", "OTP_DEFAULT_ALPHABET=alphanumeric", "OTP_RESEND_COOLDOWN_SECONDS=0",
				"OTP_THROTTLE_AFTER=1", "OTP_THROTTLE_FACTOR_SECONDS=1000", "OTP_MAX_RESENDS=1", "OTP_LISTEN_ADDR=unix:"+newSocketPath(t), "OTP_ADMIN_ADDR="))
			eventually(t, "listening", func() bool { return strings.Contains(p.stderr.String(), "listening") })

			s := &secretive{newClient(t, socketOf(p), nil), []string{
				identifier, apiSecret, otherAPI, typed, metadata, binding, badKey, key, fallback,
			}}
			s.secret = badKey
			s.post(t, "401 UNAUTHORIZED", "generate", fields{"identifier": identifier})
			s.secret = otherAPI
			foreign := s.post(t, "200", "generate", fields{"identifier": identifier})
			s.secret = apiSecret
			s.post(t, "400 INVALID_CONTEXT", "verify", fields{"otp": foreign.OTP, "context": foreign.Context})

			issued := s.post(t, "200", "generate", fields{
				"identifier": identifier, "metadata": metadata, "purpose": "login", "binding": binding,
			})
			s.post(t, "400 CONTEXT_MISMATCH", "verify", fields{"otp": typed, "context": issued.Context})
			body := fields{"otp": typed, "context": issued.Context, "identifier": identifier, "purpose": "login", "binding": binding}
			body["context"] = s.post(t, "400 INVALID_OTP", "verify", body).Context
			body["otp"] = issued.OTP
			s.post(t, "200 verified", "verify", body)
			s.post(t, "409 OTP_ALREADY_USED", "verify", body)

			first := s.post(t, "200", "generate", fields{"identifier": identifier, "max_retries": 1})
			second := s.post(t, "200", "resend", fields{"context": first.Context})
			s.post(t, "429 MAX_RESENDS_EXCEEDED", "resend", fields{"context": second.Context})
			s.post(t, "409 CONTEXT_SUPERSEDED", "verify", fields{"otp": first.OTP, "context": first.Context})
			spent := s.post(t, "400 INVALID_OTP", "verify", fields{"otp": typed, "context": second.Context})
			s.post(t, "429 MAX_RETRIES_EXCEEDED", "verify", fields{"otp": second.OTP, "context": spent.Context})

			revoked := s.post(t, "200", "generate", fields{"identifier": identifier})
			s.post(t, "200 revoked", "revoke", fields{"context": revoked.Context})
			s.post(t, "410 CONTEXT_REVOKED", "verify", fields{"otp": revoked.OTP, "context": revoked.Context})
			s.post(t, "200", "inspect", fields{"context": revoked.Context})

			locking := s.post(t, "200", "generate", fields{"identifier": identifier})
			s.post(t, "400 INVALID_OTP", "verify", fields{"otp": typed, "context": locking.Context})
			s.post(t, "429 N_FAILED_ATTEMPTS", "verify", fields{"otp": locking.OTP, "context": locking.Context})
			s.do(t, "200 unlocked", http.MethodPost, "/v1/identifiers/unlock", fields{"identifier": identifier}, nil)

			s.post(t, "400 INVALID_CONTEXT", "verify", fields{"otp": typed, "context": revoked.Context + "!!!!"})
			s.post(t, "400 INVALID_REQUEST", "verify", fields{"otp": 123456, "context": revoked.Context})
			s.post(t, "400 INVALID_REQUEST", "generate", fields{"identifier": identifier + "\x00"})
			s.post(t, "400 INVALID_REQUEST", "generate", fields{identifier: "a field by the wrong name"})
			s.do(t, "404 NOT_FOUND", http.MethodGet, "/"+identifier+"?otp="+issued.OTP, nil, nil)

			replaceFile(t, keyFile, key[:20])
			p.signal(t, syscall.SIGHUP)
			eventually(t, "not reloaded", func() bool { return strings.Contains(p.stderr.String(), "not reloaded") })
			if status := p.end(t, syscall.SIGTERM); status != 0 {
				t.Errorf("exit status %d", status)
			}

			s.secrets = append(s.secrets, key[:20])
			log := p.stdout.String() + p.stderr.String()
			for _, secret := range s.secrets {
				if strings.Contains(log, secret) {
					t.Errorf("the output holds %q", secret)
				}
			}
			if format == "json" {
				checkAudit(t, p)
			}
		})
	}
}

// socketOf returns the path of the socket that p was told to listen on.
func socketOf(p *process) string {
	for _, entry := range p.Env {
		if path, found := strings.CutPrefix(entry, "OTP_LISTEN_ADDR=unix:"); found {
			return path
		}
	}
	return ""
}

// checkAudit checks the log of TestNoSecretInOutput.
func checkAudit(t *testing.T, p *process) {
	t.Helper()
	for text := range strings.Lines(p.stderr.String()) {
		if !json.Valid([]byte(text)) {
			t.Errorf("a line of the log is not JSON: %q", text)
		}
	}
	audit := p.stderr.lines("audit")
	want := []string{
		"otp.generated", "otp.generated", "otp.failed", "otp.verified", "otp.replayed",
		"otp.generated", "otp.resent", "otp.replayed", "otp.failed", "otp.exhausted",
		"otp.generated", "otp.revoked", "otp.replayed",
		"otp.generated", "otp.failed", "otp.throttled",
	}
	if len(audit) != len(want) {
		t.Fatalf("%d audit lines, want %d", len(audit), len(want))
	}
	namespaces := map[bool]string{true: "other", false: "app"}
	for i, line := range audit {
		if line["event"] != want[i] {
			t.Errorf("audit line %d is %v, want %s", i+1, line["event"], want[i])
		}
		for _, field := range []string{"id", "identifier_hash"} {
			if text, _ := line[field].(string); len(text) != 22 {
				t.Errorf("%s: %s is %q, want 22 characters", want[i], field, text)
			}
		}
		if other := i == 0; other == (line["identifier_hash"] == audit[1]["identifier_hash"]) {
			t.Errorf("%s: one identifier has not one hash in each namespace", want[i])
		}
		for field, value := range map[string]any{
			"level": "INFO", "ip": "2001:db8::7", "user_agent": "Agent/1", "namespace": namespaces[i == 0],
		} {
			if line[field] != value {
				t.Errorf("%s: %s is %v, want %v", want[i], field, line[field], value)
			}
		}
		if id, _ := line["request_id"].(string); !strings.HasPrefix(id, "id-of-") {
			t.Errorf("%s: request_id is %q", want[i], id)
		}
	}
	// generated, failed, verified and replayed are of one verification, with a purpose.
	for i, retries := range map[int]float64{1: 0, 2: 1, 3: 1, 4: 1} {
		if line := audit[i]; line["retry_count"] != retries || line["purpose"] != "login" || line["id"] != audit[1]["id"] {
			t.Errorf("audit line %d: %v, want retry_count %v", i+1, line, retries)
		}
	}
	requests := p.stderr.lines("request")
	if len(requests) != 27 {
		t.Errorf("%d lines for 27 requests", len(requests))
	}
	for _, line := range requests {
		for _, field := range []string{"method", "route", "status", "duration", "request_id"} {
			if line[field] == nil || line["level"] != "DEBUG" {
				t.Errorf("a request's line lacks %s or is not at debug: %v", field, line)
			}
		}
	}
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t)) // at info
	newClient(t, p.addr, nil).generate(t)
	p.logged(t, "audit")
	if status := p.end(t, syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if lines := p.stderr.lines("request"); len(lines) != 0 {
		t.Errorf("at info, requests are logged: %v", lines)
	}
	if p.stdout.String() != "" {
		t.Errorf("stdout: %q", p.stdout.String())
	}
}
