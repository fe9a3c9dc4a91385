package httpapi_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

const ada = "ada@example.com"

// fail sends wrong codes for an identifier, each to a verification of its own.
func (s *server) fail(tb testing.TB, identifier string, times int) {
	tb.Helper()
	for range times {
		issued := s.generate(tb, fields{"identifier": identifier})
		s.verify(tb, wrongCode(issued.text("otp")), issued.text("context")).is(tb, 400, "INVALID_OTP")
	}
}

// isLocked reports whether a right code for an identifier is refused.
func (s *server) isLocked(tb testing.TB, identifier string) bool {
	tb.Helper()
	issued := s.generate(tb, fields{"identifier": identifier})
	a := s.verify(tb, issued.text("otp"), issued.text("context"))
	if a.status == 200 {
		return false
	}
	a.is(tb, 429, "N_FAILED_ATTEMPTS")
	return true
}

func TestThrottledVerify(t *testing.T) {
	s := newServer(t, options{})
	s.fail(t, ada, throttle.After+1)
	issued := s.generate(t, fields{"identifier": ada})
	for _, test := range []struct {
		after   time.Duration // the failure that locked
		seconds int
	}{{0, 2}, {500 * time.Millisecond, 2}, {time.Second, 1}, {2*time.Second - time.Millisecond, 1}} {
		s.now = time.Unix(at, 0).UTC().Add(test.after)
		s.events = nil
		for _, code := range []string{issued.text("otp"), wrongCode(issued.text("otp"))} {
			a := s.verify(t, code, issued.text("context"))
			a.is(t, 429, "N_FAILED_ATTEMPTS")
			if got := a.number(t, "retry_after_seconds"); got != test.seconds || a.header.Get("Retry-After") != strconv.Itoa(test.seconds) {
				t.Errorf("after %v: %s, Retry-After: %s, want %d seconds", test.after, a.body, a.header.Get("Retry-After"), test.seconds)
			}
			unit := map[bool]string{true: "second", false: "seconds"}[test.seconds == 1]
			want := `{"error":"Too many wrong codes. Try again in ` + strconv.Itoa(test.seconds) + ` ` + unit + `.","error_code":"N_FAILED_ATTEMPTS"` +
				`,"request_id":"` + requestID + `","retry_after_seconds":` + strconv.Itoa(test.seconds) + `}`
			if a.body != want {
				t.Errorf("got  %s\nwant %s", a.body, want)
			}
		}
		if len(s.events) != 2 || s.events[0].Name != otp.EventThrottled || s.events[1].Name != otp.EventThrottled ||
			s.events[0].ID != issued.text("id") || len(s.events[0].IdentifierHash) != 22 || s.events[0].RetryCount != 0 {
			t.Errorf("after %v: the audit log was told %+v, want otp.throttled twice", test.after, s.events)
		}
	}
	if s.isLocked(t, "bob@example.com") {
		t.Error("another identifier is locked too")
	}
	s.now = time.Unix(at, 0).UTC().Add(2 * time.Second)
	s.stillGood(t, issued)
}

// Requests overtake one another, and the clocks of replicas differ a little.
func TestFreeFailureLocksNobodyOut(t *testing.T) {
	s := newServer(t, options{})
	s.fail(t, ada, throttle.After)
	s.now = s.now.Add(-time.Second)
	s.fail(t, ada, 1)
}

func TestThrottleHoldsWhateverThePathToAGuess(t *testing.T) {
	for name, guess := range map[string]func(tb testing.TB, s *server){
		"one verification after another": func(tb testing.TB, s *server) { s.fail(tb, ada, 1) },
		"codes by resend": func(tb testing.TB, s *server) {
			issued := s.generate(tb, fields{"identifier": ada})
			s.now = s.now.Add(cooldown)
			resent := s.resend(tb, issued.text("context"))
			s.verify(tb, wrongCode(resent.text("otp")), resent.text("context")).is(tb, 400, "INVALID_OTP")
		},
		"a purpose for each": func(tb testing.TB, s *server) {
			purpose := "p" + strconv.Itoa(len(s.events))
			issued := s.generate(tb, fields{"identifier": ada, "purpose": purpose})
			s.verifyFor(tb, purpose, "wrong", issued.text("context")).is(tb, 400, "INVALID_OTP")
		},
		"decoys": func(tb testing.TB, s *server) {
			issued := s.generate(tb, fields{"identifier": ada, "decoy": true})
			s.verify(tb, issued.text("otp"), issued.text("context")).is(tb, 400, "INVALID_OTP")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			for range throttle.After + 1 {
				guess(t, s)
			}
			if !s.isLocked(t, ada) {
				t.Errorf("%d failures do not lock", throttle.After+1)
			}
		})
	}
}

func TestUnlock(t *testing.T) {
	s := newServer(t, options{})
	s.fail(t, ada, throttle.After+1)
	issued := s.generate(t, fields{"identifier": ada, "max_retries": 2})
	s.verify(t, issued.text("otp"), issued.text("context")).is(t, 429, "N_FAILED_ATTEMPTS")

	for _, other := range []string{"Ada@example.com", ada + " ", "bob@example.com"} {
		s.unlock(t, other).is(t, 200, "")
		s.verify(t, issued.text("otp"), issued.text("context")).is(t, 429, "N_FAILED_ATTEMPTS")
	}
	a := s.unlock(t, ada)
	a.is(t, 200, "")
	if a.body != `{"status":"unlocked"}` {
		t.Errorf("got %s", a.body)
	}
	s.unlock(t, ada).is(t, 200, "") // that nothing is locked is no error

	// All the free failures are there again, but no attempt of the verification comes back.
	for range 2 {
		s.verify(t, wrongCode(issued.text("otp")), issued.text("context")).is(t, 400, "INVALID_OTP")
	}
	s.unlock(t, ada).is(t, 200, "")
	s.verify(t, issued.text("otp"), issued.text("context")).is(t, 429, "MAX_RETRIES_EXCEEDED")
	s.fail(t, ada, throttle.After)
	if s.isLocked(t, ada) {
		t.Error("failures before the unlock still count")
	}
}

// foreign returns a context of django-otp-actions, which has no namespace, one for each n.
func foreign(tb testing.TB, n int) string {
	return claims{"timestamp": float64(at) - float64(n)/1000}.seal(tb)
}

func TestUnlockReachesContextsWithoutANamespace(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	for n := range throttle.After + 1 {
		s.verify(t, wrongCode(sealedCode), foreign(t, n)).is(t, 400, "INVALID_OTP")
	}
	s.bearer = bankSecret // which may use them too, and so shares the lock
	s.verify(t, sealedCode, foreign(t, 100)).is(t, 429, "N_FAILED_ATTEMPTS")
	s.unlock(t, ada).is(t, 200, "")
	s.verify(t, sealedCode, foreign(t, 100)).is(t, 200, "")
}

func TestContextWithoutNamespaceIsUsedOnceByAllKeys(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	wrong := s.verify(t, wrongCode(sealedCode), foreign(t, 0))
	wrong.is(t, 400, "INVALID_OTP")
	s.bearer = bankSecret
	if a := s.verify(t, wrongCode(sealedCode), foreign(t, 0)); a.number(t, "attempts_remaining") != 1 {
		t.Errorf("a second key begins to count anew: %s", a.body)
	}
	s.verify(t, sealedCode, foreign(t, 0)).is(t, 200, "")
	for _, token := range []string{foreign(t, 0), wrong.text("context")} {
		for _, secret := range []string{shopSecret, bankSecret} {
			s.bearer = secret
			s.verify(t, sealedCode, token).is(t, 409, "OTP_ALREADY_USED")
		}
	}
}

func TestUnlockWithoutALedger(t *testing.T) {
	s := newServer(t, options{ledger: ledger.None{}})
	s.unlock(t, ada).is(t, 409, "LEDGER_DISABLED")
	s.fail(t, ada, throttle.After+1)
	if s.isLocked(t, ada) {
		t.Error("without a ledger there is a throttle")
	}
}

func TestBoundsOfUnlock(t *testing.T) {
	s := newServer(t, options{})
	for _, good := range []string{"x", strings.Repeat("x", 320), strings.Repeat("é", 160), `"quoted\"`, "\u0080\u2028", "}{*:"} {
		s.generate(t, fields{"identifier": good})
		s.unlock(t, good).is(t, 200, "")
	}
	for _, bad := range []string{strings.Repeat("x", 321-len(canary)) + canary, strings.Repeat("é", 160) + "x", "\x00" + canary, canary + "\n", "a\tb", "\x7f"} {
		a := s.unlock(t, bad)
		a.is(t, 400, "INVALID_REQUEST")
		quotesNothing(t, a)
		if a.text("field") != "identifier" {
			t.Errorf("%q: got %s", bad, a.body)
		}
	}
	a := s.post(t, "/v1/identifiers/unlock", fields{"identifier": ada, "context": "x"}.String())
	a.is(t, 400, "INVALID_REQUEST")
	if a.text("field") != "context" {
		t.Errorf("got %s", a.body)
	}
}

// unsteadyLedger is one that can be out of reach for a while.
type unsteadyLedger struct {
	ledgerOfAll
	working, broken ledgerOfAll
}

func newUnsteadyLedger(tb testing.TB) *unsteadyLedger {
	working := memoryLedger(tb, 1000)
	return &unsteadyLedger{working, working, brokenLedger{err: errLedger}}
}

func (u *unsteadyLedger) breakDown() { u.ledgerOfAll = u.broken }
func (u *unsteadyLedger) recover()   { u.ledgerOfAll = u.working }

func TestNothingIsLostWhileTheLedgerIsDown(t *testing.T) {
	l := newUnsteadyLedger(t)
	s := newServer(t, options{ledger: l})
	issued := s.generate(t, fields{"identifier": ada})
	wrong := s.verify(t, wrongCode(issued.text("otp")), issued.text("context"))
	s.now = s.now.Add(cooldown)
	s.events = nil

	l.breakDown()
	var bodies []string
	unavailable := func(a answer) {
		t.Helper()
		a.is(t, 503, "LEDGER_UNAVAILABLE")
		if a.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
		}
		bodies = append(bodies, a.body)
	}
	unavailable(s.verify(t, issued.text("otp"), wrong.text("context")))
	unavailable(s.verify(t, wrongCode(issued.text("otp")), wrong.text("context")))
	unavailable(s.resend(t, wrong.text("context")))
	unavailable(s.revoke(t, wrong.text("context")))
	unavailable(s.inspect(t, wrong.text("context")))
	unavailable(s.unlock(t, ada))
	unavailable(s.get(t, "/readyz"))
	if len(slices.Compact(bodies)) != 1 {
		t.Errorf("the answers differ: %q", bodies)
	}
	if len(s.events) != 0 {
		t.Errorf("the audit log was told %+v of what did not happen", s.events)
	}
	s.generate(t, fields{}) // needs no ledger
	s.get(t, "/healthz").is(t, 200, "")

	l.recover()
	s.get(t, "/readyz").is(t, 200, "")
	if a := s.inspect(t, wrong.text("context")); a.text("state") != "active" || a.number(t, "attempts_remaining") != 2 {
		t.Errorf("inspect says %s", a.body)
	}
	verified := s.verify(t, issued.text("otp"), wrong.text("context"))
	verified.is(t, 200, "")
	if verified.number(t, "retry_count") != 1 {
		t.Errorf("got %s, want 1 wrong code", verified.body)
	}
}

func TestEachOperationSucceedsAfterTheLedgerWasDown(t *testing.T) {
	for name, do := range map[string]func(s *server, issued answer) answer{
		"resend": func(s *server, issued answer) answer { return s.resend(t, issued.text("context")) },
		"revoke": func(s *server, issued answer) answer { return s.revoke(t, issued.text("context")) },
		"unlock": func(s *server, _ answer) answer { return s.unlock(t, ada) },
		"verify": func(s *server, issued answer) answer {
			return s.verify(t, issued.text("otp"), issued.text("context"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newUnsteadyLedger(t)
			s := newServer(t, options{ledger: l})
			issued := s.generate(t, fields{"identifier": ada})
			s.now = s.now.Add(cooldown)
			l.breakDown()
			do(s, issued).is(t, 503, "LEDGER_UNAVAILABLE")
			l.recover()
			do(s, issued).is(t, 200, "")
		})
	}
}
