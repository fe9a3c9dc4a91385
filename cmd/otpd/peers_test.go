package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// listenOn listens on a loopback port, any if it is empty.
func listenOn(tb testing.TB, port string) net.Listener {
	tb.Helper()
	if port == "" {
		port = "0"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	return listener
}

// mail is a message that a mail server was given.
type mail struct{ to, data string }

var codeInSubject = regexp.MustCompile(`(?m)^Subject: ([0-9A-Z]{6,12}) `)

// code returns the one in the subject, empty if there is none.
func (m mail) code() string {
	if match := codeInSubject.FindStringSubmatch(m.data); match != nil {
		return match[1]
	}
	return ""
}

// mailServer is one that a test has started.
type mailServer struct {
	addr     string
	listener net.Listener
	cert     *testCertificate // for STARTTLS; nil for none

	mu       sync.Mutex
	password string           // of the user otpd; empty for no authentication
	judge    func(mail) error // decides on a message when it is all there; nil takes it
	mails    []mail           // that were taken
	said     bytes.Buffer     // what clients sent, in clear text or not
}

// newMailServer returns a server that listens, and says nothing before it serves.
func newMailServer(tb testing.TB) *mailServer {
	tb.Helper()
	listener := listenOn(tb, "")
	return &mailServer{addr: listener.Addr().String(), listener: listener}
}

func startMailServer(tb testing.TB) *mailServer {
	tb.Helper()
	m := newMailServer(tb)
	m.serve(tb)
	return m
}

func (m *mailServer) serve(tb testing.TB) {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &mailSession{server: m}, nil
	}))
	server.Domain, server.ErrorLog, server.AllowInsecureAuth = "mail.example.com", quiet{}, true
	if m.cert != nil {
		pair, err := tls.X509KeyPair([]byte(m.cert.certPEM), []byte(m.cert.keyPEM))
		if err != nil {
			tb.Fatal(err)
		}
		server.TLSConfig, server.AllowInsecureAuth = &tls.Config{Certificates: []tls.Certificate{pair}}, false
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(recordingListener{m.listener, m}) })
	tb.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// recordingListener keeps what clients send.
type recordingListener struct {
	net.Listener
	server *mailServer
}

func (l recordingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return recordingConn{conn, l.server}, err
}

type recordingConn struct {
	net.Conn
	server *mailServer
}

func (c recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.said.Write(p[:n])
	return n, err
}

// variables are those that have otpd use m, without TLS.
func (m *mailServer) variables() []string {
	user := ""
	if m.password != "" {
		user = "otpd:" + m.password + "@"
	}
	query := "?tls=none"
	if user != "" {
		query += "&auth=plain"
	}
	return []string{"OTP_SMTP_URL=smtp://" + user + m.addr + query, "OTP_MAIL_FROM=Shop <no-reply@example.com>"}
}

// use has m ask for a password and decide on messages, from now on.
func (m *mailServer) use(password string, judge func(mail) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.password, m.judge = password, judge
}

func (m *mailServer) taken() []mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mails)
}

func (m *mailServer) heard(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Contains(m.said.String(), text)
}

// codeFor returns the code in the last message to an address.
func (m *mailServer) codeFor(tb testing.TB, to string) string {
	tb.Helper()
	for _, mail := range slices.Backward(m.taken()) {
		if mail.to == to && mail.code() != "" {
			return mail.code()
		}
	}
	tb.Fatalf("no code was sent to %s", to)
	return ""
}

type mailSession struct {
	server        *mailServer
	authenticated bool
	to            string
}

func (*mailSession) Logout() error { return nil }

func (s *mailSession) Reset() { s.to = "" }

func (*mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth repeats the password that it refuses.
func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		if user != "otpd" || password != s.server.password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no such password: " + password}
		}
		s.authenticated = true
		return nil
	}), nil
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if s.server.password != "" && !s.authenticated {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m := mail{s.to, string(data)}
	s.server.mu.Lock()
	judge := s.server.judge
	s.server.mu.Unlock()
	if judge != nil {
		if err := judge(m); err != nil {
			return err
		}
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails = append(s.server.mails, m)
	return nil
}

// post is what an endpoint was sent.
type post struct {
	path   string // and query
	header http.Header
	body   []byte

	Type string
	Data struct {
		To     string
		Code   string
		Events []struct {
			EventID   string `json:"event_id"`
			Event     string
			ID        string
			Namespace string
			RequestID string `json:"request_id"`
		}
	}
}

// signedWith reports whether a secret has signed p, as the reference library judges it.
func (p post) signedWith(tb testing.TB, secret string) bool {
	tb.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		tb.Fatal(err)
	}
	return verifier.Verify(p.body, p.header) == nil
}

// endpoint is an HTTP server that a test has started: of the application, or of somebody who sends SMS.
type endpoint struct {
	url string

	mu    sync.Mutex
	posts []post
}

// startEndpoint starts one on a port, any if it is empty. It answers as answer does, and 204 if that is nil.
func startEndpoint(tb testing.TB, port string, answer http.HandlerFunc) *endpoint {
	tb.Helper()
	e := new(endpoint)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := post{path: r.URL.RequestURI(), header: r.Header}
		var err error
		if p.body, err = io.ReadAll(r.Body); err != nil {
			return
		}
		_ = json.Unmarshal(p.body, &p) // not every sender has a Type
		e.mu.Lock()
		e.posts = append(e.posts, p)
		e.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(p.body))
		answer(w, r)
	}))
	_ = server.Listener.Close()
	server.Listener = listenOn(tb, port)
	server.Start()
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	e.url = server.URL
	return e
}

func (e *endpoint) received() []post {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.posts)
}

// codeFor returns the code in the last webhook for an address. Those that secret has not signed do not count.
func (e *endpoint) codeFor(tb testing.TB, to, secret string) string {
	tb.Helper()
	for _, p := range slices.Backward(e.received()) {
		if p.Type == "otp.code" && p.Data.To == to && p.signedWith(tb, secret) {
			return p.Data.Code
		}
	}
	tb.Fatalf("no code was sent to %s", to)
	return ""
}

// events returns the names of the events that came, each once however often its webhook was sent, and fails the test
// for a webhook that secret has not signed.
func (e *endpoint) events(tb testing.TB, secret string) (names []string) {
	tb.Helper()
	seen := make(map[string]bool)
	for _, p := range e.received() {
		if !p.signedWith(tb, secret) || p.Type != "otpd.events" {
			tb.Fatalf("a webhook of type %q, or not signed: %v", p.Type, p.header)
		}
		if id := p.header.Get("webhook-id"); seen[id] {
			continue
		} else {
			seen[id] = true
		}
		for _, event := range p.Data.Events {
			if seen[event.EventID] {
				tb.Errorf("two events have the id %s", event.EventID)
			}
			seen[event.EventID] = true
			names = append(names, event.Event)
		}
	}
	return names
}

var codeOnConsole = regexp.MustCompile(`(?m)^to you@example\.com: ([0-9]{6}) `)
