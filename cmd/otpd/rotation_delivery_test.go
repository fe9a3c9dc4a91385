package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// recipients are addresses that nothing was sent to.
type recipients int

func (r *recipients) next() string {
	*r++
	return fmt.Sprintf("user-%d@example.com", *r)
}

// lastRefusal returns why something was not reloaded.
func lastRefusal(p *process) string {
	lines := p.stderr.lines("not reloaded, the old one stays")
	if len(lines) == 0 {
		return ""
	}
	return fmt.Sprint(lines[len(lines)-1])
}

func TestMailServerIsReloaded(t *testing.T) {
	t.Parallel()
	const first, second, wrong = "the-first-password", "the-second-password", "the-wrong-password"
	m := startMailServer(t)
	address := func(password string) string { return "smtp://otpd:" + password + "@" + m.addr + "?tls=none&auth=plain" }
	m.use(first, nil)
	file := newFile(t, address(first)+"\n")
	templates := t.TempDir()
	p := launch(t, keyVariable+"="+newKey(t), "OTP_SMTP_URL_FILE="+file, "OTP_MAIL_FROM=otpd@example.com", longest, "OTP_TEMPLATE_DIR="+templates)
	c := newClient(t, p.addr, nil)
	var to recipients
	sends := func(want string) {
		t.Helper()
		recipient := to.next()
		if a := c.sendMail(t, want, recipient); want == "200" {
			c.verify(t, "200 verified", m.codeFor(t, recipient), a.Context)
		}
	}
	sends("200")

	// A new password takes effect, for connections that are kept too, and whatever has become of the templates.
	replaceFile(t, filepath.Join(templates, "code.en.txt"), "{{broken")
	m.use(second, nil)
	replaceFile(t, file, address(second))
	hangUp(t, p)
	if said := lastRefusal(p); said != "" {
		t.Errorf("not reloaded: %s", said)
	}
	sends("200")

	// A file that is of no use is logged, and what was set up before goes on.
	for _, bad := range []string{"", "# nothing\n", wrong, "smtp://otpd:" + wrong + "@mail.example.com?tls=none", address(wrong) + "\n" + address(wrong)} {
		replaceFile(t, file, bad)
		hangUp(t, p)
		if said := lastRefusal(p); !strings.Contains(said, "OTP_SMTP_URL_FILE") {
			t.Errorf("%q is refused as %s", bad, said)
		}
		sends("200")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	hangUp(t, p)
	sends("200")

	// A wrong password is for the mail server to refuse. The right one is noticed without a hangup.
	replaceFile(t, file, address(wrong))
	hangUp(t, p)
	refused := c.sendMail(t, "502 DELIVERY_FAILED", to.next())
	if !bytes.Contains(refused.body, []byte("refused the credentials (535 5.7.8)")) {
		t.Errorf("a wrong password is answered %s", refused)
	}
	replaceFile(t, file, address(second))
	eventually(t, "the change of the file", func() bool {
		a, err := c.send(http.MethodPost, "/v1/otp/send", fields{"channel": "email", "to": to.next()}, nil)
		return err == nil && a.StatusCode == http.StatusOK
	})
	if status := p.end(t, syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	for _, password := range []string{first, second, wrong} {
		if strings.Contains(p.stdout.String()+p.stderr.String()+string(refused.body), password) {
			t.Errorf("%s is in the output:\n%s", password, p.stderr.String())
		}
	}
}

func TestWebhookSecretsRotate(t *testing.T) {
	t.Parallel()
	var to recipients
	for prefix, send := range map[string]func(*testing.T, *client){
		"OTP_DELIVERY_WEBHOOK": func(t *testing.T, c *client) {
			c.post(t, "200", "/v1/otp/send", fields{"channel": "webhook", "to": to.next()})
		},
		"OTP_EVENTS": func(t *testing.T, c *client) { c.generate(t) },
	} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			first, second := "whsec_"+newSecret(t), "whsec_"+newSecret(t)
			e := startEndpoint(t, "", nil)
			file := newFile(t, first)
			p := launch(t, keyVariable+"="+newKey(t), prefix+"_URL="+e.url, prefix+"_SECRETS_FILE="+file, longest)
			c := newClient(t, p.addr, nil)
			signedWith := func(byFirst, bySecond bool) {
				t.Helper()
				before := len(e.received())
				send(t, c)
				eventually(t, "a message", func() bool { return len(e.received()) > before })
				last := e.received()[len(e.received())-1]
				if last.signedWith(t, first) != byFirst || last.signedWith(t, second) != bySecond {
					t.Errorf("signatures: %s", last.header.Get("webhook-signature"))
				}
			}
			signedWith(true, false)
			replaceFile(t, file, second+"\n"+first+"\n")
			hangUp(t, p)
			signedWith(true, true)
			for _, bad := range []string{"", "whsec_", first[:20], second + "\n" + first[:20]} {
				replaceFile(t, file, bad)
				hangUp(t, p)
				if said := lastRefusal(p); !strings.Contains(said, prefix+"_SECRETS_FILE") || strings.Contains(said, first[:20]) {
					t.Errorf("%q is refused as %s", bad, said)
				}
				signedWith(true, true)
			}
			replaceFile(t, file, second)
			hangUp(t, p)
			signedWith(false, true)
		})
	}
}

func TestSMSGatewayIsReloaded(t *testing.T) {
	t.Parallel()
	first, second := startEndpoint(t, "", nil), startEndpoint(t, "", nil)
	gateway := func(e *endpoint) string {
		return fmt.Sprintf(`{"url": "%s/{{to_digits}}", "method": "PUT", "headers": {"Content-Type": "text/plain"}, "body": "{{text}}"}`, e.url)
	}
	file := newFile(t, gateway(first))
	p := launch(t, keyVariable+"="+newKey(t), "OTP_SMS_GATEWAY_FILE="+file, longest)
	c := newClient(t, p.addr, nil)
	sends := func(number string, e *endpoint) {
		t.Helper()
		sent := c.post(t, "200", "/v1/otp/send", fields{"channel": "sms", "to": "+" + number})
		last := e.received()[len(e.received())-1]
		code, _, _ := strings.Cut(string(last.body), " ")
		if last.path != "/"+number {
			t.Errorf("asked for %s", last.path)
		}
		c.verify(t, "200 verified", code, sent.Context)
	}
	sends("4915123456781", first)
	replaceFile(t, file, gateway(second))
	hangUp(t, p)
	sends("4915123456782", second)
	for _, bad := range []string{"", "{}", `{"url": "http://sms.example.com"}`} {
		replaceFile(t, file, bad)
		hangUp(t, p)
		if said := lastRefusal(p); !strings.Contains(said, "OTP_SMS_GATEWAY_FILE") {
			t.Errorf("%q is refused as %s", bad, said)
		}
	}
	sends("4915123456783", second)
}

func TestTwilioTokenIsReloaded(t *testing.T) {
	t.Parallel()
	const first, second = "the-first-token", "the-second-token"
	e := startEndpoint(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"sid": "SM0123456789abcdef0123456789abcdef", "status": "queued"}`))
	})
	file := newFile(t, first)
	p := launch(t, keyVariable+"="+newKey(t), "OTP_TWILIO_ACCOUNT_SID="+twilioSID, "OTP_TWILIO_AUTH_TOKEN_FILE="+file,
		"OTP_TWILIO_FROM=+15005550006", "OTP_TWILIO_BASE_URL="+e.url, "OTP_WEBOTP_ORIGIN=https://login.example.com", longest)
	c := newClient(t, p.addr, nil)
	sends := func(number, token string) {
		t.Helper()
		sent := c.post(t, "200", "/v1/otp/send", fields{"channel": "sms", "to": number})
		last := e.received()[len(e.received())-1]
		request := http.Request{Header: last.header}
		if user, password, _ := request.BasicAuth(); user != twilioSID || password != token {
			t.Errorf("authenticated as %s with %s", user, password)
		}
		form, err := url.ParseQuery(string(last.body))
		if err != nil || form.Get("To") != number || form.Get("From") != "+15005550006" || last.path != "/2010-04-01/Accounts/"+twilioSID+"/Messages.json" {
			t.Errorf("%s was sent %s", last.path, last.body)
		}
		code, _, _ := strings.Cut(form.Get("Body"), " ")
		if !strings.HasSuffix(form.Get("Body"), "\n@login.example.com #"+code) {
			t.Errorf("the text is %q", form.Get("Body"))
		}
		c.verify(t, "200 verified", code, sent.Context)
	}
	sends("+4915123456781", first)
	replaceFile(t, file, second)
	hangUp(t, p)
	sends("+4915123456782", second)
	replaceFile(t, file, "two words")
	hangUp(t, p)
	if said := lastRefusal(p); !strings.Contains(said, "OTP_TWILIO_AUTH_TOKEN_FILE") || strings.Contains(said, "two words") {
		t.Errorf("refused as %s", said)
	}
	sends("+4915123456783", second)
}

// keyIDs returns the ids of the published keys, in their order.
func keyIDs(tb testing.TB, c *client) (ids []string) {
	tb.Helper()
	var set struct {
		Keys []struct{ Kid, D string }
	}
	if err := json.Unmarshal(c.get(tb, "200", "/.well-known/jwks.json").body, &set); err != nil {
		tb.Fatal(err)
	}
	for _, key := range set.Keys {
		if key.D != "" {
			tb.Error("a private key is published")
		}
		ids = append(ids, key.Kid)
	}
	return ids
}

// TestJWTKeysRotate goes through the change of a key as an operator does it who lets no verifier meet a token with a
// key that it does not know.
func TestJWTKeysRotate(t *testing.T) {
	t.Parallel()
	first, second := newJWTKey(t, "EdDSA"), newJWTKey(t, "ES256")
	file := newFile(t, first)
	p := launch(t, keyVariable+"="+newKey(t), "OTP_JWT_PRIVATE_KEY_FILE="+file)
	c := newClient(t, p.addr, nil)
	logIn := func() *answer {
		t.Helper()
		issued := c.generate(t)
		return c.post(t, "200 verified", "/v1/otp/verify", fields{"otp": issued.OTP, "context": issued.Context, "issue": "tokens"})
	}
	active := func(want bool, tokens ...string) {
		t.Helper()
		for _, token := range tokens {
			if a := c.post(t, "200", "/v1/tokens/introspect", fields{"token": token}); a.Active != want {
				t.Errorf("introspected: %s, want %v", a, want)
			}
		}
	}
	signedBy := func(id, token string) {
		t.Helper()
		keys := c.get(t, "200", "/.well-known/jwks.json").body
		verified(t, keys, token)
		var one struct {
			Keys []map[string]any `json:"keys"`
		}
		if err := json.Unmarshal(keys, &one); err != nil {
			t.Fatal(err)
		}
		one.Keys = slices.DeleteFunc(one.Keys, func(key map[string]any) bool { return key["kid"] != id })
		alone, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		verified(t, alone, token)
	}
	published := keyIDs(t, c)
	if len(published) != 1 {
		t.Fatalf("published: %q", published)
	}
	before := logIn()
	signedBy(published[0], before.AccessToken)

	// The next key is published before it signs.
	replaceFile(t, file, first+second)
	hangUp(t, p)
	published = keyIDs(t, c)
	if len(published) != 2 {
		t.Fatalf("published: %q", published)
	}
	between := logIn()
	signedBy(published[0], between.AccessToken)

	// Then it signs, and tokens of the one before stay good.
	replaceFile(t, file, second+first)
	hangUp(t, p)
	if ids := keyIDs(t, c); !slices.Equal(ids, []string{published[1], published[0]}) {
		t.Errorf("published: %q, before %q", ids, published)
	}
	after := logIn()
	signedBy(published[1], after.AccessToken)
	active(true, before.AccessToken, between.AccessToken, after.AccessToken)
	refreshed := c.post(t, "200", "/v1/tokens/refresh", fields{"refresh_token": before.RefreshToken})
	signedBy(published[1], refreshed.AccessToken)

	// What is wrong with a file is logged, and the keys stay.
	for _, bad := range []string{"", "garbage", second + second, second + first[:60]} {
		replaceFile(t, file, bad)
		hangUp(t, p)
		said := lastRefusal(p)
		if !strings.Contains(said, "OTP_JWT_PRIVATE_KEY_FILE") || strings.Contains(said, strings.Split(first, "\n")[1][:20]) {
			t.Errorf("%q is refused as %s", bad, said)
		}
		active(true, before.AccessToken, after.AccessToken)
	}

	// Without the old key its tokens are none, and refresh tokens, which are not signed, go on. A change is noticed
	// without a hangup.
	replaceFile(t, file, second)
	eventually(t, "the change of the file", func() bool { return len(keyIDs(t, c)) == 1 })
	active(false, before.AccessToken, between.AccessToken)
	active(true, after.AccessToken, refreshed.AccessToken, refreshed.RefreshToken)
	c.post(t, "200", "/v1/tokens/refresh", fields{"refresh_token": between.RefreshToken})
}

// TestJWTKeysInSeveralFiles changes one of two files.
func TestJWTKeysInSeveralFiles(t *testing.T) {
	t.Parallel()
	signs, next := newFile(t, newJWTKey(t, "EdDSA")), newFile(t, newJWTKey(t, "EdDSA"))
	p := launch(t, keyVariable+"="+newKey(t), "OTP_JWT_PRIVATE_KEY_FILE="+signs+","+next)
	c := newClient(t, p.addr, nil)
	before := keyIDs(t, c)
	replaceFile(t, next, newJWTKey(t, "RS256"))
	eventually(t, "the change of the second file", func() bool { return keyIDs(t, c)[1] != before[1] })
	if after := keyIDs(t, c); len(after) != 2 || after[0] != before[0] {
		t.Errorf("published: %q, before %q", after, before)
	}
}

// TestHangupReadsEverything has every file that may change be read at a hangup.
func TestHangupReadsEverything(t *testing.T) {
	t.Parallel()
	cert, key := newCertificate(t, "localhost").files(t)
	p := launch(t, "OTP_SIGNING_KEY_FILE="+newFile(t, newKey(t)), "OTP_API_KEYS_FILE="+newFile(t, "app:"+appSecret),
		"OTP_TLS_CERT_FILE="+cert, "OTP_TLS_KEY_FILE="+key, "OTP_JWT_PRIVATE_KEY_FILE="+newFile(t, newJWTKey(t, "EdDSA")),
		"OTP_SMTP_URL_FILE="+newFile(t, "smtps://mail.example.com"), "OTP_MAIL_FROM=otpd@example.com")
	p.signal(t, syscall.SIGHUP)
	want := []any{"signing keys", "API keys", "TLS certificate", "JWT keys", "channels"}
	eventually(t, "all reloads", func() bool { return len(p.stderr.lines("reloaded")) == len(want) })
	for i, line := range p.stderr.lines("reloaded") {
		if line["what"] != want[i] {
			t.Errorf("reload %d is of %v, want %v", i, line["what"], want[i])
		}
	}
}
