package main

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd/internal/challenge"
	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

// newAudit returns a function that counts each event and writes it to w in one line, of the form that
// log's lines have.
func newAudit(cfg config, log *slog.Logger, w io.Writer, registry prometheus.Registerer) func(otp.Event) {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_otp_events_total",
		Help: "Events in the life of verifications, devices, challenges, deliveries and tokens.",
	}, []string{"event"})
	sources := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_otp_sources_total",
		Help: "Verifications that succeeded, by where their users came from, if that is known.",
	}, []string{"category"})
	registry.MustRegister(events, sources)
	counters := make(map[string]prometheus.Counter)
	for _, name := range slices.Concat(
		otp.EventNames, device.EventNames, challenge.EventNames, delivery.EventNames, token.EventNames,
	) {
		counters[name] = events.WithLabelValues(name)
	}
	for _, category := range otp.SourceCategories {
		sources.WithLabelValues(category)
	}
	write := func(e otp.Event) { writeAuditText(e, log) }
	if cfg.LogFormat == "json" {
		write = (&auditLog{w: w}).record
	}
	logged := log.Enabled(context.Background(), slog.LevelInfo)
	return func(e otp.Event) {
		counters[e.Name].Inc()
		if e.SourceCategory != "" {
			sources.WithLabelValues(e.SourceCategory).Inc()
		}
		if logged {
			write(e)
		}
	}
}

// auditField is one field of an audit line, in the order in which they stand.
type auditField struct {
	name, value string
	form        fieldForm
}

type fieldForm int

const (
	text   fieldForm = iota
	number           // without quotes in JSON
	option           // text that is left out when empty
)

func auditFields(e otp.Event) [11]auditField {
	return [...]auditField{
		{"event", e.Name, text},
		{"id", e.ID, text},
		{"namespace", e.Caller.Namespace, text},
		{"purpose", e.Purpose, text},
		{"identifier_hash", e.IdentifierHash, text},
		{"retry_count", strconv.Itoa(e.RetryCount), number},
		{"request_id", e.Caller.RequestID, text},
		{"channel", e.Channel, option},
		{"reason", e.Reason, option},
		{"ip", e.Caller.IP, option},
		{"user_agent", e.Caller.UserAgent, option},
	}
}

// auditLog writes audit lines as JSON, as slog would with four times the work: there is a line to every
// answer, and it is written before the answer leaves.
type auditLog struct {
	w    io.Writer
	mu   sync.Mutex
	line []byte
}

func (a *auditLog) record(e otp.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line = appendAuditLine(a.line[:0], e)
	_, _ = a.w.Write(a.line) // there is nowhere to report that a log cannot be written
}

func appendAuditLine(line []byte, e otp.Event) []byte {
	line = append(line, `{"time":"`...)
	line = e.At.AppendFormat(line, time.RFC3339Nano)
	line = append(line, `","level":"INFO","msg":"audit"`...)
	for _, f := range auditFields(e) {
		if f.form == option && f.value == "" {
			continue
		}
		line = append(append(append(line, ',', '"'), f.name...), '"', ':')
		if f.form == number {
			line = append(line, f.value...)
		} else {
			line, _ = jsontext.AppendQuote(line, f.value) // an error means invalid UTF-8, replaced
		}
	}
	return append(line, '}', '\n')
}

func writeAuditText(e otp.Event, log *slog.Logger) {
	var attrs []slog.Attr
	for _, f := range auditFields(e) {
		if f.form != option || f.value != "" {
			attrs = append(attrs, slog.String(f.name, f.value))
		}
	}
	log.LogAttrs(context.Background(), slog.LevelInfo, "audit", attrs...)
}
