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

// newAudit returns a function that counts each event and has it written to w in one line, of the form
// that log's lines have, and one that ends the writing.
func newAudit(cfg config, log *slog.Logger, w io.Writer, registry prometheus.Registerer) (record func(otp.Event), end func()) {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_otp_events_total",
		Help: "Events in the life of verifications.",
	}, []string{"event"})
	registry.MustRegister(events)
	counters := make(map[string]prometheus.Counter)
	for _, name := range otp.EventNames {
		counters[name] = events.WithLabelValues(name)
	}
	write, end := func(otp.Event) {}, func() {}
	switch {
	case !log.Enabled(context.Background(), slog.LevelInfo):
	case cfg.LogFormat == "json":
		lines := newAuditLog(w)
		write, end = lines.record, lines.close
	default:
		write = func(e otp.Event) { writeAuditText(e, log) }
	}
	return func(e otp.Event) {
		counters[e.Name].Inc()
		write(e)
	}, end
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

// auditLog writes audit lines as JSON, as slog would with eight times the work: there is a line to
// every answer. Whoever records an event does not wait for the line to be written, only for room; one
// write takes all the lines that have come since the last, of which there are many under load.
type auditLog struct {
	w       io.Writer
	mu      sync.Mutex
	lines   []byte     // not yet written
	room    *sync.Cond // there is again
	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

const (
	maxUnwritten = 1 << 20          // bytes of lines that may wait before those who record wait too
	flushAfter   = time.Millisecond // how long a line waits for others
)

func newAuditLog(w io.Writer) *auditLog {
	a := &auditLog{w: w, wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{})}
	a.room = sync.NewCond(&a.mu)
	go a.flushUntilStopped()
	return a
}

// close writes what is there and ends the log.
func (a *auditLog) close() {
	close(a.stop)
	<-a.stopped
}

func (a *auditLog) record(e otp.Event) {
	a.mu.Lock()
	for len(a.lines) > maxUnwritten {
		a.room.Wait()
	}
	a.lines = appendAuditLine(a.lines, e)
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // it is about to wake
	}
}

func (a *auditLog) flushUntilStopped() {
	defer close(a.stopped)
	var spare []byte
	for {
		select {
		case <-a.wake:
			time.Sleep(flushAfter)
			spare = a.flush(spare)
		case <-a.stop:
			a.flush(spare)
			return
		}
	}
}

// flush writes the lines and returns their buffer; spare takes the next.
func (a *auditLog) flush(spare []byte) []byte {
	a.mu.Lock()
	lines := a.lines
	a.lines = spare[:0]
	a.mu.Unlock()
	_, _ = a.w.Write(lines) // there is nowhere to report that a log cannot be written
	a.room.Broadcast()
	return lines
}

func appendAuditLine(line []byte, e otp.Event) []byte {
	line = append(line, `{"time":"`...)
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
	return append(line, '}', '\n')
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
