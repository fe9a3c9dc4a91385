package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// ErrSecrets is the error for secrets that an endpoint cannot have. It quotes none.
var ErrSecrets = errors.New("must be secrets of whsec_ and 24 to 64 bytes in base64")

// Bounds on a secret in bytes, as Standard Webhooks sets them.
const (
	minSecret = 24
	maxSecret = 64
)

// key signs, with HMAC-SHA256.
type key []byte

var strictBase64 = base64.StdEncoding.Strict()

func parseSecrets(secrets []string) (keys []key, err error) {
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%w, and there is none", ErrSecrets)
	}
	for i, secret := range secrets {
		encoded, prefixed := strings.CutPrefix(secret, "whsec_")
		decoded, err := strictBase64.DecodeString(encoded)
		if !prefixed || err != nil || strings.ContainsAny(encoded, "\r\n") || // which the decoder ignores
			len(decoded) < minSecret || len(decoded) > maxSecret {
			return nil, fmt.Errorf("%w, and number %d is not", ErrSecrets, i+1)
		}
		keys = append(keys, decoded)
	}
	return keys, nil
}

// signatures returns the value of webhook-signature: that of each key, so that the endpoint may know either while
// they rotate.
func signatures(keys []key, id, timestamp string, body []byte) string {
	all := make([]string, len(keys))
	for i, k := range keys {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(all, " ")
}
