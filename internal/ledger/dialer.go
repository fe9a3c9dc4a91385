package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"

	"golang.org/x/time/rate"
)

// Connections that a replica opens to one address: a few at once, and then as many a second. Without a
// limit, each request that finds the server gone would dial.
const (
	dialBurst     = 8
	dialPerSecond = 5
)

var errDialTooSoon = errors.New("ledger: connected too often of late")

// dialer opens the connections of a client and knows them.
type dialer struct {
	mu     sync.Mutex
	limits map[string]*rate.Limiter // by address
	open   map[*trackedConn]bool
}

// trackedConn is a connection that its dialer can close.
type trackedConn struct {
	net.Conn
	dialer *dialer
}

func newDialer() *dialer {
	return &dialer{limits: make(map[string]*rate.Limiter), open: make(map[*trackedConn]bool)}
}

// dial is a [rueidis.ClientOption.DialCtxFn].
func (d *dialer) dial(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	if !d.limit(addr).Allow() {
		return nil, errDialTooSoon
	}
	dial := dialer.DialContext
	if config != nil {
		dial = (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext
	}
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{conn, d}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[tracked] = true
	return tracked, nil
}

func (d *dialer) limit(addr string) *rate.Limiter {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.limits[addr] == nil {
		d.limits[addr] = rate.NewLimiter(dialPerSecond, dialBurst)
	}
	return d.limits[addr]
}

// closeAll closes the connections, so that the client opens new ones.
func (d *dialer) closeAll() {
	d.mu.Lock()
	open := d.open
	d.open = make(map[*trackedConn]bool)
	d.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close()
	}
}

// Write lets the requests that are ready go first, so that what they send leaves with the next write: it
// halves what a command costs the server.
func (c *trackedConn) Write(data []byte) (int, error) {
	runtime.Gosched()
	return c.Conn.Write(data)
}

func (c *trackedConn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.open, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}
