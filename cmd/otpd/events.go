package main

import (
	"github.com/otpd/otpd/internal/events"
)

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
	a.events = queue
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
