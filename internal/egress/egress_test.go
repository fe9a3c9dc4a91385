package egress

import (
	"testing"
)

func TestPeerURL(t *testing.T) {
	t.Parallel()
	for url, allowed := range map[string]bool{
		"https://example.com":                true,
		"https://example.com:8443/a/b?c=d":   true,
		"https://192.0.2.1/":                 true,
		"http://localhost:8080/":             true,
		"http://127.0.0.1":                   true,
		"http://127.8.9.10:1/":               true,
		"http://[::1]:8080/":                 true,
		"http://example.com":                 false,
		"http://192.0.2.1":                   false,
		"http://localhost.example.com":       false,
		"http://LOCALHOST":                   false, // which a proxy would be sent
		"http://0.0.0.0":                     false,
		"http://127.0.0.1.example.com":       false,
		"https://user@example.com":           false,
		"https://user:password@example.com/": false,
		"https://example.com/#":              false,
		"https://example.com/#fragment":      false,
		"https://":                           false,
		"https:///path":                      false,
		"https:example.com":                  false,
		"//example.com":                      false,
		"example.com":                        false,
		"ftp://example.com":                  false,
		"unix:///socket":                     false,
		"https://example.com/%zz":            false,
		"https://exa mple.com":               false,
		"https://example.com/\r\nX: y":       false,
		"":                                   false,
	} {
		if _, err := ParseURL(url); (err == nil) != allowed || err != nil && err != ErrURL {
			t.Errorf("%q: %v", url, err)
		}
	}
}
