package webhook

import (
	"context"
	"io"
	"log"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = log.New(io.Discard, "", 0)

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func answering(status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	b := Backoff{Least: time.Second, Most: time.Minute}
	for failures, most := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 100: time.Minute, 1e9: time.Minute,
	} {
		differ := map[time.Duration]bool{}
		for range 100 {
			wait := b.after(failures)
			if wait < most/2 || wait > most {
				t.Fatalf("after %d failures it is %v, not between %v and %v", failures, wait, most/2, most)
			}
			differ[wait] = true
		}
		if len(differ) < 2 {
			t.Errorf("after %d failures it is always the same", failures)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		start := time.Now()
		if (Backoff{Least: time.Minute, Most: time.Minute}).Wait(ctx, 1, new(Failure)) || time.Since(start) != 10*time.Second {
			t.Errorf("it waited %v", time.Since(start))
		}
	})
}

func TestPostTriesUntilNearlyTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		e := newEndpoint(t, Config{URL: "https://example.com", Client: &http.Client{Transport: transport(
			func(*http.Request) (*http.Response, error) {
				tries++
				return answering(503), nil
			})}})
		failure := failureOf(t, e.Post(within(t, 5*time.Second), id, body))
		if failure.Status != 503 || failure.Permanent {
			t.Errorf("the failure is %+v", failure)
		}
		// The waits add up to between a half and all of 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 2 + 2 ... seconds.
		if took := time.Since(start); tries < 5 || tries > 8 || took < 2*time.Second || took > 5*time.Second {
			t.Errorf("there were %d tries in %v", tries, took)
		}
	})
}

func TestTryTakesHalfOfWhatIsLeft(t *testing.T) {
	for _, test := range []struct{ left, takes time.Duration }{
		{0, 15 * time.Second}, // no deadline
		{time.Hour, 15 * time.Second},
		{5 * time.Second, 2500 * time.Millisecond},
		{1500 * time.Millisecond, time.Second},
		{500 * time.Millisecond, 500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if test.left > 0 {
				ctx = within(t, test.left)
			}
			e := newEndpoint(t, Config{URL: "https://example.com", Client: &http.Client{Transport: transport(
				func(r *http.Request) (*http.Response, error) {
					<-r.Context().Done()
					return nil, r.Context().Err()
				})}})
			start := time.Now()
			failure := failureOf(t, e.Try(ctx, id, body))
			if took := time.Since(start); took != test.takes || failure.Reason != "the endpoint did not answer in time" {
				t.Errorf("with %v left it took %v: %v", test.left, took, failure)
			}
		})
	}
}
