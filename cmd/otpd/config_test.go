package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/otpd/otpd/internal/token"
)

// refusal is a start that must fail.
type refusal struct {
	variable string   // that the message must begin with
	says     string   // that it must contain too
	env      []string // of otpd
	args     []string // of otpd; nil for serve
	secrets  []string // that it must not contain
}

// checkRefused runs otpd, which must end with status 1, one line on stderr and nothing on stdout.
func checkRefused(t *testing.T, r refusal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if r.args == nil {
		r.args = []string{"serve"}
	}
	cmd := command(ctx, r.args, slices.Concat(ephemeral, r.env)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	message := stderr.String()
	if status := cmd.ProcessState.ExitCode(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if stdout.Len() != 0 {
		t.Errorf("stdout: %q, want nothing", stdout.String())
	}
	if !strings.HasPrefix(message, "otpd: "+r.variable+" ") || strings.Index(message, "\n") != len(message)-1 {
		t.Errorf("stderr: %q, want one line about %s", message, r.variable)
	}
	if !strings.Contains(message, r.says) {
		t.Errorf("stderr: %q, want %q in it", message, r.says)
	}
	if allowed := "; allowed: " + lookUpVariable(t, r.variable).allowed + "\n"; !strings.HasSuffix(message, allowed) {
		t.Errorf("stderr: %q, want at its end %q", message, allowed)
	}
	for _, secret := range r.secrets {
		if strings.Contains(message, secret) {
			t.Errorf("stderr: %q holds the secret %q", message, secret)
		}
	}
}

func lookUpVariable(tb testing.TB, name string) variable {
	tb.Helper()
	all := variables()
	i := slices.IndexFunc(all, func(v variable) bool { return v.name == name })
	if i < 0 {
		tb.Fatalf("%s is not a variable", name)
	}
	return all[i]
}

const keyVariable = "OTP_SIGNING_KEY"

// What is allowed, for the variables that go with others.
const (
	twilioSID     = "AC0123456789abcdef0123456789abcdef"
	webhookSecret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

var (
	badEndpoints = []string{
		"app.example.com", "https://", "http://app.example.com/hook", "http://127.0.0.1.example.com", "http://0.0.0.0",
		"ftp://127.0.0.1", "https://user:pass@app.example.com", "https://app.example.com/#x", "https://app.example.com/%zz",
	}
	badEndpointSecrets = []string{
		",", "a-secret-password", "whsec_", "whsec_YS1zZWNyZXQtcGFzc3dvcmQ=", strings.TrimPrefix(webhookSecret, "whsec_"),
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)), "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)),
		"whsec_000102030405060708090a0b0c0d0e0f1", strings.TrimRight(webhookSecret, "="), "WHSEC_" + webhookSecret[6:],
		webhookSecret + ",a-secret-password", webhookSecret + " " + webhookSecret,
	}
)

// values has, for each variable, some that are malformed or out of range and some that are allowed.
// The files that variables name, and the keys, have tests of their own for what is in them.
var values = map[string]struct{ bad, good []string }{
	"OTP_SIGNING_KEY":                {bad: []string{"short", "not-a-key-but-as-long-as-one-would-be-really"}},
	"OTP_SIGNING_KEY_FILE":           {bad: []string{"/nonexistent/file", "/"}},
	"OTP_SIGNING_KEY_FALLBACKS":      {bad: []string{"short", ",", " "}},
	"OTP_SIGNING_KEY_FALLBACKS_FILE": {bad: []string{"/nonexistent/file", "/"}},
	"OTP_EXPIRY_SECONDS": {
		bad:  []string{"0", "-1", "86401", "five", "1.5", "5m", "1e2", "0x10", " 300", "99999999999999999999"},
		good: []string{"1", "900", "0300"}, // 86400 needs as long a session
	},
	"OTP_SESSION_EXPIRY_SECONDS": {
		bad:  []string{"0", "-1", "299", "86401", "long", "1.5", "15m"},
		good: []string{"300", "86400"},
	},
	"OTP_DEFAULT_MAX_RETRIES": {bad: []string{"-1", "11", "many", "3.0"}, good: []string{"0", "10"}},
	"OTP_DEFAULT_LENGTH":      {bad: []string{"5", "13", "-6", "six"}, good: []string{"6", "12"}},
	"OTP_DEFAULT_ALPHABET": {
		bad:  []string{"hex", "Numeric", "numeric "},
		good: []string{"numeric", "alphanumeric", "letters"},
	},
	"OTP_MAX_RESENDS":             {bad: []string{"-1", "1001", "few"}, good: []string{"0", "1000"}},
	"OTP_RESEND_COOLDOWN_SECONDS": {bad: []string{"-1", "86401", "30s"}, good: []string{"0", "86400"}},
	"OTP_LISTEN_ADDR": {
		bad: []string{
			"8080", "localhost", "localhost:http", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:080",
			"127.0.0.1:", "::1:8080", "unix:", "unix:relative", "http://127.0.0.1:8080",
		},
		good: []string{"127.0.0.1:0", "localhost:65535", "[::1]:8080", ":8080", "unix:/run/otpd.sock"},
	},
	"OTP_ADMIN_ADDR": {
		bad:  []string{"8081", "localhost:http", "127.0.0.1:65536", "unix:relative"},
		good: []string{"", "127.0.0.1:0", "unix:/run/otpd-admin.sock"},
	},
	"OTP_PPROF": {bad: []string{"yes", "on", "2"}, good: []string{"true", "false"}},
	"OTP_API_KEYS": {
		bad:  []string{"0123456789abcdef", "app:0123456789abcde", ":0123456789abcdef", "a b:0123456789abcdef", ","},
		good: []string{"app:0123456789abcdef", "a:0123456789abcdef,b:0123456789abcdeg"},
	},
	"OTP_API_KEYS_FILE":   {bad: []string{"/nonexistent/file", "/"}},
	"OTP_ALLOW_ANONYMOUS": {bad: []string{"yes", "maybe"}, good: []string{"true", "false"}},
	"OTP_TLS_CERT_FILE":   {bad: []string{"/nonexistent/file"}}, // without the other one
	"OTP_TLS_KEY_FILE":    {bad: []string{"/nonexistent/file"}},
	"OTP_LEDGER_URL": {
		bad: []string{
			"memory", "none", "memory:x", "file:/tmp/x", "://", "redis:", "redis://", "REDIS://127.0.0.1:1", "http://127.0.0.1:1",
			"redis://user:a-secret-password@", "redis://user:a-secret-password@:1", "redis://user:a-secret-password@127.0.0.1:port",
			"redis://user:a-secret-password@127.0.0.1:0", "redis://user:a-secret-password@127.0.0.1:65536",
			"redis://user:a-secret-password@127.0.0.1:1,", "redis://user:a-secret-password@127.0.0.1:1,127.0.0.1:2/1",
			"redis://user:a-secret-password%zz@127.0.0.1:1", "redis://user:a-secret-password@127.0.0.1:1/x",
			"redis://user:a-secret-password@127.0.0.1:1/-1", "redis://user:a-secret-password@127.0.0.1:1?master=",
			"redis://user:a-secret-password@127.0.0.1:1?master=a&master=b", "redis://user:a-secret-password@127.0.0.1:1?db=1",
			"redis://user:a-secret-password@127.0.0.1:1?master=a;b", "redis://user:a-secret-password@127.0.0.1:1#x",
			" redis://user:a-secret-password@127.0.0.1:1", "redis://user:a-secret-password@[::1:1", "redis://user:a-secret-password@::1",
		},
		good: []string{"memory:", "none:", "redis://127.0.0.1"},
	},
	"OTP_LEDGER_URL_FILE": {bad: []string{"/nonexistent/file", "/"}},
	"OTP_LEDGER_TIMEOUT": {
		bad:  []string{"0", "250", "999us", "0s", "-1s", "5.001s", "1m", "soon"},
		good: []string{"1ms", "250ms", "5s"},
	},
	"OTP_LEDGER_MAX_ENTRIES": {bad: []string{"0", "-1", "1000000001", "1e6", "all"}, good: []string{"1", "1000000000"}},
	"OTP_THROTTLE_AFTER":     {bad: []string{"-1", "1001", "some", "2.5"}, good: []string{"0", "1000"}},
	"OTP_THROTTLE_FACTOR_SECONDS": {
		bad:  []string{"-1", "86401", "1s", "0.5", "off"},
		good: []string{"0", "1", "86400"},
	},
	"OTP_THROTTLE_MAX_SECONDS": {bad: []string{"0", "-1", "86401", "1h"}, good: []string{"1", "86400"}},
	"OTP_ISSUER": {
		bad:  []string{"a:b", ":", strings.Repeat("x", 65), strings.Repeat("é", 33), "a\tb", "\xff"},
		good: []string{"x", "Example & Söhne, Ltd.", strings.Repeat("x", 64), strings.Repeat("é", 32), " "},
	},
	"OTP_ENROLLMENT_SECONDS": {bad: []string{"59", "0", "-1", "604801", "1h", "60.0"}, good: []string{"60", "604800"}},
	"OTP_CHALLENGE_SECONDS":  {bad: []string{"0", "-1", "3601", "2m", "1.5"}, good: []string{"1", "3600"}},
	"OTP_DELIVERY_TIMEOUT": {
		bad:  []string{"0", "5", "999us", "0s", "-1s", "8.001s", "1m", "soon"},
		good: []string{"1ms", "5s", "8s"},
	},
	"OTP_TEMPLATE_DIR": {bad: []string{"/nonexistent/directory", "/dev/null"}},
	"OTP_SMTP_URL": {
		bad: []string{
			"mail.example.com", "smtp:", "smtp://", "smtp://:587", "://", "mailto:a-secret-password@example.com",
			"http://user:a-secret-password@mail.example.com", "SMTPS+x://user:a-secret-password@mail.example.com",
			"smtp://user@mail.example.com", "smtp://:a-secret-password@mail.example.com",
			"smtp://user:a-secret-password@mail.example.com:0", "smtp://user:a-secret-password@mail.example.com:65536",
			"smtp://user:a-secret-password@mail.example.com:port", "smtp://user:a-secret-password%zz@mail.example.com",
			"smtp://user:a-secret-password%0d%0aQUIT@mail.example.com", "smtp://user:a-secret-password@mail.example.com/path",
			"smtp://user:a-secret-password@mail.example.com#x", "smtp://user:a-secret-password@mail.example.com?tls=none",
			"smtp://user:a-secret-password@127.0.0.1?tls=none", "smtps://user:a-secret-password@127.0.0.1?tls=none",
			"smtp://user:a-secret-password@127.0.0.1?tls=off", "smtp://user:a-secret-password@mail.example.com?auth=digest-md5",
			"smtp://user:a-secret-password@mail.example.com?auth=plain&auth=login", "smtp://mail.example.com?auth=plain",
			"smtp://mail.example.com?password=a-secret-password", "smtp://user:a-secret-password@mail.example.com?auth=plain;x",
		},
	},
	"OTP_SMTP_URL_FILE": {bad: []string{"/nonexistent/file", "/"}},
	"OTP_MAIL_FROM": {
		bad: []string{
			"nobody", "a@", "@example.com", "a@localhost", "a@example.com, b@example.com", "Shop a@example.com",
			"Shop <a@example.com", "é@example.com", "a@[127.0.0.1]", "a b@example.com",
			"a@example.com\nBcc: b@example.com", "Shop\r\n <a@example.com>\r\nBcc: b@example.com", strings.Repeat("a", 65) + "@example.com",
		},
	},
	"OTP_TWILIO_ACCOUNT_SID": {bad: []string{"AC", "AC0123456789abcdef0123456789abcdef0", "SK0123456789abcdef0123456789abcdef", twilioSID + "/.."}},
	"OTP_TWILIO_AUTH_TOKEN": {
		bad: []string{"a-secret-password of two words", "a-secret-password\r\nX: y", "a-secret-pass\u00adword", " "},
	},
	"OTP_TWILIO_AUTH_TOKEN_FILE": {bad: []string{"/nonexistent/file", "/"}},
	"OTP_TWILIO_FROM": {
		bad: []string{"+", "+0123456789", "12", "a name too long", "MG0123456789abcdef", "näme", "+491512345678x", "+-&", " "},
	},
	"OTP_TWILIO_BASE_URL": {
		bad: []string{
			"api.twilio.com", "https://", "http://api.twilio.com", "ftp://127.0.0.1", "https://user:pass@api.twilio.com",
			"https://api.twilio.com/#x", "http://127.0.0.1.example.com", "http://127.1",
		},
		good: []string{"https://api.twilio.com/", "https://proxy.example.com/twilio", "http://127.0.0.1:9000", "http://[::1]", "http://localhost:9"},
	},
	"OTP_SMS_GATEWAY_FILE": {bad: []string{"/nonexistent/file", "/"}},
	"OTP_SMS_BUDGET":       {bad: []string{"-1", "100001", "1e3", "many", "1.5"}, good: []string{"0", "1", "100000"}},
	"OTP_WEBOTP_ORIGIN": {
		bad: []string{
			"http://example.com", "https://", "https://example.com/login", "https://example.com?", "https://user@example.com",
			"example.com:443", "exa mple.com", "bücher.example", "-example.com", "https://[::1]", "example.com\n@evil.example #1",
		},
	},
	"OTP_DELIVERY_WEBHOOK_URL": {bad: badEndpoints},
	"OTP_DELIVERY_WEBHOOK_SECRETS": {
		bad: badEndpointSecrets,
	},
	"OTP_DELIVERY_WEBHOOK_SECRETS_FILE": {bad: []string{"/nonexistent/file", "/"}},
	"OTP_DELIVERY_CONSOLE":              {bad: []string{"yes", "on", "2"}, good: []string{"true", "false"}},
	"OTP_EVENTS_URL":                    {bad: badEndpoints},
	"OTP_EVENTS_SECRETS":                {bad: badEndpointSecrets},
	"OTP_EVENTS_SECRETS_FILE":           {bad: []string{"/nonexistent/file", "/"}},
	"OTP_JWT_PRIVATE_KEY_FILE":          {bad: []string{"/nonexistent/file", "/", ",", "/nonexistent/file,"}},
	"OTP_JWT_ISSUER": {
		bad:  []string{strings.Repeat("x", 257), strings.Repeat("é", 129), "a\tb", "\xff"},
		good: []string{"x", "https://login.example.com", strings.Repeat("x", 256)},
	},
	"OTP_JWT_AUDIENCE": {
		bad:  []string{strings.Repeat("x", 257), "a\nb", "\xff"},
		good: []string{"x", "https://api.example.com", strings.Repeat("x", 256)},
	},
	"OTP_ACCESS_TOKEN_SECONDS":  {bad: []string{"0", "-1", "86401", "15m", "900.0"}, good: []string{"1", "86400"}},
	"OTP_REFRESH_TOKEN_SECONDS": {bad: []string{"0", "-1", "899", "31536001", "7d"}, good: []string{"900", "31536000"}},
	"TOTP_ENCRYPTION_KEY": {
		bad:  []string{"short", "not-a-key-but-as-long-as-one-would-be-really", ","},
		good: []string{"", "KU9JQfTH_Spc8hZ6OESyMnZ3MjMazfnrx0rEGj5LoHE="},
	},
	"TOTP_ENCRYPTION_KEY_FILE": {bad: []string{"/nonexistent/file", "/"}, good: []string{""}},
	"OTP_LOG_LEVEL":            {bad: []string{"trace", "INFO", "0"}, good: []string{"debug", "info", "warn", "error"}},
	"OTP_LOG_FORMAT":           {bad: []string{"xml", "JSON"}, good: []string{"json", "text"}},
	"OTP_SHUTDOWN_TIMEOUT": {
		bad:  []string{"10", "0s", "-1s", "999us", "10m1s", "soon"},
		good: []string{"1ms", "10m", "1.5s"},
	},
}

// TestEveryVariable goes by the fields of config, so that none can be added without its values.
func TestEveryVariable(t *testing.T) {
	t.Parallel()
	untested := values
	for _, v := range variables() {
		v, cases := v, values[v.name]
		untested = maps.Clone(untested)
		delete(untested, v.name)
		if len(cases.bad) == 0 || v.allowed == "" {
			t.Errorf("%s has no bad value to test, or does not say what is allowed", v.name)
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			if !v.blank {
				checkRefused(t, refusal{variable: v.name, says: "is set to nothing", env: withKey(t, v.name, "")})
			}
			for _, value := range cases.bad {
				var hidden []string
				if len(value) > len("redis://") && v.secret { // a shorter one is in many a text
					hidden = []string{value, "a-secret-password"}
				}
				blamed := v.name
				if other, needed := companion[v.name]; needed {
					blamed = other
				}
				checkRefused(t, refusal{variable: blamed, env: withKey(t, v.name, value), args: readBy[v.name], secrets: hidden})
			}
			for _, value := range cases.good {
				out, err := command(t.Context(), []string{"config"}, append([]string{v.name + "=" + value}, goesWith[v.name]...)...).CombinedOutput()
				if err != nil {
					t.Errorf("%q is refused: %s", value, out)
				}
			}
		})
	}
	for name := range untested {
		t.Errorf("%s has values but is not a variable", name)
	}
}

// goesWith has the variables without which one would be refused, whatever its value.
var goesWith = map[string][]string{
	"OTP_SMTP_URL":                      {"OTP_MAIL_FROM=otpd@example.com"},
	"OTP_SMTP_URL_FILE":                 {"OTP_MAIL_FROM=otpd@example.com"},
	"OTP_MAIL_FROM":                     {"OTP_SMTP_URL=smtps://mail.example.com"},
	"OTP_TWILIO_ACCOUNT_SID":            {"OTP_TWILIO_AUTH_TOKEN=token", "OTP_TWILIO_FROM=Shop"},
	"OTP_TWILIO_AUTH_TOKEN":             {"OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_FROM=Shop"},
	"OTP_TWILIO_AUTH_TOKEN_FILE":        {"OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_FROM=Shop"},
	"OTP_TWILIO_FROM":                   {"OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_AUTH_TOKEN=token"},
	"OTP_WEBOTP_ORIGIN":                 {"OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_AUTH_TOKEN=token", "OTP_TWILIO_FROM=Shop"},
	"OTP_DELIVERY_WEBHOOK_URL":          {"OTP_DELIVERY_WEBHOOK_SECRETS=" + webhookSecret},
	"OTP_DELIVERY_WEBHOOK_SECRETS":      {"OTP_DELIVERY_WEBHOOK_URL=https://app.example.com"},
	"OTP_DELIVERY_WEBHOOK_SECRETS_FILE": {"OTP_DELIVERY_WEBHOOK_URL=https://app.example.com"},
	"OTP_EVENTS_URL":                    {"OTP_EVENTS_SECRETS=" + webhookSecret},
	"OTP_EVENTS_SECRETS":                {"OTP_EVENTS_URL=https://app.example.com"},
	"OTP_EVENTS_SECRETS_FILE":           {"OTP_EVENTS_URL=https://app.example.com"},
}

// companion is the variable that is missing, and blamed, where only one of two is set.
var companion = map[string]string{
	"OTP_TLS_CERT_FILE": "OTP_TLS_KEY_FILE",
	"OTP_TLS_KEY_FILE":  "OTP_TLS_CERT_FILE",
}

// readBy has the arguments that read a variable, if serve does not.
var readBy = map[string][]string{
	"TOTP_ENCRYPTION_KEY":      {"import", "django-totp", "-"},
	"TOTP_ENCRYPTION_KEY_FILE": {"import", "django-totp", "-"},
}

// withKey returns an environment with a variable set, what goes with it, and a signing key if the variable is not for one.
func withKey(tb testing.TB, name, value string) []string {
	env := append([]string{name + "=" + value}, goesWith[name]...)
	if name != keyVariable && name != keyVariable+"_FILE" {
		env = append(env, keyVariable+"="+newKey(tb))
	}
	return env
}

func TestBadCombinations(t *testing.T) {
	t.Parallel()
	key := keyVariable + "=" + newKey(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	keyFile, apiKeysFile := newFile(t, newKey(t)), newFile(t, "app:0123456789abcdef")
	for name, r := range map[string]refusal{
		"no signing key": {
			variable: keyVariable, says: "is missing",
		},
		"only fallbacks": {
			variable: keyVariable, says: "is missing", env: []string{"OTP_SIGNING_KEY_FALLBACKS=" + newKey(t)},
		},
		"key and its file": {
			variable: "OTP_SIGNING_KEY_FILE", says: "together with OTP_SIGNING_KEY",
			env: []string{key, "OTP_SIGNING_KEY_FILE=" + keyFile},
		},
		"fallbacks and their file": {
			variable: "OTP_SIGNING_KEY_FALLBACKS_FILE", says: "together with OTP_SIGNING_KEY_FALLBACKS",
			env: []string{key, "OTP_SIGNING_KEY_FALLBACKS=" + newKey(t), "OTP_SIGNING_KEY_FALLBACKS_FILE=" + keyFile},
		},
		"API keys and their file": {
			variable: "OTP_API_KEYS_FILE", says: "together with OTP_API_KEYS",
			env: []string{key, "OTP_API_KEYS=app:0123456789abcdef", "OTP_API_KEYS_FILE=" + apiKeysFile},
		},
		"ledger and its file": {
			variable: "OTP_LEDGER_URL_FILE", says: "together with OTP_LEDGER_URL",
			env: []string{key, "OTP_LEDGER_URL=none:", "OTP_LEDGER_URL_FILE=" + newFile(t, "memory:")},
		},
		"two ledgers in a file": {
			variable: "OTP_LEDGER_URL_FILE", says: "more than one line",
			env: []string{key, "OTP_LEDGER_URL_FILE=" + newFile(t, "memory:\nnone:\n")},
		},
		"mail server without a sender": {
			variable: "OTP_MAIL_FROM", says: "is missing", env: []string{key, "OTP_SMTP_URL=smtps://user:a-secret-of-mine@mail.example.com"},
		},
		"sender without a mail server": {
			variable: "OTP_SMTP_URL", says: "is missing", env: []string{key, "OTP_MAIL_FROM=otpd@example.com"},
		},
		"mail server and its file": {
			variable: "OTP_SMTP_URL_FILE", says: "together with OTP_SMTP_URL",
			env: []string{key, "OTP_MAIL_FROM=otpd@example.com", "OTP_SMTP_URL=smtps://user:a-secret-of-mine@mail.example.com",
				"OTP_SMTP_URL_FILE=" + newFile(t, "smtps://mail.example.com")},
		},
		"two mail servers in a file": {
			variable: "OTP_SMTP_URL_FILE", says: "more than one line",
			env: []string{key, "OTP_MAIL_FROM=otpd@example.com", "OTP_SMTP_URL_FILE=" + newFile(t, "smtps://a.example.com\nsmtps://b.example.com")},
		},
		"Twilio without a token": {
			variable: "OTP_TWILIO_AUTH_TOKEN", says: "is missing",
			env: []string{key, "OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_FROM=Shop"},
		},
		"Twilio without a sender": {
			variable: "OTP_TWILIO_FROM", says: "is missing",
			env: []string{key, "OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_AUTH_TOKEN=a-secret-of-mine"},
		},
		"Twilio without an account": {
			variable: "OTP_TWILIO_ACCOUNT_SID", says: "is missing", env: []string{key, "OTP_TWILIO_AUTH_TOKEN=a-secret-of-mine"},
		},
		"Twilio's token and its file": {
			variable: "OTP_TWILIO_AUTH_TOKEN_FILE", says: "together with OTP_TWILIO_AUTH_TOKEN",
			env: []string{key, "OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_FROM=Shop", "OTP_TWILIO_AUTH_TOKEN=a-secret-of-mine",
				"OTP_TWILIO_AUTH_TOKEN_FILE=" + newFile(t, "another")},
		},
		"Twilio's URL with a query": {
			variable: "OTP_TWILIO_BASE_URL",
			env: []string{key, "OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_FROM=Shop", "OTP_TWILIO_AUTH_TOKEN=a-secret-of-mine",
				"OTP_TWILIO_BASE_URL=https://proxy.example.com?to=twilio"},
		},
		"Twilio and a gateway": {
			variable: "OTP_SMS_GATEWAY_FILE", says: "together with OTP_TWILIO_ACCOUNT_SID",
			env: []string{key, "OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_FROM=Shop", "OTP_TWILIO_AUTH_TOKEN=a-secret-of-mine",
				"OTP_SMS_GATEWAY_FILE=" + newFile(t, `{"url": "https://sms.example.com"}`)},
		},
		"a page to read SMS, and none are sent": {
			variable: "OTP_WEBOTP_ORIGIN", says: "without OTP_TWILIO_ACCOUNT_SID or OTP_SMS_GATEWAY_FILE",
			env: []string{key, "OTP_WEBOTP_ORIGIN=https://login.example.com"},
		},
		"endpoint without secrets": {
			variable: "OTP_DELIVERY_WEBHOOK_SECRETS", says: "is missing", env: []string{key, "OTP_DELIVERY_WEBHOOK_URL=https://app.example.com"},
		},
		"secrets without an endpoint": {
			variable: "OTP_DELIVERY_WEBHOOK_URL", says: "is missing", env: []string{key, "OTP_DELIVERY_WEBHOOK_SECRETS=" + webhookSecret},
		},
		"file of secrets without an endpoint": {
			variable: "OTP_DELIVERY_WEBHOOK_URL", says: "is missing", env: []string{key, "OTP_DELIVERY_WEBHOOK_SECRETS_FILE=" + newFile(t, webhookSecret)},
		},
		"endpoint's secrets and their file": {
			variable: "OTP_DELIVERY_WEBHOOK_SECRETS_FILE", says: "together with OTP_DELIVERY_WEBHOOK_SECRETS",
			env: []string{key, "OTP_DELIVERY_WEBHOOK_URL=https://app.example.com", "OTP_DELIVERY_WEBHOOK_SECRETS=" + webhookSecret,
				"OTP_DELIVERY_WEBHOOK_SECRETS_FILE=" + newFile(t, webhookSecret)},
		},
		"events without secrets": {
			variable: "OTP_EVENTS_SECRETS", says: "is missing", env: []string{key, "OTP_EVENTS_URL=https://app.example.com"},
		},
		"secrets without events": {
			variable: "OTP_EVENTS_URL", says: "is missing", env: []string{key, "OTP_EVENTS_SECRETS=" + webhookSecret},
		},
		"events' secrets and their file": {
			variable: "OTP_EVENTS_SECRETS_FILE", says: "together with OTP_EVENTS_SECRETS",
			env: []string{key, "OTP_EVENTS_URL=https://app.example.com", "OTP_EVENTS_SECRETS=" + webhookSecret,
				"OTP_EVENTS_SECRETS_FILE=" + newFile(t, webhookSecret)},
		},
		"access tokens outlive refresh tokens": {
			variable: "OTP_REFRESH_TOKEN_SECONDS", env: []string{key, "OTP_ACCESS_TOKEN_SECONDS=3600", "OTP_REFRESH_TOKEN_SECONDS=3599"},
		},
		"code outlives its session": {
			variable: "OTP_SESSION_EXPIRY_SECONDS", env: []string{key, "OTP_EXPIRY_SECONDS=901"},
		},
		"port of the API taken": {
			variable: "OTP_LISTEN_ADDR", says: "address already in use",
			env: []string{key, "OTP_LISTEN_ADDR=" + taken.Addr().String()},
		},
		"port for operators taken": {
			variable: "OTP_ADMIN_ADDR", says: "address already in use",
			env: []string{key, "OTP_ADMIN_ADDR=" + taken.Addr().String()},
		},
		"every address without API keys": {
			variable: "OTP_LISTEN_ADDR", says: "OTP_ALLOW_ANONYMOUS", env: []string{key, "OTP_LISTEN_ADDR=:0"},
		},
		"0.0.0.0 without API keys": {
			variable: "OTP_LISTEN_ADDR", says: "OTP_API_KEYS", env: []string{key, "OTP_LISTEN_ADDR=0.0.0.0:0"},
		},
		"socket in no directory": {
			variable: "OTP_LISTEN_ADDR", says: "no such file", env: []string{key, "OTP_LISTEN_ADDR=unix:/nonexistent/socket"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, entry := range r.env {
				if name, value, _ := strings.Cut(entry, "="); lookUpVariable(t, name).secret {
					r.secrets = append(r.secrets, value, strings.TrimPrefix(value, "app:"))
				}
			}
			checkRefused(t, r)
		})
	}
}

// TestSecretFaults tries the same faults in a variable and in the file that its _FILE names.
func TestSecretFaults(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	raw, err := base64.URLEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	const secret = "app:a-secret-of-mine"
	for _, fault := range []struct {
		name, variable, value, says string
	}{
		{"all zero", keyVariable, zero, "key 1 is all zero"},
		{"hexadecimal", keyVariable, hex.EncodeToString(raw), "key 1 is not 32 bytes in base64"},
		{"31 bytes", keyVariable, base64.StdEncoding.EncodeToString(raw[:31]), "key 1 is not 32 bytes in base64"},
		{"33 bytes", keyVariable, base64.StdEncoding.EncodeToString(append(raw[:32:32], 1)), "key 1 is not 32 bytes in base64"},
		{"padding stripped", keyVariable, strings.TrimRight(key, "="), "key 1 is not 32 bytes in base64"},
		{"fallback is the key", "OTP_SIGNING_KEY_FALLBACKS", key, "key 2 is key 1 again"},
		{"fallback is the key in the other base64", "OTP_SIGNING_KEY_FALLBACKS", base64.StdEncoding.EncodeToString(raw), "key 2 is key 1 again"},
		{"fallback all zero", "OTP_SIGNING_KEY_FALLBACKS", zero, "key 1 is all zero"},
		{"API key without a name", "OTP_API_KEYS", "a-secret-of-mine", "entry 1 is not name:secret"},
		{"API key's secret too short", "OTP_API_KEYS", secret[:len(secret)-1], "entry 1 has a secret that is not 16 or more"},
		{"API key's secret has a space", "OTP_API_KEYS", "app:a-secret of-mine", "entry 1 has a secret"},
		{"API key's secret not ASCII", "OTP_API_KEYS", "app:a-sécret-of-mine", "entry 1 has a secret"},
		{"ledger at a bad port", "OTP_LEDGER_URL", "redis://:a-secret-of-mine@127.0.0.1:99999", "has a bad port"},
		{"ledger at no host", "OTP_LEDGER_URL", "rediss://:a-secret-of-mine@", "has a bad host"},
		{"ledger's password with a slash", "OTP_LEDGER_URL", "redis://:a-secret-of-mine/word@127.0.0.1:1", "has a bad"},
		{"ledger with a bad escape", "OTP_LEDGER_URL", "redis://:a-secret-of-mine%@127.0.0.1:1", "is not a URL"},
		{"ledger of another kind", "OTP_LEDGER_URL", "postgres://:a-secret-of-mine@127.0.0.1:1", "has an unknown scheme"},
		{"ledger with a parameter", "OTP_LEDGER_URL", "redis://127.0.0.1:1?password=a-secret-of-mine", "has a parameter other than master"},
		{"mail server by another scheme", "OTP_SMTP_URL", "https://user:a-secret-of-mine@mail.example.com", "must begin with smtp:// or smtps://"},
		{"mail server's password without TLS", "OTP_SMTP_URL", "smtp://user:a-secret-of-mine@mail.example.com?tls=none", "loopback"},
		{"mail server's password without TLS on loopback", "OTP_SMTP_URL", "smtp://user:a-secret-of-mine@127.0.0.1?tls=none", "must name what to send unencrypted"},
		{"mail server's password with a slash", "OTP_SMTP_URL", "smtp://user:a-secret-of-mine/word@127.0.0.1", "percent-encoded"},
		{"mail server's password only", "OTP_SMTP_URL", "smtp://:a-secret-of-mine@mail.example.com", "both user and password"},
		{"Twilio's token with a space", "OTP_TWILIO_AUTH_TOKEN", "a-secret-of-mine and more", "visible characters of ASCII"},
		{"webhook's secret without its prefix", "OTP_DELIVERY_WEBHOOK_SECRETS", strings.TrimPrefix(webhookSecret, "whsec_"), "number 1 is not"},
		{"webhook's secret is no base64", "OTP_DELIVERY_WEBHOOK_SECRETS", "whsec_a-secret-of-mine-which-is-long-enough", "number 1 is not"},
		{"webhook's secret is too short", "OTP_DELIVERY_WEBHOOK_SECRETS", "whsec_YS1zZWNyZXQtcGFzc3dvcmQ=", "number 1 is not"},
		{"events' secret in the other base64", "OTP_EVENTS_SECRETS", "whsec_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_", "number 1 is not"},
		{"events' secret with a password", "OTP_EVENTS_SECRETS", "a-secret-of-mine", "number 1 is not"},
		{"database of a cluster", "OTP_LEDGER_URL", "redis://:a-secret-of-mine@127.0.0.1:1,127.0.0.1:2/1", "names a database of a cluster"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			r := refusal{variable: fault.variable, says: fault.says, secrets: []string{fault.value, strings.TrimPrefix(fault.value, "app:"), "a-secret-of-mine", key}}
			if fault.variable != keyVariable {
				r.env = []string{keyVariable + "=" + key}
			}
			r.env = append(slices.Concat(r.env, goesWith[fault.variable]), fault.variable+"="+fault.value)
			checkRefused(t, r)

			r.variable += "_FILE"
			r.env[len(r.env)-1] = r.variable + "=" + newFile(t, "# a comment\n\n"+fault.value+"\n")
			checkRefused(t, r)
		})
	}
	other := newKey(t)
	for _, fault := range []struct {
		name, variable string
		entries        []string
		says           string
	}{
		{"a key twice", keyVariable, []string{key, other, key}, "key 3 is key 1 again"},
		{"a fallback twice", "OTP_SIGNING_KEY_FALLBACKS", []string{other, other}, "key 2 is key 1 again"},
		{"the second secret of a webhook", "OTP_DELIVERY_WEBHOOK_SECRETS", []string{webhookSecret, "whsec_" + key[:16]}, "number 2 is not"},
		{"the second secret of events", "OTP_EVENTS_SECRETS", []string{webhookSecret, "a-secret-of-mine"}, "number 2 is not"},
		{"a secret twice", "OTP_API_KEYS", []string{secret, "other" + strings.TrimPrefix(secret, "app")}, "entry 2 has the secret of another"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			env := append([]string{fault.variable + "_FILE=" + newFile(t, strings.Join(fault.entries, "\n"))}, goesWith[fault.variable]...)
			if fault.variable != keyVariable {
				env = append(env, keyVariable+"="+newKey(t))
			}
			checkRefused(t, refusal{variable: fault.variable + "_FILE", says: fault.says, env: env, secrets: fault.entries})
		})
	}
	t.Run("two keys in the variable for one", func(t *testing.T) {
		t.Parallel()
		checkRefused(t, refusal{
			variable: keyVariable, says: "more than one key",
			env: []string{keyVariable + "=" + key + "," + other}, secrets: []string{key, other},
		})
	})
}

// TestBadFiles tries what can be wrong with a file whatever it is for.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	const garbage = "\x00\xff\xfe\x01 garbage garbage garbage garbage garbage garbage\n"
	dir := t.TempDir()
	locked := filepath.Join(dir, "locked")
	if err := os.WriteFile(locked, []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	cert, key := newCertificate(t, "localhost").files(t)
	for _, v := range []struct {
		name  string
		other string // variables that go with it
	}{
		{keyVariable + "_FILE", ""},
		{"OTP_SIGNING_KEY_FALLBACKS_FILE", keyVariable + "=" + newKey(t)},
		{"OTP_API_KEYS_FILE", keyVariable + "=" + newKey(t)},
		{"OTP_LEDGER_URL_FILE", keyVariable + "=" + newKey(t)},
		{"OTP_SMTP_URL_FILE", keyVariable + "=" + newKey(t) + " " + strings.Join(goesWith["OTP_SMTP_URL_FILE"], " ")},
		{"OTP_TWILIO_AUTH_TOKEN_FILE", keyVariable + "=" + newKey(t) + " " + strings.Join(goesWith["OTP_TWILIO_AUTH_TOKEN_FILE"], " ")},
		{"OTP_SMS_GATEWAY_FILE", keyVariable + "=" + newKey(t)},
		{"OTP_DELIVERY_WEBHOOK_SECRETS_FILE", keyVariable + "=" + newKey(t) + " " + strings.Join(goesWith["OTP_DELIVERY_WEBHOOK_SECRETS_FILE"], " ")},
		{"OTP_EVENTS_SECRETS_FILE", keyVariable + "=" + newKey(t) + " " + strings.Join(goesWith["OTP_EVENTS_SECRETS_FILE"], " ")},
		{"OTP_JWT_PRIVATE_KEY_FILE", keyVariable + "=" + newKey(t)},
		{"OTP_TLS_CERT_FILE", keyVariable + "=" + newKey(t) + " OTP_TLS_KEY_FILE=" + key},
		{"OTP_TLS_KEY_FILE", keyVariable + "=" + newKey(t) + " OTP_TLS_CERT_FILE=" + cert},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for _, file := range []struct{ path, says string }{
				{filepath.Join(dir, "missing"), "no such file"},
				{dir, "is a directory"},
				{filepath.Join(locked, "below-a-file"), "not a directory"},
				{locked, "permission denied"},
				{newFile(t, ""), ""},
				{newFile(t, "\n \n# nothing but a comment\n"), ""},
				{newFile(t, garbage), ""},
			} {
				if file.path == locked && os.Getuid() == 0 {
					t.Log("root reads every file: permission denied is not tested")
					continue
				}
				checkRefused(t, refusal{
					variable: v.name, says: file.says, secrets: []string{"garbage"},
					env: append(strings.Fields(v.other), v.name+"="+file.path),
				})
			}
		})
	}
	t.Run("a certificate with the key of another", func(t *testing.T) {
		t.Parallel()
		_, otherKey := newCertificate(t, "localhost").files(t)
		checkRefused(t, refusal{variable: "OTP_TLS_CERT_FILE", says: "OTP_TLS_KEY_FILE", env: []string{
			keyVariable + "=" + newKey(t), "OTP_TLS_CERT_FILE=" + cert, "OTP_TLS_KEY_FILE=" + otherKey,
		}})
	})
}

// TestFaultsOfKeysForTokens tries what is a key, or near one, and not one to sign with.
func TestFaultsOfKeysForTokens(t *testing.T) {
	t.Parallel()
	good := newJWTKey(t, "EdDSA")
	block, _ := pem.Decode([]byte(good))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.(ed25519.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	in := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	lines := strings.Split(good, "\n")
	for name, fault := range map[string]struct{ content, says string }{
		"garbage":                       {strings.Repeat("garbage ", 100), "block 1 is not PEM"},
		"a signing key of otpd":         {newKey(t), "block 1 is not PEM"},
		"a public key":                  {in("PUBLIC KEY", public), "block 1 is not a PKCS #8 private key"},
		"a certificate":                 {newCertificate(t, "localhost").certPEM, "block 1 is not a PKCS #8 private key"},
		"a key of an older format":      {in("EC PRIVATE KEY", sec1), "block 1 is not a PKCS #8 private key"},
		"a key with a password":         {in("ENCRYPTED PRIVATE KEY", block.Bytes), "block 1 is not a PKCS #8 private key"},
		"a key on another curve":        {in("PRIVATE KEY", p384), "block 1 is not an Ed25519"},
		"a key that is cut short":       {in("PRIVATE KEY", block.Bytes[:20]), "block 1 is damaged"},
		"a key that lacks its end":      {lines[0] + "\n" + lines[1], "block 1 is not PEM"},
		"the same key twice":            {good + good, "block 2 is block 1 again"},
		"a good key and a public one":   {good + in("PUBLIC KEY", public), "block 2 is not a PKCS #8 private key"},
		"a good key and a word with it": {good + "old:\n" + newJWTKey(t, "ES256"), "block 2 is not PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkRefused(t, refusal{
				variable: "OTP_JWT_PRIVATE_KEY_FILE", says: fault.says, secrets: []string{lines[1], lines[1][20:40], "garbage"},
				env: []string{keyVariable + "=" + newKey(t), "OTP_JWT_PRIVATE_KEY_FILE=" + newFile(t, fault.content)},
			})
		})
	}
}

// newJWTKey returns a new private key for tokens, in PEM.
func newJWTKey(tb testing.TB, algorithm string) string {
	tb.Helper()
	key, err := token.GenerateKey(algorithm)
	if err != nil {
		tb.Fatal(err)
	}
	return string(key)
}

func TestFaultsOfTemplates(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ file, content, says string }{
		"another name":             {"code.de.md", "{{code}}", "code.de.md: must be named"},
		"no locale":                {"code.x_y.txt", "{{code}}", "code.x_y.txt: must be named"},
		"a locale with one file":   {"code.nl.txt", "{{code}}", "code.nl.subject.txt is missing"},
		"a tag without an end":     {"code.de.txt", "Hallo\n{{code", "code.de.txt: line 2"},
		"a text without the code":  {"code.de.sms.txt", "Hallo", "code.de.sms.txt: does not always say the {{code}}"},
		"a text that is no UTF-8":  {"code.de.txt", "{{code}} \xff", "code.de.txt is not UTF-8"},
		"a section without an end": {"code.de.html", "{{code}}{{#app}}", "has no end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			replaceFile(t, filepath.Join(dir, fault.file), fault.content)
			checkRefused(t, refusal{
				variable: "OTP_TEMPLATE_DIR", says: fault.says, env: []string{keyVariable + "=" + newKey(t), "OTP_TEMPLATE_DIR=" + dir},
			})
		})
	}
}

// TestFaultsOfGateways tries descriptions with secrets in them, none of which may be said.
func TestFaultsOfGateways(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ content, says string }{
		"no JSON":                {`url: https://sms.example.com`, "the JSON at byte"},
		"two values":             {`{"url": "https://sms.example.com"} {}`, "the JSON at byte"},
		"no URL":                 {`{}`, "url must"},
		"a URL without TLS":      {`{"url": "http://sms.example.com/a-secret-of-mine"}`, "url must"},
		"a host from a value":    {`{"url": "https://{{to_digits}}.example.com"}`, "url must"},
		"an unknown member":      {`{"url": "https://sms.example.com", "headres": {"X-Key": "a-secret-of-mine"}}`, "/headres is not"},
		"another method":         {`{"url": "https://sms.example.com", "method": "DELETE"}`, "method must be"},
		"a header twice":         {`{"url": "https://sms.example.com", "headers": {"X-Key": "a-secret-of-mine", "x-key": "b"}}`, "headers has X-Key twice"},
		"a header over two":      {`{"url": "https://sms.example.com", "headers": {"X-Key": "a-secret-of-mine\r\nX: y"}}`, "headers must have visible"},
		"an unknown place":       {`{"url": "https://sms.example.com", "headers": {"Content-Type": "text/plain"}, "body": "{{password}} a-secret-of-mine"}`, "body must have no {{"},
		"a place without quotes": {`{"url": "https://sms.example.com", "headers": {"Content-Type": "application/json"}, "body": "{\"to\": {{text}}}"}`, "body must be JSON"},
		"no status that may be":  {`{"url": "https://sms.example.com/{{text}}", "success": {"status": [500]}}`, "success.status must"},
		"no regular expression":  {`{"url": "https://sms.example.com/{{text}}", "permanent": {"body_matches": "(a-secret-of-mine"}}`, "permanent.body_matches must"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkRefused(t, refusal{
				variable: "OTP_SMS_GATEWAY_FILE", says: fault.says,
				env:     []string{keyVariable + "=" + newKey(t), "OTP_SMS_GATEWAY_FILE=" + newFile(t, fault.content)},
				secrets: []string{"a-secret-of-mine"},
			})
		})
	}
}

func TestGoodConfigurations(t *testing.T) {
	t.Parallel()
	key := keyVariable + "=" + newKey(t)
	for name, env := range map[string][]string{
		"key in standard base64":             {keyVariable + "=" + base64.StdEncoding.EncodeToString([]byte("\xff\xfe\xfd 32 bytes with + and / \xff\xfe\xfd..."))},
		"several fallbacks with spaces":      {key, "OTP_SIGNING_KEY_FALLBACKS= " + newKey(t) + " , " + newKey(t)},
		"files with comments":                {"OTP_SIGNING_KEY_FILE=" + newFile(t, "# new\r\n"+newKey(t)+"\r\n\r\n# old\r\n"+newKey(t)+"\r\n")},
		"every address for anyone":           {key, "OTP_LISTEN_ADDR=:0", "OTP_ALLOW_ANONYMOUS=true"},
		"every address with an API key":      {key, "OTP_LISTEN_ADDR=:0", "OTP_API_KEYS=app:0123456789abcdef"},
		"a day":                              {key, "OTP_EXPIRY_SECONDS=86400", "OTP_SESSION_EXPIRY_SECONDS=86400"},
		"mail with STARTTLS":                 {key, "OTP_SMTP_URL=smtp://user%40example.com:p%2Fw%3A@mail.example.com:2525/?auth=xoauth2", `OTP_MAIL_FROM="Söhne, Ltd." <no-reply@example.com>`},
		"mail with TLS from a file":          {key, "OTP_SMTP_URL_FILE=" + newFile(t, "# of the mail server\nsmtps://mail.example.com\n"), "OTP_MAIL_FROM=a@example.com"},
		"mail over loopback":                 {key, "OTP_SMTP_URL=smtp://user:password@[::1]:25?tls=none&auth=plain", "OTP_MAIL_FROM=a@example.com"},
		"Twilio":                             {key, "OTP_TWILIO_ACCOUNT_SID=" + twilioSID, "OTP_TWILIO_AUTH_TOKEN_FILE=" + newFile(t, "token\n"), "OTP_TWILIO_FROM=+15005550006", "OTP_WEBOTP_ORIGIN=https://login.example.com:8443"},
		"a gateway":                          {key, "OTP_SMS_GATEWAY_FILE=" + newFile(t, `{"url": "https://sms.example.com/{{to_digits}}/{{text}}"}`), "OTP_WEBOTP_ORIGIN=login.example.com"},
		"webhooks with secrets that rotate":  {key, "OTP_DELIVERY_WEBHOOK_URL=https://app.example.com/hook?a=b", "OTP_DELIVERY_WEBHOOK_SECRETS=" + webhookSecret + ", whsec_" + newSecret(t)},
		"events with secrets in a file":      {key, "OTP_EVENTS_URL=http://localhost:1/events", "OTP_EVENTS_SECRETS_FILE=" + newFile(t, "# new\n"+webhookSecret+"\n\n# old\nwhsec_"+newSecret(t)+"\n")},
		"several keys for tokens":            {key, "OTP_JWT_PRIVATE_KEY_FILE=" + newFile(t, "\n"+newJWTKey(t, "ES256")+"\n"+newJWTKey(t, "EdDSA"))},
		"keys for tokens in two files":       {key, "OTP_JWT_PRIVATE_KEY_FILE=" + newFile(t, newJWTKey(t, "ES256")) + ", " + newFile(t, newJWTKey(t, "EdDSA"))},
		"templates of one's own":             {key, "OTP_TEMPLATE_DIR=" + t.TempDir()},
		"no retries, one resend, no cooling": {key, "OTP_DEFAULT_MAX_RETRIES=0", "OTP_MAX_RESENDS=1", "OTP_RESEND_COOLDOWN_SECONDS=0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, launch(t, env...).addr, nil)
			c.base = strings.Replace(c.base, "[::]", "localhost", 1)
			c.get(t, "200 ready", "/readyz")
		})
	}
}

func TestWarningsAtStart(t *testing.T) {
	t.Parallel()
	const codesWithout, sendsWithout = "whoever keeps an old context", "nothing limits how many codes a recipient is sent"
	webhook := []string{"OTP_DELIVERY_WEBHOOK_URL=https://app.example.com", "OTP_DELIVERY_WEBHOOK_SECRETS=" + webhookSecret}
	twilio := []string{"OTP_TWILIO_ACCOUNT_SID=AC" + strings.Repeat("0", 32), "OTP_TWILIO_AUTH_TOKEN=token", "OTP_TWILIO_FROM=Shop"}
	tokens := "OTP_JWT_PRIVATE_KEY_FILE=" + newFile(t, newJWTKey(t, "EdDSA"))
	for name, test := range map[string]struct{ env, want []string }{
		"nothing to warn of":    {env: append(webhook, tokens)},
		"misspelt and long":     {[]string{"OTP_EXPIRY_SECONDS=601", "OTP_EXPIRY=5", "OTP_SINGING_KEY=a-secret-in-the-wrong-place"}, []string{"OTP_EXPIRY\"", "OTP_SINGING_KEY", "10 minutes"}},
		"no throttle":           {[]string{"OTP_THROTTLE_FACTOR_SECONDS=0"}, []string{"no throttle"}},
		"SMS":                   {append(twilio, "OTP_SMS_BUDGET=0", "OTP_WEBOTP_ORIGIN="+strings.Repeat("long.", 9)+"example.com"), []string{"no budget", `"templates":["code.ar","code.ja"]`}},
		"console":               {[]string{"OTP_DELIVERY_CONSOLE=true"}, []string{"written to standard output"}},
		"no ledger":             {[]string{"OTP_LEDGER_URL=none:"}, []string{codesWithout}},
		"no ledger and sends":   {append(webhook, "OTP_LEDGER_URL=none:"), []string{codesWithout, sendsWithout}},
		"no ledger and tokens":  {[]string{tokens, "OTP_LEDGER_URL=none:"}, []string{codesWithout, "a logout ends nothing"}},
		"no ledger and console": {[]string{"OTP_DELIVERY_CONSOLE=true", "OTP_LEDGER_URL=none:"}, []string{codesWithout, sendsWithout, "written to standard output"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, append([]string{keyVariable + "=" + newKey(t)}, test.env...)...)
			var warnings []string
			for text := range strings.Lines(p.stderr.String()) {
				if strings.Contains(text, `"level":"WARN"`) {
					warnings = append(warnings, text)
				}
			}
			for _, want := range test.want {
				if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, want) }) {
					t.Errorf("no warning about %s in %q", want, warnings)
				}
			}
			if len(warnings) != len(test.want) || strings.Contains(p.stderr.String(), "wrong-place") {
				t.Errorf("warnings: %q", warnings)
			}
		})
	}
}

// newSecret returns 32 random bytes in base64.
func newSecret(tb testing.TB) string {
	tb.Helper()
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		tb.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(secret)
}

func TestConfigShowsAllVariablesAndNoSecret(t *testing.T) {
	t.Parallel()
	var env []string
	for i, v := range variables() {
		if v.secret {
			env = append(env, v.name+"=secret-number-"+strconv.Itoa(i))
		}
	}
	for _, others := range goesWith {
		for _, entry := range others {
			if name, _, _ := strings.Cut(entry, "="); !lookUpVariable(t, name).secret {
				env = append(env, entry)
			}
		}
	}
	env = append(env, "OTP_LOG_LEVEL=debug", "OTP_ADMIN_ADDR=")
	cmd := command(t.Context(), []string{"config"}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Error(err)
	}
	rows := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		row := strings.Fields(line)
		rows[row[0]] = row
	}
	for _, v := range variables() {
		row := rows[v.name]
		if len(row) == 0 || !strings.Contains(string(out), v.allowed) {
			t.Errorf("%s is not in the table", v.name)
			continue
		}
		if v.byDefault != "" && row[1] != v.byDefault {
			t.Errorf("%s: default %s, want %s", v.name, row[1], v.byDefault)
		}
		if v.secret && !slices.Contains(row, "(hidden)") {
			t.Errorf("%s is set, but the table says %q", v.name, row)
		}
	}
	if !slices.Contains(rows["OTP_LOG_LEVEL"], `"debug"`) || !slices.Contains(rows["OTP_ADMIN_ADDR"], `""`) {
		t.Errorf("what is set is not shown: %q, %q", rows["OTP_LOG_LEVEL"], rows["OTP_ADMIN_ADDR"])
	}
	if strings.Contains(string(out)+stderr.String(), "secret-number") {
		t.Errorf("a secret is shown:\n%s%s", out, stderr.String())
	}
}
