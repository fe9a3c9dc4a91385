package otpcontext

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/fernet/fernet-go"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on what a context may hold.
const (
	MaxIdentifier = 320      // bytes: an e-mail address of RFC 5321 §4.5.3.1
	MaxMetadata   = 4 << 10  // bytes of compact JSON
	MaxPurpose    = 64       // bytes
	MaxNamespace  = 64       // bytes
	MaxDelivery   = 1 << 10  // bytes of compact JSON
	MaxSourceURL  = 1 << 10  // bytes
	MaxRetryLimit = 1000     // of Claims.MaxRetries
	MaxToken      = 10 << 10 // bytes of a sealed context

	minTime = 946684800  // 2000-01-01T00:00:00Z
	maxTime = 7258118400 // 2200-01-01T00:00:00Z

	idSize = 16 // bytes of Claims.ID before base64url
)

// Claims is what a context says. The first eight fields are those of django-otp-actions, by name,
// type and meaning; a context may lack the others, which are otpd's own. Times are Unix seconds, with
// a fraction where the issuer wrote one.
type Claims struct {
	Identifier    *string           // whom the code is for; nil for nobody in particular
	OTPHash       [sha256.Size]byte // SHA-256 of the canonical code
	Metadata      jsontext.Value    // the caller's own; nil for none, which is null
	Timestamp     float64
	OTPExpiry     float64
	SessionExpiry float64
	RetryCount    int
	MaxRetries    int

	ID        string // of the verification; [Sealer.Open] derives a missing one
	Resends   int    // how many codes came before this one
	Purpose   string // what the code may be used for
	Binding   string // SHA-256 of the transaction text, in base64url
	Namespace string // of the API key that issued it
	Alphabet  string // of the code, if it is not numeric
	Length    int    // of the code, if it is not 6, so that a resend keeps it
	Decoy     bool   // no code verifies it

	Delivery  jsontext.Value // how otpd itself brings the code to its recipient; nil if the caller does
	SourceURL string         // of the page where the verification began

	// Subject is a keyed hash of Namespace and Identifier, for logs and ledgers; empty without an
	// identifier, or with an empty one. [Sealer.Open] and [Sealer.Seal] set it, under the key that first sealed the
	// verification, so that it stays the same over a change of keys. A token holds it only if another key
	// has sealed that token.
	Subject    string
	subjectKey fernet.Key // that Subject follows from, zero if a context told it
}

// nameSubject sets the subject under k, unless it has one.
func (c *Claims) nameSubject(k *key) {
	if c.Subject == "" && c.Identifier != nil && *c.Identifier != "" {
		c.Subject, c.subjectKey = k.subject(c.Namespace, *c.Identifier), *k.fernet[0]
	}
}

func (c *Claims) wellFormed() bool {
	for _, t := range [...]float64{c.Timestamp, c.OTPExpiry, c.SessionExpiry} {
		if t < minTime || t > maxTime {
			return false
		}
	}
	return (c.Identifier == nil || len(*c.Identifier) <= MaxIdentifier) && len(c.Metadata) <= MaxMetadata &&
		c.RetryCount >= 0 && c.MaxRetries >= 0 && c.MaxRetries <= MaxRetryLimit &&
		(c.ID == "" || isBase64URL(c.ID, idSize)) &&
		c.Resends >= 0 && len(c.Purpose) <= MaxPurpose &&
		(c.Binding == "" || isBase64URL(c.Binding, sha256.Size)) &&
		len(c.Namespace) <= MaxNamespace && c.Length >= 0 &&
		len(c.Delivery) <= MaxDelivery && len(c.SourceURL) <= MaxSourceURL &&
		(c.Subject == "" || c.Identifier != nil && isBase64URL(c.Subject, idSize))
}

// isBase64URL reports whether text is size bytes, at most 32, in unpadded canonical base64url.
func isBase64URL(text string, size int) bool {
	if len(text) != rawBase64URL.EncodedLen(size) {
		return false
	}
	var raw [sha256.Size]byte
	n, err := rawBase64URL.Decode(raw[:], []byte(text))
	return err == nil && n == size
}

var rawBase64URL = base64.RawURLEncoding.Strict()

// foreignIDInput is what the id of a context without one is derived from: all that stays the same over
// every copy and every retry of it.
func (c *Claims) foreignIDInput() []byte {
	var b []byte
	if c.Identifier != nil {
		b = append(b, 1)
		b = binary.BigEndian.AppendUint32(b, uint32(len(*c.Identifier)))
		b = append(b, *c.Identifier...)
	}
	b = hex.AppendEncode(b, c.OTPHash[:])
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(c.Timestamp))
	return binary.BigEndian.AppendUint64(b, math.Float64bits(c.SessionExpiry))
}
