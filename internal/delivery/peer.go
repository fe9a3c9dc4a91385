package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// ErrPeerURL is the error for an URL that nothing may be sent to, to follow the name of the setting. It does not quote
// the URL: a path or query may be secret.
var ErrPeerURL = errors.New("must be an https:// URL, or an http:// one of a loopback host, without user and fragment")

// parsePeerURL reads an URL that the operator has named.
func parsePeerURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") {
		return nil, ErrPeerURL
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return u, nil
	}
	return nil, ErrPeerURL
}

// isLoopback has no name but this one, in this case: a proxy of the environment is passed over for no other.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// peer is somebody who is asked over HTTP to deliver a message.
type peer struct {
	name   string // for reasons: "Twilio", "the SMS gateway"
	client *http.Client
}

const (
	maxAnswer       = 64 << 10         // bytes of a header, and of a body, that are read
	keepConnections = 30 * time.Second // that nothing is sent over
)

// newPeer returns a peer to whom no more connections are kept than deliveries may be under way. Like that of webhooks,
// its transport heeds HTTPS_PROXY; a proxy sees no more than whom it connects to, as all but loopback is TLS.
func newPeer(name string) *peer {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.MaxIdleConnsPerHost = maxUnderWay
	transport.IdleConnTimeout = keepConnections
	transport.MaxResponseHeaderBytes = maxAnswer
	transport.DisableCompression = true
	// A redirect would carry a code, or a password, to wherever it says, inside the network or out.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &peer{name, &http.Client{Transport: transport, CheckRedirect: stay}}
}

// answer is what a peer has said.
type answer struct {
	status int
	body   []byte // as much of it as came, at most maxAnswer
}

// ask makes a request, once: what may have been received is not sent again, as it would be a second message. It ends
// with ctx. The error is a [*Failure].
func (p *peer) ask(ctx context.Context, method, url string, header http.Header, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, p.noAnswer(err)
	}
	request.Header = header.Clone()
	// A GET that meets the end of a kept connection would be sent again by net/http, received or not.
	request.Close = method == http.MethodGet
	response, err := p.client.Do(request)
	if err != nil {
		return answer{}, p.noAnswer(err)
	}
	defer response.Body.Close()
	// The status is what decides. A body that breaks off, or is too long, is judged by what there is of it.
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return answer{response.StatusCode, said}, nil
}

// noAnswer returns the failure of a request without an answer. What err says may quote the URL or the peer.
func (p *peer) noAnswer(err error) *Failure {
	timeout, known := errors.AsType[net.Error](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	network, ofNetwork := errors.AsType[*net.OpError](err)
	reason := p.name + " broke the connection off"
	switch {
	case known && timeout.Timeout(), errors.Is(err, context.Canceled):
		reason = p.name + " did not answer in time"
	case untrusted:
		reason = p.name + "'s certificate is not trusted"
	case ofNetwork && network.Op == "dial":
		reason = p.name + " cannot be reached"
	}
	return &Failure{Reason: reason}
}
