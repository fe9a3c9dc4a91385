package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// half is a request under way: of its body, which is {}, only the first byte is sent.
const half = postHead + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{"

// underWay sends half a request and waits until it has reached its handler.
func underWay(tb testing.TB, p *process) net.Conn {
	tb.Helper()
	conn := dial(tb, p.addr)
	write(tb, conn, half)
	const proceed = "HTTP/1.1 100 Continue\r\n\r\n" // which the service says when it reads the body
	got := make([]byte, len(proceed))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != proceed {
		tb.Fatalf("the request is not under way: %q %v", got, err)
	}
	return conn
}

func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t), "OTP_LOG_LEVEL=debug")

	// Clients of all kinds, some of which send requests until they are refused.
	c := newClient(t, p.addr, &http.Transport{DisableKeepAlives: true})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for err := error(nil); err == nil; {
				err = c.verifyFlow()
			}
		})
	}
	idle := newClient(t, p.addr, nil) // keeps its connection
	idle.get(t, "200 ready", "/readyz")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	idleToo := newClient(t, p.addr, &http.Transport{Protocols: protocols})
	idleToo.get(t, "200 ready", "/readyz")
	var started []net.Conn
	for range 8 {
		started = append(started, underWay(t, p))
	}

	p.signal(t, syscall.SIGTERM)
	p.logged(t, "shutting down")
	prober := newClient(t, p.addr, &http.Transport{DisableKeepAlives: true})
	eventually(t, "not ready", func() bool {
		a, err := prober.send(http.MethodGet, "/readyz", nil, nil)
		return err == nil && a.verdict() == "503 SHUTTING_DOWN"
	})
	prober.verify(t, "400 INVALID_CONTEXT", "123456", "x") // what still comes is answered
	check := command(t.Context(), []string{"healthcheck"}, "OTP_LISTEN_ADDR="+p.addr)
	if out, err := check.CombinedOutput(); err == nil {
		t.Errorf("the health check of a service that shuts down: %s", out)
	}
	for _, conn := range started {
		write(t, conn, "}")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("a request that was under way is not answered: %v", err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("a request that was under way is answered %s", response.Status)
		}
	}
	<-p.exited
	clients.Wait()
	if status := p.ProcessState.ExitCode(); status != 0 {
		t.Errorf("exit status %d, want 0: %s", status, p.stderr.String())
	}
	const healthchecks = 1
	answered := healthchecks + len(started)
	for _, c := range []*client{c, idle, idleToo, prober} {
		answered += int(c.answered.Load())
	}
	if handled := len(p.stderr.lines("request")); handled != answered {
		t.Errorf("%d requests were handled, but %d answered", handled, answered)
	}
}

func TestShutdownCutsOffWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	p := launch(t, keyVariable+"="+newKey(t), "OTP_SHUTDOWN_TIMEOUT=50ms")
	underWay(t, p)
	if status := p.end(t, syscall.SIGTERM); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	var plain []string
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.HasPrefix(line, "{") {
			plain = append(plain, line)
		}
	}
	if len(plain) != 1 || !strings.HasPrefix(plain[0], "otpd: ") || !strings.Contains(plain[0], "OTP_SHUTDOWN_TIMEOUT") {
		t.Errorf("on stderr, beside the log: %q", plain)
	}
}

func TestIdleShutdown(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			p := launch(t, keyVariable+"="+newKey(t), "OTP_SHUTDOWN_TIMEOUT=10m")
			if status := p.end(t, sig); status != 0 {
				t.Errorf("exit status %d, want 0", status)
			}
		})
	}
	t.Run("a connection without a request is no reason to wait", func(t *testing.T) {
		t.Parallel()
		p := launch(t, keyVariable+"="+newKey(t), "OTP_SHUTDOWN_TIMEOUT=2s")
		dial(t, p.addr)
		if status := p.end(t, syscall.SIGTERM); status != 0 {
			t.Errorf("exit status %d, want 0: %s", status, p.stderr.String())
		}
	})
	t.Run("a second signal ends at once", func(t *testing.T) {
		t.Parallel()
		p := launch(t, keyVariable+"="+newKey(t), "OTP_SHUTDOWN_TIMEOUT=10m")
		underWay(t, p)
		p.signal(t, syscall.SIGTERM)
		p.logged(t, "shutting down")
		eventually(t, "the end", func() bool {
			_ = p.Process.Signal(syscall.SIGTERM) // it is swallowed if it comes before the first one's handler has gone
			select {
			case <-p.exited:
				return true
			default:
				return false
			}
		})
		if status := p.ProcessState.ExitCode(); status != -1 {
			t.Errorf("exit status %d, want to be killed", status)
		}
	})
}
