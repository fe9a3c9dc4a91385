package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// asOTPD makes the test's binary a broken service, which is started as otpd is.
const asOTPD = "BROKEN_OTPD"

func TestMain(m *testing.M) {
	if os.Getenv(asOTPD) != "" {
		serveBroken()
	}
	os.Exit(m.Run())
}

func serveBroken() {
	listener, err := net.Listen("tcp", os.Getenv("OTP_LISTEN_ADDR"))
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "{\"msg\":\"listening\",\"addr\":%q}\n", listener.Addr())
	b := newBroken()
	b.inbox = os.Getenv("OTP_DELIVERY_WEBHOOK_URL")
	panic(http.Serve(listener, b))
}

// brokenBinary returns a program that is a broken service.
func brokenBinary(tb testing.TB) string {
	tb.Helper()
	binary, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	script := filepath.Join(tb.TempDir(), "otpd")
	text := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s'\n", asOTPD, binary)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		tb.Fatal(err)
	}
	return script
}

// broken is a service that admits everything: it judges each code that it is sent, whatever the context,
// the key and the times before, and takes no code of digits from outside ASCII for a wrong one. It sends what it is
// asked to, gives tokens for any code, and takes all of them for good. Only who had nothing to do with it is refused:
// the first right code after a wrong one by another tenant, a send to whom that wrote to, and one after failures.
type broken struct {
	inbox     string // where it delivers
	requests  atomic.Int64
	disturbed atomic.Bool

	mu       sync.Mutex
	routes   map[string][]string // by context: whom a resend goes to
	bothered map[string]bool     // to whom the other tenant sent
	failures map[string]int      // in a row, by recipient
	answers  map[string]answer   // by the first tenant's Idempotency-Key
}

func newBroken() *broken {
	return &broken{
		routes: make(map[string][]string), bothered: make(map[string]bool),
		failures: make(map[string]int), answers: make(map[string]answer),
	}
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
	isOther := r.Header.Get("Authorization") == "Bearer "+otherSecret
	// From one to the next, the padding changes.
	token := base64.URLEncoding.EncodeToString(fmt.Appendf(nil, "\xfb\xef\xbe\xff\xff\xff%0*d", 60+n%3, n))
	switch r.URL.Path {
	case generate:
		tell(w, http.StatusOK, answer{OTP: brokenCode, Context: token, ID: "id"})
	case sendCode:
		b.answerSend(w, request, token, isOther, r.Header.Get("Idempotency-Key"))
	case resend:
		b.resend(w, request, token)
	case enroll, challenge:
		tell(w, http.StatusOK, answer{Device: token, Secret: brokenSecret, Challenge: token})
	case verify, verifyDevice, confirm, renew, match, resync, complete:
		b.verify(w, request, n, isOther)
	case refresh:
		tell(w, http.StatusOK, brokenTokens(n))
	case introspect:
		active := true
		tell(w, http.StatusOK, answer{Active: &active})
	default:
		tell(w, http.StatusOK, answer{Status: "done", State: fmt.Sprint("state ", n)})
	}
}

func (b *broken) verify(w http.ResponseWriter, request map[string]any, n int64, isOther bool) {
	code, _ := request["otp"].(string)
	backupCode, _ := request["backup_code"].(string)
	code += backupCode
	switch wrong := sixDigits.MatchString(code) && !isRight(code); {
	case wrong:
		b.disturbed.Store(isOther)
		tell(w, http.StatusBadRequest, answer{ErrorCode: "INVALID_OTP", Context: "next", Device: "next"})
	case !isOther && b.disturbed.Swap(false):
		tell(w, http.StatusTooManyRequests, answer{ErrorCode: "N_FAILED_ATTEMPTS"})
	default:
		a := answer{}
		if request["issue"] != nil {
			a = brokenTokens(n)
		}
		a.Status, a.Device, a.BackupCodes = "verified", "next", slices.Repeat([]string{"AAAAA-AAAAA"}, 10)
		tell(w, http.StatusOK, a)
	}
}

// brokenTokens has a JWT by its form.
func brokenTokens(n int64) answer {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	header, payload := part(`{"alg":"EdDSA","kid":"key"}`), part(fmt.Sprintf(`{"jti":"%d"}`, n))
	signature := part(fmt.Sprintf("%064d", n))
	return answer{AccessToken: header + "." + payload + "." + signature, RefreshToken: part(fmt.Sprintf("%080d", n))}
}

func (b *broken) answerSend(w http.ResponseWriter, request map[string]any, token string, isOther bool, key string) {
	b.mu.Lock()
	known, isKnown := b.answers[key]
	b.mu.Unlock()
	if isOther && isKnown {
		tell(w, http.StatusOK, known)
		return
	}
	to, _ := request["to"].(string)
	recipients := []string{to}
	fallback, _ := request["fallback"].([]any)
	for _, each := range fallback {
		route, _ := each.(map[string]any)
		next, _ := route["to"].(string)
		recipients = append(recipients, cmp.Or(next, to))
	}
	if b.refuses(recipients, isOther) {
		tell(w, http.StatusTooManyRequests, answer{ErrorCode: "SEND_LIMIT_EXCEEDED"})
		return
	}
	if request["decoy"] == true {
		token += "AAAA"
	}
	a, sent := b.sendOn(recipients, token)
	if !sent {
		tell(w, http.StatusUnprocessableEntity, answer{ErrorCode: "UNDELIVERABLE"})
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if key != "" && !isOther {
		b.answers[key] = a
	}
	tell(w, http.StatusOK, a)
}

// refuses reports whether the first recipient was written to by the other tenant, or could not be for long.
func (b *broken) refuses(recipients []string, isOther bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if isOther {
		for _, to := range recipients {
			b.bothered[to] = true
		}
		return false
	}
	return b.bothered[recipients[0]] || b.failures[recipients[0]] >= 10
}

// sendOn delivers a code to the first recipient that takes it.
func (b *broken) sendOn(recipients []string, token string) (answer, bool) {
	id := fmt.Sprint("delivery ", b.requests.Add(1))
	for _, to := range recipients {
		message, err := json.Marshal(fields{"data": fields{"to": to, "code": brokenCode, "delivery_id": id}})
		if err != nil {
			return answer{}, false
		}
		response, err := http.Post(b.inbox, "application/json", bytes.NewReader(message))
		if err != nil {
			return answer{}, false
		}
		_ = response.Body.Close()
		b.mu.Lock()
		isTaken := response.StatusCode == http.StatusOK
		b.failures[to]++
		if isTaken {
			b.failures[to] = 0
			b.routes[token] = recipients
		}
		b.mu.Unlock()
		if isTaken {
			return answer{Context: token, ID: "id", DeliveryID: id}, true
		}
	}
	return answer{}, false
}

// resend sends to whom is next, if the code before was sent.
func (b *broken) resend(w http.ResponseWriter, request map[string]any, token string) {
	context, _ := request["context"].(string)
	b.mu.Lock()
	recipients := b.routes[context]
	b.mu.Unlock()
	if recipients == nil {
		tell(w, http.StatusOK, answer{OTP: brokenCode, Context: token, ID: "id"})
		return
	}
	a, sent := b.sendOn(recipients[min(1, len(recipients)-1):], token)
	if !sent {
		tell(w, http.StatusUnprocessableEntity, answer{ErrorCode: "UNDELIVERABLE"})
		return
	}
	tell(w, http.StatusOK, a)
}

func tell(w http.ResponseWriter, status int, a answer) {
	w.WriteHeader(status)
	members := map[string]any{
		"otp": a.OTP, "context": a.Context, "id": a.ID, "status": a.Status, "state": a.State,
		"error_code": a.ErrorCode, "attempts_remaining": a.AttemptsRemaining,
		"device": a.Device, "secret": a.Secret, "backup_codes": a.BackupCodes, "challenge": a.Challenge,
		"delivery_id": a.DeliveryID, "access_token": a.AccessToken, "refresh_token": a.RefreshToken,
	}
	if a.Active != nil {
		members["active"] = *a.Active
	}
	_ = json.NewEncoder(w).Encode(members)
}
