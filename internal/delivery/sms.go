package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/otpd/otpd/internal/otp"
)

// SMSConfig is what an [SMSChannel] is made of. Templates and Provider are needed.
type SMSConfig struct {
	Templates *Templates
	Provider  SMSProvider

	// WebOTPOrigin is the host, or the https origin, of the page that may read the code out of the message: its last
	// line says so, as https://wicg.github.io/sms-one-time-codes/ has it. Empty for no such line.
	WebOTPOrigin string
}

// SMSProvider sends text messages. It is safe for concurrent use.
type SMSProvider interface {
	// Send returns once the provider has taken responsibility for m, in the words of text, which are one SMS. It ends
	// with ctx. The error is a [*Failure].
	Send(ctx context.Context, m Message, text string) error
}

// SMSChannel delivers messages as SMS. Each is one SMS: the parts of a longer one may arrive alone, and are paid for
// one by one.
type SMSChannel struct {
	templates *Templates
	provider  SMSProvider
	host      string // of the WebOTP line; empty for none
}

// NewSMS returns a channel, and sends nothing yet. The error says what cfg lacks, or is [ErrWebOTPOrigin].
func NewSMS(cfg SMSConfig) (*SMSChannel, error) {
	if cfg.Templates == nil || cfg.Provider == nil {
		return nil, errors.New("delivery: Templates or Provider of SMS is missing")
	}
	c := &SMSChannel{templates: cfg.Templates, provider: cfg.Provider}
	if cfg.WebOTPOrigin == "" {
		return c, nil
	}
	host, err := parseWebOTPOrigin(cfg.WebOTPOrigin)
	c.host = host
	return c, err
}

// TooLong returns the templates, as NAME.LOCALE, whose text is more than one SMS with a code of length characters and
// no variable: every message in their words with such a code will be refused.
func (c *SMSChannel) TooLong(length int) (names []string) {
	code := strings.Repeat("0", length)
	for name, text := range c.templates.allSMS(Message{Code: code}) {
		if !fitsOneSMS(c.bind(text, code)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// bind adds the WebOTP line, if there is to be one.
func (c *SMSChannel) bind(text, code string) string {
	if c.host == "" {
		return text
	}
	return text + "\n" + webOTPLine(c.host, code)
}

// Recipient reads a phone number in international form.
func (c *SMSChannel) Recipient(to string) (Recipient, error) { return parsePhone(to) }

// Check refuses, beside what has no words, what is no one SMS.
func (c *SMSChannel) Check(m Message) error {
	_, err := c.text(m)
	return err
}

// Deliver sends m, or fails for good if it is no one SMS.
func (c *SMSChannel) Deliver(ctx context.Context, m Message) error {
	text, err := c.text(m)
	if err != nil {
		return &Failure{Permanent: true, Reason: "its words do not make one SMS"}
	}
	return c.provider.Send(ctx, m, text)
}

// text puts m into words. The error is an [otp.FieldError].
func (c *SMSChannel) text(m Message) (string, error) {
	text, err := c.templates.SMS(m)
	if err != nil {
		return "", err
	}
	if err := c.checkVariables(m, text); err != nil {
		return "", err
	}
	if text = c.bind(text, m.Code); fitsOneSMS(text) {
		return text, nil
	}
	const limits = "that makes one SMS: 160 characters, or 70 if one of them is outside of GSM 03.38"
	if len(m.Variables) > 0 {
		return "", &otp.FieldError{Field: "variables", Reason: "must be short enough for a text " + limits}
	}
	return "", &otp.FieldError{Field: "template", Reason: "must have a text " + limits}
}

// checkVariables refuses variables that bind the code, or another one, to a host: a page there would be given it.
func (c *SMSChannel) checkVariables(m Message, text string) error {
	m.Variables, m.Purpose = nil, ""
	plain, err := c.templates.SMS(m)
	if err != nil {
		return err
	}
	if !slices.Equal(boundCode.FindAllString(text, -1), boundCode.FindAllString(plain, -1)) {
		return &otp.FieldError{Field: "variables", Reason: "must not make up a line that binds a code to a host"}
	}
	return nil
}
