package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const mebibyte = 1 << 20

// listeningSockets returns how many TCP sockets of p listen.
func listeningSockets(tb testing.TB, p *process) (n int) {
	tb.Helper()
	const listen = "0A" // the state in the fourth field, before the inode in the tenth
	proc := fmt.Sprintf("/proc/%d", p.Process.Pid)
	files, err := filepath.Glob(proc + "/fd/*")
	if err != nil || files == nil {
		tb.Skip("no /proc to count sockets in")
	}
	open := make(map[string]bool)
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil {
			open[target] = true
		}
	}
	for _, table := range []string{"/net/tcp", "/net/tcp6"} {
		data, _ := os.ReadFile(proc + table) // there may be no IPv6
		for line := range strings.Lines(string(data)) {
			if field := strings.Fields(line); field[3] == listen && open["socket:["+field[9]+"]"] {
				n++
			}
		}
	}
	return n
}

// TestStartAndIdle bounds how much memory a service holds that does nothing, and logs how long a start takes.
func TestStartAndIdle(t *testing.T) {
	const bound = 25e6
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the binary has %.1f MB, with what a release strips", float64(info.Size())/1e6)
	path := newSocketPath(t)
	for range 5 {
		cmd := command(t.Context(), nil, keyVariable+"="+newKey(t), "OTP_LISTEN_ADDR=unix:"+path, "OTP_ADMIN_ADDR=127.0.0.1:0")
		cmd.Path = binary
		begin := time.Now()
		p := start(t, cmd)
		c := newClient(t, path, nil)
		eventually(t, "ready", func() bool {
			a, err := c.send("GET", "/readyz", nil, nil)
			return err == nil && a.StatusCode == 200
		})
		ready, resident := time.Since(begin), p.rss(t)
		t.Logf("start to ready: %v, resident: %.1f MB", ready.Round(time.Millisecond), float64(resident)/1e6)
		if resident > bound {
			t.Errorf("%d bytes are resident, want at most %g", resident, bound)
		}
		p.end(t, syscall.SIGTERM)
	}
}

// TestMemoryIsFlat sends many requests to a service that is to remember nothing.
func TestMemoryIsFlat(t *testing.T) {
	t.Parallel()
	const warmUp, flows, bound = 3000, 15000, 8 * mebibyte
	p := launchBuilt(t, keyVariable+"="+newKey(t), "OTP_LEDGER_URL=none:")
	c := newClient(t, p.addr, nil)
	send := func(n int) {
		t.Helper()
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for range n / 8 {
					if err := c.verifyFlow(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		clients.Wait()
	}
	send(warmUp)
	before := p.rss(t)
	send(flows)
	after := p.rss(t)
	t.Logf("resident: %.1f MB after %d requests, %.1f MB after %d more", float64(before)/1e6, 3*warmUp, float64(after)/1e6, 3*flows)
	if after-before > bound {
		t.Errorf("memory grew by %d bytes over %d requests, want at most %d", after-before, 3*flows, bound)
	}
}

// TestTenThousandIdleConnections opens them, half of them after a request, and closes them again.
func TestTenThousandIdleConnections(t *testing.T) {
	t.Parallel()
	const conns, perConn = 10000, 40 << 10
	raiseFileLimit(t, conns+1000)
	p := launchBuilt(t, keyVariable+"="+newKey(t), "OTP_PPROF=true")
	c, admin := newClient(t, p.addr, nil), newClient(t, p.admin, nil)
	c.get(t, "200 ready", "/readyz")
	before := p.rss(t)

	idle := make([]net.Conn, conns)
	t.Cleanup(func() { closeAll(idle) })
	var err error
	for i := range idle {
		if idle[i], err = net.Dial("tcp", p.addr); err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
		if i%2 == 0 {
			write(t, idle[i], "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
	}
	for range 100 {
		if err := c.verifyFlow(); err != nil {
			t.Fatal(err)
		}
	}
	during := p.rss(t)
	if during-before > conns*perConn {
		t.Errorf("%d idle connections take %d bytes, want at most %d each", conns, during-before, perConn)
	}

	closeAll(idle)
	var after int
	eventually(t, "memory to fall back", func() bool {
		admin.get(t, "200", "/debug/pprof/heap?gc=1") // the collector would wait for more garbage
		after = p.rss(t)
		return after-before < (during-before)/5
	})
	t.Logf("resident: %.1f MB, %.1f MB with %d idle connections, %.1f MB without them again",
		float64(before)/1e6, float64(during)/1e6, conns, float64(after)/1e6)
}

func closeAll(conns []net.Conn) {
	for _, conn := range conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// raiseFileLimit lets this process and those that it starts open n files.
func raiseFileLimit(tb testing.TB, n uint64) {
	tb.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		tb.Skipf("the limit of open files is not known: %v", err)
	}
	if limit.Cur >= n {
		return
	}
	limit.Cur = n
	limit.Max = max(limit.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		tb.Skipf("the limit of open files cannot be raised to %d: %v", n, err)
	}
}
