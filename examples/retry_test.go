package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// built is the directory with the binaries otpd and examples, which is retry.go.
var built string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "otpd-examples")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/", "../cmd/otpd", ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	built = dir
	return m.Run()
}

// loop is the retry loop in one language.
type loop struct {
	name    string
	needs   []string
	command func() []string
}

var loops = []loop{
	{"bash", []string{"bash", "curl"}, func() []string { return []string{"bash", "retry.sh"} }},
	{"Go", nil, func() []string { return []string{filepath.Join(built, "examples")} }},
	{"Python", []string{"python3"}, func() []string { return []string{"python3", "retry.py"} }},
	{"Node", []string{"node"}, func() []string { return []string{"node", "retry.mjs"} }},
}

// forEachLoop runs test for each loop whose interpreter is there, which in CI is each of them.
func forEachLoop(t *testing.T, test func(*testing.T, loop)) {
	for _, l := range loops {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, program := range l.needs {
				if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
					t.Skip("needs ", program)
				}
			}
			test(t, l)
		})
	}
}

// start runs the loop against the service at url, with what is written to stdin for what is typed.
func (l loop) start(tb testing.TB, url string, env ...string) (*exec.Cmd, io.WriteCloser, *output) {
	command := l.command()
	cmd := exec.CommandContext(tb.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), append(env, "OTPD_URL="+url)...)
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	return cmd, stdin, out
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// after waits for marker in the output and returns the rest of its line.
func (o *output) after(tb testing.TB, marker string) string {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		_, rest, _ := strings.Cut(o.String(), marker)
		if line, _, complete := strings.Cut(rest, "\n"); complete {
			return line
		}
	}
	tb.Fatalf("no %q in what was written:\n%s", marker, o)
	return ""
}

// exchange is a request that a loop is expected to send, and the answer to it; without an answer the
// connection is closed.
type exchange struct {
	operation  string
	fields     map[string]string
	answer     string
	retryAfter string
}

const (
	issued     = `{"otp":"111111","context":"c0","id":"i","attempts_remaining":3}`
	reissued   = `{"otp":"222222","context":"c1","id":"i","attempts_remaining":2}`
	verified   = `{"status":"verified","id":"i","metadata":{"context":"not this"}}`
	wrong      = `{"error":"Invalid OTP. Attempts remaining: 2","error_code":"INVALID_OTP","request_id":"r","context":"c1","attempts_remaining":2}`
	wrongLast  = `{"error":"Invalid OTP. Attempts remaining: 0","error_code":"INVALID_OTP","request_id":"r","context":"c1","attempts_remaining":0}`
	otpExpired = `{"error":"Expired.","error_code":"OTP_EXPIRED","request_id":"r"}`
	over       = `{"error":"It is over, for good.","error_code":"%s","request_id":"r"}`
	cooldown   = `{"error":"Wait.","error_code":"COOLDOWN_DURATION_PENDING","request_id":"r","retry_after_seconds":1}`
	throttled  = `{"error":"Wait long.","error_code":"N_FAILED_ATTEMPTS","request_id":"r","retry_after_seconds":3600}`
	noLedger   = `{"error":"No ledger.","error_code":"LEDGER_UNAVAILABLE","request_id":"r"}`
)

var statuses = map[string]int{
	"": 200, "INVALID_OTP": 400, "INVALID_CONTEXT": 400, "CONTEXT_MISMATCH": 400, "UNAUTHORIZED": 401,
	"OTP_ALREADY_USED": 409, "CONTEXT_SUPERSEDED": 409, "OTP_EXPIRED": 410, "SESSION_EXPIRED": 410,
	"CONTEXT_REVOKED": 410, "MAX_RETRIES_EXCEEDED": 429, "MAX_RESENDS_EXCEEDED": 429,
	"COOLDOWN_DURATION_PENDING": 429, "N_FAILED_ATTEMPTS": 429, "LEDGER_UNAVAILABLE": 503,
}

// generate is how every loop begins.
var generate = exchange{"generate", map[string]string{"identifier": "you@example.com"}, issued, ""}

func verify(otp, context, answer string) exchange {
	return exchange{"verify", map[string]string{"otp": otp, "context": context}, answer, ""}
}

func resend(context, answer string) exchange {
	return exchange{"resend", map[string]string{"context": context}, answer, ""}
}

func (e exchange) retry(after string) exchange {
	e.retryAfter = after
	return e
}

// script serves exchanges in their order.
type script struct {
	tb        testing.TB
	mu        sync.Mutex
	left      []exchange
	notBefore time.Time // of the next request
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fields map[string]string
	if err := json.NewDecoder(r.Body).Decode(&fields); err != nil {
		s.tb.Errorf("%s: %v", r.URL, err)
	}
	if time.Now().Before(s.notBefore) {
		s.tb.Error("the loop did not wait as it was told")
	}
	if len(s.left) == 0 {
		s.tb.Errorf("one request too many: %s %v", r.URL, fields)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	e := s.left[0]
	s.left = s.left[1:]
	if r.URL.Path != "/v1/otp/"+e.operation || !maps.Equal(fields, e.fields) {
		s.tb.Errorf("the request is %s %v, want %s %v", r.URL, fields, e.operation, e.fields)
	}
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "" {
		s.tb.Errorf("the headers are %v", r.Header)
	}
	if e.answer == "" {
		panic(http.ErrAbortHandler)
	}
	if e.retryAfter != "" {
		w.Header().Set("Retry-After", e.retryAfter)
		seconds, _ := strconv.Atoi(e.retryAfter)
		s.notBefore = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	var answer struct {
		ErrorCode string `json:"error_code"`
	}
	_ = json.Unmarshal([]byte(e.answer), &answer)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statuses[answer.ErrorCode])
	_, _ = io.WriteString(w, e.answer)
}

func TestLoopHandlesEachAnswer(t *testing.T) {
	type test struct {
		name     string
		typed    string
		script   []exchange
		verified bool
		says     string // in whatever case
	}
	unavailable := verify("123456", "c0", noLedger).retry("0")
	tests := []test{
		{"right at once", "123456\n", []exchange{generate, verify("123456", "c0", verified)}, true, "verified."},
		{"right without a line's end", "123456", []exchange{generate, verify("123456", "c0", verified)}, true, "verified."},
		{"wrong, then right with the new context", "123 456\n654-321\n",
			[]exchange{generate, verify("123 456", "c0", wrong), verify("654-321", "c1", verified)}, true, "attempts remaining: 2"},
		{"an empty line is no attempt", "\n123456\n", []exchange{generate, verify("123456", "c0", verified)}, true, "verified."},
		{"the last attempt wrong", "123456\n123456\n", []exchange{generate, verify("123456", "c0", wrongLast)}, false, "attempts remaining: 0"},
		{"expired, then the new code", "111111\n222222\n",
			[]exchange{generate, verify("111111", "c0", otpExpired), resend("c0", reissued), verify("222222", "c1", verified)}, true, "222222"},
		{"expired after a wrong code", "111111\n111111\n222222\n",
			[]exchange{generate, verify("111111", "c0", wrong), verify("111111", "c1", otpExpired), resend("c1", reissued),
				verify("222222", "c1", verified)}, true, "222222"},
		{"the cooldown of a resend is waited for", "111111\n222222\n",
			[]exchange{generate, verify("111111", "c0", otpExpired), resend("c0", cooldown).retry("1"), resend("c0", reissued),
				verify("222222", "c1", verified)}, true, "verified."},
		{"no resend left", "111111\n222222\n",
			[]exchange{generate, verify("111111", "c0", otpExpired), resend("c0", fmt.Sprintf(over, "MAX_RESENDS_EXCEEDED"))}, false, "it is over, for good."},
		{"a long wait is left to the user", "123456\n123456\n",
			[]exchange{generate, verify("123456", "c0", throttled).retry("3600")}, false, "try again later"},
		{"no ledger for a moment", "123456\n",
			[]exchange{generate, unavailable, unavailable, verify("123456", "c0", verified)}, true, "verified."},
		{"no ledger for long", "123456\n123456\n",
			[]exchange{generate, unavailable, unavailable, unavailable, unavailable, unavailable}, false, "try again later"},
		{"no answer", "123456\n",
			[]exchange{generate, verify("123456", "c0", ""), verify("123456", "c0", verified)}, true, "verified."},
		{"nothing more typed", "123456\n", []exchange{generate, verify("123456", "c0", wrong)}, false, "nothing more was typed"},
		{"no code issued", "123456\n",
			[]exchange{{generate.operation, generate.fields, fmt.Sprintf(over, "UNAUTHORIZED"), ""}}, false, "it is over, for good."},
	}
	for _, code := range []string{
		"SESSION_EXPIRED", "MAX_RETRIES_EXCEEDED", "OTP_ALREADY_USED", "CONTEXT_REVOKED", "CONTEXT_SUPERSEDED",
		"INVALID_CONTEXT", "CONTEXT_MISMATCH",
	} {
		tests = append(tests, test{code + " is the end", "123456\n123456\n",
			[]exchange{generate, verify("123456", "c0", fmt.Sprintf(over, code))}, false, "it is over, for good."})
	}
	forEachLoop(t, func(t *testing.T, l loop) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := &script{tb: t, left: test.script}
				server := httptest.NewServer(s)
				defer server.Close()
				cmd, stdin, out := l.start(t, server.URL)
				_, _ = io.WriteString(stdin, test.typed)
				_ = stdin.Close()
				err := cmd.Wait()
				if succeeded := err == nil; succeeded != test.verified {
					t.Errorf("it ended with %v", err)
				}
				if !strings.Contains(strings.ToLower(out.String()), test.says) {
					t.Errorf("it did not say %q", test.says)
				}
				if len(s.left) > 0 {
					t.Errorf("it did not send %v", s.left)
				}
				if t.Failed() {
					t.Logf("it wrote:\n%s", out)
				}
			})
		}
	})
}

func TestLoopAgainstOtpd(t *testing.T) {
	const secret = "a-secret-for-the-test"
	url := startOtpd(t, "OTP_API_KEYS=app:"+secret)
	forEachLoop(t, func(t *testing.T, l loop) {
		cmd, stdin, out := l.start(t, url, "OTPD_API_KEY="+secret)
		code := out.after(t, "Code: ")
		_, _ = io.WriteString(stdin, "wrong\n")
		out.after(t, "Invalid OTP. Attempts remaining: ")
		_, _ = io.WriteString(stdin, code[:3]+" "+code[3:]+"\n")
		if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "Verified.") {
			t.Errorf("it ended with %v and wrote:\n%s", err, out)
		}
	})
}

// startOtpd starts the service for the test and returns its URL.
func startOtpd(tb testing.TB, env ...string) string {
	key, err := exec.Command(filepath.Join(built, "otpd"), "keygen").Output()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(built, "otpd"))
	cmd.Env = append(env, "OTP_LISTEN_ADDR=127.0.0.1:0", "OTP_ADMIN_ADDR=", "OTP_SIGNING_KEY="+strings.TrimSpace(string(key)))
	log := new(output)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	addr, _, _ := strings.Cut(log.after(tb, `"addr":"`), `"`)
	return "http://" + addr
}
