package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd/internal/otp"
)

// newAudit returns a function that counts each event and logs it in one line.
func newAudit(log *slog.Logger, registry prometheus.Registerer) func(otp.Event) {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_otp_events_total",
		Help: "Events in the life of verifications.",
	}, []string{"event"})
	registry.MustRegister(events)
	counters := make(map[string]prometheus.Counter)
	for _, name := range otp.EventNames {
		counters[name] = events.WithLabelValues(name)
	}
	return func(e otp.Event) {
		counters[e.Name].Inc()
		attrs := make([]slog.Attr, 0, 9)
		attrs = append(attrs,
			slog.String("event", e.Name),
			slog.String("id", e.ID),
			slog.String("namespace", e.Caller.Namespace),
			slog.String("purpose", e.Purpose),
			slog.String("identifier_hash", e.IdentifierHash),
			slog.Int("retry_count", e.RetryCount),
			slog.String("request_id", e.Caller.RequestID),
		)
		if e.Caller.IP != "" {
			attrs = append(attrs, slog.String("ip", e.Caller.IP))
		}
		if e.Caller.UserAgent != "" {
			attrs = append(attrs, slog.String("user_agent", e.Caller.UserAgent))
		}
		log.LogAttrs(context.Background(), slog.LevelInfo, "audit", attrs...)
	}
}
