package main

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd"
	"github.com/otpd/otpd/internal/challenge"
	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/events"
	"github.com/otpd/otpd/internal/httpapi"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

// app is the service, put together from a configuration and not yet listening.
type app struct {
	log      *slog.Logger
	stdout   io.Writer // for codes that are delivered on the console
	stderr   io.Writer // where log writes; safe for concurrent use
	registry *prometheus.Registry
	sealer   *otpcontext.Sealer
	keys     *httpapi.Keys // nil if anyone may call
	jwtKeys  *token.Keys   // nil without tokens
	cert     *certificate  // nil without TLS
	ledger   string        // the scheme of its URL
	channels *channels
	events   *events.Queue // nil if they go nowhere
	api      *httpapi.API
	reloads  []reload
	close    func()
}

// assemble returns the app that cfg describes. Unless there is an error, its close must be called.
func assemble(cfg config, log *slog.Logger, stdout, stderr io.Writer) (*app, error) {
	a := &app{log: log, stdout: stdout, stderr: stderr, registry: newRegistry()}
	for _, step := range []func(config) error{
		a.loadSigningKeys, a.loadAPIKeys, a.loadCertificate, a.loadJWTKeys, a.loadEvents, a.assembleAPI,
	} {
		if err := step(cfg); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *app) loadSigningKeys(cfg config) error {
	a.sealer = new(otpcontext.Sealer)
	return a.load("signing keys", func() error {
		ring, err := cfg.ring()
		if err == nil {
			a.sealer.Use(ring)
		}
		return err
	}, cfg.SigningKeyFile, cfg.SigningKeyFallbacksFile)
}

func (a *app) loadAPIKeys(cfg config) error {
	if cfg.APIKeys == "" && cfg.APIKeysFile == "" {
		if !cfg.AllowAnonymous && !isUnix(cfg.ListenAddr) && !isLoopback(cfg.ListenAddr) {
			return complain("OTP_LISTEN_ADDR", "is not loopback, which needs OTP_API_KEYS or OTP_ALLOW_ANONYMOUS=true")
		}
		return nil
	}
	a.keys = new(httpapi.Keys)
	return a.load("API keys", func() error {
		set, err := cfg.apiKeys()
		if err == nil {
			a.keys.Use(set)
		}
		return err
	}, cfg.APIKeysFile)
}

func (a *app) loadCertificate(cfg config) error {
	if cfg.TLSCertFile == "" {
		return nil
	}
	a.cert = new(certificate)
	return a.load("TLS certificate", func() error {
		return a.cert.load(cfg.TLSCertFile, cfg.TLSKeyFile)
	}, cfg.TLSCertFile, cfg.TLSKeyFile)
}

func (a *app) loadJWTKeys(cfg config) error {
	if cfg.JWTPrivateKeyFile == "" {
		return nil
	}
	a.jwtKeys = new(token.Keys)
	return a.load("JWT keys", func() error {
		set, err := cfg.jwtKeys()
		if err == nil {
			a.jwtKeys.Use(set)
		}
		return err
	}, cfg.jwtKeyFiles()...)
}

// load applies what the files say, those whose name is not empty, now and whenever one has changed.
func (a *app) load(name string, apply func() error, files ...string) error {
	files = slices.DeleteFunc(files, func(file string) bool { return file == "" })
	seen := fingerprints(files) // before they are read, or a change in between would be missed
	if err := apply(); err != nil {
		return err
	}
	if len(files) > 0 {
		a.reloads = append(a.reloads, reload{name, files, seen, apply})
	}
	return nil
}

func (a *app) assembleAPI(cfg config) error {
	remembered, err := a.newLedger(cfg)
	if err != nil {
		return err
	}
	ledger, audit := newMeteredLedger(remembered, a.registry), newAudit(cfg, a.log, a.stderr, a.registry)
	if a.events != nil {
		written := audit
		audit = func(e otp.Event) {
			written(e)
			a.events.Record(e)
		}
	}
	service, err := otp.New(otp.Config{
		Sealer:         a.sealer,
		Ledger:         ledger,
		Expiry:         cfg.ExpirySeconds.seconds(),
		SessionExpiry:  cfg.SessionExpirySeconds.seconds(),
		MaxRetries:     int(cfg.MaxRetries),
		Length:         int(cfg.Length),
		Alphabet:       cfg.Alphabet,
		MaxResends:     int(cfg.MaxResends),
		ResendCooldown: cfg.ResendCooldownSeconds.seconds(),
		Audit:          audit,
	})
	if err != nil {
		return err
	}
	devices, err := device.New(device.Config{
		Sealer: a.sealer, Ledger: ledger, Issuer: cfg.Issuer, Enrollment: cfg.EnrollmentSeconds.seconds(), Audit: audit,
	})
	if err != nil {
		return err
	}
	challenges, err := challenge.New(challenge.Config{
		Sealer: a.sealer, Ledger: ledger, Codes: service, Devices: devices, Expiry: cfg.ChallengeSeconds.seconds(),
		Audit: audit,
	})
	if err != nil {
		return err
	}
	deliveries, err := delivery.New(delivery.Config{
		Sealer: a.sealer, Ledger: ledger, Codes: service, Timeout: cfg.DeliveryTimeout, SMSBudget: int(cfg.SMSBudget),
		Audit: audit, Observe: observeDeliveries(a.registry),
	})
	if err != nil {
		return err
	}
	if err := a.loadChannels(cfg, deliveries); err != nil {
		return err
	}
	tokens, err := token.New(token.Config{
		Sealer: a.sealer, Ledger: ledger, Keys: a.jwtKeys, Issuer: cfg.JWTIssuer, Audience: cfg.JWTAudience,
		AccessLife: cfg.AccessTokenSeconds.seconds(), RefreshLife: cfg.RefreshTokenSeconds.seconds(), Audit: audit,
	})
	if err != nil {
		return err
	}
	a.api = httpapi.New(httpapi.Config{
		Service:    service,
		Devices:    devices,
		Challenges: challenges,
		Delivery:   deliveries,
		Tokens:     tokens,
		Keys:       a.keys,
		GuardHost:  a.keys == nil && isLoopback(cfg.ListenAddr),
		Log:        a.log,
		Metrics:    a.registry,
		Contract:   otpd.OpenAPI,
	})
	return nil
}

// newLedger returns the ledger, which a.close ends.
func (a *app) newLedger(cfg config) (ledgerOfAll, error) {
	url, source, err := secret("OTP_LEDGER_URL", cfg.LedgerURL, cfg.LedgerURLFile)
	if err != nil {
		return nil, err
	}
	a.ledger, _, _ = strings.Cut(url, ":")
	throttle := ledger.Throttle{
		After:  int(cfg.ThrottleAfter),
		Factor: cfg.ThrottleFactorSeconds.seconds(),
		Max:    cfg.ThrottleMaxSeconds.seconds(),
	}
	switch url {
	case "none:":
		a.close = func() {}
		return ledger.None{Throttle: throttle}, nil
	case "memory:":
		memory := ledger.NewMemory(int(cfg.LedgerMaxEntries), throttle, nil)
		countEntries(memory.Len, int(cfg.LedgerMaxEntries), a.registry)
		a.close = memory.Close
		return memory, nil
	}
	address, err := ledger.ParseAddress(url)
	if err != nil {
		return nil, complain(source, err.Error())
	}
	redis := ledger.NewRedis(address, cfg.LedgerTimeout, throttle)
	if err := redis.Ping(context.Background()); err != nil {
		a.log.Warn("the ledger does not answer yet", "error", err)
	}
	a.close = redis.Close
	return redis, nil
}
