package main

import (
	"cmp"
	"io"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/egress"
	"github.com/otpd/otpd/internal/webhook"
)

// channels are those that a configuration sets up, by their names.
type channels struct {
	byName  map[string]delivery.Channel
	closers []func()
	tooLong []string // templates of which every SMS will be refused
}

// loadTemplates reads the templates of cfg.
func loadTemplates(cfg config) (*delivery.Templates, error) {
	templates, err := delivery.LoadTemplates(cfg.TemplateDir)
	if err != nil {
		return nil, complain("OTP_TEMPLATE_DIR", "cannot be used: "+strings.TrimPrefix(err.Error(), "delivery: "))
	}
	return templates, nil
}

// newChannels returns the channels of cfg. What the console gets is written to stdout.
func newChannels(cfg config, templates *delivery.Templates, stdout io.Writer) (*channels, error) {
	c := &channels{byName: make(map[string]delivery.Channel)}
	for _, add := range []func(config, *delivery.Templates) error{c.addEmail, c.addTwilio, c.addGateway, c.addWebhook} {
		if err := add(cfg, templates); err != nil {
			c.close()
			return nil, err
		}
	}
	if cfg.DeliveryConsole {
		c.byName[delivery.Console] = delivery.NewConsole(stdout, templates)
	}
	return c, nil
}

// loadChannels has s deliver over the channels that cfg sets up. Templates are read once: one that is being edited
// must not keep a new password from taking effect.
func (a *app) loadChannels(cfg config, s *delivery.Service) error {
	templates, err := loadTemplates(cfg)
	if err != nil {
		return err
	}
	return a.load("channels", func() error {
		next, err := newChannels(cfg, templates, a.stdout)
		if err != nil {
			return err
		}
		s.Use(next.byName)
		if a.channels != nil {
			a.channels.close()
		}
		a.channels = next
		return nil
	}, cfg.SMTPURLFile, cfg.TwilioAuthTokenFile, cfg.SMSGatewayFile, cfg.DeliveryWebhookFile)
}

// close closes the connections that are kept.
func (c *channels) close() {
	for _, close := range c.closers {
		close()
	}
}

func (c *channels) addEmail(cfg config, templates *delivery.Templates) error {
	if cfg.MailFrom == "" {
		return nil
	}
	url, source, err := secret("OTP_SMTP_URL", cfg.SMTPURL, cfg.SMTPURLFile)
	if err != nil {
		return err
	}
	email, err := delivery.NewEmail(delivery.EmailConfig{URL: url, From: cfg.MailFrom, Templates: templates})
	if err != nil {
		return blame(err, source, map[error]string{delivery.ErrMailFrom: "OTP_MAIL_FROM"})
	}
	c.byName[delivery.Email] = email
	c.closers = append(c.closers, email.Close)
	return nil
}

func (c *channels) addTwilio(cfg config, templates *delivery.Templates) error {
	if cfg.TwilioAccountSID == "" {
		return nil
	}
	token, source, err := secret("OTP_TWILIO_AUTH_TOKEN", cfg.TwilioAuthToken, cfg.TwilioAuthTokenFile)
	if err != nil {
		return err
	}
	twilio, err := delivery.NewTwilio(delivery.TwilioConfig{
		AccountSID: cfg.TwilioAccountSID, AuthToken: token, From: cfg.TwilioFrom, BaseURL: cfg.TwilioBaseURL,
	})
	if err != nil {
		return blame(err, source, map[error]string{
			delivery.ErrTwilioAccount: "OTP_TWILIO_ACCOUNT_SID", delivery.ErrTwilioFrom: "OTP_TWILIO_FROM",
			egress.ErrURL: "OTP_TWILIO_BASE_URL",
		})
	}
	return c.addSMS(cfg, twilio, templates)
}

func (c *channels) addGateway(cfg config, templates *delivery.Templates) error {
	if cfg.SMSGatewayFile == "" {
		return nil
	}
	data, err := readFile("OTP_SMS_GATEWAY_FILE", cfg.SMSGatewayFile)
	if err != nil {
		return err
	}
	gateway, err := delivery.ParseGateway(data)
	if err != nil {
		return complain("OTP_SMS_GATEWAY_FILE", err.Error())
	}
	return c.addSMS(cfg, gateway, templates)
}

func (c *channels) addSMS(cfg config, provider delivery.SMSProvider, templates *delivery.Templates) error {
	sms, err := delivery.NewSMS(delivery.SMSConfig{Templates: templates, Provider: provider, WebOTPOrigin: cfg.WebOTPOrigin})
	if err != nil {
		return complain("OTP_WEBOTP_ORIGIN", err.Error())
	}
	c.byName[delivery.SMS], c.tooLong = sms, sms.TooLong(int(cfg.Length))
	return nil
}

func (c *channels) addWebhook(cfg config, _ *delivery.Templates) error {
	if cfg.DeliveryWebhookURL == "" {
		return nil
	}
	endpoint, err := newEndpoint("OTP_DELIVERY_WEBHOOK_URL", cfg.DeliveryWebhookURL,
		"OTP_DELIVERY_WEBHOOK_SECRETS", cfg.DeliveryWebhookSecrets, cfg.DeliveryWebhookFile)
	if err != nil {
		return err
	}
	c.byName[delivery.Webhook] = delivery.NewWebhook(endpoint)
	c.closers = append(c.closers, endpoint.Close)
	return nil
}

// newEndpoint returns the endpoint at a URL, given as its variable and its value, with secrets given likewise.
func newEndpoint(urlVariable, url, variable, value, file string) (*webhook.Endpoint, error) {
	list, source, err := secrets(variable, value, file)
	if err != nil {
		return nil, err
	}
	endpoint, err := webhook.NewEndpoint(webhook.Config{URL: url, Secrets: list})
	switch {
	case err == egress.ErrURL:
		return nil, complain(urlVariable, err.Error())
	case err != nil:
		return nil, complain(source, err.Error())
	}
	return endpoint, nil
}

// blame complains of the variable that an error stands for, or of another.
func blame(err error, other string, variables map[error]string) error {
	return complain(cmp.Or(variables[err], other), err.Error())
}

// observeDeliveries returns a function that counts and times deliveries.
func observeDeliveries(registry prometheus.Registerer) func(string, time.Duration, *delivery.Failure) {
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "otpd_delivery_duration_seconds",
		Help:    "Time that a delivery took, by its channel and its result: sent, failed (for now) or undeliverable.",
		Buckets: []float64{1e-3, 5e-3, 10e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10},
	}, []string{"channel", "result"})
	registry.MustRegister(durations)
	return func(channel string, took time.Duration, failure *delivery.Failure) {
		result := "sent"
		switch {
		case failure != nil && failure.Permanent:
			result = "undeliverable"
		case failure != nil:
			result = "failed"
		}
		durations.WithLabelValues(channel, result).Observe(took.Seconds())
	}
}
