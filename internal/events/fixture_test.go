package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/webhook"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { os.Exit(code) }))
}

const secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// post is what an endpoint has been sent.
type post struct {
	at   time.Time
	id   string
	body string
	sent payload
}

// names returns the names of the events in it.
func (p post) names() (names []string) {
	for _, e := range p.sent.Data.Events {
		names = append(names, e.Event)
	}
	return names
}

// peer is an endpoint without a network, so that time in a test can be made up.
type peer struct {
	tb     testing.TB
	answer func(n int, r *http.Request) (status int, header http.Header) // to the nth post, from 0; status 0 for none

	mu    sync.Mutex
	posts []post
}

var errLost = errors.New("the connection is lost")

// RoundTrip implements [http.RoundTripper].
func (p *peer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err == nil {
		err = verifier.Verify(body, r.Header)
	}
	if err != nil {
		p.tb.Error(err)
	}
	received := post{at: time.Now(), id: r.Header.Get("webhook-id"), body: string(body)}
	if err := json.Unmarshal(body, &received.sent); err != nil {
		p.tb.Errorf("%v in %s", err, body)
	}
	p.mu.Lock()
	n := len(p.posts)
	p.posts = append(p.posts, received)
	p.mu.Unlock()
	status, header := p.answer(n, r)
	if status == 0 {
		return nil, errLost
	}
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody}, r.Context().Err()
}

func (p *peer) received() []post {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.posts
}

// accepting takes all that comes.
func accepting(int, *http.Request) (int, http.Header) { return 204, nil }

// statuses answers with each status once, and then with the last.
func statuses(all ...int) func(int, *http.Request) (int, http.Header) {
	return func(n int, _ *http.Request) (int, http.Header) { return all[min(n, len(all)-1)], nil }
}

// stalling answers no post before it is given up.
func stalling(_ int, r *http.Request) (int, http.Header) {
	<-r.Context().Done()
	return 0, nil
}

// taking answers each post after a while.
func taking(d time.Duration) func(int, *http.Request) (int, http.Header) {
	return func(_ int, r *http.Request) (int, http.Header) {
		select {
		case <-time.After(d):
			return 200, nil
		case <-r.Context().Done():
			return 0, nil
		}
	}
}

// fixture is a queue to a peer.
type fixture struct {
	*Queue
	peer    *peer
	metrics *prometheus.Registry
	log     *bytes.Buffer // not to be read before the queue is closed
}

func newFixture(tb testing.TB, size int, answer func(int, *http.Request) (int, http.Header)) *fixture {
	tb.Helper()
	f := &fixture{peer: &peer{tb: tb, answer: answer}, metrics: prometheus.NewRegistry(), log: new(bytes.Buffer)}
	endpoint, err := webhook.NewEndpoint(webhook.Config{
		URL: "https://example.com/events", Secrets: []string{secret}, Client: &http.Client{Transport: f.peer},
	})
	if err != nil {
		tb.Fatal(err)
	}
	f.Queue, err = New(Config{Endpoint: endpoint, Size: size, Log: slog.New(slog.NewTextHandler(f.log, nil)), Metrics: f.metrics})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// record records events named after their numbers.
func (f *fixture) record(from, to int) {
	for i := from; i < to; i++ {
		f.Record(otp.Event{Name: fmt.Sprint(i), At: time.Now()})
	}
}

// close closes the queue with d to drain it, and returns how many events were left.
func (f *fixture) close(d time.Duration) int {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return f.Close(ctx)
}

// inOrder fails tb unless what came, each post that was repeated counted once, is the events from 0 to n.
func (f *fixture) inOrder(tb testing.TB, n int) {
	tb.Helper()
	next := 0
	seen := map[string]string{}
	for _, p := range f.peer.received() {
		if body, again := seen[p.id]; again {
			if body != p.body {
				tb.Errorf("the webhook %s has two bodies", p.id)
			}
			continue
		}
		seen[p.id] = p.body
		for _, name := range p.names() {
			if name != fmt.Sprint(next) {
				tb.Fatalf("%s comes where %d should", name, next)
			}
			next++
		}
	}
	if next != n {
		tb.Errorf("there came %d events, not %d", next, n)
	}
}

// metric returns the value of a metric with the given label's value, if it has a label.
func (f *fixture) metric(tb testing.TB, name, label string) int {
	tb.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			labelled := len(m.Label) == 1 && m.Label[0].GetValue() == label || len(m.Label) == 0 && label == ""
			if family.GetName() == name && labelled {
				return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			}
		}
	}
	tb.Fatalf("there is no metric %s of %q", name, label)
	return 0
}

// counts fails tb unless the metrics, named without otpd_events_, have the given values: "sent_total",
// "dropped_total full".
func (f *fixture) counts(tb testing.TB, want map[string]int) {
	tb.Helper()
	for metric, value := range want {
		name, label, _ := strings.Cut(metric, " ")
		if got := f.metric(tb, "otpd_events_"+name, label); got != value {
			tb.Errorf("%s is %d, not %d", metric, got, value)
		}
	}
}
