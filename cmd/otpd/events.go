package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd/internal/events"
	"github.com/otpd/otpd/internal/webhook"
)

// eventSender sends events to an endpoint of the application.
type eventSender struct {
	*events.Queue
	endpoint *webhook.Endpoint
	log      *slog.Logger
}

// newEvents returns the sender that cfg sets up; nil if it sets up none.
func newEvents(cfg config, log *slog.Logger, registry prometheus.Registerer) (*eventSender, error) {
	if cfg.EventsURL == "" {
		return nil, nil
	}
	endpoint, err := newEndpoint("OTP_EVENTS_URL", cfg.EventsURL, "OTP_EVENTS_SECRETS", cfg.EventsSecrets, cfg.EventsSecretsFile)
	if err != nil {
		return nil, err
	}
	queue, err := events.New(events.Config{Endpoint: endpoint, Log: log, Metrics: registry})
	if err != nil {
		return nil, err
	}
	return &eventSender{queue, endpoint, log}, nil
}

// drain sends what is queued until ctx ends, and logs what is left.
func (s *eventSender) drain(ctx context.Context) {
	if left := s.Close(ctx); left > 0 {
		s.log.Error("events were not sent before the end", "count", left)
	}
	s.endpoint.Close()
}
