package httpapi

import (
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// unmatched stands for the route of a request that has none.
const unmatched = "unmatched"

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	routes   sync.Map // of routeStatus to routeMetrics, to look labels up once
}

type routeStatus struct {
	route  string
	status int
}

type routeMetrics struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "otpd_http_requests_total",
			Help: "HTTP requests by route and status.",
		}, []string{"route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "otpd_http_request_duration_seconds",
			Help:    "Time from a request's headers to its answer, by route.",
			Buckets: []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1},
		}, []string{"route"}),
	}
	registry.MustRegister(m.requests, m.duration)
	return m
}

func (m *metrics) of(route string, status int) routeMetrics {
	key := routeStatus{route, status}
	if known, ok := m.routes.Load(key); ok {
		return known.(routeMetrics)
	}
	made := routeMetrics{m.requests.WithLabelValues(route, strconv.Itoa(status)), m.duration.WithLabelValues(route)}
	m.routes.Store(key, made)
	return made
}

// instrument counts and times each request, and logs it at debug. It names the route by its pattern:
// a raw path may hold anything.
func (a *API) instrument(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		recorder := recorders.Get().(*statusRecorder)
		*recorder = statusRecorder{w, http.StatusOK}
		defer recorders.Put(recorder)
		next.ServeHTTP(recorder, r)
		elapsed := time.Since(start)

		route := chi.RouteContext(r.Context()).RoutePattern()
		if route == "" || recorder.status == http.StatusNotFound {
			route = unmatched
		}
		m := a.metrics.of(route, recorder.status)
		m.requests.Inc()
		m.duration.Observe(elapsed.Seconds())
		if a.log.Enabled(r.Context(), slog.LevelDebug) {
			a.log.Debug("request", "method", r.Method, "route", route, "status", recorder.status,
				"duration", elapsed, "request_id", w.Header().Get(requestIDHeader))
		}
	})
}

// statusRecorder remembers the status of the answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

var recorders = sync.Pool{New: func() any { return new(statusRecorder) }}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
