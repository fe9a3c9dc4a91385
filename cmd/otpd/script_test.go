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

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the scripts, to which the commands below are known besides those of testscript.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"newkey":      scriptNewKey,
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
