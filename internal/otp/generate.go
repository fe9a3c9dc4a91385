package otp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// GenerateRequest is a request for a code. A field's zero value means the service's default, or none.
type GenerateRequest struct {
	Identifier           *string        // whom the code is for, at most otpcontext.MaxIdentifier bytes
	Metadata             jsontext.Value // any JSON, at most otpcontext.MaxMetadata bytes when compact
	Purpose              string         // at most otpcontext.MaxPurpose bytes
	Binding              string         // transaction text, at most MaxBinding bytes
	Length               *int           // MinLength to MaxLength characters
	Alphabet             *string        // Numeric, Alphanumeric or Letters
	MaxRetries           *int           // 0 to MaxRetries
	ExpirySeconds        *int           // of the code; the session lasts at least as long
	SessionExpirySeconds *int           // of the verification; the code lasts at most as long
	Decoy                bool           // for an answer like any other where there is nobody to send a code to
	SourceURL            string         // of the page where the user began, as sourceOf takes it
}

// Issued is a new code and the context that goes with it.
type Issued struct {
	OTP               string // for the end user only
	Context           string // for whoever will send the attempts
	ID                string // of the verification
	ExpiresAt         time.Time
	SessionExpiresAt  time.Time
	AttemptsRemaining int
	IdentifierHash    string // as in [Event]
}

// Generate issues a code. The error for a value out of its bounds is a [*FieldError].
func (s *Service) Generate(caller Caller, r GenerateRequest) (Issued, error) {
	issued, announce, err := s.GenerateFor(caller, r, nil)
	if err == nil {
		announce()
	}
	return issued, err
}

// GenerateFor issues a code that is to be delivered in a way that the context keeps for a resend: a JSON object of
// at most [otpcontext.MaxDelivery] bytes. The event is recorded by announce.
func (s *Service) GenerateFor(caller Caller, r GenerateRequest, delivery jsontext.Value) (issued Issued, announce func(), err error) {
	now := s.cfg.Now()
	claims := s.newClaims(now)
	claims.Namespace, claims.Delivery = caller.Namespace, delivery
	for _, set := range []func(GenerateRequest, *otpcontext.Claims) error{
		setText, setMetadata, setCode, setExpiry,
	} {
		if err := set(r, claims); err != nil {
			return Issued{}, nil, err
		}
	}
	issued, err = s.issue(claims, now)
	return issued, func() { s.record(EventGenerated, now, claims, caller) }, err
}

// Outline returns what is known of the code for a request before there is one: how long it is, in characters, and how
// long it lives. Of a request with values out of their bounds it returns the service's own.
func (s *Service) Outline(r GenerateRequest) (length int, life time.Duration) {
	claims := s.newClaims(s.cfg.Now())
	if setCode(r, claims) != nil || setExpiry(r, claims) != nil {
		return s.cfg.Length, s.cfg.Expiry
	}
	return lengthOf(claims), timeOf(claims.OTPExpiry).Sub(timeOf(claims.Timestamp))
}

// newClaims returns claims with the service's defaults and a new id, and without a code.
func (s *Service) newClaims(now time.Time) *otpcontext.Claims {
	claims := &otpcontext.Claims{
		ID:            NewID(),
		Timestamp:     secondsOf(now),
		OTPExpiry:     secondsOf(now.Add(s.cfg.Expiry)),
		SessionExpiry: secondsOf(now.Add(s.cfg.SessionExpiry)),
		MaxRetries:    s.cfg.MaxRetries,
	}
	setAlphabet(claims, s.cfg.Alphabet)
	setLength(claims, s.cfg.Length)
	return claims
}

// IDLength is the length of an ID in characters.
const IDLength = 22

// NewID returns 16 random bytes in base64url.
func NewID() string {
	var id [16]byte
	rand.Read(id[:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}

var strictBase64URL = base64.RawURLEncoding.Strict()

// IsID reports whether text can be what [NewID] has returned.
func IsID(text string) bool {
	if len(text) != IDLength { // it would have line breaks, which the decoder ignores
		return false
	}
	var id [16]byte
	n, err := strictBase64URL.Decode(id[:], []byte(text))
	return err == nil && n == len(id)
}

// issue puts a new code into claims and seals them.
func (s *Service) issue(claims *otpcontext.Claims, now time.Time) (Issued, error) {
	code := NewCode(alphabetOf(claims), lengthOf(claims))
	hashed := []byte(code)
	var unknown [16]byte
	rand.Read(unknown[:]) // for every code, so that a decoy takes no longer
	if claims.Decoy {
		hashed = unknown[:]
	}
	claims.OTPHash = sha256.Sum256(hashed)
	token, err := s.cfg.Sealer.Seal(claims, now)
	return Issued{
		OTP:               code,
		Context:           token,
		ID:                claims.ID,
		ExpiresAt:         timeOf(claims.OTPExpiry),
		SessionExpiresAt:  timeOf(claims.SessionExpiry),
		AttemptsRemaining: max(0, claims.MaxRetries-claims.RetryCount),
		IdentifierHash:    claims.Subject,
	}, err
}

func setText(r GenerateRequest, claims *otpcontext.Claims) error {
	if r.Identifier != nil {
		if err := CheckText("identifier", *r.Identifier, otpcontext.MaxIdentifier); err != nil {
			return err
		}
	}
	if err := CheckText("purpose", r.Purpose, otpcontext.MaxPurpose); err != nil {
		return err
	}
	if len(r.Binding) > MaxBinding {
		return &FieldError{"binding", fmt.Sprintf("must be at most %d bytes", MaxBinding)}
	}
	if _, err := sourceOf(r.SourceURL); err != nil {
		return err
	}
	claims.Identifier, claims.Purpose, claims.Decoy, claims.SourceURL = r.Identifier, r.Purpose, r.Decoy, r.SourceURL
	claims.Binding = bindingHash(r.Binding)
	return nil
}

// CheckText returns a [*FieldError] unless text is at most so many bytes of UTF-8 without control characters.
func CheckText(field, text string, most int) error {
	isControl := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case len(text) > most:
		return &FieldError{field, fmt.Sprintf("must be at most %d bytes", most)}
	case strings.ContainsFunc(text, isControl):
		return &FieldError{field, "must not contain control characters"}
	case !utf8.ValidString(text):
		return &FieldError{field, "must be UTF-8"}
	}
	return nil
}

// bindingHash returns what a context keeps of a transaction text.
func bindingHash(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func setMetadata(r GenerateRequest, claims *otpcontext.Claims) (err error) {
	claims.Metadata, err = CompactMetadata(r.Metadata)
	return err
}

// CompactMetadata returns a caller's metadata as it is sealed, nil for nil. The error for what is not JSON, too
// large or nested too deep is a [*FieldError].
func CompactMetadata(metadata jsontext.Value) (jsontext.Value, error) {
	if metadata == nil {
		return nil, nil
	}
	compact, err := otpcontext.CompactMetadata(metadata)
	switch {
	case err != nil:
		return nil, &FieldError{"metadata", "must be JSON"}
	case len(compact) > otpcontext.MaxMetadata:
		return nil, &FieldError{"metadata", fmt.Sprintf("must be at most %d bytes", otpcontext.MaxMetadata)}
	case depth(compact) > MaxDepth:
		return nil, &FieldError{"metadata", fmt.Sprintf("must be nested at most %d levels", MaxDepth)}
	}
	return compact, nil
}

// depth returns how many arrays and objects of valid JSON are open at once.
func depth(data []byte) (deepest int) {
	level, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			level++
			deepest = max(deepest, level)
		case c == ']' || c == '}':
			level--
		}
	}
	return deepest
}

func setCode(r GenerateRequest, claims *otpcontext.Claims) error {
	if r.Alphabet != nil {
		if alphabets[*r.Alphabet] == "" {
			return &FieldError{"alphabet", "must be numeric, alphanumeric or letters"}
		}
		setAlphabet(claims, *r.Alphabet)
	}
	if r.Length != nil {
		if err := checkRange("length", *r.Length, MinLength, MaxLength); err != nil {
			return err
		}
		setLength(claims, *r.Length)
	}
	if r.MaxRetries != nil {
		claims.MaxRetries = *r.MaxRetries
		return checkRange("max_retries", *r.MaxRetries, 0, MaxRetries)
	}
	return nil
}

func checkRange(field string, value, least, most int) error {
	if value < least || value > most {
		return &FieldError{field, fmt.Sprintf("must be %d to %d", least, most)}
	}
	return nil
}

// setExpiry lets the one expiry that a request names move the default of the other.
func setExpiry(r GenerateRequest, claims *otpcontext.Claims) error {
	const least, most = int(MinExpiry / time.Second), int(MaxExpiry / time.Second)
	if r.ExpirySeconds != nil {
		if err := checkRange("expiry_seconds", *r.ExpirySeconds, least, most); err != nil {
			return err
		}
		claims.OTPExpiry = claims.Timestamp + float64(*r.ExpirySeconds)
		claims.SessionExpiry = max(claims.SessionExpiry, claims.OTPExpiry)
	}
	if r.SessionExpirySeconds == nil {
		return nil
	}
	if err := checkRange("session_expiry_seconds", *r.SessionExpirySeconds, least, most); err != nil {
		return err
	}
	claims.SessionExpiry = claims.Timestamp + float64(*r.SessionExpirySeconds)
	if r.ExpirySeconds != nil && *r.SessionExpirySeconds < *r.ExpirySeconds {
		return &FieldError{"session_expiry_seconds", "must not be less than expiry_seconds"}
	}
	claims.OTPExpiry = min(claims.OTPExpiry, claims.SessionExpiry)
	return nil
}
