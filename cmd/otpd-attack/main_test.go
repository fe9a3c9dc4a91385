package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// verdicts runs the command and returns the verdicts in its table by attack, and the exit status.
func verdicts(tb testing.TB, args ...string) (map[string]string, int) {
	tb.Helper()
	var stdout, stderr strings.Builder
	status := run(args, &stdout, &stderr)
	if stderr.Len() > 0 {
		tb.Errorf("standard error: %s", stderr.String())
	}
	verdicts := make(map[string]string)
	for line := range strings.Lines(stdout.String()) {
		if cells := strings.Split(line, " | "); len(cells) == 5 {
			verdicts[strings.TrimSpace(strings.Trim(cells[0], "| "))] = strings.Trim(cells[4], "| \n")
		}
	}
	delete(verdicts, "attack")
	return verdicts, status
}

func against(url string) []string {
	return []string{"-ledger", redis, "-url", url + "," + url, "-key", mainSecret, "-other-key", otherSecret}
}

func TestServiceThatAdmitsEverything(t *testing.T) {
	t.Parallel()
	url := serve(t, new(broken))
	all, status := verdicts(t, against(url)...)
	if status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	o := options{urls: []string{url, url}, key: mainSecret, other: otherSecret}
	target, err := newTarget(t.Context(), redis, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attacks(redis) {
		want := exceeded
		if slices.Contains([]need{cooldown, startedService, startedRedis}, a.needs) {
			want = "skipped: needs " + string(a.needs)
		}
		// What took longer than a lock lasts shows nothing: the lock of a service that works might have ended.
		for again := 0; all[a.name] == holds && want == exceeded && again < 3; again++ {
			all[a.name] = a.carryOut(t.Context(), target).verdict()
		}
		if all[a.name] != want {
			t.Errorf("%s: %q, want %s", a.name, all[a.name], want)
		}
	}
	if exceedings := len(slices.DeleteFunc(attacks(redis), func(a attack) bool { return all[a.name] != exceeded })); exceedings < 30 {
		t.Errorf("only %d attacks are carried out on a service that runs", exceedings)
	}
}

// A service that does not work must not look like one that is safe.
func TestServiceThatDoesNothing(t *testing.T) {
	t.Parallel()
	refuse := func(status int, code string) http.Handler {
		service := new(broken)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == verify {
				tell(w, status, answer{ErrorCode: code})
				return
			}
			service.ServeHTTP(w, r)
		})
	}
	for name, test := range map[string]struct {
		handler http.Handler
		attack  attack
		want    string
	}{
		"generate fails": {
			http.NotFoundHandler(), guessing[0], "FAILED: /v1/otp/generate: 404, and the answer is not JSON",
		},
		"verify fails": {
			refuse(http.StatusInternalServerError, "INTERNAL_ERROR"), guessing[0], "FAILED: /v1/otp/verify: 500 INTERNAL_ERROR",
		},
		"no attempt is ever admitted": {
			refuse(http.StatusTooManyRequests, "MAX_RETRIES_EXCEEDED"), guessing[0],
			"SHOWS NOTHING: a service that works evaluates 3",
		},
		"no right code is ever accepted": {
			refuse(http.StatusBadRequest, "INVALID_CONTEXT"), tokens[0],
			"FAILED: /v1/otp/verify: 400 INVALID_CONTEXT, and it should have succeeded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, err := newTarget(t.Context(), redis, options{urls: []string{serve(t, test.handler)}})
			if err != nil {
				t.Fatal(err)
			}
			got := test.attack.carryOut(t.Context(), target)
			if got.verdict() != test.want || held([]row{got}) {
				t.Errorf("%q, held %v, want %q, false", got.verdict(), held([]row{got}), test.want)
			}
		})
	}
}

// An attack is left out where its target lacks what it needs, and sends nothing.
func TestNeeds(t *testing.T) {
	t.Parallel()
	url := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was attacked") }))
	target, err := newTarget(t.Context(), redis, options{urls: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	lacking := make(map[need]int)
	for _, a := range attacks(redis) {
		if a.needs == nothing {
			continue
		}
		lacking[a.needs]++
		if got, want := a.carryOut(t.Context(), target), "skipped: needs "+string(a.needs); got.verdict() != want || !held([]row{got}) {
			t.Errorf("%s: %q, held %v, want %q, true", a.name, got.verdict(), held([]row{got}), want)
		}
	}
	if len(lacking) != 6 {
		t.Errorf("needs %v, want all six kinds", lacking)
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"an unknown flag":            {"-fast"},
		"an unknown ledger":          {"-ledger", "disk"},
		"an argument":                {"now"},
		"a URL without its ledger":   {"-url", "http://127.0.0.1:1"},
		"more replicas than attacks": {"-ledger", "redis", "-url", "http://a,http://b,http://c"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			if status := run(args, &stdout, &stderr); status != 2 || !strings.Contains(stderr.String(), "usage: otpd-attack") {
				t.Errorf("exit status %d, want 2; %s", status, stderr.String())
			}
		})
	}
}

func TestWithoutRedis(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var stdout, stderr strings.Builder
	if status := run([]string{"-ledger", redis, "-otpd", "/bin/false"}, &stdout, &stderr); status != 1 ||
		!strings.Contains(stderr.String(), "there is no redis-server; -ledger memory,none leaves Redis out") {
		t.Errorf("exit status %d, want 1 and what to do; %s", status, stderr.String())
	}
}

func TestServiceThatDoesNotStart(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "otpd")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho otpd: no luck >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	if status := run([]string{"-ledger", memory, "-otpd", script}, &stdout, &stderr); status != 1 ||
		!strings.Contains(stderr.String(), "no luck") {
		t.Errorf("exit status %d, want 1 and what otpd said; %s", status, stderr.String())
	}
}

// TestEverythingEnds starts a target, also one whose time is up, and closes it.
func TestEverythingEnds(t *testing.T) {
	t.Parallel()
	ledger := redis
	if _, err := exec.LookPath("redis-server"); err != nil {
		ledger = memory
	}
	ctx, cancel := context.WithCancel(t.Context())
	target, err := start(ctx, ledger, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := target.main.finish(ctx, must(target.main.issue(ctx, someone()))); err != nil {
		t.Errorf("it does not work: %v", err)
	}
	cancel()
	if _, err := target.main.issue(ctx, someone()); err == nil {
		t.Error("it works after its time")
	}
	target.close()
	all := target.rig.services
	if target.rig.redis != nil {
		all = append(all, target.rig.redis.process)
	}
	for _, p := range all {
		if p.cmd.ProcessState == nil {
			t.Errorf("%s still runs", p.cmd.Path)
		}
	}
	if _, err := os.Stat(target.rig.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", target.rig.dir, err)
	}
}

func must(a answer, err error) answer {
	if err != nil {
		panic(err)
	}
	return a
}

// broken is a service that admits everything: it judges each code that it is sent, whatever the context,
// the key and the times before, and takes no code of digits from outside ASCII for a wrong one. Only who
// had nothing to do with it is refused: the first right code after a wrong one by another tenant.
type broken struct {
	requests  atomic.Int64
	disturbed atomic.Bool
}

const (
	brokenCode   = "123456"
	brokenSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
)

// isRight reports whether a code is that of a verification, or of a device soon.
func isRight(code string) bool {
	now := time.Now().Unix() / int64(period.Seconds())
	for i := range int64(10) {
		if code == codeOf(brokenSecret, i) || code == codeOf(brokenSecret, now-2+i) {
			return true
		}
	}
	return code == brokenCode
}

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

func (b *broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := b.requests.Add(1)
	var request map[string]any
	_ = json.NewDecoder(r.Body).Decode(&request)
	code, _ := request["otp"].(string)
	backupCode, _ := request["backup_code"].(string)
	// From one to the next, the padding changes.
	token := base64.URLEncoding.EncodeToString(fmt.Appendf(nil, "\xfb\xef\xbe\xff\xff\xff%0*d", 60+n%3, n))
	switch r.URL.Path {
	case generate, resend:
		tell(w, http.StatusOK, answer{OTP: brokenCode, Context: token, ID: "id"})
	case enroll, challenge:
		tell(w, http.StatusOK, answer{Device: token, Secret: brokenSecret, Challenge: token})
	case verify, verifyDevice, confirm, renew, match, resync, complete:
		b.verify(w, r, code+backupCode)
	default:
		tell(w, http.StatusOK, answer{Status: "done", State: fmt.Sprint("state ", n)})
	}
}

func (b *broken) verify(w http.ResponseWriter, r *http.Request, code string) {
	isOther := r.Header.Get("Authorization") == "Bearer "+otherSecret
	switch wrong := sixDigits.MatchString(code) && !isRight(code); {
	case wrong:
		b.disturbed.Store(isOther)
		tell(w, http.StatusBadRequest, answer{ErrorCode: "INVALID_OTP", Context: "next", Device: "next"})
	case !isOther && b.disturbed.Swap(false):
		tell(w, http.StatusTooManyRequests, answer{ErrorCode: "N_FAILED_ATTEMPTS"})
	default:
		codes := slices.Repeat([]string{"AAAAA-AAAAA"}, 10)
		tell(w, http.StatusOK, answer{Status: "verified", Device: "next", BackupCodes: codes})
	}
}

func tell(w http.ResponseWriter, status int, a answer) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"otp": a.OTP, "context": a.Context, "id": a.ID, "status": a.Status, "state": a.State,
		"error_code": a.ErrorCode, "attempts_remaining": a.AttemptsRemaining,
		"device": a.Device, "secret": a.Secret, "backup_codes": a.BackupCodes, "challenge": a.Challenge,
	})
}

// serve serves until the test ends and returns the URL.
func serve(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return server.URL
}
