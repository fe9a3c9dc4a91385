package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// patience is how long a test waits for what should happen soon, on a busy machine.
const patience = 30 * time.Second

// eventually polls until ok.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.String()
}

// logLine is what tests read of a line of the log.
type logLine map[string]any

// lines returns the complete lines so far that are JSON and have the given message.
func (o *output) lines(msg string) (lines []logLine) {
	for text := range strings.Lines(o.String()) {
		var line logLine
		if strings.HasSuffix(text, "\n") && json.Unmarshal([]byte(text), &line) == nil && line["msg"] == msg {
			lines = append(lines, line)
		}
	}
	return lines
}

// process is an otpd that a test has started.
type process struct {
	*exec.Cmd
	stdout, stderr output
	exited         chan struct{} // closed when it has, and stdout and stderr are complete
	addr, admin    string        // where it listens
}

// ephemeral has otpd listen on ports that are free.
var ephemeral = []string{"OTP_LISTEN_ADDR=127.0.0.1:0", "OTP_ADMIN_ADDR=127.0.0.1:0"}

// command returns an otpd that sees the given variables and no others of its own.
func command(ctx context.Context, args []string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "otpd", args...)
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "OTP_") && !strings.HasPrefix(entry, "TOTP_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// launch starts otpd serve on ephemeral ports, unless env says otherwise, and waits until it serves.
func launch(tb testing.TB, env ...string) *process {
	tb.Helper()
	return start(tb, command(tb.Context(), nil, slices.Concat(ephemeral, env)...)).listening(tb)
}

// start starts cmd, to be killed when the test ends.
func start(tb testing.TB, cmd *exec.Cmd) *process {
	tb.Helper()
	p := &process{Cmd: cmd, exited: make(chan struct{})}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.Wait() // tests look at ProcessState
	}()
	tb.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
	})
	return p
}

// listening waits until p serves, and returns it.
func (p *process) listening(tb testing.TB) *process {
	tb.Helper()
	eventually(tb, "listening", func() bool {
		for _, line := range p.stderr.lines("listening") {
			p.addr, p.admin = line["addr"].(string), line["admin_addr"].(string)
		}
		select {
		case <-p.exited:
			tb.Fatalf("otpd ended at its start: %s", p.stderr.String())
		default:
		}
		return p.addr != ""
	})
	return p
}

func (p *process) signal(tb testing.TB, sig syscall.Signal) {
	tb.Helper()
	if err := p.Process.Signal(sig); err != nil {
		tb.Fatal(err)
	}
}

// end sends a signal and returns the exit status, -1 if the signal killed the process.
func (p *process) end(tb testing.TB, sig syscall.Signal) int {
	tb.Helper()
	p.signal(tb, sig)
	return p.ended(tb)
}

// ended waits for the end after a signal and returns what end does.
func (p *process) ended(tb testing.TB) int {
	tb.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		tb.Fatalf("otpd did not end within %v", patience)
	}
	return p.ProcessState.ExitCode()
}

// logged waits for a log line with the given message.
func (p *process) logged(tb testing.TB, msg string) {
	tb.Helper()
	eventually(tb, "a log line: "+msg, func() bool { return len(p.stderr.lines(msg)) > 0 })
}

// rss returns the resident memory in bytes.
func (p *process) rss(tb testing.TB) int {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		tb.Skip("no /proc to read memory from")
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kB, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				tb.Fatal(err)
			}
			return kB << 10
		}
	}
	tb.Fatal("no VmRSS")
	return 0
}

// buildOnce makes the binary that users run, for what the test binary is too large to stand for.
var buildOnce = sync.OnceValues(func() (string, error) {
	otpd, err := exec.LookPath("otpd")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(filepath.Dir(otpd), "otpd-built")
	out, err := exec.Command("go", "build", "-trimpath", "-o", binary, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, err
})

// launchBuilt is launch for the binary that users run.
func launchBuilt(tb testing.TB, env ...string) *process {
	tb.Helper()
	binary, err := buildOnce()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := command(tb.Context(), nil, slices.Concat(ephemeral, env)...)
	cmd.Path = binary
	return start(tb, cmd).listening(tb)
}

func newKey(tb testing.TB) string {
	tb.Helper()
	key, err := otpcontext.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// replaceFile gives a file new content in one step.
func replaceFile(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		tb.Fatal(err)
	}
}

// newFile returns the path of a file with the given content.
func newFile(tb testing.TB, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "file")
	replaceFile(tb, path, content)
	return path
}
