package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fernet/fernet-go"
)

// TestRotationSplitsNoVerification changes the signing keys from A to B in the middle of verifications:
// what the ledger knows of one must hold for its contexts of either key.
func TestRotationSplitsNoVerification(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"memory", "redis", "redis, replicas one by one"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "OTP_LEDGER_URL=memory:"
			var r *redisServer
			if name != "memory" {
				r = startedRedis(t)
				url = r.variable()
			}
			f := &rotation{tb: t, a: newKey(t), b: newKey(t)}
			f.file = newFile(t, f.a)
			env := []string{url, patient, "OTP_RESEND_COOLDOWN_SECONDS=0", "OTP_DEFAULT_MAX_RETRIES=5",
				"OTP_THROTTLE_AFTER=5", "OTP_THROTTLE_FACTOR_SECONDS=1800"}
			f.process = launch(t, append(env, "OTP_SIGNING_KEY_FILE="+f.file)...)
			f.clients = []*client{newClient(t, f.process.addr, nil)}
			if name == "redis, replicas one by one" { // these have the new key already, and never seal with the old one
				ahead := launch(t, append(env, keyVariable+"="+f.b, "OTP_SIGNING_KEY_FALLBACKS="+f.a)...)
				f.clients = append(f.clients, newClient(t, ahead.addr, nil))
			}
			f.run()
			if r != nil {
				f.checkKeys(r)
			}
		})
	}
}

type rotation struct {
	tb      testing.TB
	a, b    string
	file    string
	process *process  // reads file
	clients []*client // of process first
	turn    int
	issued  int // verifications
}

// use makes the process hold keys, the first of which seals.
func (f *rotation) use(keys ...string) {
	f.tb.Helper()
	replaceFile(f.tb, f.file, strings.Join(keys, "\n"))
	hangUp(f.tb, f.process)
	eventually(f.tb, "the new keys", func() bool { return sealsWith(f.tb, f.clients[0], keys[0]) })
}

// next returns the clients in turn.
func (f *rotation) next() *client {
	f.turn++
	return f.clients[f.turn%len(f.clients)]
}

// issue begins a verification under the key A, for an identifier of its own.
func (f *rotation) issue() *answer {
	f.tb.Helper()
	f.issued++
	return f.clients[0].post(f.tb, "200", "/v1/otp/generate", fields{"identifier": fmt.Sprintf("user-%d@example.com", f.issued)})
}

// wrong sends a wrong code, which must leave so many attempts, and returns the updated context.
func (f *rotation) wrong(token string, remaining int) string {
	f.tb.Helper()
	a := f.next().verify(f.tb, "400 INVALID_OTP", wrongCode, token)
	if a.AttemptsRemaining != remaining {
		f.tb.Fatalf("%d attempts remain, want %d", a.AttemptsRemaining, remaining)
	}
	return a.Context
}

// all sends a code with each context to each replica, which must say want.
func (f *rotation) all(want, code string, tokens ...string) {
	f.tb.Helper()
	for _, token := range tokens {
		for _, c := range f.clients {
			c.verify(f.tb, want, code, token)
		}
	}
}

func (f *rotation) run() {
	t := f.tb
	spent, used, raced, late, revoked, resent := f.issue(), f.issue(), f.issue(), f.issue(), f.issue(), f.issue()
	library := f.ofTheLibrary()
	var locked []*answer
	for range 4 {
		locked = append(locked, f.clients[0].post(t, "200", "/v1/otp/generate", fields{"identifier": "locked@example.com"}))
	}

	// Under A, or under B on the replica that is ahead.
	spent1 := f.wrong(spent.Context, 4)
	used1 := f.wrong(used.Context, 4)
	library1 := f.wrong(library, 2)
	f.wrong(locked[0].Context, 4)
	f.wrong(locked[0].Context, 3)

	f.use(f.b, f.a)
	spent2 := f.wrong(spent.Context, 3)
	spent3 := f.wrong(spent1, 2)
	used2 := f.wrong(used1, 3)
	raced1 := f.wrong(raced.Context, 4)
	raced2 := f.wrong(raced1, 3)
	late1 := f.wrong(late.Context, 4)
	revoked1 := f.wrong(revoked.Context, 4)
	resent1 := f.wrong(resent.Context, 4)
	library2 := f.wrong(library, 1)
	f.wrong(locked[1].Context, 4)
	f.wrong(locked[1].Context, 3)
	locked3 := f.wrong(locked[2].Context, 4)

	f.next().verify(t, "200 verified", used.OTP, used2)
	f.all("409 OTP_ALREADY_USED", used.OTP, used.Context, used1, used2)
	if n := successes(t, f.clients, raced.OTP, raced.Context, raced1, raced2); n != 1 {
		t.Errorf("a code was accepted %d times with contexts of either key, want once", n)
	}
	f.next().post(t, "200 revoked", "/v1/otp/revoke", fields{"context": revoked.Context})
	f.all("410 CONTEXT_REVOKED", revoked.OTP, revoked.Context, revoked1)
	newer := f.next().post(t, "200", "/v1/otp/resend", fields{"context": resent.Context})
	f.all("409 CONTEXT_SUPERSEDED", resent.OTP, resent.Context, resent1)
	spent4 := f.wrong(spent2, 1)

	f.use(f.b)
	if len(f.clients) > 1 {
		f.clients = f.clients[:1] // the other one knows A for ever
	}
	spent5 := f.wrong(spent4, 0)
	f.all("429 MAX_RETRIES_EXCEEDED", spent.OTP, spent2, spent3, spent4, spent5)
	f.all("409 OTP_ALREADY_USED", used.OTP, used2)
	f.all("410 CONTEXT_REVOKED", revoked.OTP, revoked1)
	f.all("409 CONTEXT_SUPERSEDED", resent.OTP, resent1)
	f.next().verify(t, "200 verified", newer.OTP, newer.Context)
	f.next().verify(t, "200 verified", late.OTP, late1)
	f.all("409 OTP_ALREADY_USED", late.OTP, late1)
	f.wrong(library2, 0)
	f.all("429 MAX_RETRIES_EXCEEDED", libraryCode, library2)
	f.all("400 INVALID_CONTEXT", spent.OTP, spent.Context)

	// The identifier has failed five times, for contexts of A. Once more locks it for them.
	locked4 := f.wrong(locked3, 3)
	f.all("429 N_FAILED_ATTEMPTS", locked[2].OTP, locked3, locked4)

	// And should the old key come back, nothing is forgotten.
	f.use(f.a, f.b)
	f.all("429 MAX_RETRIES_EXCEEDED", spent.OTP, spent.Context, spent1, spent5)
	f.all("409 OTP_ALREADY_USED", used.OTP, used.Context, used1, used2)
	f.all("429 MAX_RETRIES_EXCEEDED", libraryCode, library, library1)
	f.all("429 N_FAILED_ATTEMPTS", locked[3].OTP, locked[3].Context)
	f.next().unlock(t, "locked@example.com")
	f.next().verify(t, "200 verified", locked[3].OTP, locked[3].Context)
}

const libraryCode = "271828"

// ofTheLibrary returns a context as django-otp-actions makes it under the key A: without an id.
func (f *rotation) ofTheLibrary() string {
	f.tb.Helper()
	key, err := fernet.DecodeKey(f.a)
	if err != nil {
		f.tb.Fatal(err)
	}
	token, err := fernet.EncryptAndSign(libraryClaims(f.tb), key)
	if err != nil {
		f.tb.Fatal(err)
	}
	return string(token)
}

func libraryClaims(tb testing.TB) []byte {
	tb.Helper()
	now, hash := time.Now().Unix(), sha256.Sum256([]byte(libraryCode))
	claims, err := json.Marshal(fields{
		"identifier": "user@library.example", "otp_hash": hex.EncodeToString(hash[:]), "metadata": nil, "timestamp": now,
		"otp_expiry": now + 300, "session_expiry": now + 900, "retry_count": 0, "max_retries": 3,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return claims
}

// checkKeys checks that each verification that was attempted has one key, and each identifier with
// failures one.
func (f *rotation) checkKeys(r *redisServer) {
	f.tb.Helper()
	var verifications, subjects int
	for _, name := range r.keys(f.tb) {
		switch {
		case name == "otpd:ping":
		case strings.Contains(name, "}:"):
			verifications++
		default:
			subjects++
		}
	}
	const others = 1 + 4 // of the library, and for the locked identifier
	if verifications != f.issued+others {
		f.tb.Errorf("%d keys for %d verifications", verifications, f.issued+others)
	}
	// Used, raced, late and resent were verified, and the locked one was: what is left is spent, revoked
	// and the library's.
	if subjects != 3 {
		f.tb.Errorf("%d keys for the failures of 3 identifiers: %q", subjects, r.keys(f.tb))
	}
}
