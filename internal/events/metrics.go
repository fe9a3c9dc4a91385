package events

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	sent                                     prometheus.Counter
	overflow, refused, shutdown              prometheus.Counter
	acceptedPosts, refusedPosts, failedPosts prometheus.Counter
}

func newMetrics(registry prometheus.Registerer, waiting func() float64) *metrics {
	queued := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "otpd_events_queued",
		Help: "Events that wait for the endpoint to take them.",
	}, waiting)
	sent := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "otpd_events_sent_total",
		Help: "Events that the endpoint has taken.",
	})
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_events_dropped_total",
		Help: "Events that are lost: the queue was full, the endpoint refused them, or otpd shut down.",
	}, []string{"reason"})
	posts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "otpd_events_posts_total",
		Help: "Posts of events to the endpoint: accepted, refused for good, or failed and to be tried again.",
	}, []string{"result"})
	registry.MustRegister(queued, sent, dropped, posts)
	return &metrics{
		sent:     sent,
		overflow: dropped.WithLabelValues("full"), refused: dropped.WithLabelValues("refused"),
		shutdown:      dropped.WithLabelValues("shutdown"),
		acceptedPosts: posts.WithLabelValues("accepted"), refusedPosts: posts.WithLabelValues("refused"),
		failedPosts: posts.WithLabelValues("failed"),
	}
}

// accept counts a batch that the endpoint has taken.
func (m *metrics) accept(events int) {
	m.acceptedPosts.Inc()
	m.sent.Add(float64(events))
}

// refuse counts a batch that the endpoint does not want.
func (m *metrics) refuse(events int) {
	m.refusedPosts.Inc()
	m.refused.Add(float64(events))
}
