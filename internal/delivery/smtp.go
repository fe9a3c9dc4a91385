package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"regexp"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// maxRead is how many bytes of one peer are read in one delivery: with TLS, far more than it has reason to send.
const maxRead = 256 << 10

// The steps of a session, as what a mail server refuses.
const (
	theConnection  = "the connection"
	theGreeting    = "the greeting"
	encrypting     = "to encrypt"
	theCredentials = "the credentials"
	theSender      = "the sender"
	theRecipient   = "the recipient"
	theMessage     = "the message"
)

// session is a connection to a mail server that has been greeted, encrypted and authenticated.
type session struct {
	conn      *meteredConn
	client    *smtp.Client
	committed bool        // the message has been begun, and is not to be sent again
	ended     bool        // its end has been sent, or a part of that, and the server may have taken it
	spent     bool        // of no use for another message
	expiry    *time.Timer // while it is kept
}

// envelope is a message with what is said about it (RFC 5321 §2.3.1).
type envelope struct {
	from, to mailbox
	data     []byte
}

// dial opens a session. The error is a [*Failure].
func (s *mailServer) dial(ctx context.Context) (*session, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address())
	if err != nil {
		return nil, explain(ctx, theConnection, err)
	}
	opened := &session{conn: &meteredConn{Conn: conn}}
	err = opened.within(ctx, func() (step string, err error) { return s.greet(opened) })
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return opened, nil
}

// within runs f, whose reads and writes end with ctx. The error is a [*Failure].
func (s *session) within(ctx context.Context, f func() (step string, err error)) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	s.conn.left = maxRead
	step, err := f()
	if !stop() {
		s.spent = true
	}
	if err == nil {
		return nil
	}
	failure := explain(ctx, step, err)
	if _, _, refused := refusal(err); s.ended && !refused {
		failure.Unknown = true
	}
	return failure
}

// greet takes a new connection to where it takes mail.
func (s *mailServer) greet(opened *session) (step string, err error) {
	var conn net.Conn = opened.conn
	if s.encryption == implicitTLS {
		encrypted := tls.Client(conn, s.tls)
		if err := encrypted.Handshake(); err != nil {
			return encrypting, err
		}
		conn = encrypted
	}
	client, err := smtp.NewClient(conn, s.host)
	if err != nil {
		return theConnection, err
	}
	if err := client.Hello(s.hello); err != nil {
		return theGreeting, err
	}
	if s.encryption == startTLS {
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return encrypting, &Failure{Reason: "the mail server does not offer STARTTLS"}
		}
		if err := client.StartTLS(s.tls); err != nil {
			return encrypting, err
		}
	}
	opened.client = client
	return theCredentials, s.authenticate(client)
}

func (s *mailServer) authenticate(client *smtp.Client) error {
	if s.user == "" {
		return nil
	}
	_, offered := client.Extension("AUTH")
	switch s.choose(strings.Fields(offered)) {
	case "PLAIN":
		return client.Auth(smtp.PlainAuth("", s.user, s.password, s.host, s.encryption == noTLS))
	case "LOGIN":
		return client.Auth(smtp.LoginAuth(s.user, s.password, s.host, s.encryption == noTLS))
	case "CRAM-MD5":
		return client.Auth(smtp.CRAMMD5Auth(s.user, s.password))
	case "XOAUTH2":
		return client.Auth(smtp.XOAuth2Auth(s.user, s.password))
	}
	return &Failure{Reason: "the mail server offers no way to authenticate that may be used"}
}

// send hands a message over. The error is a [*Failure].
func (s *session) send(ctx context.Context, e envelope) error {
	s.committed, s.ended = false, false
	return s.within(ctx, func() (step string, err error) {
		step, err = s.transact(e)
		if err == nil {
			return "", nil
		}
		// What has been refused leaves the connection as good as it was, but for 421, with which the server closes
		// it, and unless the message has been broken off.
		if code, _, refused := refusal(err); !refused || code == 421 || s.client.Reset() != nil {
			s.spent = true
		}
		return step, err
	})
}

// transact is a mail transaction of RFC 5321 §3.3.
func (s *session) transact(e envelope) (step string, err error) {
	if offered, _ := s.client.Extension("SMTPUTF8"); e.to.international() && !offered {
		return theRecipient, &Failure{Permanent: true, Reason: "the mail server takes no internationalised addresses"}
	}
	s.client.SkipSMTPUTF8(!e.to.international())
	if err := s.client.Mail("<" + e.from.String() + ">"); err != nil {
		return theSender, err
	}
	if err := s.client.Rcpt("<" + e.to.String() + ">"); err != nil {
		return theRecipient, err
	}
	data, err := s.client.Data()
	if err != nil {
		return theMessage, err
	}
	s.committed = true
	if _, err := data.Write(e.data); err != nil {
		return theMessage, err
	}
	s.ended = true
	return theMessage, data.Close()
}

// quit ends a session that is not spent, without waiting for a goodbye.
func (s *session) quit() {
	_ = s.conn.SetDeadline(time.Now().Add(time.Second))
	_ = s.client.Text.PrintfLine("QUIT")
	_ = s.conn.Close()
}

// explain returns the failure of a step.
func explain(ctx context.Context, step string, err error) *Failure {
	if failure, ok := errors.AsType[*Failure](err); ok {
		return failure
	}
	code, enhanced, refused := refusal(err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	network, ok := errors.AsType[net.Error](err) // a socket can be a moment ahead of ctx
	late := ctx.Err() != nil || ok && network.Timeout()
	switch {
	case refused:
		codes := strings.TrimSpace(fmt.Sprint(code, " ", enhanced))
		permanent := (step == theRecipient || step == theMessage) && undeliverable(code, enhanced)
		return &Failure{Permanent: permanent, Reason: fmt.Sprintf("the mail server refused %s (%s)", step, codes)}
	case untrusted:
		return &Failure{Reason: "the mail server's certificate is not to be trusted"}
	case late:
		return &Failure{Reason: "the mail server did not answer in time"}
	case step == encrypting:
		return &Failure{Reason: "the connection to the mail server could not be encrypted"}
	}
	return &Failure{Reason: "the connection to the mail server failed"}
}

var enhancedCode = regexp.MustCompile(`^[45]\.[0-9]{1,3}\.[0-9]{1,3}\b`)

// refusal returns the codes of a reply that says no: the second of RFC 3463, if there is one. The rest of the reply is
// the server's own text, and may quote anything.
func refusal(err error) (code int, enhanced string, ok bool) {
	reply, ok := errors.AsType[*textproto.Error](err)
	if !ok || reply.Code < 400 || reply.Code > 599 {
		return 0, "", false
	}
	return reply.Code, enhancedCode.FindString(reply.Msg), true
}

// undeliverable reports whether a refusal is for good and is the recipient's. Codes of RFC 3463 on the mail system, the
// contents or policy are for the operator to look into, and so are those of RFC 5321 on commands.
func undeliverable(code int, enhanced string) bool {
	if enhanced == "" {
		return code/10 == 55
	}
	return code/100 == 5 && strings.Contains("0 1 2 4 5", strings.Split(enhanced, ".")[1])
}

// meteredConn lets no peer fill the memory: textproto bounds neither the length of a line nor their number.
type meteredConn struct {
	net.Conn
	left int // bytes to read
}

var errFlood = errors.New("delivery: the peer sends too much")

func (c *meteredConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errFlood
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
