package delivery

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// guard is how long a test waits for what must happen.
const guard = 30 * time.Second

// authority is a CA with the certificate it gave to a server.
type authority struct {
	roots *x509.CertPool
	cert  tls.Certificate
}

// newAuthority gives a certificate to the hosts, which are IP addresses.
func newAuthority(tb testing.TB, hosts ...string) authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(host))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return authority{roots, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

func (a authority) serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.cert}}
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

// newEmail returns a channel, which is closed at the end.
func newEmail(tb testing.TB, url string, roots *x509.CertPool) *EmailChannel {
	tb.Helper()
	c, err := NewEmail(EmailConfig{
		URL: url, From: "Ex\u00e4mple <codes@example.com>", Templates: mustLoadTemplates(tb, ""), RootCAs: roots,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func deliver(tb testing.TB, c *EmailChannel, m Message) *Failure {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), guard)
	defer cancel()
	err := c.Deliver(ctx, m)
	if err == nil {
		return nil
	}
	failure, ok := errors.AsType[*Failure](err)
	if !ok {
		tb.Fatalf("%T: %v", err, err)
	}
	return failure
}

// received is a message that a sink has taken.
type received struct {
	from, to  string
	utf8      bool
	mechanism string // it was authenticated by
	data      []byte
}

// sink is a mail server that takes everything. A session authenticates as user with the password secret, if the
// sink has mechanisms.
type sink struct {
	addr       string
	mechanisms []string

	mu       sync.Mutex
	received []received
	sessions int
}

// newSink starts a sink. If implicit it speaks TLS from the start, else it offers STARTTLS, unless a is nil.
func newSink(tb testing.TB, a *authority, implicit bool, change func(*smtp.Server), mechanisms ...string) *sink {
	tb.Helper()
	l := listen(tb)
	k := &sink{addr: l.Addr().String(), mechanisms: mechanisms}
	server := smtp.NewServer(k)
	server.Domain = "sink.example"
	server.ErrorLog = discard{}
	server.AllowInsecureAuth = true
	if a != nil {
		server.TLSConfig = a.serverConfig()
		server.AllowInsecureAuth = false
	}
	if change != nil {
		change(server)
	}
	if implicit {
		l = tls.NewListener(l, server.TLSConfig)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	tb.Cleanup(func() { _ = l.Close(); _ = server.Close(); <-done })
	return k
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

func (k *sink) NewSession(*smtp.Conn) (smtp.Session, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sessions++
	return &sinkSession{sink: k}, nil
}

// take returns what has been received, once.
func (k *sink) take() []received {
	k.mu.Lock()
	defer k.mu.Unlock()
	taken := k.received
	k.received = nil
	return taken
}

type sinkSession struct {
	*sink
	current received
}

func (s *sinkSession) Reset() { s.current = received{mechanism: s.current.mechanism} }

func (s *sinkSession) Logout() error { return nil }

func (s *sinkSession) Mail(from string, o *smtp.MailOptions) error {
	if len(s.mechanisms) > 0 && s.current.mechanism == "" {
		return smtp.ErrAuthRequired
	}
	s.current.from, s.current.utf8 = from, o.UTF8
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.current.to = to
	return nil
}

func (s *sinkSession) Data(r io.Reader) (err error) {
	if s.current.data, err = io.ReadAll(r); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sink.received = append(s.sink.received, s.current)
	}
	return err
}

func (s *sinkSession) AuthMechanisms() []string { return s.mechanisms }

func (s *sinkSession) Auth(mechanism string) (sasl.Server, error) {
	check := func(ok bool) error {
		if !ok {
			return smtp.ErrAuthFailed
		}
		s.current.mechanism = mechanism
		return nil
	}
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error {
			return check(user == "user" && password == "secret")
		}), nil
	case "LOGIN":
		var user string
		return saslSteps(func(step int, response []byte) ([]byte, bool, error) {
			switch step {
			case 0:
				return []byte("Username:"), false, nil
			case 1:
				user = string(response)
				return []byte("Password:"), false, nil
			}
			return nil, true, check(user == "user" && string(response) == "secret")
		}), nil
	case "CRAM-MD5":
		return saslSteps(func(step int, response []byte) ([]byte, bool, error) {
			const challenge = "<1896.697170952@sink.example>"
			if step == 0 {
				return []byte(challenge), false, nil
			}
			mac := hmac.New(md5.New, []byte("secret"))
			mac.Write([]byte(challenge))
			return nil, true, check(string(response) == "user "+hex.EncodeToString(mac.Sum(nil)))
		}), nil
	case "XOAUTH2":
		return saslSteps(func(step int, response []byte) ([]byte, bool, error) {
			if step == 0 && string(response) != "user=user\x01auth=Bearer secret\x01\x01" {
				return []byte(`{"status":"401"}`), false, nil // the client has to answer before it is refused
			}
			return nil, true, check(step == 0)
		}), nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// saslServer counts the steps of an exchange.
type saslServer struct {
	step int
	next func(step int, response []byte) (challenge []byte, done bool, err error)
}

func saslSteps(next func(int, []byte) ([]byte, bool, error)) sasl.Server {
	return &saslServer{next: next}
}

func (s *saslServer) Next(response []byte) ([]byte, bool, error) {
	s.step++
	return s.next(s.step-1, response)
}

// script is a mail server that answers as it is told, without TLS.
type script struct {
	tb    testing.TB
	addr  string
	calls chan string // names of commands, as they come in, and END where a connection ends

	// answer returns the reply to a command on the nth connection; "" to stall, "-" to hang up, "usual" for the usual
	// one. What else it is asked for is CONNECT for the greeting, HANDSHAKE of TLS, and DOT at the end of a message.
	answer func(n int, command string) string
	tls    *tls.Config
}

// hangingUp after a reply ends the connection.
const hangingUp = " and hang up"

// usual are the replies of a mail server that takes everything.
var usual = map[string]string{
	"CONNECT": "220 script.example", "EHLO": "250-script.example\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 ENHANCEDSTATUSCODES",
	"HELO": "502 no", "HANDSHAKE": "go on", "STARTTLS": "220 go on", "AUTH": "235 welcome", "MAIL": "250 fine", "RCPT": "250 fine", "DATA": "354 go on",
	"DOT": "250 taken", "RSET": "250 fine", "QUIT": "221 bye",
}

// newScript starts a script, with a configuration for STARTTLS if it comes to that.
func newScript(tb testing.TB, config *tls.Config, answer func(n int, command string) string) *script {
	tb.Helper()
	l := listen(tb)
	s := &script{tb: tb, addr: l.Addr().String(), calls: make(chan string, 10000), answer: answer, tls: config}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer stop()
				defer conn.Close()
				s.converse(ctx, n, conn)
				s.calls <- "END"
			})
		}
	})
	tb.Cleanup(func() { _ = l.Close(); cancel(); running.Wait() })
	return s
}

func (s *script) converse(ctx context.Context, n int, conn net.Conn) {
	r := bufio.NewReader(conn)
	command := "CONNECT"
	for {
		s.calls <- command
		reply := s.answer(n, command)
		if reply == "usual" {
			reply = usual[command]
		}
		switch reply {
		case "":
			<-ctx.Done()
			return
		case "-":
			return
		}
		reply, hangUp := strings.CutSuffix(reply, hangingUp)
		if _, err := io.WriteString(conn, reply+"\r\n"); err != nil || hangUp {
			return
		}
		switch {
		case command == "STARTTLS" && strings.HasPrefix(reply, "220"):
			s.calls <- "HANDSHAKE"
			if s.answer(n, "HANDSHAKE") == "" {
				<-ctx.Done()
				return
			}
			conn = tls.Server(conn, s.tls)
			r = bufio.NewReader(conn)
		case command == "DATA" && strings.HasPrefix(reply, "354"):
			if !readToDot(r) {
				return
			}
			command = "DOT"
			continue
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		command = strings.ToUpper(strings.Fields(line + " ?")[0])
	}
}

func readToDot(r *bufio.Reader) bool {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return false
		}
		if bytes.Equal(line, []byte(".\r\n")) {
			return true
		}
	}
}

// await reads calls until one is command, and returns those before it.
func (s *script) await(command string) (before []string) {
	s.tb.Helper()
	timeout := time.NewTimer(guard)
	defer timeout.Stop()
	for {
		select {
		case call := <-s.calls:
			if call == command {
				return before
			}
			before = append(before, call)
		case <-timeout.C:
			s.tb.Fatalf("no %s after %v", command, before)
		}
	}
}

func (s *script) url() string { return fmt.Sprintf("smtp://%s?tls=none", s.addr) }
