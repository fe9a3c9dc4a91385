package delivery

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/otpd/otpd/internal/otp"
)

var mailSentAt = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

var builtInLocales = []string{"en", "de", "fr", "es", "ja", "ar"}

func mailMessage(locale string, life time.Duration) Message {
	return Message{
		ID: "AAAAAAAAAAAAAAAAAAAAAA", To: "user@example.com", Code: "123456", Locale: locale,
		SentAt: mailSentAt, ExpiresAt: mailSentAt.Add(life),
	}
}

func mustLoadTemplates(tb testing.TB, dir string) *Templates {
	tb.Helper()
	templates, err := LoadTemplates(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return templates
}

// templateDir returns a directory that holds files.
func templateDir(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// fieldOf returns the field that err blames, empty if it blames none.
func fieldOf(err error) string {
	if blamed, ok := errors.AsType[*otp.FieldError](err); ok {
		return blamed.Field
	}
	return ""
}

func TestEveryLocaleSaysTheCodeAndItsLife(t *testing.T) {
	t.Parallel()
	templates := mustLoadTemplates(t, "")
	for _, locale := range builtInLocales {
		m := mailMessage(locale, 5*time.Minute)
		m.Variables = map[string]string{"app": "Example & Co"}
		subject, text, html, err := templates.Mail(m)
		if err != nil {
			t.Fatal(err)
		}
		sms, err := templates.SMS(m)
		if err != nil {
			t.Fatal(err)
		}
		for part, content := range map[string]string{"subject": subject, "text": text, "html": html, "sms": sms} {
			if n := strings.Count(content, m.Code); n != 1 {
				t.Errorf("%s: the %s has the code %d times: %q", locale, part, n, content)
			}
			app := "Example & Co"
			if part == "html" {
				app = "Example &amp; Co"
			}
			if !strings.Contains(content, app) {
				t.Errorf("%s: the %s does not name the application: %q", locale, part, content)
			}
		}
		if !strings.Contains(text, "5") || !strings.Contains(html, "5") {
			t.Errorf("%s: no minutes in %q", locale, text)
		}
		if !strings.Contains(html, `<html lang="`+locale+`"`) {
			t.Errorf("%s: the language is not declared", locale)
		}
		if (locale == "ar") != strings.Contains(html, `dir="rtl"`) {
			t.Errorf("%s: the wrong direction", locale)
		}
		if regexp.MustCompile(`(?i)https?:|//|src=|url\(|<link|<script|@import`).MatchString(html) {
			t.Errorf("%s: the page is not self-contained", locale)
		}
	}
}

func TestPagesDifferInWordsOnly(t *testing.T) {
	t.Parallel()
	words := regexp.MustCompile(`>[^<]*<|lang="[^"]*"| dir="rtl"`)
	style := regexp.MustCompile(`(?s)<style>.*</style>`)
	templates := mustLoadTemplates(t, "")
	var first, firstStyle string
	for _, locale := range builtInLocales {
		_, _, html, err := templates.Mail(mailMessage(locale, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		rest := words.ReplaceAllString(style.ReplaceAllString(html, ""), "")
		if first == "" {
			first, firstStyle = rest, style.FindString(html)
		}
		if rest != first || style.FindString(html) != firstStyle {
			t.Errorf("%s is laid out unlike %s", locale, builtInLocales[0])
		}
	}
}

func TestMinutesAreRoundedUpAndDeclined(t *testing.T) {
	t.Parallel()
	templates := mustLoadTemplates(t, "")
	for _, test := range []struct {
		locale string
		life   time.Duration
		want   string
	}{
		{"en", -time.Minute, "in 1 minute."},
		{"en", time.Second, "in 1 minute."},
		{"en", time.Minute, "in 1 minute."},
		{"en", time.Minute + 1, "in 2 minutes."},
		{"en", 5 * time.Minute, "in 5 minutes."},
		{"de", time.Minute, "noch 1 Minute gültig"},
		{"de", 2 * time.Minute, "noch 2 Minuten gültig"},
		{"fr", time.Minute, "dans 1 minute."},
		{"fr", 2 * time.Minute, "dans 2 minutes."},
		{"es", time.Minute, "en 1 minuto."},
		{"es", 2 * time.Minute, "en 2 minutos."},
		{"ja", time.Minute, "1 分"},
		{"ja", 5 * time.Minute, "5 分"},
		{"ar", time.Minute, "خلال دقيقة واحدة."},
		{"ar", 2 * time.Minute, "خلال دقيقتين."},
		{"ar", 3 * time.Minute, "خلال 3 دقائق."},
		{"ar", 10 * time.Minute, "خلال 10 دقائق."},
		{"ar", 11 * time.Minute, "خلال 11 دقيقة."},
		{"ar", 100 * time.Minute, "خلال 100 دقيقة."},
		{"ar", 103 * time.Minute, "خلال 103 دقائق."},
	} {
		_, text, html, err := templates.Mail(mailMessage(test.locale, test.life))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, test.want) || !strings.Contains(html, test.want) {
			t.Errorf("%s, %v: no %q in %q", test.locale, test.life, test.want, text)
		}
	}
}

// gsm7 are the characters of the basic alphabet of GSM 03.38 that the texts need.
var gsm7 = regexp.MustCompile(`^[A-Za-z0-9 \n@.,:;#'èéùìòÇØøÅåÄÖÑÜäöñüàß¿¡-]*$`)

func TestTextMessagesAreOneSegment(t *testing.T) {
	t.Parallel()
	templates := mustLoadTemplates(t, "")
	for _, test := range []struct {
		code, origin string
		locales      []string
	}{
		{"ABCDEFGHJKLM", "login.accounts.a-rather-long-name.example.com", []string{"en", "de", "fr", "es"}},
		{"ABCDEFGHJKLM", "login.example.com", []string{"ja", "ar"}},
		{"123456", "accounts.long-name.example.com", []string{"ja", "ar"}},
	} {
		for _, locale := range test.locales {
			m := mailMessage(locale, 1440*time.Minute)
			m.Code = test.code
			text, err := templates.SMS(m)
			if err != nil {
				t.Fatal(err)
			}
			text += "\n\n@" + test.origin + " #" + test.code
			units, most := len(utf16.Encode([]rune(text))), 70
			if gsm7.MatchString(text) {
				most = 160
			}
			if units > most {
				t.Errorf("%s: %d of %d units: %q", locale, units, most, text)
			}
		}
	}
}

func TestLocaleIsMatched(t *testing.T) {
	t.Parallel()
	templates := mustLoadTemplates(t, "")
	for locale, want := range map[string]string{
		"": "en", "en-GB": "en", "de": "de", "de-AT": "de", "DE-at": "de", "de-Latn-CH-1996": "de", "es-419": "es",
		"fr-CA-x-private": "fr", "ja-JP-u-ca-japanese": "ja", "ar-EG": "ar", "nl": "en", "tlh": "en", "und": "en",
		"xx-QQ": "en", "i-klingon": "en",
	} {
		_, _, html, err := templates.Mail(mailMessage(locale, time.Minute))
		if err != nil || !strings.Contains(html, `lang="`+want+`"`) {
			t.Errorf("%q is not answered in %s: %v", locale, want, err)
		}
	}
	for _, locale := range []string{"de_AT", "english", "a", "de-", "de--AT", " de", "de\n", "*", "d€", "x", strings.Repeat("de-", 30) + "DE"} {
		if err := templates.Check(mailMessage(locale, time.Minute)); fieldOf(err) != "locale" {
			t.Errorf("%q: %v", locale, err)
		}
	}
}

func TestVariablesAreBounded(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for name := range strings.SplitSeq("a b c d e f g h i j", " ") {
		many[name] = strings.Repeat("é", MaxVariableValue/2)
	}
	templates := mustLoadTemplates(t, "")
	m := mailMessage("", time.Minute)
	for _, m.Variables = range []map[string]string{nil, {}, many, {"app": ""}, {"a_1": "x"}, {strings.Repeat("a", 32): "x"}} {
		if err := templates.Check(m); err != nil {
			t.Errorf("%v: %v", m.Variables, err)
		}
	}
	eleven := map[string]string{"k": ""}
	for name := range many {
		eleven[name] = ""
	}
	for _, m.Variables = range []map[string]string{
		eleven, {"": "x"}, {"code": "x"}, {"minutes": "x"}, {"few": "x"}, {"App": "x"}, {"1a": "x"}, {"a-b": "x"}, {"é": "x"}, {"a\n": "x"}, {strings.Repeat("a", 33): "x"},
		{"app": strings.Repeat("a", MaxVariableValue+1)}, {"app": "a\r\nBcc: b@example.com"}, {"app": "a\x00"},
		{"app": "\x7f"}, {"app": "\u0085"}, {"app": "\u2028"}, {"app": "\u202e"}, {"app": "\u2067"}, {"app": "\xff"},
	} {
		_, _, _, mailErr := templates.Mail(m)
		_, smsErr := templates.SMS(m)
		for _, err := range []error{templates.Check(m), mailErr, smsErr} {
			if fieldOf(err) != "variables" {
				t.Errorf("%q: %v", m.Variables, err)
			}
		}
	}
}

func TestSubjectIsOneBoundedLine(t *testing.T) {
	t.Parallel()
	templates := mustLoadTemplates(t, templateDir(t, map[string]string{
		"code.en.subject.txt": "{{code}}\r\nBcc: x@example.com\n\x00\u2028{{a}}{{b}}\n",
	}))
	m := mailMessage("", time.Minute)
	m.Variables = map[string]string{"a": strings.Repeat("日", 66), "b": strings.Repeat("本", 66)}
	subject, _, _, err := templates.Mail(m)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(subject, "123456 Bcc: x@example.com 日") || len(subject) > 250 || len(subject) < 248 ||
		!utf8.ValidString(subject) {
		t.Errorf("%d bytes: %q", len(subject), subject)
	}
}

func TestHTMLIsEscaped(t *testing.T) {
	t.Parallel()
	m := mailMessage("", time.Minute)
	m.Variables = map[string]string{"app": `<img src=x onerror=alert(1)>{{code}}`}
	_, text, html, err := mustLoadTemplates(t, "").Mail(m)
	if err != nil || strings.Contains(html, "<img") || strings.Count(text+html, m.Code) != 2 {
		t.Errorf("%v: %q", err, html)
	}
}

func TestDirectoryOverridesAndAdds(t *testing.T) {
	t.Parallel()
	dir := templateDir(t, map[string]string{
		"code.de.txt":            "\ufeffHallo {{name}}\r\n{{code}}",
		"code.pt-BR.subject.txt": "{{code}} é o seu código",
		"code.pt-BR.txt":         "{{code}}",
		"code.pt-BR.html":        "<p lang=pt>{{code}}",
		"code.pt-BR.sms.txt":     "{{code}}",
		"payment.nl.subject.txt": "{{code}} {{purpose}}",
		"payment.nl.txt":         "{{code}}",
		"payment.nl.html":        "<p lang=nl>{{code}}",
		"payment.nl.sms.txt":     "{{code}}",
		"payment.de.subject.txt": "{{code}}",
		"payment.de.txt":         "{{code}}",
		"payment.de.html":        "<p lang=de>{{code}}",
		"payment.de.sms.txt":     "{{code}}",
		".hidden":                "\xff",
	})
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	templates := mustLoadTemplates(t, dir)

	m := mailMessage("de", time.Minute)
	m.Variables = map[string]string{"name": "Ada"}
	subject, text, html, err := templates.Mail(m)
	if err != nil || text != "Hallo Ada\n123456\n" || subject != "123456 ist Ihr Code" || !strings.Contains(html, "Ihr Code lautet") {
		t.Errorf("%q %q %v", subject, text, err)
	}
	m = mailMessage("pt", time.Minute)
	if subject, _, _, err := templates.Mail(m); err != nil || subject != "123456 é o seu código" {
		t.Errorf("%q %v", subject, err)
	}
	m = mailMessage("ja", time.Minute) // without English, the first there is
	m.Template, m.Purpose = "payment", "payment"
	if subject, _, html, err := templates.Mail(m); err != nil || subject != "123456" || html != "<p lang=de>123456" {
		t.Errorf("%q %q %v", subject, html, err)
	}
	for _, m.Template = range []string{"unknown", "Code", "../code", "code.en"} {
		_, _, _, mailErr := templates.Mail(m)
		_, smsErr := templates.SMS(m)
		for _, err := range []error{templates.Check(m), mailErr, smsErr} {
			if fieldOf(err) != "template" {
				t.Errorf("%q: %v", m.Template, err)
			}
		}
	}
}

func TestBrokenTemplateStopsTheStart(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"code.de.txt":         "{{code",
		"code.en.txt":         "{{kode}}",
		"code.fr.subject.txt": "{{#one}}{{code}}{{/one}}",
		"code.es.sms.txt":     "{{.Code}}",
		"code.ja.html":        "<p>{{kode}}",
		"code.ar.html":        "<p title={{code}}>",
		"code.ar.sms.txt":     "\xff",
		"code.de.html":        "{{/one}}",
		"code.de.text":        "",
		"code.txt":            "",
		"Code.en.txt":         "",
		"code.EN.txt":         "",
		"code.english.txt":    "",
		"code.it.txt":         "",
		"README":              "",
	} {
		if _, err := LoadTemplates(templateDir(t, map[string]string{name: content})); err == nil ||
			!strings.Contains(err.Error(), strings.TrimSuffix(name, "txt")) && name != "code.it.txt" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := LoadTemplates(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing directory is passed over")
	}
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "code.en.txt")); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTemplates(dir); err == nil || !strings.Contains(err.Error(), "code.en.txt") {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// A name is set apart from the Arabic around it. A code is not, where invisible characters would be copied with it:
// in a text from right to left it is a run of its own anyway.
func TestIsolates(t *testing.T) {
	t.Parallel()
	m := mailMessage("ar", time.Minute)
	m.Variables = map[string]string{"app": "Example"}
	templates := mustLoadTemplates(t, "")
	subject, text, html, err := templates.Mail(m)
	if err != nil {
		t.Fatal(err)
	}
	sms, err := templates.SMS(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{subject, sms} {
		if !slices.Contains(strings.Fields(line), "123456") || !strings.Contains(line, "\u2068Example\u2069") {
			t.Errorf("%q", line)
		}
	}
	// On a line of its own the code needs no isolation, and is copied without any.
	if !slices.Contains(strings.Split(text, "\n"), "123456") || !strings.Contains(html, "<bdi>Example</bdi>") ||
		!regexp.MustCompile(`<p class="code"[^>]*><bdi dir="ltr">123456</bdi></p>`).MatchString(html) {
		t.Errorf("%q %q", text, html)
	}
}
