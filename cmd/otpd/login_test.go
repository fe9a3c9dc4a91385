package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"syscall"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// loginRig is what a passwordless login needs beside otpd.
type loginRig struct {
	mail  *mailServer
	hook  *endpoint
	users int
}

const (
	appSecret   = "the-secret-of-an-app"
	otherSecret = "the-secret-of-another"
)

func newLoginRig(tb testing.TB) *loginRig {
	tb.Helper()
	cert := newCertificate(tb, "localhost")
	r := &loginRig{mail: newMailServer(tb), hook: startEndpoint(tb, "", nil)}
	r.mail.cert, r.mail.password = &cert, "the-password-of-the-mail-server"
	r.mail.serve(tb)
	return r
}

// variables have otpd deliver to r's peers, as an operator would have it: mail by STARTTLS, with a password.
func (r *loginRig) variables(tb testing.TB) []string {
	tb.Helper()
	cert, _ := r.mail.cert.files(tb)
	return []string{
		"SSL_CERT_FILE=" + cert, "OTP_SMTP_URL=smtp://otpd:" + r.mail.password + "@" + r.mail.addr,
		"OTP_MAIL_FROM=Shop <no-reply@example.com>",
		"OTP_DELIVERY_WEBHOOK_URL=" + r.hook.url + "/otpd", "OTP_DELIVERY_WEBHOOK_SECRETS=" + webhookSecret,
		"OTP_API_KEYS=app:" + appSecret + ",other:" + otherSecret,
		"OTP_JWT_ISSUER=https://login.example.com", "OTP_JWT_AUDIENCE=https://api.example.com", "OTP_DELIVERY_TIMEOUT=8s",
		"OTP_RESEND_COOLDOWN_SECONDS=0",
	}
}

// newUser returns an address that nothing was sent to.
func (r *loginRig) newUser() string {
	r.users++
	return fmt.Sprintf("user-%d@example.com", r.users)
}

// verified returns the claims of an access token that is signed with one of a set of keys.
func verified(tb testing.TB, jwks []byte, token string) (claims map[string]any) {
	tb.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		tb.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256})
	if err != nil {
		tb.Fatal(err)
	}
	keys := set.Key(signed.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		tb.Fatalf("%d keys of that id in %s", len(keys), jwks)
	}
	payload, err := signed.Verify(keys[0])
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		tb.Fatal(err)
	}
	return claims
}

// checkClaims checks what an access token says of a login by a code.
func checkClaims(tb testing.TB, claims map[string]any, subject string) {
	tb.Helper()
	for name, want := range map[string]any{
		"iss": "https://login.example.com", "aud": "https://api.example.com", "sub": subject, "client_id": "app", "purpose": "login",
	} {
		if claims[name] != want {
			tb.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life != 900 || claims["nbf"] != claims["iat"] {
		tb.Errorf("the token lives for %v s: %v", life, claims)
	}
	if methods, _ := claims["amr"].([]any); !slices.Equal(methods, []any{"otp"}) {
		tb.Errorf("amr is %v", claims["amr"])
	}
}

// login goes through a login from its first request to the logout. Each request goes to whatever next returns.
func (r *loginRig) login(tb testing.TB, next func() *client, channel string) {
	tb.Helper()
	to := r.newUser()
	send := fields{"channel": channel, "to": to, "identifier": "user-of-" + channel, "purpose": "login", "metadata": fields{"cart": 7}}
	sent := next().post(tb, "200", "/v1/otp/send", send)
	if sent.OTP != "" || sent.Channel != channel || sent.ToMasked != "u•••@example.com" || sent.DeliveryID == "" {
		tb.Errorf("sent: %s", sent)
	}
	code := func() string {
		tb.Helper()
		if channel == "email" {
			return r.mail.codeFor(tb, to)
		}
		return r.hook.codeFor(tb, to, webhookSecret)
	}
	answer := fields{"otp": wrongCode, "context": sent.Context, "purpose": "login", "issue": "tokens"}
	if wrong := next().post(tb, "400 INVALID_OTP", "/v1/otp/verify", answer); wrong.AccessToken+wrong.RefreshToken != "" {
		tb.Errorf("tokens for a wrong code: %s", wrong)
	}
	answer["otp"] = code()
	in := next().post(tb, "200 verified", "/v1/otp/verify", answer)
	if in.TokenType != "Bearer" || in.ExpiresIn != 900 || !bytes.Contains(in.body, []byte(`"cart":7`)) {
		tb.Errorf("logged in: %s", in)
	}
	if again := next().post(tb, "409 OTP_ALREADY_USED", "/v1/otp/verify", answer); again.AccessToken != "" {
		tb.Errorf("tokens for a code that was used: %s", again)
	}

	anyone := next()
	anyone.secret = ""
	claims := verified(tb, anyone.get(tb, "200", "/.well-known/jwks.json").body, in.AccessToken)
	checkClaims(tb, claims, "user-of-"+channel)

	// active asks whether a token is good.
	active := func(want bool, secret, token string) {
		tb.Helper()
		c := next()
		c.secret = secret
		if a := c.post(tb, "200", "/v1/tokens/introspect", fields{"token": token}); a.Active != want {
			tb.Errorf("introspected: %s, want %v", a, want)
		}
	}
	active(true, appSecret, in.AccessToken)
	active(true, appSecret, in.RefreshToken)
	active(false, otherSecret, in.AccessToken)
	active(false, otherSecret, in.RefreshToken)
	c := next()
	c.secret = otherSecret
	c.post(tb, "400 INVALID_REFRESH_TOKEN", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})

	refreshed := next().post(tb, "200", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
	later := verified(tb, next().get(tb, "200", "/.well-known/jwks.json").body, refreshed.AccessToken)
	checkClaims(tb, later, "user-of-"+channel)
	if later["auth_time"] != claims["auth_time"] || later["sid"] != claims["sid"] || later["jti"] == claims["jti"] {
		tb.Errorf("the first token says %v, and the next %v", claims, later)
	}
	active(false, appSecret, in.RefreshToken)
	active(true, appSecret, in.AccessToken)

	next().post(tb, "200 revoked", "/v1/tokens/revoke", fields{"token": refreshed.RefreshToken})
	for _, token := range []string{in.AccessToken, in.RefreshToken, refreshed.AccessToken, refreshed.RefreshToken} {
		active(false, appSecret, token)
	}
	next().post(tb, "400 INVALID_REFRESH_TOKEN", "/v1/tokens/refresh", fields{"refresh_token": refreshed.RefreshToken})
}

// reuse has a refresh token come twice, which ends its family.
func (r *loginRig) reuse(tb testing.TB, next func() *client) {
	tb.Helper()
	to := r.newUser()
	sent := next().post(tb, "200", "/v1/otp/send", fields{"channel": "webhook", "to": to})
	code := r.hook.codeFor(tb, to, webhookSecret)
	in := next().post(tb, "200 verified", "/v1/otp/verify", fields{"otp": code, "context": sent.Context, "issue": "tokens"})
	newest := next().post(tb, "200", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
	next().post(tb, "409 REFRESH_TOKEN_REUSED", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
	next().post(tb, "400 INVALID_REFRESH_TOKEN", "/v1/tokens/refresh", fields{"refresh_token": newest.RefreshToken})
}

// resend has a code sent again, over the fallback, and leaves the older one dead.
func (r *loginRig) resend(tb testing.TB, next func() *client) {
	tb.Helper()
	to := r.newUser()
	sent := next().post(tb, "200", "/v1/otp/send", fields{"channel": "email", "to": to, "fallback": []string{"webhook"}})
	old := r.mail.codeFor(tb, to)
	next().post(tb, "429 SEND_LIMIT_EXCEEDED", "/v1/otp/send", fields{"channel": "email", "to": to})
	again := next().post(tb, "200", "/v1/otp/resend", fields{"context": sent.Context})
	if again.OTP != "" || again.Channel != "webhook" || again.ID != sent.ID {
		tb.Errorf("sent again: %s", again)
	}
	next().verify(tb, "409 CONTEXT_SUPERSEDED", old, sent.Context)
	next().verify(tb, "200 verified", r.hook.codeFor(tb, to, webhookSecret), again.Context)
}

// once sends two requests with one Idempotency-Key, of which one has an effect.
func (r *loginRig) once(tb testing.TB, next func() *client) {
	tb.Helper()
	to := r.newUser()
	key := http.Header{"Idempotency-Key": {"key-for-" + to}}
	request := fields{"channel": "email", "to": to}
	sent := next().do(tb, "200", http.MethodPost, "/v1/otp/send", request, key)
	again := next().do(tb, "200", http.MethodPost, "/v1/otp/send", request, key)
	if !bytes.Equal(sent.body, again.body) {
		tb.Errorf("one request has two answers: %s and %s", sent, again)
	}
	mails := slices.DeleteFunc(r.mail.taken(), func(m mail) bool { return m.to != to })
	if len(mails) != 1 {
		tb.Errorf("%d mails were sent", len(mails))
	}
	request["purpose"] = "payment"
	next().do(tb, "422 IDEMPOTENCY_KEY_REUSED", http.MethodPost, "/v1/otp/send", request, key)
	next().verify(tb, "200 verified", r.mail.codeFor(tb, to), again.Context)
}

// TestLogin goes through logins over the wire, with one process, with two that share a Redis, and with a new process
// after each request, the old one killed.
func TestLogin(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"memory", "two replicas", "killed after each request"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLoginRig(t)
			env := append(r.variables(t), keyVariable+"="+newKey(t), "OTP_JWT_PRIVATE_KEY_FILE="+newFile(t, newJWTKey(t, "EdDSA")))
			if name != "memory" {
				env = append(env, startedRedis(t).variable(), patient)
			}
			processes := []*process{launchBuilt(t, env...)}
			if name == "two replicas" {
				processes = append(processes, launchBuilt(t, env...))
			}
			turn := 0
			next := func() *client {
				if turn++; turn > 1 && name == "killed after each request" {
					processes[0].end(t, syscall.SIGKILL)
					processes[0] = launchBuilt(t, env...)
				}
				c := newClient(t, processes[turn%len(processes)].addr, nil)
				c.secret = appSecret
				return c
			}
			r.login(t, next, "email")
			r.login(t, next, "webhook")
			r.reuse(t, next)
			r.resend(t, next)
			r.once(t, next)
			for _, p := range processes {
				if status := p.end(t, syscall.SIGTERM); status != 0 {
					t.Errorf("exit status %d: %s", status, p.stderr.String())
				}
			}
		})
	}
}

// TestLoginWithTwoFactors completes a challenge with a code after a password, for tokens that say so.
func TestLoginWithTwoFactors(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"EdDSA", "ES256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			p := launch(t, keyVariable+"="+newKey(t), "OTP_JWT_PRIVATE_KEY_FILE="+newFile(t, newJWTKey(t, algorithm)))
			c := newClient(t, p.addr, nil)
			issued := c.generate(t)
			login := c.post(t, "200", "/v1/challenges", fields{"identifier": "user@example.com", "methods": []string{"pwd"}})
			in := c.post(t, "200 verified", "/v1/challenges/verify", fields{
				"challenge": login.Challenge, "context": issued.Context, "otp": issued.OTP, "issue": "tokens",
			})
			claims := verified(t, c.get(t, "200", "/.well-known/jwks.json").body, in.AccessToken)
			if methods, _ := claims["amr"].([]any); !slices.Equal(methods, []any{"pwd", "otp", "mfa"}) {
				t.Errorf("amr is %v", claims["amr"])
			}
			if claims["sub"] != "user@example.com" || claims["iss"] != "otpd" || claims["aud"] != "otpd" || claims["client_id"] != nil {
				t.Errorf("claims: %v", claims)
			}
			c.post(t, "200", "/v1/tokens/refresh", fields{"refresh_token": in.RefreshToken})
		})
	}
}

// TestWithoutTokensAndChannels has everything that is not set up say so, and consume nothing.
func TestWithoutTokensAndChannels(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t))
	c := newClient(t, p.addr, nil)
	issued := c.generate(t)
	c.post(t, "409 TOKENS_DISABLED", "/v1/otp/verify", fields{"otp": issued.OTP, "context": issued.Context, "issue": "tokens"})
	c.verify(t, "200 verified", issued.OTP, issued.Context)
	for path, body := range map[string]fields{
		"/v1/tokens/refresh": {"refresh_token": "x"}, "/v1/tokens/introspect": {"token": "x"}, "/v1/tokens/revoke": {"token": "x"},
	} {
		c.post(t, "409 TOKENS_DISABLED", path, body)
	}
	if set := c.get(t, "200", "/.well-known/jwks.json"); string(set.body) != `{"keys":[]}` {
		t.Errorf("the keys: %s", set)
	}
	for _, channel := range []string{"email", "sms", "webhook", "console"} {
		c.post(t, "400 CHANNEL_NOT_CONFIGURED", "/v1/otp/send", fields{"channel": channel, "to": "+4915123456789"})
	}
	c.post(t, "400 INVALID_REQUEST", "/v1/otp/send", fields{"channel": "pigeon", "to": "you@example.com"})
}

// TestDevDeliversOnTheConsole looks for a code in the output of otpd dev.
func TestDevDeliversOnTheConsole(t *testing.T) {
	t.Parallel()
	p := launchDev(t)
	var addr []string
	eventually(t, "an address in the log", func() bool {
		addr = regexp.MustCompile(` addr=(\S+) `).FindStringSubmatch(p.stderr.String())
		return addr != nil
	})
	c := newClient(t, addr[1], nil)
	sent := c.post(t, "200", "/v1/otp/send", fields{"channel": "console", "to": "you@example.com", "locale": "de"})
	var said []string
	eventually(t, "a code on the console", func() bool {
		said = codeOnConsole.FindStringSubmatch(p.stdout.String())
		return said != nil
	})
	c.verify(t, "200 verified", said[1], sent.Context)
}
