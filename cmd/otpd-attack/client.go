package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is how many requests are sent at once, each on a connection of its own.
const crowd = 500

// client calls one service with one API key.
type client struct {
	http   *http.Client
	base   string // URL without a path
	secret string // of the API key, empty for none
	key    string // Idempotency-Key of all requests, empty for none
}

func newClient(base, secret string) *client {
	transport := &http.Transport{MaxIdleConns: 2 * crowd, MaxIdleConnsPerHost: crowd}
	return &client{http: &http.Client{Transport: transport, Timeout: 10 * time.Second}, base: base, secret: secret}
}

// with returns the client with another API key.
func (c *client) with(secret string) *client { return &client{c.http, c.base, secret, c.key} }

// keyed returns the client with an Idempotency-Key.
func (c *client) keyed(key string) *client { return &client{c.http, c.base, c.secret, key} }

// fields is a request.
type fields map[string]any

// answer is what an attacker looks at.
type answer struct {
	code int
	body []byte

	OTP               string
	Context           string
	ID                string
	Status            string
	State             string
	ErrorCode         string `json:"error_code"`
	AttemptsRemaining int    `json:"attempts_remaining"`

	Device      string
	Devices     []string
	Secret      string
	BackupCodes []string `json:"backup_codes"`
	Failures    int
	Challenge   string

	DeliveryID   string `json:"delivery_id"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Active       *bool  // nil but where a token is introspected
}

// The answers to an attempt that say something of the code.
func right(a answer) bool     { return a.Status == "verified" }
func wrong(a answer) bool     { return a.ErrorCode == "INVALID_OTP" }
func evaluated(a answer) bool { return right(a) || wrong(a) }

func succeeded(a answer) bool { return a.code == http.StatusOK }

func (a answer) String() string { return fmt.Sprintf("%d %s%s", a.code, a.Status, a.ErrorCode) }

// Paths.
const (
	generate = "/v1/otp/generate"
	verify   = "/v1/otp/verify"
	resend   = "/v1/otp/resend"
	revoke   = "/v1/otp/revoke"
	inspect  = "/v1/otp/inspect"
	unlock   = "/v1/identifiers/unlock"
)

// send sends a request once.
func (c *client) send(ctx context.Context, path string, body any) (a answer, err error) {
	data, isJSON := body.([]byte)
	if !isJSON {
		if data, err = json.Marshal(body); err != nil {
			return a, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(data))
	if err != nil {
		return a, err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.secret != "" {
		request.Header.Set("Authorization", "Bearer "+c.secret)
	}
	if c.key != "" {
		request.Header.Set("Idempotency-Key", c.key)
	}
	a.code, a.body, err = c.do(request)
	if err == nil && json.Unmarshal(a.body, &a) != nil {
		err = fmt.Errorf("%s: %d, and the answer is not JSON", path, a.code)
	}
	return a, err
}

// do sends a request and returns the status and the body of the answer.
func (c *client) do(request *http.Request) (int, []byte, error) {
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// A ledger that does not answer says so, and gives no verdict. Then the attacker tries again.
const (
	tries = 50
	pause = 100 * time.Millisecond
)

// post sends a request until the ledger answers. An answer that the service does not mean to give is an
// error.
func (c *client) post(ctx context.Context, path string, body any) (answer, error) {
	for range tries {
		a, err := c.send(ctx, path, body)
		if err == nil && a.code == http.StatusServiceUnavailable {
			if err := sleep(ctx, pause); err != nil {
				return a, err
			}
			continue
		}
		if err == nil && a.code >= http.StatusInternalServerError && a.ErrorCode != "DELIVERY_FAILED" {
			err = fmt.Errorf("%s: %v", path, a)
		}
		return a, err
	}
	return answer{}, fmt.Errorf("%s: the ledger does not answer", path)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// must posts what has to succeed, or the attack is none.
func (c *client) must(ctx context.Context, path string, body any) (answer, error) {
	a, err := c.post(ctx, path, body)
	if err == nil && !succeeded(a) {
		err = fmt.Errorf("%s: %v, and it should have succeeded", path, a)
	}
	return a, err
}

// issue has a code issued.
func (c *client) issue(ctx context.Context, identifier string) (answer, error) {
	return c.must(ctx, generate, fields{"identifier": identifier})
}

// finish sends the right code, which has to be accepted: the attack did no harm.
func (c *client) finish(ctx context.Context, issued answer) error {
	_, err := c.must(ctx, verify, attempt(issued, issued.OTP))
	return err
}

// attempt is the request to verify a code with the context that was issued.
func attempt(issued answer, code string) fields {
	return fields{"otp": code, "context": issued.Context}
}

// call is a request to a service.
type call struct {
	to   *client
	path string
	body any
}

// repeat returns n times the same call.
func repeat(n int, c call) []call {
	calls := make([]call, n)
	for i := range calls {
		calls[i] = c
	}
	return calls
}

// volley makes calls, width of them at a time and the first of them at once, and counts the answers. It
// goes on after an error, of which it returns one.
func volley(ctx context.Context, width int, calls []call, counts func(answer) bool) (int, error) {
	var next, counted atomic.Int64
	var mu sync.Mutex
	var failure error
	var working sync.WaitGroup
	gate := make(chan struct{})
	for range min(width, len(calls)) {
		working.Go(func() {
			<-gate
			for i := next.Add(1) - 1; i < int64(len(calls)); i = next.Add(1) - 1 {
				a, err := calls[i].to.post(ctx, calls[i].path, calls[i].body)
				if err != nil {
					mu.Lock()
					failure = err
					mu.Unlock()
				} else if counts(a) {
					counted.Add(1)
				}
			}
		})
	}
	close(gate)
	working.Wait()
	if ctx.Err() != nil {
		failure = errors.New("no time is left")
	}
	return int(counted.Load()), failure
}

// inTurn makes calls one after the other and counts the answers.
func inTurn(ctx context.Context, calls []call, counts func(answer) bool) (int, error) {
	return volley(ctx, 1, calls, counts)
}

// sendAll sends requests once, all at once, and returns the answers in the same order. It goes on after an
// error, of which it returns one.
func sendAll(ctx context.Context, calls []call) ([]answer, error) {
	answers, failures := make([]answer, len(calls)), make([]error, len(calls))
	var working sync.WaitGroup
	for i, c := range calls {
		working.Go(func() { answers[i], failures[i] = c.to.send(ctx, c.path, c.body) })
	}
	working.Wait()
	return answers, cmp.Or(failures...)
}
