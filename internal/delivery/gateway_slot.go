package delivery

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// slotted is a text with places for values, and how a value is escaped there.
type slotted struct {
	text   string
	escape func(string) string
}

// slot is a place for a value, written as in a template.
var slot = regexp.MustCompile(`\{\{(to|to_digits|text|code|id)\}\}`)

func newSlotted(where, text string, escape func(string) string) (slotted, error) {
	if strings.Contains(slot.ReplaceAllLiteralString(text, ""), "{{") {
		return slotted{}, badGateway(where, "must have no {{ but in {{to}}, {{to_digits}}, {{text}}, {{code}} and {{id}}")
	}
	return slotted{text, escape}, nil
}

// fill returns s with all values in their places. They are put there in one go: what looks like a place in a value
// stays as it is.
func (s slotted) fill(values map[string]string) string {
	return slot.ReplaceAllStringFunc(s.text, func(place string) string {
		return s.escape(values[slot.FindStringSubmatch(place)[1]])
	})
}

// slotValues are what is known of m.
func slotValues(m Message, text string) map[string]string {
	return map[string]string{
		"to": m.To, "to_digits": strings.TrimPrefix(m.To, "+"), "text": text, "code": m.Code, "id": m.ID,
	}
}

// slotSamples show where values are put: as one would break out of a place if it was not escaped, and differ in all.
var slotSamples = []map[string]string{
	slotValues(Message{ID: "A-_", To: "+4915123456789", Code: "012345"}, "\"}{/\\\n@#?&=%"),
	slotValues(Message{ID: "B", To: "+12025550123", Code: "ABCDEF"}, "é"),
}

// bodyEscapes are how values are escaped in a body, by its media type.
var bodyEscapes = map[string]func(string) string{
	"application/json":                  jsonEscape,
	"application/x-www-form-urlencoded": percentEscape,
	"text/plain":                        func(value string) string { return value },
}

// percentEscape leaves nothing but the unreserved characters of RFC 3986 §2.3: in a path, a plus sign is itself.
func percentEscape(value string) string {
	return strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
}

// jsonEscape returns value as between the quotes of a string of JSON.
func jsonEscape(value string) string {
	quoted, _ := jsontext.AppendQuote(nil, value) // the error would be that it is not UTF-8, which is replaced then
	return string(quoted[1 : len(quoted)-1])
}
