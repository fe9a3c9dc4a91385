package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// limit is how long a test waits for what should come.
const limit = 30 * time.Second

const id = "AAECAwQFBgcICQoLDA0ODw"

var body = []byte(`{"type":"otp.code","data":{"code":"123456"}}`)

// receiver is an endpoint that notes what it is sent.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

// newReceiver returns one that answers the nth request, from 0, with answer.
func newReceiver(tb testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	r := new(receiver)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		sent, err := io.ReadAll(request.Body)
		if err != nil || !bytes.Equal(sent, body) {
			tb.Errorf("the body is %q: %v", sent, err)
		}
		r.mu.Lock()
		n := len(r.requests)
		r.requests = append(r.requests, request)
		r.mu.Unlock()
		answer(n, w, request)
	}))
	tb.Cleanup(r.Close)
	return r
}

func (r *receiver) received() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// statuses answers with each status once, and then with the last.
func statuses(all ...int) func(int, http.ResponseWriter, *http.Request) {
	return func(n int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(all[min(n, len(all)-1)]) }
}

func newEndpoint(tb testing.TB, cfg Config) *Endpoint {
	tb.Helper()
	if cfg.Secrets == nil {
		cfg.Secrets = []string{newSecret}
	}
	e, err := NewEndpoint(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.Close)
	return e
}

func within(tb testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

func failureOf(tb testing.TB, err error) *Failure {
	tb.Helper()
	failure, ok := errors.AsType[*Failure](err)
	if !ok {
		tb.Fatalf("the error is %v", err)
	}
	return failure
}

func TestPostIsSigned(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, statuses(204))
	e := newEndpoint(t, Config{URL: r.URL + "/hook?a=b", Secrets: []string{newSecret, oldSecret}})
	if err := e.Post(within(t, limit), id, body); err != nil {
		t.Fatal(err)
	}
	request := r.received()[0]
	if request.Method != "POST" || request.URL.String() != "/hook?a=b" {
		t.Errorf("the request is %s %s", request.Method, request.URL)
	}
	for name, want := range map[string]string{
		"webhook-id": id, "Content-Type": "application/json", "User-Agent": "otpd", "Accept-Encoding": "",
	} {
		if got := request.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	all := strings.Split(request.Header.Get("webhook-signature"), " ")
	if len(all) != 2 {
		t.Fatalf("the signatures are %q", all)
	}
	for i, secret := range []string{newSecret, oldSecret} {
		verifier := newVerifier(t, secret)
		if err := verifier.Verify(body, request.Header); err != nil {
			t.Errorf("with both signatures: %v", err)
		}
		alone := request.Header.Clone()
		alone.Set("webhook-signature", all[i]) // the newest first
		if err := verifier.Verify(body, alone); err != nil {
			t.Errorf("signature %d: %v", i, err)
		}
		if verifier.Verify(append(body, ' '), request.Header) == nil {
			t.Error("another body has the same signature")
		}
		alone.Set("webhook-id", "other")
		if verifier.Verify(body, alone) == nil {
			t.Error("another id has the same signature")
		}
	}
	if newVerifier(t, secretOf(24, "x")).Verify(body, request.Header) == nil {
		t.Error("a foreign secret verifies")
	}
}

func newVerifier(tb testing.TB, secret string) *standardwebhooks.Webhook {
	tb.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		tb.Fatal(err)
	}
	return verifier
}

func TestEachTryIsSignedAnew(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, statuses(500, 503, 200))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var calls atomic.Int64
	e := newEndpoint(t, Config{URL: r.URL, Now: func() time.Time {
		return start.Add(time.Duration(calls.Add(1)) * time.Second)
	}})
	if err := e.Post(within(t, limit), id, body); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, request := range r.received() {
		if request.Header.Get("webhook-id") != id {
			t.Errorf("try %d has another id", i)
		}
		if want := fmt.Sprint(start.Unix() + int64(i) + 1); request.Header.Get("webhook-timestamp") != want {
			t.Errorf("try %d has the timestamp %s, not %s", i, request.Header.Get("webhook-timestamp"), want)
		}
		if err := newVerifier(t, newSecret).VerifyIgnoringTimestamp(body, request.Header); err != nil {
			t.Errorf("try %d: %v", i, err)
		}
		seen[request.Header.Get("webhook-signature")] = true
	}
	if len(seen) != 3 {
		t.Errorf("there were %d tries with a signature of their own", len(seen))
	}
}

func TestStatusDecidesWhetherToTryAgain(t *testing.T) {
	t.Parallel()
	for status, tries := range map[int]int{
		200: 1, 201: 1, 202: 1, 204: 1, 299: 1,
		408: 2, 429: 2, 500: 2, 501: 2, 502: 2, 503: 2, 504: 2, 599: 2,
		300: 1, 301: 1, 302: 1, 303: 1, 304: 1, 307: 1, 308: 1,
		400: 1, 401: 1, 403: 1, 404: 1, 405: 1, 409: 1, 410: 1, 413: 1, 422: 1, 499: 1, 600: 1,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, statuses(status, 200))
			err := newEndpoint(t, Config{URL: r.URL}).Post(within(t, limit), id, body)
			if got := len(r.received()); got != tries {
				t.Errorf("there were %d tries, not %d", got, tries)
			}
			if status < 300 || tries == 2 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := Failure{Permanent: true, Status: status, Reason: fmt.Sprintf("the endpoint answered %d", status)}
			if failure := failureOf(t, err); *failure != want {
				t.Errorf("the failure is %+v", failure)
			}
			if err.Error() != "webhook: "+want.Reason {
				t.Errorf("it reads %q", err)
			}
		})
	}
}

// An endpoint that has waited for another in vain does not know whether that has the message.
func TestAnswersOfAnother(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{408: true, 502: true, 504: true, 400: false, 429: false, 500: false, 503: false} {
		r := newReceiver(t, statuses(status))
		err := newEndpoint(t, Config{URL: r.URL}).Try(within(t, limit), id, body)
		if failure := failureOf(t, err); failure.Unknown != want {
			t.Errorf("%d: %+v", status, failure)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := newReceiver(t, statuses(200))
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(t, func(_ int, w http.ResponseWriter, request *http.Request) {
			http.Redirect(w, request, elsewhere.URL+"/stolen", status)
		})
		// Not even by a client that would.
		e := newEndpoint(t, Config{URL: r.URL, Client: r.Client()})
		failure := failureOf(t, e.Post(within(t, limit), id, body))
		if !failure.Permanent || failure.Status != status || len(r.received()) != 1 {
			t.Errorf("%d: %+v after %d tries", status, failure, len(r.received()))
		}
	}
	if len(elsewhere.received()) != 0 {
		t.Error("the message went elsewhere")
	}
}

func TestOneStalledTryLeavesTimeForAnother(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, _ http.ResponseWriter, request *http.Request) {
		if n == 0 {
			<-request.Context().Done()
		}
	})
	ctx := within(t, 10*time.Second) // of which the stall takes a half
	if err := newEndpoint(t, Config{URL: r.URL}).Post(ctx, id, body); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil || len(r.received()) != 2 {
		t.Errorf("%d tries, %v", len(r.received()), ctx.Err())
	}
}

func TestStallEndsWithTheDeadline(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(_ int, _ http.ResponseWriter, request *http.Request) { <-request.Context().Done() })
	failure := failureOf(t, newEndpoint(t, Config{URL: r.URL}).Post(within(t, 2*time.Second), id, body))
	if *failure != (Failure{Unknown: true, Reason: "the endpoint did not answer in time"}) {
		t.Errorf("the failure is %+v", failure)
	}
}

func TestCancelledPostEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := newReceiver(t, func(_ int, _ http.ResponseWriter, request *http.Request) {
		cancel()
		<-request.Context().Done()
	})
	failure := failureOf(t, newEndpoint(t, Config{URL: r.URL}).Post(ctx, id, body))
	if failure.Permanent || len(r.received()) != 1 {
		t.Errorf("the failure is %+v after %d tries", failure, len(r.received()))
	}
}

func TestConnectionResetIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	})
	if err := newEndpoint(t, Config{URL: r.URL}).Post(within(t, limit), id, body); err != nil {
		t.Fatal(err)
	}
	if len(r.received()) != 2 {
		t.Errorf("there were %d tries", len(r.received()))
	}
}

// What may have been received at one try stays so, whatever becomes of those that follow.
func TestUnknownOutcomeStaysUnknown(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusGone)
	})
	failure := failureOf(t, newEndpoint(t, Config{URL: r.URL}).Post(within(t, limit), id, body))
	if !failure.Permanent || !failure.Unknown || failure.Status != http.StatusGone {
		t.Errorf("the failure is %+v", failure)
	}
}

func TestFailureNamesNoPeer(t *testing.T) {
	t.Parallel()
	dead := httptest.NewServer(nil)
	dead.Close()
	untrusted := httptest.NewUnstartedServer(nil)
	untrusted.Config.ErrorLog = quiet
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	torn := newReceiver(t, func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	talkative := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the code 123456 is not for you@example.com", 500)
	})
	for url, want := range map[string]Failure{
		dead.URL + "/secret":      {Reason: "the endpoint cannot be reached"},
		untrusted.URL + "/secret": {Reason: "the endpoint's certificate is not trusted"},
		torn.URL + "/secret":      {Unknown: true, Reason: "the endpoint broke the connection off"},
		talkative.URL + "/secret": {Status: 500, Reason: "the endpoint answered 500"},
	} {
		if failure := failureOf(t, newEndpoint(t, Config{URL: url}).Try(within(t, limit), id, body)); *failure != want {
			t.Errorf("%+v, want %+v", failure, want)
		}
	}
}

func TestHugeAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	written := make(chan int, 1)
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		total := 0
		for total < 1<<30 {
			n, err := w.Write(make([]byte, 64<<10))
			total += n
			if err != nil {
				break
			}
		}
		written <- total
	})
	if err := newEndpoint(t, Config{URL: r.URL}).Post(within(t, limit), id, body); err != nil {
		t.Fatal(err)
	}
	select {
	case total := <-written:
		if total >= 1<<30 {
			t.Error("all of it was taken")
		}
	case <-time.After(limit):
		t.Error("the connection stays open")
	}
}

func TestAnswerThatDoesNotEndIsAnAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter){
		"a body": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "10")
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
		},
		"another protocol": func(w http.ResponseWriter) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "other")
			w.WriteHeader(101)
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			released := make(chan struct{})
			r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
				answer(w)
				<-released
			})
			t.Cleanup(func() { close(released) })
			ctx := within(t, limit)
			err := newEndpoint(t, Config{URL: r.URL}).Try(ctx, id, body)
			if name == "a body" && err != nil || name != "a body" && !failureOf(t, err).Permanent || ctx.Err() != nil {
				t.Errorf("%v, %v", err, ctx.Err())
			}
		})
	}
}

func TestConnectionIsKept(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader([]int{500, 200}[n%2])
		_, _ = io.WriteString(w, `{"ok":true}`)
	})
	e := newEndpoint(t, Config{URL: r.URL})
	for range 2 {
		if err := e.Post(within(t, limit), id, body); err != nil {
			t.Fatal(err)
		}
	}
	peers := map[string]bool{}
	for _, request := range r.received() {
		peers[request.RemoteAddr] = true
	}
	if len(peers) != 1 {
		t.Errorf("there were %d connections", len(peers))
	}
}

func TestRetryAfterIsHeeded(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
		}
	})
	start := time.Now()
	if err := newEndpoint(t, Config{URL: r.URL}).Post(within(t, limit), id, body); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(start); waited < time.Second {
		t.Errorf("it waited %v", waited)
	}
}

func TestRetryAfterBeyondTheDeadlineEndsAtOnce(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(503)
	})
	ctx := within(t, limit)
	failure := failureOf(t, newEndpoint(t, Config{URL: r.URL}).Post(ctx, id, body))
	want := Failure{Status: 503, Reason: "the endpoint answered 503", RetryAfter: 2 * time.Minute}
	if *failure != want || ctx.Err() != nil {
		t.Errorf("the failure is %+v, %v", failure, ctx.Err())
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"7":                             7 * time.Second,
		"3600":                          time.Hour,
		"3601":                          time.Hour,
		"2147483647":                    time.Hour,
		"99999999999999999999":          0,
		"-1":                            0,
		"1.5":                           0,
		"soon":                          0,
		"Thu, 01 Jan 2026 00:00:09 GMT": 9 * time.Second,
		"Wed, 31 Dec 2025 23:59:59 GMT": 0,
		"Fri, 01 Jan 2027 00:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
