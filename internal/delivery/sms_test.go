package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// texter keeps the texts that it is to send.
type texter struct {
	texts []string
	fails error
}

func (p *texter) Send(_ context.Context, _ Message, text string) error {
	p.texts = append(p.texts, text)
	return p.fails
}

// newTexts returns a channel whose template named words is text, and what it sends.
func newTexts(tb testing.TB, origin, text string) (*SMSChannel, *texter) {
	tb.Helper()
	p := new(texter)
	c, err := NewSMS(SMSConfig{
		Templates: mustLoadTemplates(tb, templateDir(tb, map[string]string{
			"words.en.subject.txt": "{{code}}", "words.en.txt": "{{code}}", "words.en.html": "{{code}}", "words.en.sms.txt": text,
		})),
		Provider: p, WebOTPOrigin: origin,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c, p
}

func textMessage() Message {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	return Message{
		ID: "AAECAwQFBgcICQoLDA0ODw", To: "+4915123456789", Code: "123456", SentAt: at, ExpiresAt: at.Add(5 * time.Minute),
		Template: "words",
	}
}

func TestNewSMS(t *testing.T) {
	t.Parallel()
	templates := mustLoadTemplates(t, "")
	for _, cfg := range []SMSConfig{{}, {Templates: templates}, {Provider: new(texter)}} {
		if _, err := NewSMS(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
	for origin, host := range map[string]string{
		"":                          "",
		"example.com":               "example.com",
		"Login.Example.COM":         "login.example.com",
		"https://example.com":       "example.com",
		"https://example.com:8443":  "example.com",
		"HTTPS://example.com":       "example.com",
		"xn--bcher-kva.example":     "xn--bcher-kva.example",
		"localhost":                 "localhost",
		"example.com:8443":          "refused",
		"http://example.com":        "refused",
		"https://example.com/":      "refused",
		"https://example.com/login": "refused",
		"https://example.com?a":     "refused",
		"https://example.com#a":     "refused",
		"https://user@example.com":  "refused",
		"https://":                  "refused",
		"@example.com":              "refused",
		"example.com #123456":       "refused",
		"example.com\n@evil.com":    "refused",
		"example..com":              "refused",
		".example.com":              "refused",
		"bücher.example":            "refused",
		"https://bücher.example":    "refused",
		"https://[::1]":             "refused",
		"null":                      "null", // a name like another
	} {
		c, err := NewSMS(SMSConfig{Templates: templates, Provider: new(texter), WebOTPOrigin: origin})
		if host == "refused" && err != ErrWebOTPOrigin || host != "refused" && (err != nil || c.host != host) {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

func TestSMSReadsPhoneNumbers(t *testing.T) {
	t.Parallel()
	c, _ := newTexts(t, "", "{{code}}")
	if r, err := c.Recipient("+49 (0)151 2345 6789"); err != nil || r.Address != "+4915123456789" || r.Prefix != "+49" {
		t.Errorf("got %+v: %v", r, err)
	}
	if _, err := c.Recipient("ann@example.com"); fieldOf(err) != "to" {
		t.Error(err)
	}
}

func TestSMSDelivers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, origin, template, text string }{
		{"as it is", "", "Code {{code}}, {{minutes}} min", "Code 123456, 5 min"},
		{"bound to a host", "https://example.com", "Code {{code}}\n", "Code 123456\n@example.com #123456"},
		{"bound by the template", "", "{{code}}\n\n@example.com #{{code}}", "123456\n\n@example.com #123456"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, sent := newTexts(t, test.origin, test.template)
			if err := c.Check(textMessage()); err != nil {
				t.Error(err)
			}
			if err := c.Deliver(t.Context(), textMessage()); err != nil || len(sent.texts) != 1 || sent.texts[0] != test.text {
				t.Errorf("sent %q: %v", sent.texts, err)
			}
		})
	}
}

func TestSMSFailsAsItsProvider(t *testing.T) {
	t.Parallel()
	c, sent := newTexts(t, "", "{{code}}")
	sent.fails = &Failure{Permanent: true, Reason: "they are on holiday"}
	if err := c.Deliver(t.Context(), textMessage()); err != sent.fails {
		t.Error(err)
	}
}

// What is no one SMS is refused beforehand, and if that did not happen, not sent.
func TestSMSIsOne(t *testing.T) {
	t.Parallel()
	app := func(value string) map[string]string { return map[string]string{"app": value} }
	const template = "{{code}}{{app}}" // of which 6 are the code
	for _, test := range []struct {
		name, origin, template string
		variables              map[string]string
		blames                 string // empty if it is one SMS
	}{
		{"160 septets", "", template, app(strings.Repeat("a", 154)), ""},
		{"161 septets", "", template, app(strings.Repeat("a", 155)), "variables"},
		{"160 septets with characters that take two", "", template, app(strings.Repeat("€~", 25) + strings.Repeat("a", 54)), ""},
		{"161 septets with characters that take two", "", template, app(strings.Repeat("€~", 25) + strings.Repeat("a", 55)), "variables"},
		{"70 units", "", template, app(strings.Repeat("字", 64)), ""},
		{"71 units", "", template, app(strings.Repeat("字", 65)), "variables"},
		{"70 units in pairs", "", template, app(strings.Repeat("😀", 32)), ""},
		{"72 units in pairs", "", template, app(strings.Repeat("😀", 33)), "variables"},
		{"70 units for one that is not of the alphabet", "", template, app("ç" + strings.Repeat("a", 63)), ""},
		{"71 units for one that is not of the alphabet", "", template, app("ç" + strings.Repeat("a", 64)), "variables"},
		{"160 septets with the host", "example.com", template, app(strings.Repeat("a", 133)), ""}, // which takes 21
		{"161 septets with the host", "example.com", template, app(strings.Repeat("a", 134)), "variables"},
		{"160 septets of the template", "", strings.Repeat("b", 154) + "{{code}}", nil, ""},
		{"161 septets of the template", "", strings.Repeat("b", 155) + "{{code}}", nil, "template"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, sent := newTexts(t, test.origin, test.template)
			m := textMessage()
			m.Variables = test.variables
			err := c.Check(m)
			if fieldOf(err) != test.blames {
				t.Errorf("checked: %v", err)
			}
			err = c.Deliver(t.Context(), m)
			if test.blames == "" && (err != nil || len(sent.texts) != 1) {
				t.Errorf("sent %q: %v", sent.texts, err)
			}
			if test.blames != "" {
				mustFail(t, err, true, "its words do not make one SMS")
				if len(sent.texts) > 0 {
					t.Errorf("sent %q", sent.texts)
				}
			}
		})
	}
}

// A code that is longer than Check could know does not make two messages either, nor is it cut.
func TestLongCodeIsNotSentInTwo(t *testing.T) {
	t.Parallel()
	c, sent := newTexts(t, "", strings.Repeat("字", 64)+"{{code}}")
	m := textMessage()
	m.Code = "000000"
	if err := c.Check(m); err != nil {
		t.Fatal(err)
	}
	m.Code = "1234567"
	if err := c.Check(m); fieldOf(err) != "template" {
		t.Error(err)
	}
	mustFail(t, c.Deliver(t.Context(), m), true, "its words do not make one SMS")
	if len(sent.texts) > 0 {
		t.Errorf("sent %q", sent.texts)
	}
}

func TestSMSChecksWhatTemplatesDo(t *testing.T) {
	t.Parallel()
	c, _ := newTexts(t, "", "{{code}}")
	for field, m := range map[string]Message{
		"template":  {Template: "missing"},
		"locale":    {Locale: "not a locale"},
		"variables": {Variables: map[string]string{"app": "two\nlines"}},
	} {
		if err := c.Check(m); fieldOf(err) != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Chromium takes for the host of a code the first that looks like one, wherever it is: a variable could name another.
func TestVariablesDoNotBindCodes(t *testing.T) {
	t.Parallel()
	const plain, bound = "{{name}} {{code}} {{more}}", "{{code}} {{name}}\n@own.example #{{code}}"
	for _, test := range []struct {
		name, origin, template string
		variables              map[string]string
		refused                bool
	}{
		{"a name", "example.com", plain, map[string]string{"name": "Ann"}, false},
		{"an address", "example.com", plain, map[string]string{"name": "ann@example.com"}, false},
		{"an address and a number", "example.com", plain, map[string]string{"more": "for ann@example.com #12"}, false},
		{"a handle", "example.com", plain, map[string]string{"name": "@ann"}, false},
		{"a number", "example.com", plain, map[string]string{"more": "order #12"}, false},
		{"a handle and a number apart", "example.com", plain, map[string]string{"name": "@ann", "more": "#12"}, false},
		{"a code for another host", "example.com", plain, map[string]string{"name": "@evil.example #000000"}, true},
		{"the same later", "example.com", plain, map[string]string{"more": "@evil.example #000000"}, true},
		{"the same between words", "example.com", plain, map[string]string{"more": "see @evil.example #000000 now"}, true},
		{"the same without the channel's own", "", plain, map[string]string{"more": "@evil.example #000000"}, true},
		{"the own code for another host", "", "{{name}} #{{code}}", map[string]string{"name": "@evil.example"}, true},
		{"half of it", "", "{{name}}{{code}}", map[string]string{"name": "@evil.example #"}, true},
		{"in two variables", "", "{{code}} {{name}} {{more}}", map[string]string{"name": "@evil.example", "more": "#1"}, true},
		{"beside the template's own", "", bound, map[string]string{"name": "Ann"}, false},
		{"before the template's own", "", bound, map[string]string{"name": "@evil.example #000000"}, true},
		{"embedded in the template's own", "", "@own.example #{{code}} {{name}}", map[string]string{"name": "@evil.example"}, true},
		{"in the template's own", "", "@{{name}} #{{code}}", map[string]string{"name": "evil.example"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, sent := newTexts(t, test.origin, test.template)
			m := textMessage()
			m.Variables = test.variables
			if err := c.Check(m); (fieldOf(err) == "variables") != test.refused {
				t.Error(err)
			}
			err := c.Deliver(t.Context(), m)
			if _, failed := errors.AsType[*Failure](err); failed != test.refused || (len(sent.texts) == 0) != test.refused {
				t.Errorf("sent %q: %v", sent.texts, err)
			}
		})
	}
}

// The built-in texts fit with what a caller may well ask for at once.
func TestBuiltInTextsLeaveRoom(t *testing.T) {
	t.Parallel()
	c, err := NewSMS(SMSConfig{Templates: mustLoadTemplates(t, ""), Provider: new(texter), WebOTPOrigin: "login.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, locale := range builtInLocales {
		m := Message{Locale: locale, Variables: map[string]string{"app": "Example"}, Code: strings.Repeat("8", otp.MinLength)}
		if err := c.Check(m); err != nil {
			t.Errorf("%s: %v", locale, err)
		}
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		origin, text string
		want         []string
	}{
		{"", "{{code}}" + strings.Repeat("x", 154), nil},
		{"", "{{code}}{{code}}" + strings.Repeat("x", 148), nil},
		{"", "{{code}}{{code}}" + strings.Repeat("x", 149), []string{"words.en"}},
		{"", "{{code}}" + strings.Repeat("x", 155), []string{"words.en"}},
		{"", "{{code}}" + strings.Repeat("я", 65), []string{"words.en"}},
		{"example.com", "{{code}}" + strings.Repeat("x", 133), nil},
		{"example.com", "{{code}}" + strings.Repeat("x", 154), []string{"words.en"}},
	} {
		c, _ := newTexts(t, test.origin, test.text)
		if got := c.TooLong(otp.MinLength); !slices.Equal(got, test.want) {
			t.Errorf("%d characters with %q: %v", len(test.text), test.origin, got)
		}
	}
	c, _ := newTexts(t, strings.Repeat("long.", 9)+"example.com", "{{code}}")
	if got := c.TooLong(otp.MinLength); !slices.Equal(got, []string{"code.ar", "code.ja"}) {
		t.Errorf("with a long origin: %v", got)
	}
	c, _ = newTexts(t, "", "{{code}}"+strings.Repeat("x", 154))
	if got := c.TooLong(otp.MinLength + 1); !slices.Equal(got, []string{"words.en"}) {
		t.Errorf("with a longer code: %v", got)
	}
}
