package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// dial opens a connection that a test speaks HTTP on by itself, for at most patience.
func dial(tb testing.TB, addr string) net.Conn {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

func write(tb testing.TB, w io.Writer, text string) {
	tb.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		tb.Fatal(err)
	}
}

// readError returns the error_code of the answer that is next on a connection, and its status.
func readError(tb testing.TB, r io.Reader) (status int, code string) {
	tb.Helper()
	response, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		tb.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	var a answer
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		tb.Fatalf("the answer, %s, is not JSON: %v", response.Status, err)
	}
	return response.StatusCode, a.ErrorCode
}

const postHead = "POST /v1/otp/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// trickle sends a byte a second until the other side closes or the test has ended.
func trickle(tb testing.TB, conn net.Conn) {
	var sending sync.WaitGroup
	sending.Go(func() {
		for range time.Tick(time.Second) {
			if _, err := conn.Write([]byte("a")); err != nil {
				return
			}
		}
	})
	tb.Cleanup(func() {
		_ = conn.Close()
		sending.Wait()
	})
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t))
	t.Run("header a byte a second is cut off", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, p.addr)
		write(t, conn, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
		trickle(t, conn)
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the connection is still open after %v", patience)
		}
		if len(answer) != 0 {
			t.Errorf("answer to half a header: %q", answer)
		}
	})
	t.Run("body a byte a second is answered and cut off", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, p.addr)
		write(t, conn, postHead+"Content-Length: 1000\r\n\r\n{\"purpose\":\"")
		trickle(t, conn)
		if status, code := readError(t, conn); status != 400 || code != "INVALID_REQUEST" {
			t.Errorf("answer %d %s, want 400 INVALID_REQUEST", status, code)
		}
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection is still open after %v", patience)
		}
	})
	t.Run("a body over HTTP/2 that stops is answered", func(t *testing.T) {
		t.Parallel()
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		body, more := io.Pipe()
		defer more.Close()
		go func() { _, _ = io.WriteString(more, `{"purpose":"`) }()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.addr+"/v1/otp/generate", body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		client := http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: patience}
		defer client.CloseIdleConnections()
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		if response.StatusCode != 400 || !strings.Contains(string(text), "INVALID_REQUEST") {
			t.Errorf("answer %d %s, want 400 INVALID_REQUEST", response.StatusCode, text)
		}
	})
	t.Run("nothing at all is cut off", func(t *testing.T) {
		t.Parallel()
		if _, err := io.ReadAll(dial(t, p.addr)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the connection is still open after %v", patience)
		}
	})
	t.Run("an answer that nobody reads blocks nobody", func(t *testing.T) {
		t.Parallel()
		write(t, dial(t, p.addr), strings.Repeat("GET /openapi.yaml HTTP/1.1\r\nHost: localhost\r\n\r\n", 100))
		newClient(t, p.addr, nil).get(t, "200 ready", "/readyz")
	})
}

// TestEndlessBody sends bodies that have no end until they are answered.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t))
	chunk := "400\r\n" + strings.Repeat(" ", 0x400) + "\r\n"
	for name, request := range map[string]struct{ head, piece string }{
		"chunked":                {postHead + "Transfer-Encoding: chunked\r\n\r\n", chunk},
		"of a length too large":  {postHead + "Content-Length: 1000000000000\r\n\r\n", strings.Repeat(" ", 1024)},
		"chunked, JSON in front": {postHead + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", chunk},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, p.addr)
			write(t, conn, request.head)
			var sending sync.WaitGroup
			sending.Go(func() {
				for err := error(nil); err == nil; {
					_, err = io.WriteString(conn, request.piece)
				}
			})
			if status, code := readError(t, conn); status != 413 || code != "BODY_TOO_LARGE" {
				t.Errorf("answer %d %s, want 413 BODY_TOO_LARGE", status, code)
			}
			sending.Wait() // for the service to close the connection
		})
	}
}

func TestProtocols(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t))
	t.Run("HTTP/1.1 keeps the connection", func(t *testing.T) {
		t.Parallel()
		c := newClient(t, p.addr, nil)
		c.get(t, "200 ready", "/readyz")
		reused := false
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, c.base+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if !reused || response.ProtoMajor != 1 {
			t.Errorf("%s, connection reused: %v", response.Proto, reused)
		}
	})
	t.Run("HTTP/2 without TLS", func(t *testing.T) {
		t.Parallel()
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		c := newClient(t, p.addr, &http.Transport{Protocols: protocols})
		if a := c.get(t, "200 ready", "/readyz"); a.ProtoMajor != 2 {
			t.Errorf("%s, want HTTP/2", a.Proto)
		}
		var flows sync.WaitGroup
		for range 20 {
			flows.Go(func() {
				if err := c.verifyFlow(); err != nil {
					t.Error(err)
				}
			})
		}
		flows.Wait()
		if a := c.do(t, "413 BODY_TOO_LARGE", http.MethodPost, "/v1/otp/generate", fields{"purpose": strings.Repeat("a", 1<<20)}, nil); a.ProtoMajor != 2 {
			t.Errorf("%s, want HTTP/2", a.Proto)
		}
	})
}

func TestHostGuard(t *testing.T) {
	t.Parallel()
	key := keyVariable + "=" + newKey(t)
	open := launch(t, key)
	guarded := launch(t, key, "OTP_API_KEYS=app:0123456789abcdef")
	for host, want := range map[string]string{
		"localhost": "200 ready", "LOCALHOST:1": "200 ready", "127.0.0.1": "200 ready", "127.1.2.3:80": "200 ready",
		"[::1]:8080": "200 ready", "[::1]": "200 ready",
		"evil.example": "403 FORBIDDEN_HOST", "localhost.evil.example": "403 FORBIDDEN_HOST",
		"127.0.0.1.evil.example": "403 FORBIDDEN_HOST", "10.0.0.1": "403 FORBIDDEN_HOST", "0.0.0.0": "403 FORBIDDEN_HOST",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Host": {host}}
			newClient(t, open.addr, nil).do(t, want, http.MethodGet, "/readyz", nil, header)
			newClient(t, guarded.addr, nil).do(t, "200 ready", http.MethodGet, "/readyz", nil, header)
			a := newClient(t, guarded.admin, nil).do(t, "", http.MethodGet, "/metrics", nil, header)
			if allowed := want == "200 ready"; allowed != (a.StatusCode == 200) || !allowed && a.ErrorCode != "FORBIDDEN_HOST" {
				t.Errorf("/metrics: %s", a.verdict())
			}
		})
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t), "OTP_LOG_LEVEL=debug")
	c := newClient(t, p.addr, nil)
	for _, test := range []struct {
		name, id string
		kept     bool
	}{
		{"one character", "a", true},
		{"all that is allowed", "AZaz09._-", true},
		{"64 characters", strings.Repeat("x", 64), true},
		{"65 characters", strings.Repeat("x", 65), false},
		{"none", "", false},
		{"a space", "a b", false},
		{"markup", "<script>", false},
		{"not ASCII", "é", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{"X-Request-Id": {test.id}}
			a := c.do(t, "400 INVALID_CONTEXT", http.MethodPost, "/v1/otp/inspect", fields{"context": "x"}, header)
			id := a.Header.Get("X-Request-Id")
			if test.kept != (id == test.id) || id == "" || a.RequestID != id {
				t.Errorf("sent %q, returned %q and in the body %q", test.id, id, a.RequestID)
			}
			eventually(t, "its log line", func() bool {
				for _, line := range p.stderr.lines("request") {
					if line["request_id"] == id {
						return true
					}
				}
				return false
			})
		})
	}
}

// TestEveryFailureIsJSON looks at those that lie before or beside the routes.
func TestEveryFailureIsJSON(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t), "OTP_API_KEYS=app:0123456789abcdef")
	c := newClient(t, p.addr, nil)
	for _, test := range []struct{ name, want, method, path string }{
		{"unknown path", "404 NOT_FOUND", "GET", "/nowhere"},
		{"unknown method", "405 METHOD_NOT_ALLOWED", "BREW", "/readyz"},
		{"GET on a POST route", "405 METHOD_NOT_ALLOWED", "GET", "/v1/otp/verify"},
		{"no API key", "401 UNAUTHORIZED", "POST", "/v1/otp/verify"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c.do(t, test.want, test.method, test.path, nil, nil)
		})
	}
	t.Run("OPTIONS *", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, p.addr)
		write(t, conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if status, code := readError(t, conn); status != 404 || code != "NOT_FOUND" {
			t.Errorf("answer %d %s, want 404 NOT_FOUND", status, code)
		}
	})
	t.Run("header too large is refused", func(t *testing.T) { // by net/http, without a body in JSON
		t.Parallel()
		conn := dial(t, p.addr)
		write(t, conn, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-Large: ")
		var sending sync.WaitGroup
		sending.Go(func() { _, _ = conn.Write(bytes.Repeat([]byte("a"), 64<<10)) })
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d, want 431", response.StatusCode)
		}
		sending.Wait()
	})
}
