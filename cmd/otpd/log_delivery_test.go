package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/emersion/go-smtp"
)

// indiscreet are peers of otpd that repeat what they are sent in all that they answer, and refuse it when told to.
type indiscreet struct {
	mail      *mailServer
	hook, sms *endpoint

	mu      sync.Mutex
	refuse  bool
	refused []mail
}

const (
	smtpPassword  = "the-password-of-the-mail-server"
	wrongPassword = "a-password-that-is-wrong"
	gatewaySecret = "the-password-of-the-gateway"
)

func newIndiscreet(tb testing.TB) *indiscreet {
	p := &indiscreet{mail: newMailServer(tb)}
	p.mail.password, p.mail.judge = smtpPassword, func(m mail) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.refuse {
			return nil
		}
		p.refused = append(p.refused, m)
		status := []int{550, 451}[len(p.refused)%2]
		return &smtp.SMTPError{Code: status, Message: "not to " + m.to + " the code " + m.code()}
	}
	p.mail.serve(tb)
	repeat := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		refuse := p.refuse
		p.mu.Unlock()
		w.Header().Set("Location", "http://127.0.0.1:1/"+strings.Map(func(r rune) rune {
			if r > ' ' && r <= '~' {
				return r
			}
			return -1
		}, string(body)))
		if refuse {
			w.WriteHeader(http.StatusFound)
		}
		_, _ = w.Write(body)
	}
	p.hook, p.sms = startEndpoint(tb, "", repeat), startEndpoint(tb, "", repeat)
	return p
}

func (p *indiscreet) refusing(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// codes returns those that were sent, so far, over a channel. All of them were, whether or not they were refused.
func (p *indiscreet) codes(channel string) (codes []string) {
	switch channel {
	case "email":
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, m := range append(p.mail.taken(), p.refused...) {
			codes = append(codes, m.code())
		}
	case "webhook":
		for _, post := range p.hook.received() {
			codes = append(codes, post.Data.Code)
		}
	case "sms":
		for _, post := range p.sms.received() {
			code, _, _ := strings.Cut(string(post.body), " ")
			codes = append(codes, code)
		}
	}
	return codes
}

func (p *indiscreet) variables(tb testing.TB, urlFile string) []string {
	tb.Helper()
	gateway, err := json.Marshal(fields{
		"url": p.sms.url + "/" + gatewaySecret + "/{{to_digits}}", "body": "{{text}}",
		"headers": fields{"Content-Type": "text/plain", "Authorization": "Bearer " + gatewaySecret},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return []string{
		"OTP_SMTP_URL_FILE=" + urlFile, "OTP_MAIL_FROM=otpd@example.com",
		"OTP_DELIVERY_WEBHOOK_URL=" + p.hook.url, "OTP_DELIVERY_WEBHOOK_SECRETS=" + webhookSecret,
		"OTP_SMS_GATEWAY_FILE=" + newFile(tb, string(gateway)),
	}
}

// TestNoSecretInOutputOfDeliveries does all that deliveries and tokens go through at the level that logs the most,
// with peers that repeat what they know. Codes are long, so that none is found by chance.
func TestNoSecretInOutputOfDeliveries(t *testing.T) {
	t.Parallel()
	const (
		person   = "someone-special"
		number   = "17098765"
		page     = "a-page-of-the-shop"
		variable = "a-word-for-the-template"
		metadata = "metadata-of-the-caller"
		idemKey  = "a-key-of-the-caller"
	)
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			peers, events := newIndiscreet(t), startEndpoint(t, "", nil)
			mailURL := func(password string) string {
				return "smtp://otpd:" + password + "@" + peers.mail.addr + "?tls=none&auth=plain"
			}
			urlFile, key, jwtKey, eventsSecret := newFile(t, mailURL(smtpPassword)), newKey(t), newJWTKey(t, "EdDSA"), "whsec_"+newSecret(t)
			socket, admin := newSocketPath(t), newSocketPath(t)
			p := start(t, command(t.Context(), nil, slices.Concat(peers.variables(t, urlFile), []string{
				"OTP_LOG_LEVEL=debug", "OTP_LOG_FORMAT=" + format, keyVariable + "=" + key, "OTP_API_KEYS=app:" + appSecret,
				"OTP_DEFAULT_LENGTH=12", "OTP_DEFAULT_ALPHABET=alphanumeric", longest, "OTP_LISTEN_ADDR=unix:" + socket,
				"OTP_ADMIN_ADDR=unix:" + admin, "OTP_JWT_PRIVATE_KEY_FILE=" + newFile(t, jwtKey), "OTP_RESEND_COOLDOWN_SECONDS=0",
				"OTP_EVENTS_URL=" + events.url + "/" + page, "OTP_EVENTS_SECRETS=" + eventsSecret, "OTP_SMS_BUDGET=20",
			})...))
			eventually(t, "listening", func() bool { return strings.Contains(p.stderr.String(), "listening") })
			c := newClient(t, socket, nil)
			c.secret = appSecret
			secrets := []string{
				person, number, page, variable, metadata, idemKey, smtpPassword, wrongPassword, gatewaySecret, appSecret, key,
				webhookSecret, webhookSecret[6:], eventsSecret, eventsSecret[6:], strings.Split(jwtKey, "\n")[1],
			}
			var failures []string // answers to what failed, whose caller may know no more than before
			do := func(want, path string, body fields) *answer {
				t.Helper()
				a := c.do(t, want, http.MethodPost, path, body, http.Header{"X-Otp-Client-Ip": {"2001:db8::7"}})
				for _, secret := range []string{a.Context, a.AccessToken, a.RefreshToken} {
					if secret != "" {
						secrets = append(secrets, secret)
					}
				}
				return a
			}
			sends := 0
			to := func(channel string) string {
				if channel == "sms" {
					return fmt.Sprintf("+49 %s%03d", number, sends)
				}
				return fmt.Sprintf("%s-%d@example.com", person, sends)
			}
			send := func(want, channel string, more fields) *answer {
				t.Helper()
				sends++
				body := fields{
					"channel": channel, "to": to(channel), "metadata": metadata, "variables": fields{"app": variable},
					"source_url": "https://shop.example.com/" + page + "?utm_source=" + page,
				}
				for name, value := range more {
					body[name] = value
				}
				a := do(want, "/v1/otp/send", body)
				if a.StatusCode != http.StatusOK {
					failures = append(failures, string(a.body))
				}
				return a
			}
			for _, channel := range []string{"email", "webhook", "sms"} {
				sent := send("200", channel, nil)
				codes := peers.codes(channel)
				wrong := do("400 INVALID_OTP", "/v1/otp/verify", fields{"otp": wrongCode, "context": sent.Context})
				in := do("200 verified", "/v1/otp/verify", fields{"otp": codes[len(codes)-1], "context": wrong.Context, "issue": "tokens"})
				next := do("200", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
				do("200", "/v1/tokens/introspect", fields{"token": next.AccessToken})
				do("409 REFRESH_TOKEN_REUSED", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
				do("200 revoked", "/v1/tokens/revoke", fields{"token": next.RefreshToken})
				do("400 INVALID_REFRESH_TOKEN", "/v1/tokens/refresh", fields{"refresh_token": next.AccessToken + "x"})
				do("200", "/v1/otp/resend", fields{"context": send("200", channel, nil).Context})
				send("429 SEND_LIMIT_EXCEEDED", channel, fields{"to": to(channel)}) // the one before
				send("200", channel, fields{"decoy": true})
				send("400 INVALID_REQUEST", channel, fields{"to": person + "\r\nBcc: x"})
				send("400 INVALID_REQUEST", channel, fields{"variables": fields{"code": variable}})

				peers.refusing(true)
				for range 2 {
					if a := send("", channel, fields{"fallback": []string{channel}}); a.StatusCode == http.StatusOK {
						t.Errorf("what is refused is answered %s", a)
					}
				}
				peers.refusing(false)
			}
			header := http.Header{"Idempotency-Key": {idemKey}}
			for range 2 {
				a := c.do(t, "200", http.MethodPost, "/v1/otp/send", fields{"channel": "email", "to": person + "@example.com"}, header)
				secrets = append(secrets, a.Context)
			}
			replaceFile(t, urlFile, mailURL(wrongPassword))
			p.signal(t, syscall.SIGHUP)
			eventually(t, "a mail server that refuses the password", func() bool { return send("", "email", nil).StatusCode == http.StatusBadGateway })
			replaceFile(t, urlFile, wrongPassword)
			p.signal(t, syscall.SIGHUP)
			eventually(t, "not reloaded", func() bool { return strings.Contains(p.stderr.String(), "not reloaded") })
			metrics := string(newClient(t, admin, nil).get(t, "200", "/metrics").body)
			if status := p.end(t, syscall.SIGTERM); status != 0 {
				t.Errorf("exit status %d", status)
			}
			if strings.Contains(p.stderr.String(), "events were not sent") {
				t.Error("there are events that did not come")
			}

			for _, channel := range []string{"email", "webhook", "sms"} {
				codes := peers.codes(channel)
				if len(codes) < 4 {
					t.Errorf("over %s, %d codes were sent", channel, len(codes))
				}
				for _, code := range codes {
					if len(code) != 12 {
						t.Fatalf("%q over %s is no code", code, channel)
					}
				}
				secrets = append(secrets, codes...)
			}
			places := map[string]string{"output": p.stdout.String() + p.stderr.String(), "metrics": metrics, "failures": strings.Join(failures, "\n")}
			for _, post := range events.received() {
				if !post.signedWith(t, eventsSecret) {
					t.Error("a webhook is not signed")
				}
				places["events"] += string(post.body)
			}
			for _, want := range []string{"delivery.sent", "delivery.failed", "delivery.limited", "login.succeeded", "token.reused", "token.revoked"} {
				if !strings.Contains(places["events"], want) || !strings.Contains(places["output"], want) {
					t.Errorf("nothing is said of %s", want)
				}
			}
			for place, text := range places {
				for _, secret := range secrets {
					if strings.Contains(text, secret) {
						t.Errorf("the %s hold %q: %s", place, secret, lineWith(text, secret))
					}
				}
			}
			for text := range strings.Lines(p.stderr.String()) {
				if format == "json" && !json.Valid([]byte(text)) {
					t.Errorf("a line of the log is not JSON: %q", text)
				}
			}
		})
	}
}

// lineWith returns the first line of a text that holds a part.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}
