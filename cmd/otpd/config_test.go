package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
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
				out, err := command(t.Context(), []string{"config"}, v.name+"="+value).CombinedOutput()
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

// withKey returns an environment with a variable set, and a signing key if the variable is not for one.
func withKey(tb testing.TB, name, value string) []string {
	env := []string{name + "=" + value}
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
		{"database of a cluster", "OTP_LEDGER_URL", "redis://:a-secret-of-mine@127.0.0.1:1,127.0.0.1:2/1", "names a database of a cluster"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			r := refusal{variable: fault.variable, says: fault.says, secrets: []string{fault.value, strings.TrimPrefix(fault.value, "app:"), "a-secret-of-mine", key}}
			if fault.variable != keyVariable {
				r.env = []string{keyVariable + "=" + key}
			}
			r.env = append(r.env, fault.variable+"="+fault.value)
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
		{"a secret twice", "OTP_API_KEYS", []string{secret, "other" + strings.TrimPrefix(secret, "app")}, "entry 2 has the secret of another"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			env := []string{fault.variable + "_FILE=" + newFile(t, strings.Join(fault.entries, "\n"))}
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
	p := launch(t, keyVariable+"="+newKey(t), "OTP_EXPIRY_SECONDS=601", "OTP_LEDGER_URL=none:",
		"OTP_EXPIRY=5", "OTP_SINGING_KEY=a-secret-in-the-wrong-place")
	var warnings []string
	for text := range strings.Lines(p.stderr.String()) {
		if strings.Contains(text, `"level":"WARN"`) {
			warnings = append(warnings, text)
		}
	}
	for _, want := range []string{"OTP_EXPIRY\"", "OTP_SINGING_KEY", "10 minutes", "no ledger"} {
		if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("no warning about %s in %q", want, warnings)
		}
	}
	if len(warnings) != 4 || strings.Contains(p.stderr.String(), "wrong-place") {
		t.Errorf("warnings: %q", warnings)
	}
}

func TestConfigShowsAllVariablesAndNoSecret(t *testing.T) {
	t.Parallel()
	var env []string
	for i, v := range variables() {
		if v.secret {
			env = append(env, v.name+"=secret-number-"+strconv.Itoa(i))
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
