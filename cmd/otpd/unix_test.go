package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// newSocketPath returns a path short enough for a socket, which that of a test's own directory need
// not be.
func newSocketPath(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "otpd")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "socket")
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := newSocketPath(t)
	env := []string{"OTP_SIGNING_KEY=" + newKey(t), "OTP_LISTEN_ADDR=unix:" + path}

	p := launch(t, env...)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("the socket's mode is %v, want 0660", info.Mode())
	}
	c := newClient(t, path, nil)
	if err := c.verifyFlow(); err != nil {
		t.Error(err)
	}

	checkRefused(t, refusal{variable: "OTP_LISTEN_ADDR", says: "another process is listening", env: env})
	c.get(t, "200 ready", "/readyz") // the one that was there first still has it

	p.end(t, syscall.SIGKILL)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no socket is left behind to test with: %v", err)
	}
	p = launch(t, env...)
	newClient(t, path, nil).get(t, "200 ready", "/readyz")

	if status := p.end(t, syscall.SIGTERM); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket outlives its service: %v", err)
	}
}

func TestUnixSocketReplacesNoOtherFile(t *testing.T) {
	t.Parallel()
	path := newFile(t, "precious")
	checkRefused(t, refusal{
		variable: "OTP_LISTEN_ADDR", says: "in use",
		env: []string{"OTP_SIGNING_KEY=" + newKey(t), "OTP_LISTEN_ADDR=unix:" + path},
	})
	if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
		t.Errorf("the file holds %q now, %v", content, err)
	}
}
