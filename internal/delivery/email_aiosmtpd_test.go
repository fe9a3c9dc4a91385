package delivery

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/testtool"
)

// startAiosmtpd returns the port of Debian's aiosmtpd, and what it prints.
func startAiosmtpd(t *testing.T, a authority) (port string, lines *bufio.Scanner) {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's own finds Debian's packages
	testtool.Need(t, "CI", python)
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import aiosmtpd").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("python3-aiosmtpd is not installed: %s", out)
		}
		t.Skipf("python3-aiosmtpd is not installed: %s", out)
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "server.pem")
	content := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(python, "testdata/aiosmtpd_server.py", file)
	server.Stderr = os.Stderr
	stdin, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = server.Wait() })
	lines = bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		t.Fatal("aiosmtpd does not start")
	}
	return lines.Text(), lines
}

func TestAiosmtpd(t *testing.T) {
	a := newAuthority(t, "127.0.0.1")
	port, lines := startAiosmtpd(t, a)
	templates := mustLoadTemplates(t, "")
	for _, auth := range []string{"", "?auth=login"} {
		c := newEmail(t, "smtp://user:secret@127.0.0.1:"+port+auth, a.roots)
		for _, to := range []string{"user@example.com", "用户名@xn--r8jz45g.xn--zckzah"} {
			m := mailMessage("ar", 2*time.Minute)
			m.To = to
			if failure := deliver(t, c, m); failure != nil {
				t.Fatal(failure)
			}
			var got struct {
				From, User, Hello string
				To, Options       []string
				Data              []byte
			}
			if !lines.Scan() {
				t.Fatal("nothing arrived")
			}
			if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			utf8 := slices.Contains(got.Options, "SMTPUTF8")
			if got.From != "codes@example.com" || !slices.Equal(got.To, []string{to}) || got.User != "user" ||
				got.Hello != "example.com" || utf8 != (to != "user@example.com") {
				t.Errorf("%+v", got)
			}
			subject, text, html, err := templates.Mail(m)
			if p := parseMail(t, got.Data); err != nil || p.subject != subject || p.text != text || p.html != html {
				t.Errorf("%q %q %q, %v", p.subject, p.text, p.html, err)
			}
		}
	}
	c := newEmail(t, "smtp://user:wrong@127.0.0.1:"+port, a.roots)
	failure := deliver(t, c, mailMessage("", time.Minute))
	if failure == nil || *failure != (Failure{Reason: "the mail server refused the credentials (535 5.7.8)"}) {
		t.Error(failure)
	}
}
