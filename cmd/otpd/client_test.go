package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// client calls one otpd.
type client struct {
	http   *http.Client
	base   string // URL without a path
	secret string // of the API key, empty for none

	answered atomic.Int64 // requests with a whole answer
}

// newClient returns a client for an address, a socket's path included, over transport or, if that is
// nil, one of its own.
func newClient(tb testing.TB, addr string, transport *http.Transport) *client {
	if transport == nil {
		transport = &http.Transport{MaxIdleConnsPerHost: 100}
	}
	c := &client{http: &http.Client{Transport: transport, Timeout: patience}, base: "http://" + addr}
	if strings.HasPrefix(addr, "/") {
		c.base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", addr)
		}
	}
	if transport.TLSClientConfig != nil {
		c.base = strings.Replace(c.base, "http", "https", 1)
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return c
}

// answer is an HTTP answer, read to its end, with the fields that tests look at.
type answer struct {
	*http.Response
	body []byte

	OTP               string
	Context           string
	ID                string
	Status            string
	ErrorCode         string `json:"error_code"`
	RequestID         string `json:"request_id"`
	AttemptsRemaining int    `json:"attempts_remaining"`
	RetryCount        int    `json:"retry_count"`

	Device      string
	Devices     []string
	DeviceID    string `json:"device_id"`
	Secret      string
	URI         string
	BackupCodes []string `json:"backup_codes"`
	Identifier  string
	Primary     bool `json:"sealed_with_primary_key"`
	Challenge   string
	ExpiresAt   time.Time `json:"expires_at"`

	Channel      string
	ToMasked     string `json:"to_masked"`
	DeliveryID   string `json:"delivery_id"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	Active       bool
}

func (a *answer) String() string { return fmt.Sprintf("%d %s", a.StatusCode, a.body) }

// verdict returns the status and what the body says in one word.
func (a *answer) verdict() string { return fmt.Sprintf("%d %s%s", a.StatusCode, a.Status, a.ErrorCode) }

// send sends a request with a JSON body, nil for none. An error means that there was no whole answer.
func (c *client) send(method, path string, body any, header http.Header) (*answer, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	request, err := http.NewRequest(method, c.base+path, content)
	if err != nil {
		return nil, err
	}
	for name := range header {
		request.Header.Set(name, header.Get(name))
	}
	request.Host = header.Get("Host") // empty for that of the URL
	request.Header.Set("Content-Type", "application/json")
	if c.secret != "" {
		request.Header.Set("Authorization", "Bearer "+c.secret)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{Response: response}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return nil, err
	}
	c.answered.Add(1)
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		err = json.Unmarshal(a.body, a)
	}
	return a, err
}

// do sends a request that must be answered with a status and, in its JSON, a status or an error code:
// "400 INVALID_OTP". An empty want takes any answer.
func (c *client) do(tb testing.TB, want, method, path string, body any, header http.Header) *answer {
	tb.Helper()
	a, err := c.send(method, path, body, header)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	if want != "" && strings.TrimSpace(a.verdict()) != want {
		tb.Fatalf("%s %s: %s, want %s", method, path, a, want)
	}
	return a
}

func (c *client) get(tb testing.TB, want, path string) *answer {
	tb.Helper()
	return c.do(tb, want, http.MethodGet, path, nil, nil)
}

func (c *client) post(tb testing.TB, want, path string, body fields) *answer {
	tb.Helper()
	return c.do(tb, want, http.MethodPost, path, body, nil)
}

// fields is a JSON object.
type fields map[string]any

func (c *client) generate(tb testing.TB) *answer {
	tb.Helper()
	return c.do(tb, "200", http.MethodPost, "/v1/otp/generate", fields{"identifier": "user@example.com"}, nil)
}

func (c *client) verify(tb testing.TB, want, code, token string) *answer {
	tb.Helper()
	return c.do(tb, want, http.MethodPost, "/v1/otp/verify", fields{"otp": code, "context": token}, nil)
}

// wrongCode is what no verification accepts.
const wrongCode = "no-code-is-this"

// verifyFlow generates a code, sends a wrong one and then the right one. The error says what was not
// answered as it should be.
func (c *client) verifyFlow() error {
	issued, err := c.send(http.MethodPost, "/v1/otp/generate", fields{"identifier": "user@example.com"}, nil)
	if err != nil || issued.StatusCode != http.StatusOK {
		return fmt.Errorf("generate: %v %w", issued, err)
	}
	wrong, err := c.send(http.MethodPost, "/v1/otp/verify", fields{"otp": wrongCode, "context": issued.Context}, nil)
	if err != nil || wrong.ErrorCode != "INVALID_OTP" {
		return fmt.Errorf("verify wrong: %v %w", wrong, err)
	}
	right, err := c.send(http.MethodPost, "/v1/otp/verify", fields{"otp": issued.OTP, "context": wrong.Context}, nil)
	if err != nil || right.StatusCode != http.StatusOK {
		return fmt.Errorf("verify right: %v %w", right, err)
	}
	return nil
}
