package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/otpd/otpd/internal/testtool"
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
	url := serve(t, newBroken())
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

// beyondBroken are attacks that do not show what the broken service admits: on devices that are sealed by the
// attacker, which it cannot open, and by what is told of counts, of which it has none.
var beyondBroken = append(names(deviceLosses), losses[2].name)

func names(attacks []attack) (all []string) {
	for _, a := range attacks {
		all = append(all, a.name)
	}
	return all
}

// What takes a service that was started is proved on one that is.
func TestStartedServiceThatAdmitsEverything(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "redis-server")
	target, err := start(t.Context(), redis, brokenBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer target.close()
	proved := 0
	for _, a := range attacks(redis) {
		if !slices.Contains([]need{cooldown, startedService, startedRedis}, a.needs) || slices.Contains(beyondBroken, a.name) {
			continue
		}
		proved++
		if got := a.carryOut(t.Context(), target).verdict(); got != exceeded {
			t.Errorf("%s: %q, want %s", a.name, got, exceeded)
		}
	}
	if proved < 30 {
		t.Errorf("only %d attacks were carried out", proved)
	}
}

// A service that does not work must not look like one that is safe.
func TestServiceThatDoesNothing(t *testing.T) {
	t.Parallel()
	refuse := func(status int, code string) http.Handler {
		service := newBroken()
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

func TestInboxThatGetsNothing(t *testing.T) {
	t.Parallel()
	b := newBroken()
	b.inbox = serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // another's
	url := serve(t, b)
	target, err := newTarget(t.Context(), redis, options{urls: []string{url, url}, key: mainSecret, other: otherSecret})
	if err != nil {
		t.Fatal(err)
	}
	box, err := openInbox()
	if err != nil {
		t.Fatal(err)
	}
	defer box.close()
	target.rig = &rig{inbox: box}
	for _, a := range slices.Concat(decoys[:1], sends, undelivered, keyed[:1]) {
		if a.needs != startedService || strings.Contains(a.name, "SMS") {
			continue
		}
		if got := a.carryOut(t.Context(), target); got.verdict() == holds {
			t.Errorf("%s: it holds, though nothing is delivered", a.name)
		}
	}
}

func must(a answer, err error) answer {
	if err != nil {
		panic(err)
	}
	return a
}

// serve serves until the test ends and returns the URL.
func serve(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return server.URL
}
