// Package egress is how otpd speaks HTTP to whom its operator has named. It refuses what would send a secret in clear
// text, or elsewhere than to where it is meant to go, and says of a failure nothing that the peer has written.
package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// ErrURL is the error for a URL that nothing may be sent to, to follow the name of the setting. It does not quote it:
// a path or query may be secret.
var ErrURL = errors.New("must be an https:// URL, or an http:// one of a loopback host, without user and fragment")

// ParseURL reads the URL of a peer: https, or http for localhost and loopback addresses. The error is [ErrURL].
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") {
		return nil, ErrURL
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return u, nil
	}
	return nil, ErrURL
}

// isLoopback knows what net/http knows: for any other spelling it would ask a proxy, in clear text.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Zone() == "" && addr.IsLoopback()
}

const (
	keptConnections = 64               // to one host
	keptFor         = 30 * time.Second // that nothing is sent over
	maxHeader       = 16 << 10         // bytes of an answer
)

// NewClient returns a client that follows no redirect: it would carry what only this peer may read to wherever it says,
// inside the network or out. Like net/http's own it heeds HTTPS_PROXY; a proxy sees whom it connects to and no more, as
// all but loopback is TLS.
func NewClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.MaxIdleConnsPerHost = keptConnections
	transport.IdleConnTimeout = keptFor
	transport.MaxResponseHeaderBytes = maxHeader
	transport.DisableCompression = true
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: stay}
}

// NoAnswer says why there was no answer of a peer by that name, and whether it may have received the request. What err
// says may quote the URL or the peer.
func NoAnswer(name string, err error) (reason string, received bool) {
	timeout, known := errors.AsType[net.Error](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	network, ofNetwork := errors.AsType[*net.OpError](err)
	switch {
	case known && timeout.Timeout(), errors.Is(err, context.Canceled):
		return name + " did not answer in time", !ofNetwork || network.Op != "dial"
	case untrusted:
		return name + "'s certificate is not trusted", false
	case ofNetwork && network.Op == "dial":
		return name + " cannot be reached", false
	}
	return name + " broke the connection off", true
}

// IsOfAnother reports whether an answer tells of waiting in vain for another peer, which may have the request all the
// same (RFC 9110 §15.5.9, §15.6.3 and §15.6.5).
func IsOfAnother(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}
