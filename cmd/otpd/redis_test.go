package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// need skips a test for want of a program, or fails it where OTPD_TEST_REQUIRE_REDIS=1 says that nothing
// may be skipped.
func need(tb testing.TB, program string) {
	tb.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("OTPD_TEST_REQUIRE_REDIS") == "1" {
		tb.Fatalf("%s is not installed, and OTPD_TEST_REQUIRE_REDIS=1", program)
	}
	tb.Skipf("%s is not installed", program)
}

// redisServer is a real one that keeps nothing on disk.
type redisServer struct {
	port, password string
	process        *process // nil while it does not run
}

// newRedis returns a server that does not run yet. Its password is secret enough to be looked for.
func newRedis(tb testing.TB) *redisServer {
	tb.Helper()
	need(tb, "redis-server")
	return &redisServer{port: freePort(tb), password: "the-secret-of-the-ledger"}
}

// freePort returns one below those that the system gives away by itself, so that it is still free when a
// server comes back to it.
func freePort(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		if listener, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = listener.Close()
			return port
		}
	}
	tb.Fatal("no free port")
	return ""
}

func startedRedis(tb testing.TB) *redisServer {
	tb.Helper()
	r := newRedis(tb)
	r.start(tb)
	return r
}

// url is what OTP_LEDGER_URL says, or its file.
func (r *redisServer) url() string { return "redis://:" + r.password + "@127.0.0.1:" + r.port + "/3" }

func (r *redisServer) variable() string { return "OTP_LEDGER_URL=" + r.url() }

func (r *redisServer) start(tb testing.TB) {
	tb.Helper()
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", r.port, "--save", "", "--appendonly", "no",
		"--requirepass", r.password)
	cmd.Dir = tb.TempDir()
	r.process = start(tb, cmd)
	eventually(tb, "redis-server", func() bool { return strings.Contains(r.process.stdout.String(), "Ready to accept connections") })
}

func (r *redisServer) kill(tb testing.TB) {
	tb.Helper()
	r.process.end(tb, syscall.SIGKILL)
	r.process = nil
}

// keys returns the names of all keys.
func (r *redisServer) keys(tb testing.TB) (names []string) {
	tb.Helper()
	conn := dial(tb, "127.0.0.1:"+r.port)
	defer conn.Close()
	write(tb, conn, "AUTH "+r.password+"\r\nSELECT 3\r\nKEYS *\r\n")
	replies := bufio.NewScanner(conn)
	read := func() string {
		if !replies.Scan() {
			tb.Fatal("redis-server says no more")
		}
		return replies.Text()
	}
	if auth, sel := read(), read(); auth != "+OK" || sel != "+OK" {
		tb.Fatalf("redis-server says %q and %q", auth, sel)
	}
	count, err := strconv.Atoi(strings.TrimPrefix(read(), "*"))
	if err != nil {
		tb.Fatal(err)
	}
	for range count {
		read() // the length
		names = append(names, read())
	}
	return names
}

// patient has the ledger wait for an answer longer than a busy machine takes.
const patient = "OTP_LEDGER_TIMEOUT=5s"

// replicas returns clients of n processes that share a signing key and r.
func replicas(tb testing.TB, r *redisServer, n int, env ...string) (clients []*client) {
	tb.Helper()
	env = append([]string{keyVariable + "=" + newKey(tb), r.variable(), patient}, env...)
	for range n {
		clients = append(clients, newClient(tb, launch(tb, env...).addr, nil))
	}
	return clients
}

func TestReadyOnceTheLedgerAnswers(t *testing.T) {
	t.Parallel()
	r := newRedis(t)
	p := launch(t, keyVariable+"="+newKey(t), "OTP_LEDGER_URL_FILE="+newFile(t, "# of the ledger\n"+r.url()+"\n"))
	p.logged(t, "the ledger does not answer yet")
	c := newClient(t, p.addr, nil)
	check := func() error {
		return command(t.Context(), []string{"healthcheck"}, keyVariable+"="+newKey(t), "OTP_LISTEN_ADDR="+p.addr).Run()
	}
	var issued *answer
	down := func() {
		t.Helper()
		c.get(t, "200 ok", "/healthz")
		a := c.get(t, "503 LEDGER_UNAVAILABLE", "/readyz")
		if a.Header.Get("Retry-After") != "1" || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("/readyz: %v %s", a.Header, a)
		}
		if check() == nil {
			t.Error("the health check of a service without its ledger is well")
		}
		issued = c.generate(t)
		c.verify(t, "503 LEDGER_UNAVAILABLE", issued.OTP, issued.Context)
		c.verify(t, "503 LEDGER_UNAVAILABLE", wrongCode, issued.Context)
		for _, path := range []string{"/v1/otp/resend", "/v1/otp/revoke", "/v1/otp/inspect"} {
			c.post(t, "503 LEDGER_UNAVAILABLE", path, fields{"context": issued.Context})
		}
		c.post(t, "503 LEDGER_UNAVAILABLE", "/v1/identifiers/unlock", fields{"identifier": "user@example.com"})
	}
	up := func() {
		t.Helper()
		eventually(t, "ready", func() bool {
			a, err := c.send(http.MethodGet, "/readyz", nil, nil)
			return err == nil && a.verdict() == "200 ready"
		})
		if err := check(); err != nil {
			t.Errorf("health check: %v", err)
		}
		// The context that got no verdict has all its attempts.
		if a := c.verify(t, "200 verified", issued.OTP, issued.Context); a.RetryCount != 0 {
			t.Errorf("after the ledger was down: %s, want no wrong code", a)
		}
		c.verify(t, "409 OTP_ALREADY_USED", issued.OTP, issued.Context)
	}
	down()
	r.start(t)
	up()
	for range 2 { // nor is a lost connection for good
		r.kill(t)
		down()
		r.start(t)
		up()
	}
	if status := p.end(t, syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if log := p.stdout.String() + p.stderr.String(); strings.Contains(log, r.password) {
		t.Errorf("the log holds the ledger's password:\n%s", log)
	}
}

func TestShutdownWhileTheLedgerIsOut(t *testing.T) {
	t.Parallel()
	r := newRedis(t)
	p := launch(t, keyVariable+"="+newKey(t), r.variable())
	if status := p.end(t, syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d: %s", status, p.stderr.String())
	}
}

// Each of these is refused by the server, and none may repeat the password.
func TestWrongPasswordOfTheLedger(t *testing.T) {
	t.Parallel()
	r := startedRedis(t)
	const wrong = "not-the-password-of-the-ledger"
	for name, userinfo := range map[string]string{
		"wrong": ":" + wrong, "of an unknown user": "somebody:" + wrong, "none": "",
	} {
		t.Run(name, func(t *testing.T) {
			url := "redis://" + userinfo + "@127.0.0.1:" + r.port
			p := launch(t, keyVariable+"="+newKey(t), "OTP_LEDGER_URL="+url, "OTP_LOG_LEVEL=debug")
			p.logged(t, "the ledger does not answer yet")
			c := newClient(t, p.addr, nil)
			ready := c.get(t, "503 LEDGER_UNAVAILABLE", "/readyz")
			issued := c.generate(t)
			a := c.verify(t, "503 LEDGER_UNAVAILABLE", issued.OTP, issued.Context)
			table, err := command(t.Context(), []string{"config"}, "OTP_LEDGER_URL="+url).CombinedOutput()
			if err != nil {
				t.Error(err)
			}
			p.end(t, syscall.SIGTERM)
			for _, text := range []string{p.stderr.String(), p.stdout.String(), string(ready.body), string(a.body), string(table)} {
				if strings.Contains(text, wrong) || strings.Contains(text, url) {
					t.Errorf("the URL or its password is in:\n%s", text)
				}
			}
		})
	}
}

func TestLedgerURLsThatAreTaken(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://127.0.0.1:1", "rediss://127.0.0.1:1/", "redis://user:pass%2Fword@127.0.0.1:1/15", "redis://[::1]:1",
		"redis://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", "rediss://:secret@127.0.0.1:1,127.0.0.1:2/3?master=otpd",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			p := launch(t, keyVariable+"="+newKey(t), "OTP_LEDGER_URL="+url)
			newClient(t, p.addr, nil).get(t, "503 LEDGER_UNAVAILABLE", "/readyz")
			scheme, _, _ := strings.Cut(url, ":")
			if line := p.stderr.lines("listening")[0]; line["ledger"] != scheme {
				t.Errorf("the ledger is %v in the log, want %s and nothing more", line["ledger"], scheme)
			}
		})
	}
}

func TestReplicasShareTheLedger(t *testing.T) {
	t.Parallel()
	r := startedRedis(t)
	c := replicas(t, r, 2, "OTP_RESEND_COOLDOWN_SECONDS=0", "OTP_THROTTLE_AFTER=2", "OTP_THROTTLE_FACTOR_SECONDS=1800")
	issue := func(tb testing.TB) *answer {
		tb.Helper()
		return c[0].post(tb, "200", "/v1/otp/generate", fields{})
	}
	t.Run("single use", func(t *testing.T) {
		issued := issue(t)
		c[0].verify(t, "200 verified", issued.OTP, issued.Context)
		c[1].verify(t, "409 OTP_ALREADY_USED", issued.OTP, issued.Context)
		c[0].verify(t, "409 OTP_ALREADY_USED", issued.OTP, issued.Context)
	})
	t.Run("attempts", func(t *testing.T) {
		issued := issue(t)
		for attempt := range 3 { // always with the first context
			if a := c[attempt%2].verify(t, "400 INVALID_OTP", wrongCode, issued.Context); a.AttemptsRemaining != 2-attempt {
				t.Errorf("%d attempts remain, want %d", a.AttemptsRemaining, 2-attempt)
			}
		}
		c[1].verify(t, "429 MAX_RETRIES_EXCEEDED", issued.OTP, issued.Context)
		c[0].verify(t, "429 MAX_RETRIES_EXCEEDED", issued.OTP, issued.Context)
	})
	t.Run("revoked", func(t *testing.T) {
		issued := issue(t)
		c[1].post(t, "200 revoked", "/v1/otp/revoke", fields{"context": issued.Context})
		c[0].verify(t, "410 CONTEXT_REVOKED", issued.OTP, issued.Context)
	})
	t.Run("superseded", func(t *testing.T) {
		issued := issue(t)
		resent := c[1].post(t, "200", "/v1/otp/resend", fields{"context": issued.Context})
		c[0].verify(t, "409 CONTEXT_SUPERSEDED", issued.OTP, issued.Context)
		c[0].post(t, "409 CONTEXT_SUPERSEDED", "/v1/otp/resend", fields{"context": issued.Context})
		c[0].verify(t, "200 verified", resent.OTP, resent.Context)
	})
	t.Run("throttled and unlocked", func(t *testing.T) {
		const user = "locked@example.com"
		for i := range 3 {
			c[i%2].fail(t, user)
		}
		issued := c[0].post(t, "200", "/v1/otp/generate", fields{"identifier": user})
		for i := range 4 {
			a := c[i%2].verify(t, "429 N_FAILED_ATTEMPTS", issued.OTP, issued.Context)
			if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || wait < 3000 || wait > 3600 {
				t.Errorf("Retry-After: %q, want what is left of 3600", a.Header.Get("Retry-After"))
			}
		}
		c[1].unlock(t, user)
		c[0].verify(t, "200 verified", issued.OTP, issued.Context)
	})
	t.Run("one of many at once", func(t *testing.T) {
		issued := issue(t)
		if n := successes(t, c, issued.OTP, issued.Context); n != 1 {
			t.Errorf("%d of many right codes were accepted, want 1", n)
		}
	})
}

// successes sends a right code with each of some contexts many times at once to all clients and returns
// how often it was accepted.
func successes(tb testing.TB, clients []*client, code string, contexts ...string) int {
	tb.Helper()
	var accepted atomic.Int32
	var sending sync.WaitGroup
	for range 20 {
		for _, c := range clients {
			for _, token := range contexts {
				sending.Go(func() {
					a, err := c.send(http.MethodPost, "/v1/otp/verify", fields{"otp": code, "context": token}, nil)
					switch {
					case err != nil:
						tb.Error(err)
					case a.verdict() == "200 verified":
						accepted.Add(1)
					case a.verdict() != "409 OTP_ALREADY_USED":
						tb.Errorf("verify: %s", a)
					}
				})
			}
		}
	}
	sending.Wait()
	return int(accepted.Load())
}

func TestCountSurvivesKill(t *testing.T) {
	t.Parallel()
	r := startedRedis(t)
	env := []string{keyVariable + "=" + newKey(t), r.variable(), patient, "OTP_THROTTLE_AFTER=2", "OTP_THROTTLE_FACTOR_SECONDS=1800"}
	p := launch(t, env...)
	restarted := func() *client {
		t.Helper()
		p.end(t, syscall.SIGKILL)
		p = launch(t, env...)
		return newClient(t, p.addr, nil)
	}
	c := newClient(t, p.addr, nil)
	guessed, used := c.post(t, "200", "/v1/otp/generate", fields{}), c.post(t, "200", "/v1/otp/generate", fields{})
	for attempt := range 3 {
		c = restarted()
		if a := c.verify(t, "400 INVALID_OTP", wrongCode, guessed.Context); a.AttemptsRemaining != 2-attempt {
			t.Errorf("after a kill %d attempts remain, want %d", a.AttemptsRemaining, 2-attempt)
		}
		c.fail(t, "user@example.com")
	}
	restarted().verify(t, "429 MAX_RETRIES_EXCEEDED", guessed.OTP, guessed.Context)
	issued := newClient(t, p.addr, nil).generate(t)
	restarted().verify(t, "429 N_FAILED_ATTEMPTS", issued.OTP, issued.Context)
	newClient(t, p.addr, nil).verify(t, "200 verified", used.OTP, used.Context)
	restarted().verify(t, "409 OTP_ALREADY_USED", used.OTP, used.Context)
}

func TestMetricsOfRedis(t *testing.T) {
	t.Parallel()
	r := startedRedis(t)
	p := launch(t, keyVariable+"="+newKey(t), r.variable(), patient, "OTP_RESEND_COOLDOWN_SECONDS=0")
	c := newClient(t, p.addr, nil)
	if err := c.verifyFlow(); err != nil {
		t.Fatal(err)
	}
	issued := c.generate(t)
	inspect := func(want string) { t.Helper(); c.post(t, want, "/v1/otp/inspect", fields{"context": issued.Context}) }
	inspect("200")
	issued = c.post(t, "200", "/v1/otp/resend", fields{"context": issued.Context})
	c.post(t, "200 revoked", "/v1/otp/revoke", fields{"context": issued.Context})
	c.unlock(t, "user@example.com")
	r.kill(t)
	inspect("503 LEDGER_UNAVAILABLE")
	c.verify(t, "503 LEDGER_UNAVAILABLE", wrongCode, issued.Context)
	c.get(t, "503 LEDGER_UNAVAILABLE", "/readyz")

	text := string(newClient(t, p.admin, nil).get(t, "200", "/metrics").body)
	for operation, want := range map[string]struct{ operations, errors int }{
		"attempt": {3, 1}, "resend": {1, 0}, "revoke": {1, 0}, "state": {2, 1}, "unlock": {1, 0}, "ping": {1, 1},
	} {
		for _, line := range []string{
			fmt.Sprintf(`otpd_ledger_operations_total{operation=%q} %d`, operation, want.operations),
			fmt.Sprintf(`otpd_ledger_errors_total{operation=%q} %d`, operation, want.errors),
			fmt.Sprintf(`otpd_ledger_duration_seconds_count{operation=%q} %d`, operation, want.operations),
		} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("no metric %s", line)
			}
		}
	}
	if strings.Contains(text, "\notpd_ledger_entries") || strings.Contains(text, "\notpd_ledger_max_entries") {
		t.Error("the entries of a ledger in another process are counted")
	}
}
