package main

import (
	"context"
	"log/slog"

	"github.com/otpd/otpd/internal/events"
	"github.com/otpd/otpd/internal/webhook"
)

// eventSender sends events to an endpoint of the application.
type eventSender struct {
	*events.Queue
	endpoint *webhook.Endpoint
	log      *slog.Logger
}

// loadEvents has events sent where cfg says, if it does.
func (a *app) loadEvents(cfg config) error {
	if cfg.EventsURL == "" {
		return nil
	}
	endpoint, err := newEndpoint("OTP_EVENTS_URL", cfg.EventsURL, "OTP_EVENTS_SECRETS", cfg.EventsSecrets, cfg.EventsSecretsFile)
	if err != nil {
		return err
	}
	queue, err := events.New(events.Config{Endpoint: endpoint, Log: a.log, Metrics: a.registry})
	if err != nil {
		return err
	}
	a.events = &eventSender{queue, endpoint, a.log}
	return a.load("events secrets", func() error {
		list, source, err := secrets("OTP_EVENTS_SECRETS", cfg.EventsSecrets, cfg.EventsSecretsFile)
		if err != nil {
			return err
		}
		if err := endpoint.UseSecrets(list); err != nil {
			return complain(source, err.Error())
		}
		return nil
	}, cfg.EventsSecretsFile)
}

// drain sends what is queued until ctx ends, and logs what is left.
func (s *eventSender) drain(ctx context.Context) {
	if left := s.Close(ctx); left > 0 {
		s.log.Error("events were not sent before the end", "count", left)
	}
	s.endpoint.Close()
}
