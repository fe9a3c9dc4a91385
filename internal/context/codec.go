package otpcontext

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The JSON of a context is read and written member by member, not by reflection. It takes a third of
// the time, and beside the cryptography it is most of what an operation costs; and what a general
// decoder lets pass, a null for a zero or a member that is not there, is refused for want of a case.

// member is one member of the JSON object.
type member struct {
	name string
	own  bool // otpd's own: it may be missing
	// write appends the claim's value to data, or nothing, which leaves the member out.
	write func(c *Claims, data []byte) []byte
	// read sets the claim to a valid JSON value, and reports whether that is of the right type.
	read func(c *Claims, value jsontext.Value) bool
}

const own = true

var members = []member{
	{"identifier", !own, (*Claims).writeIdentifier, (*Claims).readIdentifier},
	{"otp_hash", !own, (*Claims).writeOTPHash, (*Claims).readOTPHash},
	{"metadata", !own, (*Claims).writeMetadata, (*Claims).readMetadata},
	timeMember("timestamp", func(c *Claims) *float64 { return &c.Timestamp }),
	timeMember("otp_expiry", func(c *Claims) *float64 { return &c.OTPExpiry }),
	timeMember("session_expiry", func(c *Claims) *float64 { return &c.SessionExpiry }),
	countMember("retry_count", !own, func(c *Claims) *int { return &c.RetryCount }),
	countMember("max_retries", !own, func(c *Claims) *int { return &c.MaxRetries }),
	textMember("id", func(c *Claims) *string { return &c.ID }),
	countMember("resends", own, func(c *Claims) *int { return &c.Resends }),
	textMember("purpose", func(c *Claims) *string { return &c.Purpose }),
	textMember("binding", func(c *Claims) *string { return &c.Binding }),
	textMember("namespace", func(c *Claims) *string { return &c.Namespace }),
	textMember("alphabet", func(c *Claims) *string { return &c.Alphabet }),
	countMember("length", own, func(c *Claims) *int { return &c.Length }),
	{"decoy", own, (*Claims).writeDecoy, (*Claims).readDecoy},
	textMember("subject", func(c *Claims) *string { return &c.Subject }),
	{"delivery", own, (*Claims).writeDelivery, (*Claims).readDelivery},
	textMember("source_url", func(c *Claims) *string { return &c.SourceURL }),
}

// A decoy's JSON has one member more than another context's, which gets as many spaces at its end: the
// length of a token must not tell the two apart.
const (
	decoyMember  = `,"decoy":true`
	decoyPadding = `             `
)

// marshal appends the claims to data, which is empty, as a JSON object.
func (c *Claims) marshal(data []byte) []byte {
	data = append(data, '{')
	for i, m := range members {
		before := len(data)
		if i > 0 {
			data = append(data, ',')
		}
		data = append(append(append(data, '"'), m.name...), '"', ':')
		value := len(data)
		if data = m.write(c, data); len(data) == value {
			data = data[:before]
		}
	}
	data = append(data, '}')
	if !c.Decoy {
		data = append(data, decoyPadding...)
	}
	return data
}

// MarshalJSON returns the claims as they are sealed, but for the padding.
func (c *Claims) MarshalJSON() ([]byte, error) { return bytes.TrimRight(c.marshal(nil), " "), nil }

// errClaims says that JSON is not that of a context. Nobody learns more.
var errClaims = errors.New("otpcontext: not claims")

// decoder reads the JSON in data. In the pool it holds on to none.
type decoder struct {
	jsontext.Decoder
	data bytes.Buffer
}

func (d *decoder) clear() {
	d.data = bytes.Buffer{}
	d.Reset(&d.data, jsontext.AllowDuplicateNames(true)) // parseClaims finds them cheaper
}

var decoders = sync.Pool{New: func() any {
	d := new(decoder)
	d.clear()
	return d
}}

// parseClaims reads a JSON object with every member of django-otp-actions, perhaps some of otpd's own,
// none twice, and no other. The decoder sees to it that it is valid and in UTF-8.
func parseClaims(data []byte) (*Claims, error) {
	dec := decoders.Get().(*decoder)
	defer decoders.Put(dec)
	defer dec.clear()
	dec.data = *bytes.NewBuffer(data)
	if begin, err := dec.ReadToken(); err != nil || begin.Kind() != '{' {
		return nil, errClaims
	}
	claims, seen := new(Claims), uint(0)
	for dec.PeekKind() == '"' {
		i, err := readMember(&dec.Decoder, claims)
		if err != nil || seen&(1<<i) != 0 {
			return nil, errClaims
		}
		seen |= 1 << i
	}
	if _, err := dec.ReadToken(); err != nil || seen&required != required || !claims.wellFormed() {
		return nil, errClaims
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, errClaims
	}
	return claims, nil
}

// required has the bit of each member that must be there.
var required = func() (bits uint) {
	for i, m := range members {
		if !m.own {
			bits |= 1 << i
		}
	}
	return bits
}()

// readMember reads the next name and value into claims, and returns which member it was.
func readMember(dec *jsontext.Decoder, claims *Claims) (int, error) {
	name, err := dec.ReadValue()
	if err != nil {
		return 0, err
	}
	i := memberNamed(name)
	if i < 0 {
		return 0, errClaims
	}
	value, err := dec.ReadValue()
	if err == nil && !members[i].read(claims, value) {
		err = errClaims
	}
	return i, err
}

// memberNamed returns the index of the member with a quoted name, or -1. Nobody who seals contexts
// escapes these names.
func memberNamed(quoted []byte) int {
	for i := range members {
		if string(quoted[1:len(quoted)-1]) == members[i].name {
			return i
		}
	}
	return -1
}

func textMember(name string, claim func(*Claims) *string) member {
	return member{name, own, func(c *Claims, data []byte) []byte {
		if *claim(c) == "" {
			return data
		}
		return appendText(data, *claim(c))
	}, func(c *Claims, value jsontext.Value) (ok bool) {
		*claim(c), ok = textOf(value)
		return ok
	}}
}

func countMember(name string, own bool, claim func(*Claims) *int) member {
	return member{name, own, func(c *Claims, data []byte) []byte {
		if own && *claim(c) == 0 {
			return data
		}
		return strconv.AppendInt(data, int64(*claim(c)), 10)
	}, func(c *Claims, value jsontext.Value) bool {
		n, err := strconv.Atoi(string(value))
		*claim(c) = n
		return err == nil
	}}
}

func timeMember(name string, claim func(*Claims) *float64) member {
	return member{name, !own, func(c *Claims, data []byte) []byte {
		return appendTime(data, *claim(c))
	}, func(c *Claims, value jsontext.Value) bool {
		n, ok := parseTime(value)
		*claim(c) = n
		return ok
	}}
}

// parseTime reads a number. Plain decimals, which are all that anyone writes, take a third of the time:
// an integer divided by a power of ten, both exact, is as exact as it gets.
func parseTime(number jsontext.Value) (seconds float64, ok bool) {
	digits, scale := 0, 1
	for i, c := range number {
		switch {
		case '0' <= c && c <= '9' && digits < 1<<53/10-1:
			digits = 10*digits + int(c-'0')
			if scale > 1 {
				scale *= 10
			}
		case c == '.' && scale == 1 && i > 0:
			scale = 10
		default:
			seconds, err := strconv.ParseFloat(string(number), 64)
			return seconds, err == nil && number.Kind() == '0'
		}
	}
	if scale > 1 {
		scale /= 10
	}
	return float64(digits) / float64(scale), true
}

// appendTime appends a time with decimals, so that Python reads a float always, as it wrote. The times
// that otpd writes itself have three, whatever they are: the length of a token tells nothing.
func appendTime(data []byte, seconds float64) []byte {
	milliseconds := math.Round(seconds * 1000)
	if seconds < 0 || seconds > maxTime || milliseconds/1000 != seconds { // as Python's, with microseconds
		return strconv.AppendFloat(data, seconds, 'f', -1, 64)
	}
	whole, fraction := int64(milliseconds)/1000, int64(milliseconds)%1000
	data = strconv.AppendInt(data, whole, 10)
	return append(data, '.', byte('0'+fraction/100), byte('0'+fraction/10%10), byte('0'+fraction%10))
}

func (c *Claims) writeIdentifier(data []byte) []byte {
	if c.Identifier == nil {
		return append(data, "null"...)
	}
	return appendText(data, *c.Identifier)
}

func (c *Claims) readIdentifier(value jsontext.Value) bool {
	if value.Kind() == 'n' {
		return true
	}
	identifier, ok := textOf(value)
	c.Identifier = &identifier
	return ok
}

func (c *Claims) writeOTPHash(data []byte) []byte {
	return append(hex.AppendEncode(append(data, '"'), c.OTPHash[:]), '"')
}

func (c *Claims) readOTPHash(value jsontext.Value) bool {
	text, ok := unquote(value)
	if !ok || len(text) != hex.EncodedLen(len(c.OTPHash)) {
		return false
	}
	_, err := hex.Decode(c.OTPHash[:], text)
	return err == nil
}

func (c *Claims) writeMetadata(data []byte) []byte {
	if c.Metadata == nil {
		return append(data, "null"...)
	}
	return append(data, c.Metadata...)
}

func (c *Claims) readMetadata(value jsontext.Value) bool {
	if value.Kind() == 'n' {
		return true
	}
	metadata, err := CompactMetadata(value)
	c.Metadata = metadata
	return err == nil
}

// CompactMetadata returns metadata in the form in which it is sealed and measured: without white space,
// and characters as themselves where they need no escape. Numbers keep their spelling.
func CompactMetadata(metadata jsontext.Value) (jsontext.Value, error) { return json.Marshal(metadata) }

func (c *Claims) writeDelivery(data []byte) []byte { return append(data, c.Delivery...) }

func (c *Claims) readDelivery(value jsontext.Value) bool {
	c.Delivery = bytes.Clone(value)
	return value.Kind() == '{'
}

func (c *Claims) writeDecoy(data []byte) []byte {
	if c.Decoy {
		return append(data, "true"...)
	}
	return data
}

func (c *Claims) readDecoy(value jsontext.Value) bool {
	c.Decoy = value.Kind() == 't'
	return c.Decoy
}

func appendText(data []byte, text string) []byte {
	data, _ = jsontext.AppendQuote(data, text) // an error means invalid UTF-8, replaced
	return data
}

func textOf(value jsontext.Value) (string, bool) {
	text, ok := unquote(value)
	return string(text), ok
}

// unquote returns the text of a JSON string, which may be a part of value.
func unquote(value jsontext.Value) ([]byte, bool) {
	if value.Kind() != '"' {
		return nil, false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1], true
	}
	text, err := jsontext.AppendUnquote(nil, value)
	return text, err == nil
}
