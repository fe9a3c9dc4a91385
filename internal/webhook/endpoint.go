// Package webhook posts signed messages to an endpoint of the application, as Standard Webhooks 1.0.0 describes
// (https://www.standardwebhooks.com). The endpoint is trusted with what it is sent, and with nothing else: it cannot
// have it sent elsewhere, hold up the sender for long, or put words of its own into an error.
package webhook

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// ErrURL is the error for an URL that an endpoint cannot have. It does not quote it: a path or query may be secret.
var ErrURL = errors.New("is not an https:// URL, or an http:// one of a loopback host, without user and fragment")

// Config is what an [Endpoint] is made of. URL and Secrets are needed.
type Config struct {
	URL     string   // https, or http for localhost and loopback addresses; without user and fragment
	Secrets []string // each "whsec_" and 24 to 64 bytes in base64, the newest first; each of them signs

	Client *http.Client     // whose transport is used; nil for one that trusts the system's certificates
	Now    func() time.Time // nil for time.Now
}

// Endpoint is where messages go. It is safe for concurrent use.
type Endpoint struct {
	url    string
	keys   []key
	client *http.Client
	now    func() time.Time
}

// NewEndpoint returns an endpoint, and sends nothing yet. The error is an [ErrURL] or an [ErrSecrets].
func NewEndpoint(cfg Config) (*Endpoint, error) {
	if !allowed(cfg.URL) {
		return nil, ErrURL
	}
	keys, err := parseSecrets(cfg.Secrets)
	if err != nil {
		return nil, err
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Transport: newTransport()}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	// A redirect would carry what only this endpoint may read to wherever it says, inside the network or out.
	client := &http.Client{Transport: cfg.Client.Transport, CheckRedirect: stay}
	return &Endpoint{cfg.URL, keys, client, cfg.Now}, nil
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close closes the connections that are kept for later messages.
func (e *Endpoint) Close() { e.client.CloseIdleConnections() }

// newTransport returns one that, like net/http's own, heeds HTTPS_PROXY, and that keeps enough connections for codes
// that are sent at once.
func newTransport() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.MaxResponseHeaderBytes = 16 << 10
	transport.DisableCompression = true
	return transport
}

func allowed(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())
}

// isLoopback knows what net/http knows: for any other spelling it would ask a proxy, in clear text.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Zone() == "" && addr.IsLoopback()
}
