package delivery

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// longEnough is for what a peer does at once, on a machine that is busy.
const longEnough = 30 * time.Second

func peerContext(tb testing.TB, limit time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), limit)
	tb.Cleanup(cancel)
	return ctx
}

// newPeerServer returns a server that complains to nobody, and its URL.
func newPeerServer(tb testing.TB, handle http.HandlerFunc) string {
	tb.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	tb.Cleanup(s.Close)
	return s.URL
}

// breakOff ends a connection in the midst of an answer.
func breakOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// stall returns a handler that answers nothing until the test ends.
func stall(tb testing.TB) http.HandlerFunc {
	tb.Helper()
	ctx := tb.Context() // which ends before the server is closed
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ctx.Done():
		case <-r.Context().Done():
		}
	}
}

// unusedURL returns the URL of a server that is gone.
func unusedURL(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// mustFail fails unless err is a failure of this kind, for this reason, and says nothing that is secret.
func mustFail(tb testing.TB, err error, permanent bool, reason string) {
	tb.Helper()
	failure, ok := errors.AsType[*Failure](err)
	if !ok || failure.Permanent != permanent || failure.Reason != reason {
		tb.Errorf("got %#v; want permanent %t: %s", err, permanent, reason)
	}
}

func TestPeerAnswers(t *testing.T) {
	t.Parallel()
	url := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "hello" || r.Method != http.MethodPut || r.Header.Get("X-Key") != "value" {
			t.Errorf("got %s %v %q: %v", r.Method, r.Header, body, err)
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	})
	got, err := newPeer("Peer").ask(peerContext(t, longEnough), http.MethodPut, url, http.Header{"X-Key": {"value"}}, "hello")
	if err != nil || got.status != http.StatusTeapot || string(got.body) != "short and stout" {
		t.Errorf("got %d %q: %v", got.status, got.body, err)
	}
}

func TestPeerFailures(t *testing.T) {
	t.Parallel()
	ended, end := context.WithCancel(t.Context())
	end()
	tests := []struct {
		name, method, url string
		ctx               context.Context
		reason            string
	}{
		{"is gone", "POST", unusedURL(t), peerContext(t, longEnough), "Peer cannot be reached"},
		{"drops", "POST", newPeerServer(t, breakOff), peerContext(t, longEnough), "Peer broke the connection off"},
		{"stalls", "POST", newPeerServer(t, stall(t)), peerContext(t, 50*time.Millisecond), "Peer did not answer in time"},
		{"is asked too late", "POST", newPeerServer(t, stall(t)), ended, "Peer did not answer in time"},
		{"is asked what nobody can be", "NO METHOD", unusedURL(t), peerContext(t, longEnough), "Peer broke the connection off"},
		{"has an endless header", "POST", newPeerServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 2*maxAnswer))
		}), peerContext(t, longEnough), "Peer broke the connection off"},
		{"speaks no HTTP", "POST", newPeerServer(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n")
			conn.Close()
		}), peerContext(t, longEnough), "Peer broke the connection off"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := newPeer("Peer").ask(test.ctx, test.method, test.url, nil, "body")
			mustFail(t, err, false, test.reason)
		})
	}
}

// A body is read as far as it comes, but not further than maxAnswer, and not after ctx.
func TestPeerBodies(t *testing.T) {
	t.Parallel()
	begin := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "begin")
		w.(http.Flusher).Flush()
	}
	waits := stall(t)
	tests := []struct {
		name   string
		handle http.HandlerFunc
		limit  time.Duration
		body   string
	}{
		{"is endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "endless "); err != nil {
					return
				}
			}
		}, longEnough, strings.Repeat("endless ", maxAnswer/8)},
		{"breaks off", func(w http.ResponseWriter, r *http.Request) { begin(w); breakOff(w, r) }, longEnough, "begin"},
		{"stalls", func(w http.ResponseWriter, r *http.Request) { begin(w); waits(w, r) }, 3 * time.Second, "begin"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := newPeer("Peer").ask(peerContext(t, test.limit), http.MethodPost, newPeerServer(t, test.handle), nil, "")
			if test.name == "stalls" && err != nil {
				mustFail(t, err, false, "Peer did not answer in time") // not even the beginning, on a machine this slow
				return
			}
			if err != nil || string(got.body) != test.body {
				t.Errorf("got %d, %d bytes: %v", got.status, len(got.body), err)
			}
		})
	}
}

func TestPeerIsNotRedirected(t *testing.T) {
	t.Parallel()
	var strayed atomic.Int32
	elsewhere := newPeerServer(t, func(http.ResponseWriter, *http.Request) { strayed.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, status) })
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			got, err := newPeer("Peer").ask(peerContext(t, longEnough), method, url, http.Header{"Authorization": {"Basic x"}}, "")
			if err != nil || got.status != status {
				t.Errorf("%s: got %d: %v", method, got.status, err)
			}
		}
	}
	if strayed.Load() != 0 {
		t.Errorf("followed %d redirects", strayed.Load())
	}
}

// A request whose connection ends may have been received, so it is not sent again.
func TestPeerIsAskedOnce(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			url := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) > 1 {
					breakOff(w, r)
				}
			})
			p := newPeer("Peer")
			if _, err := p.ask(peerContext(t, longEnough), method, url, nil, ""); err != nil {
				t.Fatal(err)
			}
			_, err := p.ask(peerContext(t, longEnough), method, url, nil, "")
			mustFail(t, err, false, "Peer broke the connection off")
			if asked.Load() != 2 {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
}

func TestPeerConnectionIsKept(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "queued")
	}))
	var opened atomic.Int32
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	p := newPeer("Peer")
	for range 5 {
		if _, err := p.ask(peerContext(t, longEnough), http.MethodPost, s.URL, nil, "body"); err != nil {
			t.Fatal(err)
		}
	}
	if opened.Load() != 1 {
		t.Errorf("opened %d connections", opened.Load())
	}
}

func TestPeerOverTLS(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		trusted bool
		most    uint16
		reason  string // empty for an answer
	}{
		{"trusted", true, tls.VersionTLS12, ""},
		{"not trusted", false, tls.VersionTLS12, "Peer's certificate is not trusted"},
		{"an old version", true, tls.VersionTLS11, "Peer broke the connection off"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: test.most}
			s.StartTLS()
			t.Cleanup(s.Close)
			p := newPeer("Peer")
			if test.trusted {
				roots := x509.NewCertPool()
				roots.AddCert(s.Certificate())
				p.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
			}
			_, err := p.ask(peerContext(t, longEnough), http.MethodPost, s.URL, nil, "body")
			if test.reason != "" {
				mustFail(t, err, false, test.reason)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A connection that is to speak another protocol is no answer, and its silence holds nobody up.
func TestPeerThatSwitchesProtocols(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		}
	}()
	server := "http://" + listener.Addr().String()
	for name, p := range map[string]SMSProvider{
		"the SMS gateway": mustParseGateway(t, map[string]any{"url": server + "?{{text}}"}), "Twilio": newTwilio(t, server, "Shop"),
	} {
		mustFail(t, p.Send(peerContext(t, longEnough), textMessage(), "123456"), false, name+" answered 101")
	}
}

// A body that stalls or breaks off before it says what means success says nothing of what has become of the message.
func TestGatewayThatBreaksOff(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]http.HandlerFunc{"stalls": stall(t), "breaks off": breakOff} {
		for status, want := range map[int]bool{200: true, 400: false, 500: false} {
			server := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "100")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"sta`)
				_ = http.NewResponseController(w).Flush()
				end(w, r)
			})
			p := mustParseGateway(t, map[string]any{"url": server + "?{{text}}", "success": map[string]any{"body_matches": "sent"}})
			err := p.Send(peerContext(t, 300*time.Millisecond), textMessage(), "123456")
			if failure, ok := errors.AsType[*Failure](err); !ok || failure.Unknown != want || failure.Permanent {
				t.Errorf("a gateway that answers %d and %s: %+v", status, name, failure)
			}
		}
	}
}

// Whoever has waited for another in vain does not know what has become of the message.
func TestAnswersOfAnother(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{408: true, 502: true, 504: true, 400: false, 429: false, 500: false, 503: false} {
		server := newPeerServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		for name, p := range map[string]SMSProvider{
			"a gateway": mustParseGateway(t, map[string]any{"url": server + "?{{text}}"}), "Twilio": newTwilio(t, server, "Shop"),
		} {
			err := p.Send(peerContext(t, longEnough), textMessage(), "123456")
			if failure, ok := errors.AsType[*Failure](err); !ok || failure.Unknown != want {
				t.Errorf("%s answers %d: %+v", name, status, failure)
			}
		}
	}
}
