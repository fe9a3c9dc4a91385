package main

import (
	"context"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/otpd/otpd/internal/challenge"
	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

// newRegistry returns a registry that knows the process, the Go runtime and the build.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "otpd_build_info",
		Help:        "1, with the build as labels.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "date": date, "go": runtime.Version()},
	})
	build.Set(1)
	registry.MustRegister(build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// countEntries has the registry ask for the number of a ledger's entries, and tells it their limit.
func countEntries(entries func() int, limit int, registry prometheus.Registerer) {
	most := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "otpd_ledger_max_entries",
		Help: "Entries that the ledger in this process can hold.",
	})
	most.Set(float64(limit))
	registry.MustRegister(most)
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "otpd_ledger_entries",
		Help: "Entries of the ledger in this process: one for each verification, challenge, device, family of refresh " +
			"tokens, receipt, identifier with failures and recipient, and more for a recipient of many messages.",
	}, func() float64 { return float64(entries()) }))
}

// ledgerOfAll is a ledger for codes, devices, challenges, deliveries and tokens.
type ledgerOfAll interface {
	otp.Ledger
	device.Ledger
	challenge.Ledger
	delivery.Ledger
	token.Ledger
}

// meteredLedger counts and times the operations of a ledger.
type meteredLedger struct {
	ledgerOfAll
	attempt, resend, revoke, state, unlock, ping, claim                      ledgerMetrics
	attemptDevice, renewDevice, disableDevice, forgiveDevice, deviceStanding ledgerMetrics
	withdraw, spend, reserve, settle, refresh                                ledgerMetrics
}

type ledgerMetrics struct {
	operations, errors prometheus.Counter
	duration           prometheus.Observer
}

func newMeteredLedger(l ledgerOfAll, registry prometheus.Registerer) *meteredLedger {
	label := []string{"operation"}
	operations := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_ledger_operations_total",
		Help: "Operations of the ledger.",
	}, label)
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_ledger_errors_total",
		Help: "Operations that the ledger did not answer.",
	}, label)
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "otpd_ledger_duration_seconds",
		Help:    "Time that an operation of the ledger took.",
		Buckets: []float64{1e-6, 5e-6, 10e-6, 50e-6, 100e-6, 500e-6, 1e-3, 5e-3, 10e-3, 50e-3, 250e-3, 1},
	}, label)
	registry.MustRegister(operations, failures, duration)
	of := func(operation string) ledgerMetrics {
		return ledgerMetrics{
			operations.WithLabelValues(operation), failures.WithLabelValues(operation), duration.WithLabelValues(operation),
		}
	}
	return &meteredLedger{
		ledgerOfAll: l,
		attempt:     of("attempt"), resend: of("resend"), revoke: of("revoke"), state: of("state"),
		unlock: of("unlock"), ping: of("ping"), claim: of("claim"),
		attemptDevice: of("attempt_device"), renewDevice: of("renew_device"),
		disableDevice: of("disable_device"), forgiveDevice: of("forgive_device"), deviceStanding: of("device_standing"),
		withdraw: of("withdraw"), spend: of("spend"), reserve: of("reserve"), settle: of("settle"), refresh: of("refresh"),
	}
}

// done is called when an operation that began at start has ended with err.
func (m ledgerMetrics) done(start time.Time, err error) {
	m.operations.Inc()
	m.duration.Observe(time.Since(start).Seconds())
	if err != nil {
		m.errors.Inc()
	}
}

func (m *meteredLedger) Attempt(ctx context.Context, v otp.Verification, right bool) (otp.Outcome, error) {
	start := time.Now()
	outcome, err := m.ledgerOfAll.Attempt(ctx, v, right)
	m.attempt.done(start, err)
	return outcome, err
}

func (m *meteredLedger) Resend(ctx context.Context, v otp.Verification, cooldown time.Duration) (otp.Outcome, error) {
	start := time.Now()
	outcome, err := m.ledgerOfAll.Resend(ctx, v, cooldown)
	m.resend.done(start, err)
	return outcome, err
}

func (m *meteredLedger) Revoke(ctx context.Context, v otp.Verification) (otp.Outcome, error) {
	start := time.Now()
	outcome, err := m.ledgerOfAll.Revoke(ctx, v)
	m.revoke.done(start, err)
	return outcome, err
}

func (m *meteredLedger) State(ctx context.Context, v otp.Verification) (otp.Outcome, error) {
	start := time.Now()
	outcome, err := m.ledgerOfAll.State(ctx, v)
	m.state.done(start, err)
	return outcome, err
}

func (m *meteredLedger) Unlock(ctx context.Context, subject string) (otp.Outcome, error) {
	start := time.Now()
	outcome, err := m.ledgerOfAll.Unlock(ctx, subject)
	m.unlock.done(start, err)
	return outcome, err
}

func (m *meteredLedger) Ping(ctx context.Context) error {
	start := time.Now()
	err := m.ledgerOfAll.Ping(ctx)
	m.ping.done(start, err)
	return err
}

func (m *meteredLedger) Claim(ctx context.Context, v otp.Verification) (otp.Outcome, func(context.Context), error) {
	start := time.Now()
	outcome, release, err := m.ledgerOfAll.Claim(ctx, v)
	m.claim.done(start, err)
	return outcome, release, err
}

func (m *meteredLedger) AttemptDevice(ctx context.Context, v device.Version, p device.Proof) (device.Standing, error) {
	start := time.Now()
	standing, err := m.ledgerOfAll.AttemptDevice(ctx, v, p)
	m.attemptDevice.done(start, err)
	return standing, err
}

func (m *meteredLedger) RenewDevice(ctx context.Context, v device.Version) (device.Standing, error) {
	start := time.Now()
	standing, err := m.ledgerOfAll.RenewDevice(ctx, v)
	m.renewDevice.done(start, err)
	return standing, err
}

func (m *meteredLedger) DisableDevice(ctx context.Context, v device.Version) (device.Standing, error) {
	start := time.Now()
	standing, err := m.ledgerOfAll.DisableDevice(ctx, v)
	m.disableDevice.done(start, err)
	return standing, err
}

func (m *meteredLedger) ForgiveDevice(ctx context.Context, v device.Version) (device.Standing, error) {
	start := time.Now()
	standing, err := m.ledgerOfAll.ForgiveDevice(ctx, v)
	m.forgiveDevice.done(start, err)
	return standing, err
}

func (m *meteredLedger) DeviceStanding(ctx context.Context, v device.Version) (device.Standing, error) {
	start := time.Now()
	standing, err := m.ledgerOfAll.DeviceStanding(ctx, v)
	m.deviceStanding.done(start, err)
	return standing, err
}

func (m *meteredLedger) Withdraw(ctx context.Context, v otp.Verification) error {
	start := time.Now()
	err := m.ledgerOfAll.Withdraw(ctx, v)
	m.withdraw.done(start, err)
	return err
}

func (m *meteredLedger) Spend(
	ctx context.Context, key string, now time.Time, windows []delivery.Window,
) (time.Duration, func(context.Context), error) {
	start := time.Now()
	wait, refund, err := m.ledgerOfAll.Spend(ctx, key, now, windows)
	m.spend.done(start, err)
	return wait, refund, err
}

func (m *meteredLedger) Reserve(ctx context.Context, key, value string, ttl time.Duration, now time.Time) (string, error) {
	start := time.Now()
	held, err := m.ledgerOfAll.Reserve(ctx, key, value, ttl, now)
	m.reserve.done(start, err)
	return held, err
}

func (m *meteredLedger) Settle(ctx context.Context, key, own, value string, ttl time.Duration, now time.Time) error {
	start := time.Now()
	err := m.ledgerOfAll.Settle(ctx, key, own, value, ttl, now)
	m.settle.done(start, err)
	return err
}

func (m *meteredLedger) Refresh(ctx context.Context, v otp.Verification) (otp.Outcome, error) {
	start := time.Now()
	outcome, err := m.ledgerOfAll.Refresh(ctx, v)
	m.refresh.done(start, err)
	return outcome, err
}
