package ledger

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseAddress(t *testing.T) {
	type parsed struct {
		hosts, user, password, master string
		db                            int
		tls                           bool
	}
	tests := []struct {
		url  string
		want parsed
	}{
		{"redis://localhost", parsed{hosts: "localhost:6379"}},
		{"redis://localhost/", parsed{hosts: "localhost:6379"}},
		{"redis://localhost:1", parsed{hosts: "localhost:1"}},
		{"redis://localhost:65535/15", parsed{hosts: "localhost:65535", db: 15}},
		{"redis://10.0.0.1:7000,10.0.0.2,redis.example:7002", parsed{hosts: "10.0.0.1:7000 10.0.0.2:6379 redis.example:7002"}},
		{"redis://[::1]", parsed{hosts: "[::1]:6379"}},
		{"redis://[::1]:7000,[fe80::1]", parsed{hosts: "[::1]:7000 [fe80::1]:6379"}},
		{"redis://user:pass@localhost", parsed{hosts: "localhost:6379", user: "user", password: "pass"}},
		{"redis://:pass@localhost", parsed{hosts: "localhost:6379", password: "pass"}},
		{"redis://user:p%40s%2Fs%3A%3F%23%25,@a,b:1", parsed{hosts: "a:6379 b:1", user: "user", password: "p@s/s:?#%,"}},
		{"redis://a,b/?master=mine", parsed{hosts: "a:6379 b:6379", master: "mine"}},
		{"redis://a,b?master=mine", parsed{hosts: "a:6379 b:6379", master: "mine"}},
		{"redis://a:26379,b:26379/3?master=mine", parsed{hosts: "a:26379 b:26379", master: "mine", db: 3}},
		{"rediss://localhost:6380", parsed{hosts: "localhost:6380", tls: true}},
		{"rediss://user:pass@a,b?master=mine", parsed{hosts: "a:6379 b:6379", user: "user", password: "pass", master: "mine", tls: true}},
	}
	for _, test := range tests {
		t.Run(test.url, func(t *testing.T) {
			address, err := ParseAddress(test.url)
			if err != nil {
				t.Fatal(err)
			}
			o := address.options
			got := parsed{
				strings.Join(o.InitAddress, " "), o.Username, o.Password, o.Sentinel.MasterSet, o.SelectDB, o.TLSConfig != nil,
			}
			if got != test.want {
				t.Errorf("ParseAddress = %+v, want %+v", got, test.want)
			}
			if o.Sentinel.TLSConfig != o.TLSConfig {
				t.Error("Sentinels are not asked as the server is")
			}
		})
	}
}

func TestParseAddressRefuses(t *testing.T) {
	const secret = "hunter2"
	for _, url := range []string{
		"", "redis", "redis:", "redis:localhost", "localhost", "localhost:6379", "http://hunter2", "REDIS:/hunter2",
		"redis://", "redis://:6379", "redis:///1", "redis://user:hunter2@", "redis://,", "redis://a,", "redis://,a", "redis://a,,b",
		"redis://a:", "redis://a:0", "redis://a:65536", "redis://a:-1", "redis://a:hunter2", "redis://a:+1", "redis://a:1:2", "redis://a,b:x",
		"redis://::1", "redis://[::1", "redis://[::1]x", "redis://user:hunter2%zz@a", "redis://us er:hunter2@a",
		"redis://a/x", "redis://a/-1", "redis://a/1/2", "redis://a/1x", "redis://a/hunter2", "redis://a/99999999999999999999",
		"redis://a,b/1", "redis://a#hunter2", "redis://a/1#hunter2",
		"redis://a?master=", "redis://a?master", "redis://a?hunter2=1", "redis://a?master=a&master=b", "redis://a?master=a&db=1", "redis://a?%zz",
		"redis://a?password=hunter2", "redis://a?master=a;b", "redis://user:hunter2@a:port", "redis://user:hunter2/@a", "rediss://user:hunter2@a?x=y",
		"unix:///run/hunter2.sock", "rediss:", "redis://a\n", "redis://a b", "redis://a%41", "redis://a\\b", "redis://us@er@", "redis://a,b c:1", "redis://user:hunter2\n@a",
	} {
		t.Run(url, func(t *testing.T) {
			_, err := ParseAddress(url)
			if err == nil {
				t.Fatal("ParseAddress takes it")
			}
			if strings.Contains(err.Error(), secret) || len(err.Error()) > 60 {
				t.Errorf("the error tells: %v", err)
			}
		})
	}
}

func TestDialerLimitsEachAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	gone := freeAddr(t)
	d := newDialer()
	begin := time.Now()
	var mu sync.Mutex
	var opened, refused, tooSoon int
	var running sync.WaitGroup
	for range 200 {
		for _, addr := range []string{l.Addr().String(), gone} {
			running.Go(func() {
				conn, err := d.dial(context.Background(), addr, new(net.Dialer), nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					opened++
					_ = conn.Close()
				case errors.Is(err, errDialTooSoon):
					tooSoon++
				default:
					refused++
				}
			})
		}
	}
	running.Wait()
	most := dialBurst + int(dialPerSecond*(time.Since(begin)+time.Second)/time.Second)
	for _, n := range []int{opened, refused} {
		if n < dialBurst || n > most {
			t.Errorf("%d were dialed, want %d to %d", n, dialBurst, most)
		}
	}
	if opened+refused+tooSoon != 400 || len(d.open) != 0 {
		t.Errorf("%d, %d and %d do not make 400, or %d connections are still known", opened, refused, tooSoon, len(d.open))
	}
}

func TestDialerClosesAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	d := newDialer()
	var conns []net.Conn
	for range 3 {
		conn, err := d.dial(context.Background(), l.Addr().String(), new(net.Dialer), nil)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	d.closeAll()
	if slices.ContainsFunc(conns, func(c net.Conn) bool { _, err := c.Write([]byte("x")); return !errors.Is(err, net.ErrClosed) }) {
		t.Error("a connection is open")
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	d.closeAll()
	if len(d.open) != 0 {
		t.Errorf("%d connections are known", len(d.open))
	}
}
