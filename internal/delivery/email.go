package delivery

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	netmail "net/mail"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/otpd/otpd/internal/otp"
)

// ErrMailFrom is the error for a sender. It follows the name of the setting.
var ErrMailFrom = errors.New("must be an address with ASCII before the @, perhaps with a name: Example <codes@example.com>")

// EmailConfig is what an [EmailChannel] is made of. Every field but RootCAs is needed.
type EmailConfig struct {
	// URL of the mail server: smtp://HOST[:PORT], with STARTTLS, or smtps://HOST[:PORT], with TLS from the start.
	// USER:PASSWORD@ may stand before the host, and ?auth=plain, login, cram-md5 or xoauth2 at the end. A loopback
	// host may have ?tls=none with smtp://.
	URL       string
	From      string // an address, perhaps with a name: Example <codes@example.com>
	Templates *Templates

	RootCAs *x509.CertPool // that the mail server's certificate is checked against; nil for those of the system
}

// EmailChannel hands messages over to a mail server by SMTP (RFC 5321). It keeps connections for 30 s, at most 8 of
// them, and uses at most 16 at a time.
type EmailChannel struct {
	server     mailServer
	from       netmail.Address
	fromBox    mailbox
	templates  *Templates
	deliveries chan struct{}
	kept       kept
}

// NewEmail returns a channel that has not yet connected. The error is [ErrMailFrom], or says what is wrong with the URL,
// to follow the name of the setting. It quotes nothing of cfg.
func NewEmail(cfg EmailConfig) (*EmailChannel, error) {
	if cfg.Templates == nil {
		return nil, errors.New("delivery: Templates is missing")
	}
	server, err := parseSMTPURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	from, box, err := parseFrom(cfg.From)
	if err != nil {
		return nil, err
	}
	server.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server.host, RootCAs: cfg.RootCAs}
	// The name of this machine would often be one that no other knows.
	server.hello = box.domain
	return &EmailChannel{
		server: server, from: from, fromBox: box, templates: cfg.Templates,
		deliveries: make(chan struct{}, maxSessions), kept: kept{idle: keepFor},
	}, nil
}

// parseFrom reads the sender. One that is internationalised could not write to most of the world.
func parseFrom(text string) (netmail.Address, mailbox, error) {
	from, err := netmail.ParseAddress(text)
	if err != nil {
		return netmail.Address{}, mailbox{}, ErrMailFrom
	}
	box, err := parseMailbox(from.Address)
	if err != nil || box.international() {
		return netmail.Address{}, mailbox{}, ErrMailFrom
	}
	return netmail.Address{Name: from.Name, Address: box.String()}, box, nil
}

// Recipient reads an address of RFC 5321, which may be internationalised (RFC 6531).
func (c *EmailChannel) Recipient(to string) (Recipient, error) {
	m, err := parseMailbox(to)
	if err != nil {
		return Recipient{}, &otp.FieldError{Field: "to", Reason: err.Error()}
	}
	return Recipient{Address: m.String(), Masked: m.masked(), Counted: m.counted()}, nil
}

// Check reports whether there is a template for m, and whether its locale and its variables are well-formed.
func (c *EmailChannel) Check(m Message) error { return c.templates.Check(m) }

// Deliver returns once the mail server has taken m over. A connection that was kept, and turns out to be lost before
// m has been begun, is replaced by a new one.
func (c *EmailChannel) Deliver(ctx context.Context, m Message) error {
	e, err := c.compose(m)
	if err != nil {
		return err
	}
	select {
	case c.deliveries <- struct{}{}:
		defer func() { <-c.deliveries }()
	case <-ctx.Done():
		return explain(ctx, theConnection, ctx.Err())
	}
	if s := c.kept.take(); s != nil {
		err := s.send(ctx, e)
		lost := err != nil && s.spent && !s.committed && ctx.Err() == nil
		c.kept.put(s)
		if !lost {
			return err
		}
	}
	s, err := c.server.dial(ctx)
	if err != nil {
		return err
	}
	defer c.kept.put(s)
	return s.send(ctx, e)
}

// Close closes the connections that are kept, and those that would be. What is under way is not interrupted.
func (c *EmailChannel) Close() { c.kept.close() }

// compose puts m into the format of RFC 5322. The error is a [*Failure].
func (c *EmailChannel) compose(m Message) (envelope, error) {
	to, err := parseMailbox(m.To)
	if err != nil {
		return envelope{}, &Failure{Permanent: true, Reason: "the address is not valid"}
	}
	subject, text, html, err := c.templates.Mail(m)
	if err != nil {
		return envelope{}, &Failure{Reason: "the template failed"}
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&c.from)
	msg.ToMailAddress(&netmail.Address{Address: to.content() + "@" + to.domain}) // which is quoted where it has to be
	msg.Subject(strings.ReplaceAll(subject, "=?", "= ?"))                        // or RFC 2047 could hide line breaks in a variable
	msg.SetDateWithValue(m.SentAt)
	msg.SetMessageIDWithValue(m.ID + "@" + c.fromBox.domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5
	msg.SetBodyString(mail.TypeTextPlain, text)
	msg.AddAlternativeString(mail.TypeTextHTML, html)
	var data bytes.Buffer
	if _, err := msg.WriteTo(&data); err != nil {
		return envelope{}, &Failure{Reason: "the message could not be composed"}
	}
	return envelope{c.fromBox, to, data.Bytes()}, nil
}
