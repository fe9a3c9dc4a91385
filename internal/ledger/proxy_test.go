package ledger

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fault is what a proxy does to the traffic.
type fault int

const (
	none      fault = iota
	late            // replies come late
	cut             // the connection is reset in place of a reply
	silent          // connections are taken, and nothing is forwarded
	truncated       // the connection ends within a reply
	refusing        // nobody listens
	doubled         // replies come twice
	malformed       // one reply is none that the protocol has, and then the fault ends
)

const lateness = 2 * time.Second

// proxy stands between a client and its server. A connection that was silent once stays so.
type proxy struct {
	addr, server string
	accepted     atomic.Int64 // connections
	fault        atomic.Int64
	mu           sync.Mutex
	listener     net.Listener
	open         map[net.Conn]bool
	running      sync.WaitGroup
}

func startProxy(t testing.TB, server string) *proxy {
	t.Helper()
	p := &proxy{server: server, addr: "127.0.0.1:0", open: make(map[net.Conn]bool)}
	p.listen(t)
	t.Cleanup(func() {
		p.hangUp()
		p.running.Wait()
	})
	return p
}

func (p *proxy) listen(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = l
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.accepted.Add(1)
			p.running.Go(func() { p.serve(client) })
		}
	})
}

// hangUp ends the connections, and takes no new ones.
func (p *proxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	for conn := range p.open {
		_ = conn.Close()
	}
}

// set begins a fault, or ends it.
func (p *proxy) set(t testing.TB, f fault) {
	t.Helper()
	before := fault(p.fault.Swap(int64(f)))
	switch {
	case f == refusing:
		p.hangUp()
	case before == refusing:
		p.listen(t)
	}
}

// lead leads new connections to another server.
func (p *proxy) lead(server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = server
}

// cutAll resets the connections there are.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		reset(conn)
	}
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// trouble lets s do some work, and then does what its nth disturbance is: connections end, replies are cut off for a
// while, or the server is killed.
func (p *proxy) trouble(t testing.TB, s *server, n int, random *rand.Rand) {
	time.Sleep(time.Duration(5+random.IntN(50)) * time.Millisecond) // of work
	switch n % 6 {
	case 0, 3:
		p.cutAll()
	case 1:
		p.set(t, cut)
	case 2, 5:
		p.set(t, none)
	case 4:
		s.kill()
		s.start(t)
	}
}

func (p *proxy) track(conn net.Conn) (untrack func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
	return func() {
		_ = conn.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, conn)
	}
}

func (p *proxy) serve(client net.Conn) {
	defer p.track(client)()
	p.mu.Lock()
	addr := p.server
	p.mu.Unlock()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer p.track(server)()
	var dead atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = client.Close() }()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil || !p.reply(client, buffer[:n], &dead) {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			break
		}
		if fault(p.fault.Load()) == silent {
			dead.Store(true)
		}
		if dead.Load() {
			continue
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			break
		}
	}
	_ = server.Close()
	<-done
}

// reply forwards a reply, or does what the fault is, and reports whether the connection goes on.
func (p *proxy) reply(client net.Conn, reply []byte, dead *atomic.Bool) bool {
	switch fault(p.fault.Load()) {
	case late:
		time.Sleep(lateness)
	case cut:
		reset(client)
		return false
	case silent:
		dead.Store(true)
	case truncated:
		_, _ = client.Write(reply[:len(reply)/2])
		return false
	case doubled:
		reply = slices.Concat(reply, reply)
	case malformed:
		p.fault.Store(int64(none))
		reply = []byte("*-5\r\n")
	}
	if dead.Load() {
		return true
	}
	_, err := client.Write(reply)
	return err == nil
}
