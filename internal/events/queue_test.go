package events

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/webhook"
)

func TestNewRefuses(t *testing.T) {
	whole := Config{Endpoint: new(webhook.Endpoint), Log: slog.Default(), Metrics: prometheus.NewRegistry()}
	for name, spoil := range map[string]func(*Config){
		"no endpoint":     func(c *Config) { c.Endpoint = nil },
		"no log":          func(c *Config) { c.Log = nil },
		"no metrics":      func(c *Config) { c.Metrics = nil },
		"a negative size": func(c *Config) { c.Size = -1 },
	} {
		cfg := whole
		spoil(&cfg)
		if q, err := New(cfg); q != nil || err == nil {
			t.Error(name)
		}
	}
}

func TestEventHasTheNamesOfTheAuditLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, accepting)
		at := time.Date(2026, 1, 1, 2, 0, 0, 500e6, time.FixedZone("", 2*60*60))
		f.Record(otp.Event{
			Name: otp.EventFailed, At: at, ID: "AAECAwQFBgcICQoLDA0ODw", Purpose: "login", IdentifierHash: "hash", RetryCount: 2,
			Channel: "email", Reason: "decoy", SourceCategory: "website",
			Caller: otp.Caller{Namespace: "shop", RequestID: "r-1", IP: "203.0.113.7", UserAgent: "Mozilla \"5\" \xff<b>"},
		})
		f.Record(otp.Event{Name: otp.EventGenerated, At: at})
		if left := f.close(time.Second); left != 0 {
			t.Fatalf("%d are left", left)
		}
		var got []any
		for _, p := range f.peer.received() {
			var sent struct {
				Type      string
				Timestamp time.Time
				Data      struct{ Events []any }
			}
			if err := json.Unmarshal([]byte(p.body), &sent); err != nil || sent.Type != "otpd.events" || !sent.Timestamp.Equal(p.at) {
				t.Errorf("%v in %s", err, p.body)
			}
			got = append(got, sent.Data.Events...)
		}
		ids := map[any]bool{}
		for _, e := range got {
			fields := e.(map[string]any)
			if id := fields["event_id"].(string); !otp.IsID(id) || ids[id] {
				t.Errorf("the id is %q", id)
			}
			ids[fields["event_id"]] = true
			delete(fields, "event_id")
		}
		want := []any{
			map[string]any{
				"event": "otp.failed", "at": "2026-01-01T00:00:00.5Z", "id": "AAECAwQFBgcICQoLDA0ODw", "namespace": "shop",
				"purpose": "login", "identifier_hash": "hash", "retry_count": 2.,
				"channel": "email", "reason": "decoy", "source_category": "website", "request_id": "r-1", "ip": "203.0.113.7",
				"user_agent": "Mozilla \"5\" \ufffd<b>",
			},
			map[string]any{
				"event": "otp.generated", "at": "2026-01-01T00:00:00.5Z", "id": "", "namespace": "", "purpose": "",
				"identifier_hash": "", "retry_count": 0., "request_id": "",
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the events are %v", got)
		}
	})
}

func TestQuietEventGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, accepting)
		for i := range 3 {
			time.Sleep(time.Minute)
			recorded := time.Now()
			f.record(i, i+1)
			synctest.Wait()
			posts := f.peer.received()
			if len(posts) != i+1 || !posts[i].at.Equal(recorded) {
				t.Fatalf("after event %d there are %d posts", i, len(posts))
			}
		}
		f.counts(t, map[string]int{"queued": 0, "sent_total": 3, "posts_total accepted": 3})
		f.close(time.Second)
	})
}

func TestBusyEventsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, accepting)
		for i := range 500 { // for 10 s
			f.record(i, i+1)
			time.Sleep(20 * time.Millisecond)
		}
		f.close(time.Second)
		f.inOrder(t, 500)
		posts := f.peer.received()
		if len(posts) < 10 || len(posts) > 12 {
			t.Errorf("there are %d posts", len(posts))
		}
		for _, p := range posts {
			for _, e := range p.sent.Data.Events {
				if age := p.at.Sub(e.At); age > pause {
					t.Errorf("an event is %v old", age)
				}
			}
		}
	})
}

func TestFullBatchDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, accepting)
		f.record(0, 1)
		synctest.Wait()
		f.record(1, 1+2*maxBatch)
		synctest.Wait()
		posts := f.peer.received()
		if len(posts) != 3 || len(posts[1].names()) != maxBatch || len(posts[2].names()) != maxBatch || !posts[2].at.Equal(posts[0].at) {
			t.Errorf("the posts are %d", len(posts))
		}
		f.record(1+2*maxBatch, 3+2*maxBatch)
		synctest.Wait()
		f.counts(t, map[string]int{"queued": 2})
		time.Sleep(pause)
		synctest.Wait()
		if posts := f.peer.received(); len(posts) != 4 || posts[3].at.Sub(posts[2].at) != pause {
			t.Errorf("the posts are %d", len(posts))
		}
		f.close(time.Second)
		f.inOrder(t, 3+2*maxBatch)
	})
}

func TestFailedBatchIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, statuses(500, 429, 408, 0, 200))
		f.record(0, 1)
		synctest.Wait()
		f.record(1, 10)
		time.Sleep(time.Minute)
		f.close(time.Second)
		f.inOrder(t, 10)
		posts := f.peer.received()
		for i, most := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			if posts[i].body != posts[i+1].body || posts[i].id != posts[i+1].id {
				t.Errorf("post %d is another one", i+1)
			}
			if waited := posts[i+1].at.Sub(posts[i].at); waited < most/2 || waited > most {
				t.Errorf("after failure %d it waited %v", i+1, waited)
			}
		}
		f.counts(t, map[string]int{
			"sent_total": 10, "posts_total failed": 4, "posts_total accepted": 2, "posts_total refused": 0, "queued": 0,
		})
		// Once for the batch, not for each try.
		if log := f.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, `reason="the endpoint answered 500" events=1`) {
			t.Errorf("the log is %s", log)
		}
	})
}

// TestLostAnswer has the endpoint take a batch without otpd's hearing of it.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, statuses(0, 200))
		f.record(0, 1)
		time.Sleep(time.Minute)
		f.close(time.Second)
		posts := f.peer.received()
		if len(posts) != 2 || posts[0].id != posts[1].id || posts[0].sent.Data.Events[0].EventID != posts[1].sent.Data.Events[0].EventID {
			t.Errorf("the posts are %+v", posts)
		}
	})
}

func TestOutageOfAnHourLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := time.Now().Add(time.Hour)
		f := newFixture(t, 1000, func(int, *http.Request) (int, http.Header) {
			if time.Now().Before(over) {
				return 503, nil
			}
			return 200, nil
		})
		f.record(0, 1)
		synctest.Wait()
		f.record(1, 1001)
		synctest.Wait()
		f.counts(t, map[string]int{"queued": 1001})
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		// A try a minute, or two, beside those of the beginning.
		if tries := f.metric(t, "otpd_events_posts_total", "failed"); tries < 60 || tries > 130 {
			t.Errorf("there were %d tries", tries)
		}
		f.counts(t, map[string]int{"queued": 0, "sent_total": 1001, "dropped_total full": 0})
		f.close(time.Second)
		f.inOrder(t, 1001)
	})
}

func TestRetryAfterIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, func(n int, _ *http.Request) (int, http.Header) {
			return []int{429, 200}[n], http.Header{"Retry-After": {"300"}}
		})
		f.record(0, 1)
		time.Sleep(10 * time.Minute)
		f.close(time.Second)
		if posts := f.peer.received(); len(posts) != 2 || posts[1].at.Sub(posts[0].at) != 5*time.Minute {
			t.Errorf("there are %d posts", len(posts))
		}
	})
}

func TestStalledPostIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, func(n int, r *http.Request) (int, http.Header) {
			if n == 0 {
				return stalling(n, r)
			}
			return 200, nil
		})
		f.record(0, 1)
		time.Sleep(20 * time.Second)
		f.close(time.Second)
		f.counts(t, map[string]int{"sent_total": 1, "posts_total failed": 1})
	})
}

// A refusal that is not of the batch passes: an endpoint has a new secret, or is being deployed.
func TestRefusalThatPasses(t *testing.T) {
	for _, status := range []int{401, 403, 404, 302} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, 0, statuses(status, status, 200))
			f.record(0, 1)
			time.Sleep(time.Minute)
			f.close(time.Second)
			f.counts(t, map[string]int{"sent_total": 1, "dropped_total refused": 0, "posts_total failed": 2, "queued": 0})
		})
	}
}

func TestRefusedBatchIsDropped(t *testing.T) {
	for _, status := range []int{410, 400, 413, 422} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, 0, statuses(200, status, 200))
			f.record(0, 1)
			synctest.Wait()
			f.record(1, 8)
			time.Sleep(2 * pause)
			f.record(8, 9)
			f.close(time.Second)
			f.counts(t, map[string]int{
				"sent_total": 2, "dropped_total refused": 7, "posts_total refused": 1, "posts_total accepted": 2, "queued": 0,
			})
			if log := f.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, fmt.Sprintf("status=%d events=7\n", status)) {
				t.Errorf("the log is %s", log)
			}
		})
	}
}

func TestFullQueueDropsWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 5, stalling)
		f.record(0, 1)
		synctest.Wait() // it is under way
		start := time.Now()
		f.record(1, 9)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("it waited %v", waited)
		}
		f.counts(t, map[string]int{"queued": 6, "dropped_total full": 3})
		if left := f.close(time.Second); left != 6 {
			t.Errorf("%d are left", left)
		}
	})
}

func TestCloseDrains(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(int, *http.Request) (int, http.Header)
		within time.Duration
		left   int
		takes  time.Duration
	}{
		{"fine", accepting, 5 * time.Second, 0, 0},
		{"refusing", statuses(410), 5 * time.Second, 0, 0},
		{"slow, with time enough", taking(time.Second), 5 * time.Second, 0, 4 * time.Second},
		{"slow", taking(2 * time.Second), 5 * time.Second, 200, 5 * time.Second},
		{"down", statuses(503), 5 * time.Second, 301, 5 * time.Second},
		{"stalled", stalling, 5 * time.Second, 301, 5 * time.Second},
		{"without time", statuses(503), 0, 301, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 0, test.answer)
				f.record(0, 1)
				synctest.Wait()
				f.record(1, 301)
				start := time.Now()
				if left := f.close(test.within); left != test.left {
					t.Errorf("%d are left", left)
				}
				if took := time.Since(start); took != test.takes {
					t.Errorf("it took %v", took)
				}
				f.counts(t, map[string]int{"queued": 0, "dropped_total shutdown": test.left})
				if f.metric(t, "otpd_events_sent_total", "")+f.metric(t, "otpd_events_dropped_total", "refused") != 301-test.left {
					t.Error("the rest is neither sent nor refused")
				}
				f.record(0, 2)
				f.counts(t, map[string]int{"dropped_total shutdown": test.left + 2})
			})
		})
	}
}

// TestCloseEndsAWait closes while the next try is a minute away, after the endpoint has come back.
func TestCloseEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := time.Now().Add(10 * time.Minute)
		f := newFixture(t, 0, func(int, *http.Request) (int, http.Header) {
			if time.Now().Before(over) {
				return 503, nil
			}
			return 200, nil
		})
		f.record(0, 1)
		time.Sleep(9*time.Minute + 59*time.Second)
		start := time.Now()
		if left := f.close(5 * time.Second); left != 0 || time.Since(start) > 3*time.Second {
			t.Errorf("%d are left after %v", left, time.Since(start))
		}
	})
}

func TestEmptyQueueClosesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, accepting)
		start := time.Now()
		if left := f.close(time.Minute); left != 0 || time.Since(start) != 0 || len(f.peer.received()) != 0 {
			t.Errorf("%d are left after %v", left, time.Since(start))
		}
	})
}

// TestManyRecordAtOnce has 100 clients record to an endpoint that is reached over a network, and fails at times.
func TestManyRecordAtOnce(t *testing.T) {
	const clients, each = 100, 50
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	posts, taken := 0, map[string]bool{}
	var last [clients]int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		var sent payload
		if err == nil {
			err = json.Unmarshal(body, &sent)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, e := range sent.Data.Events {
			if taken[e.EventID] {
				continue
			}
			taken[e.EventID] = true
			if e.RetryCount != last[len(e.ID)]+1 {
				t.Errorf("client %d: %d comes after %d", len(e.ID), e.RetryCount, last[len(e.ID)])
			}
			last[len(e.ID)] = e.RetryCount
		}
		if posts++; posts%20 == 1 {
			panic(http.ErrAbortHandler) // it has taken them, and does not say so
		}
	}))
	defer server.Close()
	endpoint, err := webhook.NewEndpoint(webhook.Config{URL: server.URL, Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.Close()
	f := &fixture{metrics: prometheus.NewRegistry()}
	f.Queue, err = New(Config{Endpoint: endpoint, Log: slog.New(slog.DiscardHandler), Metrics: f.metrics})
	if err != nil {
		t.Fatal(err)
	}
	var recording sync.WaitGroup
	for client := range clients {
		recording.Go(func() {
			for i := range each {
				f.Record(otp.Event{Name: otp.EventVerified, At: time.Now(), ID: strings.Repeat("i", client), RetryCount: i + 1})
			}
		})
	}
	recording.Wait()
	left := f.close(30 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	if left != 0 || len(taken) != clients*each {
		t.Errorf("%d were taken, and %d are left", len(taken), left)
	}
	f.counts(t, map[string]int{"sent_total": clients * each, "dropped_total full": 0, "queued": 0})
}

// TestRecordWhileClosing loses no event without counting it.
func TestRecordWhileClosing(t *testing.T) {
	for range 20 {
		f := newFixture(t, 0, accepting)
		var recording sync.WaitGroup
		for range 10 {
			recording.Go(func() { f.record(0, 20) })
		}
		left := f.close(30 * time.Second)
		recording.Wait()
		if sent := f.metric(t, "otpd_events_sent_total", ""); left != 0 || sent+f.metric(t, "otpd_events_dropped_total", "shutdown") != 200 {
			t.Errorf("%d were sent, and %d are left", sent, left)
		}
	}
}

func TestEventKeepsNoMoreThanItsOwnMemory(t *testing.T) {
	f := newFixture(t, 0, stalling)
	defer f.close(0)
	before := heap()
	for range DefaultSize {
		header := strings.Repeat("a", 15<<10)
		f.Record(otp.Event{
			Name: otp.EventGenerated, ID: strings.Repeat("i", 22), Purpose: strings.Repeat("p", 64), IdentifierHash: strings.Repeat("h", 22),
			Caller: otp.Caller{Namespace: strings.Repeat("n", 64), RequestID: strings.Repeat("r", 64), IP: strings.Repeat("f", 39), UserAgent: header[:256]},
		})
	}
	if grown := heap() - before; grown > DefaultSize<<10 {
		t.Errorf("%d events take %d bytes", DefaultSize, grown)
	}
	runtime.KeepAlive(f)
}

// heap returns how many bytes are in use.
func heap() int {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}
