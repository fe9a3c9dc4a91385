package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/otp"
)

// testMessage is what otpd send-test sends, by its flags.
type testMessage struct{ channel, to, locale, template string }

// parseSendTest reads the arguments of send-test. Not ok means a wrong use.
func parseSendTest(args []string) (m testMessage, ok bool) {
	flags := flag.NewFlagSet("send-test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&m.channel, "channel", "", "")
	flags.StringVar(&m.to, "to", "", "")
	flags.StringVar(&m.locale, "locale", "", "")
	flags.StringVar(&m.template, "template", "", "")
	return m, flags.Parse(args) == nil && flags.NArg() == 0 && m.channel != "" && m.to != ""
}

// sendTest sends a message with a code that verifies nothing over a channel of cfg, and says how it went. It needs
// neither a signing key nor a ledger, and heeds no limit.
func sendTest(ctx context.Context, cfg config, t testMessage, stdout io.Writer) error {
	templates, err := loadTemplates(cfg)
	if err != nil {
		return err
	}
	channels, err := newChannels(cfg, templates, stdout)
	if err != nil {
		return err
	}
	defer channels.close()
	channel, err := channels.named(t.channel)
	if err != nil {
		return err
	}
	recipient, err := channel.Recipient(t.to)
	if err != nil {
		return flagError(err)
	}
	now := time.Now()
	m := delivery.Message{
		Code: otp.NewCode(cfg.Alphabet, int(cfg.Length)),
		ID:   otp.NewID(), To: recipient.Address, VerificationID: otp.NewID(), SentAt: now,
		ExpiresAt: now.Add(cfg.ExpirySeconds.seconds()), Locale: t.locale, Template: t.template,
	}
	if err := channel.Check(m); err != nil {
		return flagError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.DeliveryTimeout)
	defer cancel()
	if err := channel.Deliver(ctx, m); err != nil {
		reason := strings.TrimPrefix(err.Error(), "delivery: ")
		return fmt.Errorf("not delivered after %v: %s", time.Since(now).Round(time.Millisecond), reason)
	}
	fmt.Fprintf(stdout, "handed over in %v: delivery %s to %s, with a code that verifies nothing\n",
		time.Since(now).Round(time.Millisecond), m.ID, recipient.Masked)
	return nil
}

// named returns one of the channels.
func (c *channels) named(name string) (delivery.Channel, error) {
	switch name {
	case delivery.Email, delivery.SMS, delivery.Webhook, delivery.Console:
	default:
		return nil, errors.New("--channel must be email, sms, webhook or console")
	}
	if c.byName[name] == nil {
		return nil, fmt.Errorf("the channel %s is not configured", name)
	}
	return c.byName[name], nil
}

// flagError names the flag that a value out of its bounds was given to.
func flagError(err error) error {
	if field, ok := errors.AsType[*otp.FieldError](err); ok {
		return fmt.Errorf("--%s %s", field.Field, field.Reason)
	}
	return err
}
