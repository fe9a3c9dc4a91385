package otpcontext

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/strictjson"
)

// Bounds on what a context may hold.
const (
	MaxIdentifier = 320      // bytes: an e-mail address of RFC 5321 §4.5.3.1
	MaxMetadata   = 4 << 10  // bytes of compact JSON
	MaxPurpose    = 64       // bytes
	MaxNamespace  = 64       // bytes
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
	Identifier    *string        `json:"identifier"` // whom the code is for; nil for nobody in particular
	OTPHash       string         `json:"otp_hash"`   // SHA-256 of the canonical code, in hexadecimal
	Metadata      jsontext.Value `json:"metadata"`   // the caller's own, null if there is none
	Timestamp     float64        `json:"timestamp"`
	OTPExpiry     float64        `json:"otp_expiry"`
	SessionExpiry float64        `json:"session_expiry"`
	RetryCount    int            `json:"retry_count"`
	MaxRetries    int            `json:"max_retries"`

	ID        string `json:"id"`                 // of the verification; [Sealer.Open] derives a missing one
	Resends   int    `json:"resends,omitzero"`   // how many codes came before this one
	Purpose   string `json:"purpose,omitzero"`   // what the code may be used for
	Binding   string `json:"binding,omitzero"`   // SHA-256 of the transaction text, in base64url
	Namespace string `json:"namespace,omitzero"` // of the API key that issued it
	Alphabet  string `json:"alphabet,omitzero"`  // of the code, if it is not numeric
	Length    int    `json:"length,omitzero"`    // of the code, if it is not 6, so that a resend keeps it
	Decoy     bool   `json:"decoy,omitzero"`     // no code verifies it
}

const decoyMember = `,"decoy":true`

// marshal returns the claims as JSON. A context that is no decoy gets as many spaces at its end as the
// decoy's member takes, so that the two do not differ in length.
func (c *Claims) marshal() ([]byte, error) {
	data, err := json.Marshal(c)
	if err == nil && !c.Decoy {
		for range len(decoyMember) {
			data = append(data, ' ')
		}
	}
	return data, err
}

// parseClaims reads JSON, refusing all that the rules on contexts forbid.
func parseClaims(data []byte) (*Claims, error) {
	// What a missing member leaves in place is out of its range, so the checks below find it.
	const missing = -1
	noIdentifier := "\x00"
	c := Claims{
		Identifier: &noIdentifier, Timestamp: missing, OTPExpiry: missing, SessionExpiry: missing,
		RetryCount: missing, MaxRetries: missing,
	}
	if err := strictjson.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	if !c.wellFormed() {
		return nil, errors.New("a claim is missing or out of range")
	}
	return &c, nil
}

func (c *Claims) wellFormed() bool {
	if c.Identifier != nil && (*c.Identifier == "\x00" || len(*c.Identifier) > MaxIdentifier) {
		return false
	}
	for _, t := range [...]float64{c.Timestamp, c.OTPExpiry, c.SessionExpiry} {
		if t < minTime || t > maxTime {
			return false
		}
	}
	return isHash(c.OTPHash) && c.compactMetadata() &&
		c.RetryCount >= 0 && c.MaxRetries >= 0 && c.MaxRetries <= MaxRetryLimit &&
		(c.ID == "" || isBase64URL(c.ID, idSize)) &&
		c.Resends >= 0 && len(c.Purpose) <= MaxPurpose &&
		(c.Binding == "" || isBase64URL(c.Binding, sha256Size)) &&
		len(c.Namespace) <= MaxNamespace && c.Length >= 0
}

// compactMetadata brings the metadata into the form in which it is sealed again, and reports whether
// it is there and within its bound. Numbers keep their spelling.
func (c *Claims) compactMetadata() bool {
	if len(c.Metadata) == 0 {
		return false
	}
	if c.Metadata.Kind() == 'n' {
		return true
	}
	compact, err := json.Marshal(c.Metadata)
	c.Metadata = compact
	return err == nil && len(compact) <= MaxMetadata
}

const sha256Size = 32

func isHash(text string) bool {
	var raw [sha256Size]byte
	if len(text) != hex.EncodedLen(sha256Size) {
		return false
	}
	_, err := hex.Decode(raw[:], []byte(text))
	return err == nil
}

// isBase64URL reports whether text is size bytes in unpadded canonical base64url.
func isBase64URL(text string, size int) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == size && len(text) == base64.RawURLEncoding.EncodedLen(size)
}

// foreignIDInput is what the id of a context without one is derived from: all that stays the same over
// every copy and every retry of it.
func (c *Claims) foreignIDInput() []byte {
	var b []byte
	if c.Identifier != nil {
		b = append(b, 1)
		b = binary.BigEndian.AppendUint32(b, uint32(len(*c.Identifier)))
		b = append(b, *c.Identifier...)
	}
	b = append(b, c.OTPHash...)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(c.Timestamp))
	return binary.BigEndian.AppendUint64(b, math.Float64bits(c.SessionExpiry))
}
