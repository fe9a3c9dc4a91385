// Package events tells an endpoint of the application what happens to verifications, devices, challenges and tokens,
// as Standard Webhooks. An event waits in memory until the endpoint has taken it: it may come twice, and it is lost
// where the endpoint refuses it, the queue is full or the process dies. Nobody who records one waits for any of this.
package events

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/webhook"
)

// DefaultSize is how many events may wait where nothing else is said. An event takes less than 1 KiB.
const DefaultSize = 10_000

// Config is what a [Queue] is made of. Endpoint, Log and Metrics are needed.
type Config struct {
	Endpoint *webhook.Endpoint
	Size     int // events that may wait, beside a batch that is under way; 0 for DefaultSize
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Now      func() time.Time // nil for time.Now
}

// Queue holds events until they are sent. It is safe for concurrent use.
type Queue struct {
	cfg     Config
	metrics *metrics

	mu     sync.RWMutex // written to with closed
	closed bool
	events chan otp.Event

	underWay atomic.Int64 // events in the batch that is collected or sent
	closing  context.Context
	hurry    context.CancelFunc // ends closing: Close has begun
	cut      context.Context
	cutOff   context.CancelFunc // ends cut: Close's time is over
	left     int                // events that were not sent; for Close, once done is closed
	done     chan struct{}
}

// New returns an empty queue, whose sender [Queue.Close] ends. The error says what cfg lacks.
func New(cfg Config) (*Queue, error) {
	if cfg.Endpoint == nil || cfg.Log == nil || cfg.Metrics == nil || cfg.Size < 0 {
		return nil, errors.New("events: Endpoint, Log or Metrics is missing, or Size is negative")
	}
	if cfg.Size == 0 {
		cfg.Size = DefaultSize
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	q := &Queue{cfg: cfg, events: make(chan otp.Event, cfg.Size), done: make(chan struct{})}
	q.closing, q.hurry = context.WithCancel(context.Background())
	q.cut, q.cutOff = context.WithCancel(context.Background())
	q.metrics = newMetrics(cfg.Metrics, q.waiting)
	go q.send()
	return q, nil
}

// Record has an event sent. It does not wait: with no room for the event, or after [Queue.Close], it is counted and
// forgotten.
func (q *Queue) Record(e otp.Event) {
	e.Caller.UserAgent = strings.Clone(e.Caller.UserAgent) // it may be the beginning of a header of many KiB
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		q.metrics.shutdown.Inc()
		return
	}
	select {
	case q.events <- e:
	default:
		q.metrics.overflow.Inc()
	}
}

// Close sends what waits until ctx ends, logs and returns how many events were left, and closes the endpoint. It is
// called once.
func (q *Queue) Close(ctx context.Context) (left int) {
	q.mu.Lock()
	q.closed = true
	close(q.events)
	q.mu.Unlock()
	q.hurry()
	defer q.cutOff()
	defer context.AfterFunc(ctx, q.cutOff)()
	<-q.done
	if q.left > 0 {
		q.cfg.Log.Error("events were not sent before the end", "count", q.left)
	}
	q.cfg.Endpoint.Close()
	return q.left
}

// waiting returns how many events are not yet sent.
func (q *Queue) waiting() float64 { return float64(int64(len(q.events)) + q.underWay.Load()) }
