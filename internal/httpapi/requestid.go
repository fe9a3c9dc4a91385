package httpapi

import (
	"crypto/rand"
	"net/http"
)

const (
	requestIDHeader = "X-Request-Id"
	maxRequestID    = 64 // characters
)

// identifyRequest gives each request an id, its own where it has a fit one, and returns it with the
// answer, which is where the rest of the package reads it.
func identifyRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !isRequestID(id) {
			id = rand.Text()
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r)
	})
}

func isRequestID(id string) bool {
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return 1 <= len(id) && len(id) <= maxRequestID
}
