package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/otpd/otpd/internal/otp"
)

const (
	minSecret    = 16  // characters of an API key's secret
	maxUserAgent = 256 // bytes of an end user's User-Agent that are logged
)

// Keys is the set of API keys, once [Keys.Use] has given it one. It is safe for concurrent use.
type Keys struct{ current atomic.Pointer[KeySet] }

// Use makes k hold set from now on.
func (k *Keys) Use(set *KeySet) { k.current.Store(set) }

// KeySet is a set of API keys that does not change. It keeps hashes, so that a comparison takes the
// same time whatever the lengths.
type KeySet struct {
	names  []string
	hashes [][sha256.Size]byte
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// IsKeyName reports whether name can be that of an API key.
func IsKeyName(name string) bool { return keyName.MatchString(name) }

// ParseKeys makes a set of entries of the form name:secret. A name, which is the namespace of what its
// key issues, is 1 to 64 of A-Z a-z 0-9 . _ - and may come with several secrets, while one replaces
// another; a secret is 16 or more characters that a header can carry, and is not given twice. Errors
// name an entry by its place, from 1, and never quote it.
func ParseKeys(entries []string) (*KeySet, error) {
	if len(entries) == 0 {
		return nil, errors.New("no API key")
	}
	set := new(KeySet)
	seen := make(map[[sha256.Size]byte]bool)
	for i, entry := range entries {
		name, secret, found := strings.Cut(entry, ":")
		hash := sha256.Sum256([]byte(secret))
		switch {
		case !found || !IsKeyName(name):
			return nil, fmt.Errorf("entry %d is not name:secret with a name of 1 to 64 of A-Z a-z 0-9 . _ -", i+1)
		case len(secret) < minSecret || strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
			return nil, fmt.Errorf("entry %d has a secret that is not %d or more printable ASCII characters without spaces", i+1, minSecret)
		case seen[hash]:
			return nil, fmt.Errorf("entry %d has the secret of another entry", i+1)
		}
		seen[hash] = true
		set.names, set.hashes = append(set.names, name), append(set.hashes, hash)
	}
	return set, nil
}

// name returns the name of the key with the given secret. It compares with all keys, so that the time
// does not tell which one came near.
func (s *KeySet) name(secret string) (name string, ok bool) {
	hash := sha256.Sum256([]byte(secret))
	for i := range s.hashes {
		if subtle.ConstantTimeCompare(s.hashes[i][:], hash[:]) == 1 {
			name, ok = s.names[i], true
		}
	}
	return name, ok
}

// caller returns who sends r, or [errUnauthorized].
func (a *API) caller(w http.ResponseWriter, r *http.Request) (otp.Caller, error) {
	caller := otp.Caller{RequestID: w.Header().Get(requestIDHeader)}
	if a.keys != nil {
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		name, ok := a.keys.current.Load().name(secret)
		if !ok || !strings.EqualFold(scheme, "Bearer") {
			return otp.Caller{}, errUnauthorized
		}
		caller.Namespace = name
	}
	if text := r.Header.Get("X-Otp-Client-Ip"); text != "" {
		if ip, err := netip.ParseAddr(text); err == nil {
			caller.IP = ip.WithZone("").String() // a zone may be any text, of any length
		}
	}
	caller.UserAgent = r.Header.Get("X-Otp-Client-User-Agent")
	caller.UserAgent = strings.ToValidUTF8(caller.UserAgent[:min(len(caller.UserAgent), maxUserAgent)], "")
	return caller, nil
}
