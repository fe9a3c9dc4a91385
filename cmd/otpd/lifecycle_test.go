package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestDevLinesWorkWhenPasted runs what otpd dev prints in the shell that it is meant for.
func TestDevLinesWorkWhenPasted(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs " + tool)
		}
	}
	socket := newSocketPath(t)
	for _, test := range []struct {
		name string
		env  []string
	}{
		{"tcp", nil},
		{"unix socket", []string{"OTP_LISTEN_ADDR=unix:" + socket}},
		{"with an API key in $SECRET", []string{"OTP_API_KEYS=app:0123456789abcdef", "SECRET=0123456789abcdef"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := launchDev(t, test.env...)
			_, lines, found := strings.Cut(p.stdout.String(), "\nfield()")
			if !found {
				t.Fatalf("no lines to paste in %q", p.stdout.String())
			}
			shell := exec.Command("bash")
			shell.Stdin = strings.NewReader("field()" + lines)
			shell.Env = append(os.Environ(), test.env...)
			out, err := shell.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			answers := strings.Split(strings.TrimSpace(string(out)), "\n")
			want := []string{`"otp":"`, `"error_code":"INVALID_OTP"`, `"status":"verified"`, `"error_code":"OTP_ALREADY_USED"`}
			if len(answers) != len(want) {
				t.Fatalf("%d answers, want %d:\n%s", len(answers), len(want), out)
			}
			for i := range want {
				if !strings.Contains(answers[i], want[i]) {
					t.Errorf("answer %d lacks %s: %s", i+1, want[i], answers[i])
				}
			}
			if !strings.Contains(answers[2], `"retry_count":1`) {
				t.Errorf("the right code did not come with the updated context: %s", answers[2])
			}
			if status := p.end(t, syscall.SIGINT); status != 0 {
				t.Errorf("exit status %d after an interrupt", status)
			}
		})
	}
}

// launchDev starts otpd dev and waits for its lines to paste. Its log is text.
func launchDev(tb testing.TB, env ...string) *process {
	tb.Helper()
	p := start(tb, command(tb.Context(), []string{"dev"}, slices.Concat(ephemeral, env)...))
	eventually(tb, "lines to paste", func() bool { return strings.HasSuffix(p.stdout.String(), "done\n\n") })
	return p
}

func TestContextsSurviveKill(t *testing.T) {
	t.Parallel()
	key := "OTP_SIGNING_KEY=" + newKey(t)
	restart := func(p *process) *process {
		if p != nil {
			p.end(t, syscall.SIGKILL)
		}
		return launch(t, key)
	}
	p := restart(nil)
	issued := newClient(t, p.addr, nil).generate(t)
	p = restart(p)
	wrong := newClient(t, p.addr, nil).verify(t, "400 INVALID_OTP", wrongCode, issued.Context)
	p = restart(p)
	right := newClient(t, p.addr, nil).verify(t, "200 verified", issued.OTP, wrong.Context)
	if right.RetryCount != 1 || right.ID != issued.ID {
		t.Errorf("verified as %s, want the verification %s after 1 wrong code", right, issued.ID)
	}
}

func TestReplicasShareOnlyTheKey(t *testing.T) {
	t.Parallel()
	key := "OTP_SIGNING_KEY=" + newKey(t)
	first, second := newClient(t, launch(t, key).addr, nil), newClient(t, launch(t, key).addr, nil)
	stranger := newClient(t, launch(t, "OTP_SIGNING_KEY="+newKey(t)).addr, nil)

	issued := first.generate(t)
	stranger.verify(t, "400 INVALID_CONTEXT", issued.OTP, issued.Context)
	wrong := second.verify(t, "400 INVALID_OTP", wrongCode, issued.Context)
	if wrong.AttemptsRemaining != 2 {
		t.Errorf("%d attempts remain on the other replica, want 2", wrong.AttemptsRemaining)
	}
	if right := first.verify(t, "200 verified", issued.OTP, wrong.Context); right.RetryCount != 1 {
		t.Errorf("retry count %d, want 1", right.RetryCount)
	}
	first.verify(t, "409 OTP_ALREADY_USED", issued.OTP, wrong.Context)
}
