package main

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd/internal/otp"
)

// newAudit returns a function that counts each event and writes it to w in one line, of the form that
// log's lines have.
func newAudit(cfg config, log *slog.Logger, w io.Writer, registry prometheus.Registerer) func(otp.Event) {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_otp_events_total",
		Help: "Events in the life of verifications.",
	}, []string{"event"})
	registry.MustRegister(events)
	counters := make(map[string]prometheus.Counter)
	for _, name := range otp.EventNames {
		counters[name] = events.WithLabelValues(name)
	}
	write := func(otp.Event) {}
	switch {
	case !log.Enabled(context.Background(), slog.LevelInfo):
	case cfg.LogFormat == "json":
		write = (&auditLog{w: w}).write
	default:
		write = func(e otp.Event) { writeAuditText(e, log) }
	}
	return func(e otp.Event) {
		counters[e.Name].Inc()
		write(e)
	}
}

// auditField is one field of an audit line, in the order in which they stand.
type auditField struct {
	name, value string
	optional    bool // left out when empty
}

func auditFields(e otp.Event) [8]auditField {
	return [...]auditField{
		{"event", e.Name, false},
		{"id", e.ID, false},
		{"namespace", e.Caller.Namespace, false},
		{"purpose", e.Purpose, false},
		{"identifier_hash", e.IdentifierHash, false},
		{"request_id", e.Caller.RequestID, false},
		{"ip", e.Caller.IP, true},
		{"user_agent", e.Caller.UserAgent, true},
	}
}

// auditLog writes audit lines as JSON. It does what slog would, with an eighth of the work: there is one
// line to every answer.
type auditLog struct {
	mu   sync.Mutex
	w    io.Writer
	line []byte
}

func (a *auditLog) write(e otp.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := append(a.line[:0], `{"time":"`...)
	line = e.At.AppendFormat(line, time.RFC3339Nano)
	line = append(line, `","level":"INFO","msg":"audit","retry_count":`...)
	line = strconv.AppendInt(line, int64(e.RetryCount), 10)
	for _, f := range auditFields(e) {
		if f.value == "" && f.optional {
			continue
		}
		line = append(append(append(line, ',', '"'), f.name...), '"', ':')
		line, _ = jsontext.AppendQuote(line, f.value) // an error means invalid UTF-8, replaced
	}
	a.line = append(line, '}', '\n')
	_, _ = a.w.Write(a.line)
}

func writeAuditText(e otp.Event, log *slog.Logger) {
	attrs := []slog.Attr{slog.Int("retry_count", e.RetryCount)}
	for _, f := range auditFields(e) {
		if f.value != "" || !f.optional {
			attrs = append(attrs, slog.String(f.name, f.value))
		}
	}
	log.LogAttrs(context.Background(), slog.LevelInfo, "audit", attrs...)
}
