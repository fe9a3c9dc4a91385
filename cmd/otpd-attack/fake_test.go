package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
	"testing"
)

// broken is a service that admits everything: it judges each code that it is sent, whatever the context,
// the key and the times before, and takes no code of digits from outside ASCII for a wrong one. Only who
// had nothing to do with it is refused: the first right code after a wrong one by another tenant.
type broken struct {
	requests  atomic.Int64
	disturbed atomic.Bool
}

const brokenCode = "123456"

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

func (b *broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := b.requests.Add(1)
	var request map[string]any
	_ = json.NewDecoder(r.Body).Decode(&request)
	code, _ := request["otp"].(string)
	switch r.URL.Path {
	case generate, resend:
		// From one to the next, the padding changes.
		token := base64.URLEncoding.EncodeToString(fmt.Appendf(nil, "\xfb\xef\xbe\xff\xff\xff%0*d", 60+n%3, n))
		tell(w, http.StatusOK, answer{OTP: brokenCode, Context: token, ID: "id"})
	case verify:
		b.verify(w, r, code)
	default:
		tell(w, http.StatusOK, answer{Status: "done", State: fmt.Sprint("state ", n)})
	}
}

func (b *broken) verify(w http.ResponseWriter, r *http.Request, code string) {
	isOther := r.Header.Get("Authorization") == "Bearer "+otherSecret
	switch wrong := sixDigits.MatchString(code) && code != brokenCode; {
	case wrong:
		b.disturbed.Store(isOther)
		tell(w, http.StatusBadRequest, answer{ErrorCode: "INVALID_OTP", Context: "next"})
	case !isOther && b.disturbed.Swap(false):
		tell(w, http.StatusTooManyRequests, answer{ErrorCode: "N_FAILED_ATTEMPTS"})
	default:
		tell(w, http.StatusOK, answer{Status: "verified"})
	}
}

func tell(w http.ResponseWriter, status int, a answer) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"otp": a.OTP, "context": a.Context, "id": a.ID, "status": a.Status, "state": a.State,
		"error_code": a.ErrorCode, "attempts_remaining": a.AttemptsRemaining,
	})
}

// serve serves until the test ends and returns the URL.
func serve(tb testing.TB, handler http.Handler) string {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return server.URL
}
