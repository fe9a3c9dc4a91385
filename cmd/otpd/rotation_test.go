package main

import (
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// load is several clients that go through verifications all the time. It fails the test if one of
// them is lost.
type load struct {
	tb      testing.TB
	stopped atomic.Bool
	flows   atomic.Int64
	clients sync.WaitGroup
}

func startLoad(tb testing.TB, c *client) *load {
	l := &load{tb: tb}
	for range 4 {
		l.clients.Go(func() {
			for !l.stopped.Load() {
				if err := c.verifyFlow(); err != nil {
					tb.Error(err)
					return
				}
				l.flows.Add(1)
			}
		})
	}
	tb.Cleanup(l.stop)
	return l
}

// more waits until some more verifications were gone through from beginning to end.
func (l *load) more() {
	l.tb.Helper()
	target := l.flows.Load() + 50
	eventually(l.tb, "verifications under load", func() bool { return l.flows.Load() >= target || l.tb.Failed() })
}

func (l *load) stop() {
	l.stopped.Store(true)
	l.clients.Wait()
}

// sealsWith reports whether new contexts are sealed under key.
func sealsWith(tb testing.TB, c *client, key string) bool {
	tb.Helper()
	ring, err := otpcontext.ParseRing([]string{key})
	if err != nil {
		tb.Fatal(err)
	}
	_, err = otpcontext.NewSealer(ring).Open(c.generate(tb).Context)
	return err == nil
}

// reloads returns how often p has logged that it read something again, or could not.
func reloads(p *process) int {
	return len(p.stderr.lines("reloaded")) + len(p.stderr.lines("not reloaded, the old one stays"))
}

// hangUp has p read its files again.
func hangUp(tb testing.TB, p *process) {
	tb.Helper()
	before := reloads(p)
	p.signal(tb, syscall.SIGHUP)
	eventually(tb, "a reload", func() bool { return reloads(p) > before })
}

func TestSigningKeysRotateUnderLoad(t *testing.T) {
	t.Parallel()
	first, second := newKey(t), newKey(t)
	file := newFile(t, first)
	p := launch(t, "OTP_SIGNING_KEY_FILE="+file)
	c := newClient(t, p.addr, nil)
	inFlight := func() (code, token string) {
		issued := c.generate(t)
		return issued.OTP, issued.Context
	}
	code, token := inFlight()
	verifies := func(code, token string) {
		t.Helper()
		c.verify(t, "200 verified", code, token)
	}
	under := startLoad(t, c)
	under.more()

	// As somebody does it who has several replicas: the new key first only opens, then seals.
	replaceFile(t, file, first+"\n"+second+"\n")
	hangUp(t, p)
	under.more()
	if !sealsWith(t, c, first) {
		t.Error("the first key of the file does not seal")
	}
	replaceFile(t, file, second+"\n"+first+"\n")
	hangUp(t, p)
	if !sealsWith(t, c, second) {
		t.Error("after a hangup, the new first key does not seal")
	}
	under.more()
	verifies(code, token) // sealed under the key that was first

	// What is wrong with a file is logged, and the keys stay.
	code, token = inFlight()
	for _, bad := range []string{"", "garbage", second + "\n" + second, second[:20] + "\n" + first} {
		replaceFile(t, file, bad)
		hangUp(t, p)
		under.more()
	}
	if len(p.stderr.lines("not reloaded, the old one stays")) == 0 {
		t.Error("bad files are not logged")
	}
	verifies(code, token)

	// A change is noticed without a hangup, too.
	replaceFile(t, file, first+"\n"+second)
	eventually(t, "the change of the file", func() bool { return sealsWith(t, c, first) })
	under.more()
	under.stop()

	// A key that is removed opens nothing from then on.
	code, token = inFlight()
	replaceFile(t, file, second)
	hangUp(t, p)
	c.verify(t, "400 INVALID_CONTEXT", code, token)
	verifies(inFlight())
}

func TestFallbacksFileRotates(t *testing.T) {
	t.Parallel()
	old := newKey(t)
	issued := newClient(t, launch(t, keyVariable+"="+old).addr, nil).generate(t)
	file := newFile(t, newKey(t))
	p := launch(t, keyVariable+"="+newKey(t), "OTP_SIGNING_KEY_FALLBACKS_FILE="+file)
	c := newClient(t, p.addr, nil)
	c.verify(t, "400 INVALID_CONTEXT", issued.OTP, issued.Context)
	replaceFile(t, file, old)
	hangUp(t, p)
	c.verify(t, "200 verified", issued.OTP, issued.Context)
}

func TestAPIKeysRotateUnderLoad(t *testing.T) {
	t.Parallel()
	const first, second = "the-first-secret", "the-second-secret"
	file := newFile(t, "app:"+first)
	p := launch(t, keyVariable+"="+newKey(t), "OTP_API_KEYS_FILE="+file)
	old, renewed := newClient(t, p.addr, nil), newClient(t, p.addr, nil)
	old.secret, renewed.secret = first, second
	under := startLoad(t, old)
	under.more()
	refused := func(c *client) {
		t.Helper()
		c.do(t, "401 UNAUTHORIZED", http.MethodPost, "/v1/otp/generate", fields{}, nil)
	}
	refused(renewed)

	issued := old.generate(t)
	replaceFile(t, file, "app:"+first+"\napp:"+second)
	hangUp(t, p)
	under.more()
	renewed.verify(t, "200 verified", issued.OTP, issued.Context) // of the same name, so the same namespace

	for _, bad := range []string{"", "app:short", "app:" + first + "\nother:" + first} {
		replaceFile(t, file, bad)
		hangUp(t, p)
		under.more()
	}
	if len(p.stderr.lines("not reloaded, the old one stays")) == 0 {
		t.Error("bad files are not logged")
	}
	under.stop()

	replaceFile(t, file, "app:"+second)
	hangUp(t, p)
	refused(old)
	renewed.generate(t)
}

// TestHangupAtAnyTime sends hangups from the start of a process to its end: none may be what ends it.
func TestHangupAtAnyTime(t *testing.T) {
	t.Parallel()
	p := launch(t, "OTP_SIGNING_KEY_FILE="+newFile(t, newKey(t)))
	var sending sync.WaitGroup
	sending.Go(func() {
		for {
			select {
			case <-p.exited:
				return
			default:
				_ = p.Process.Signal(syscall.SIGHUP) // fails once the process has ended
			}
		}
	})
	eventually(t, "many reloads", func() bool { return reloads(p) > 10 })
	status := p.end(t, syscall.SIGTERM)
	sending.Wait()
	if status != 0 {
		t.Errorf("exit status %d, want 0: %v", status, p.ProcessState)
	}
}
