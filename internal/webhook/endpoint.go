// Package webhook posts signed messages to an endpoint of the application, as Standard Webhooks 1.0.0 describes
// (https://www.standardwebhooks.com). The endpoint is trusted with what it is sent, and with nothing else: it cannot
// have it sent elsewhere, hold up the sender for long, or put words of its own into an error.
package webhook

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/otpd/otpd/internal/egress"
)

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
	keys   atomic.Pointer[[]key]
	client *http.Client
	now    func() time.Time
}

// NewEndpoint returns an endpoint, and sends nothing yet. The error is an [egress.ErrURL] or an [ErrSecrets].
func NewEndpoint(cfg Config) (*Endpoint, error) {
	if _, err := egress.ParseURL(cfg.URL); err != nil {
		return nil, err
	}
	client := egress.NewClient()
	if cfg.Client != nil {
		client.Transport = cfg.Client.Transport
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Endpoint{url: cfg.URL, client: client, now: cfg.Now}
	return e, e.UseSecrets(cfg.Secrets)
}

// UseSecrets has e sign with other secrets from now on. After an error, an [ErrSecrets], it signs as before.
func (e *Endpoint) UseSecrets(secrets []string) error {
	keys, err := parseSecrets(secrets)
	if err == nil {
		e.keys.Store(&keys)
	}
	return err
}

// Close closes the connections that are kept for later messages.
func (e *Endpoint) Close() { e.client.CloseIdleConnections() }
