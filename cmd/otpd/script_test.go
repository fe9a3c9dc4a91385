package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the scripts, to which the commands below are known besides those of testscript.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[peersOfScript{}] = new(peersOfScript)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"newkey":      scriptNewKey,
			"mailserver":  scriptMailServer,
			"endpoint":    scriptEndpoint,
			"mails":       scriptMails,
			"posts":       scriptPosts,
			"certificate": scriptCertificate,
			"listening":   scriptListening,
			"post":        scriptPost,
			"send":        scriptSend,
		},
	})
}

// scriptTB lets a script use the helpers of tests.
type scriptTB struct {
	testing.TB // nil: a helper that needs more than the methods below cannot be used
	script     *testscript.TestScript
}

func (scriptTB) Helper()                             {}
func (s scriptTB) Cleanup(f func())                  { s.script.Defer(f) }
func (s scriptTB) Fatal(args ...any)                 { s.script.Fatalf("%s", fmt.Sprint(args...)) }
func (s scriptTB) Fatalf(format string, args ...any) { s.script.Fatalf(format, args...) }

func scriptUsage(ts *testscript.TestScript, neg bool, ok bool, usage string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

// newkey VARIABLE sets a variable to a new signing key.
func scriptNewKey(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 1, "newkey VARIABLE")
	ts.Setenv(args[0], newKey(scriptTB{script: ts}))
}

// certificate CERT KEY writes a certificate for localhost and its key.
func scriptCertificate(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 2, "certificate CERT KEY")
	newCertificate(scriptTB{script: ts}, "localhost").replace(scriptTB{script: ts}, ts.MkAbs(args[0]), ts.MkAbs(args[1]))
}

// peersOfScript are the servers that a script has started.
type peersOfScript struct {
	mail *mailServer
	hook *endpoint
}

// peersOf returns those of ts.
func peersOf(ts *testscript.TestScript) *peersOfScript {
	return ts.Value(peersOfScript{}).(*peersOfScript)
}

// mailserver [REFUSAL] starts a mail server that takes all messages, or answers them with REFUSAL, as in 550, and
// sets MAILSERVER to its address.
func scriptMailServer(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) <= 1, "mailserver [REFUSAL]")
	m := newMailServer(scriptTB{script: ts})
	if len(args) > 0 {
		code, err := strconv.Atoi(args[0])
		ts.Check(err)
		m.judge = func(mail) error { return &smtp.SMTPError{Code: code, Message: "no"} }
	}
	m.serve(scriptTB{script: ts})
	peersOf(ts).mail = m
	ts.Setenv("MAILSERVER", m.addr)
}

// endpoint STATUS starts a server that answers with a status, and sets ENDPOINT to its URL.
func scriptEndpoint(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 1, "endpoint STATUS")
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	e := startEndpoint(scriptTB{script: ts}, "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	peersOf(ts).hook = e
	ts.Setenv("ENDPOINT", e.url)
}

// mails prints what the mail server has taken.
func scriptMails(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 0, "mails")
	for _, m := range peersOf(ts).mail.taken() {
		fmt.Fprintf(ts.Stdout(), "to %s\n%s\n", m.to, strings.ReplaceAll(m.data, "\r\n", "\n"))
	}
}

// posts prints what the endpoint was sent: of each its path and its body.
func scriptPosts(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 0, "posts")
	for _, p := range peersOf(ts).hook.received() {
		fmt.Fprintf(ts.Stdout(), "%s %s\n", p.path, p.body)
		if p.Type == "otp.code" && !p.signedWith(scriptTB{script: ts}, webhookSecret) {
			ts.Fatalf("the webhook is not signed")
		}
	}
}

var listeningAt = regexp.MustCompile(`"addr":"(.*?)"`)

// listening LOG waits until an otpd that logs to a file serves, and sets ADDR to where.
func scriptListening(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 1, "listening LOG")
	eventually(scriptTB{script: ts}, "listening in "+args[0], func() bool {
		log, _ := os.ReadFile(ts.MkAbs(args[0])) // which comes into being a little later than the process
		match := listeningAt.FindSubmatch(log)
		if match != nil {
			ts.Setenv("ADDR", string(match[1]))
		}
		return match != nil
	})
}

// post STATUS PATH BODY sends a request to ADDR, prints the answer, and sets CONTEXT, DEVICE, OTP and
// SECRET if they are in it.
func scriptPost(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 3, "post STATUS PATH BODY")
	c := newClient(scriptTB{script: ts}, ts.Getenv("ADDR"), nil)
	a, err := c.send(http.MethodPost, args[1], json.RawMessage(args[2]), nil)
	ts.Check(err)
	_, err = ts.Stdout().Write(append(a.body, '\n'))
	ts.Check(err)
	if got := strconv.Itoa(a.StatusCode); got != args[0] {
		ts.Fatalf("answer: %s", a)
	}
	for name, value := range map[string]string{"CONTEXT": a.Context, "DEVICE": a.Device, "OTP": a.OTP, "SECRET": a.Secret} {
		if value != "" {
			ts.Setenv(name, value)
		}
	}
}

var signals = map[string]syscall.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}

// send SIGNAL PIDFILE sends a signal to the process whose number is in a file.
func scriptSend(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 2 && signals[args[0]] != 0, "send HUP|INT|TERM|KILL PIDFILE")
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, signals[args[0]]))
}
