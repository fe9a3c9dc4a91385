package webhook

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/otpd/otpd/internal/egress"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { os.Exit(code) }))
}

// secretOf returns a secret of so many bytes.
func secretOf(bytes int, fill string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, bytes)))
}

var (
	newSecret = secretOf(32, "n")
	oldSecret = secretOf(24, "o")
)

func TestEndpointTakesURLs(t *testing.T) {
	for text, allowed := range map[string]bool{
		"https://example.com":                     true,
		"https://example.com:8443/hook?token=t":   true,
		"https://203.0.113.7/hook":                true,
		"HTTPS://example.com/":                    true,
		"http://localhost:9000/hook":              true,
		"http://LOCALHOST/":                       false,
		"http://[::1%25lo]/":                      false,
		"http://127.0.0.1:9000":                   true,
		"http://127.255.0.1/":                     true,
		"http://[::1]:9000/":                      true,
		"http://[::ffff:127.0.0.1]/":              true,
		"http://example.com/":                     false,
		"http://203.0.113.7/":                     false,
		"http://localhost.example.com/":           false,
		"http://127.0.0.1.example.com/":           false,
		"http://2130706433/":                      false,
		"https://user@example.com/":               false,
		"https://user:password@example.com/":      false,
		"https://@example.com/":                   false,
		"https://example.com/#part":               false,
		"https://example.com/#":                   false,
		"https://":                                false,
		"https:///hook":                           false,
		"https://:443/":                           false,
		"https:example.com":                       false,
		"https://example.com:port/":               false,
		"https://exa mple.com/":                   false,
		"https://example.com/\r\nX-Injected: yes": false,
		"ftp://localhost/":                        false,
		"unix:/run/hook":                          false,
		"//example.com/":                          false,
		"example.com":                             false,
		"":                                        false,
	} {
		_, err := NewEndpoint(Config{URL: text, Secrets: []string{newSecret}})
		if allowed && err != nil || !allowed && err != egress.ErrURL {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestEndpointTakesSecrets(t *testing.T) {
	of25 := secretOf(25, "p") // whose base64 ends with "=="
	for _, test := range []struct {
		name    string
		secrets []string
		names   string // what the error names; empty for none
	}{
		{"one", []string{newSecret}, ""},
		{"two", []string{newSecret, oldSecret}, ""},
		{"the shortest and the longest", []string{secretOf(24, "s"), secretOf(64, "l")}, ""},
		{"padded", []string{of25}, ""},
		{"none", nil, "there is none"},
		{"empty", []string{""}, "number 1"},
		{"too short", []string{newSecret, secretOf(23, "s")}, "number 2"},
		{"too long", []string{secretOf(65, "l")}, "number 1"},
		{"without the prefix", []string{strings.TrimPrefix(newSecret, "whsec_")}, "number 1"},
		{"an asymmetric key", []string{"whsk_" + strings.TrimPrefix(newSecret, "whsec_")}, "number 1"},
		{"URL-safe", []string{secretOf(24, "\xff") + "-_--"}, "number 1"},
		{"without padding", []string{strings.TrimRight(of25, "=")}, "number 1"},
		{"with bits that mean nothing", []string{strings.Replace(of25, "A==", "B==", 1)}, "number 1"},
		{"with a line break", []string{newSecret[:20] + "\n" + newSecret[20:]}, "number 1"},
		{"with space around", []string{newSecret + " "}, "number 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewEndpoint(Config{URL: "https://example.com/", Secrets: test.secrets})
			if test.names == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, ErrSecrets) || !strings.Contains(err.Error(), test.names) {
				t.Fatalf("the error is %v", err)
			}
			for _, secret := range test.secrets {
				if secret != "" && strings.Contains(err.Error(), strings.TrimPrefix(secret, "whsec_")) {
					t.Errorf("the error holds the secret: %v", err)
				}
			}
		})
	}
}
