package delivery

import (
	"embed"
	"errors"
	"fmt"
	html "html/template"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	text "text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"github.com/otpd/otpd/internal/otp"
)

// Bounds of what a caller may say to a template.
const (
	MaxVariables     = 10
	MaxVariableValue = 200 // bytes
	MaxLocale        = 64  // bytes
	maxSubject       = 250 // bytes
)

// DefaultTemplate is the name of the template of a [Message] that names none.
const DefaultTemplate = "code"

//go:embed templates
var defaults embed.FS

// Templates put messages into words. They are safe for concurrent use.
type Templates struct{ named map[string]*template }

// template is one template in all its locales, as a matcher numbers them.
type template struct {
	locales language.Matcher
	wording []*wording
}

// wording is one template in one locale.
type wording struct {
	locale             language.Tag
	subject, text, sms *text.Template
	html               *html.Template
}

// filling is what a template sees.
type filling struct {
	Code      string
	Minutes   int    // until the code expires, rounded up, at least 1
	Plural    string // which form of a noun Minutes takes in this locale, as CLDR has it: zero, one, two, few, many, other
	Purpose   string // may be empty
	Variables map[string]string
}

// The kinds of file that make up one template in one locale. A locale that lacks one is refused, so that no message
// is found to have no words only when it is due.
var kinds = []string{"subject.txt", "txt", "html", "sms.txt"}

var (
	templateFile  = regexp.MustCompile(`^([a-z0-9][a-z0-9_-]{0,63})\.([A-Za-z0-9-]+)\.(subject\.txt|txt|html|sms\.txt)$`)
	variableName  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	wellFormedTag = regexp.MustCompile(`^[A-Za-z0-9-]*$`) // the rest is for language.Parse, which lets underscores pass
)

// LoadTemplates returns the built-in templates, and those of a directory in their place or beside them. Its files are
// named NAME.LOCALE.subject.txt, NAME.LOCALE.txt, NAME.LOCALE.html and NAME.LOCALE.sms.txt; a locale must have all
// four of them once the built-in ones are counted. Hidden files and directories are passed over. The error names the
// first file that is of no use. An empty dir means the built-in templates only.
//
// The files are Go templates, and see .Code, .Minutes, .Plural, .Purpose and .Variables. The built-in ones use one
// variable, app: the name of the application.
func LoadTemplates(dir string) (*Templates, error) {
	files := map[string]string{}
	embedded, err := fs.Sub(defaults, "templates")
	if err == nil {
		err = readTemplates(files, embedded)
	}
	if err == nil && dir != "" {
		err = readTemplates(files, os.DirFS(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("delivery: templates: %w", err)
	}
	t, err := parseTemplates(files)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	return t, nil
}

// readTemplates adds the contents of the files in dir by name.
func readTemplates(files map[string]string, dir fs.FS) error {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		content, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		if !utf8.Valid(content) {
			return fmt.Errorf("%s is not UTF-8", name)
		}
		files[name] = strings.TrimPrefix(strings.ReplaceAll(string(content), "\r\n", "\n"), "\ufeff")
	}
	return nil
}

// parseTemplates makes templates of files, and tries each.
func parseTemplates(files map[string]string) (*Templates, error) {
	all := map[string][]*wording{}
	seen := map[string]bool{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		parts := templateFile.FindStringSubmatch(file)
		if parts == nil {
			return nil, fmt.Errorf("template %s: must be named NAME.LOCALE and .subject.txt, .txt, .html or .sms.txt", file)
		}
		name, locale := parts[1], parts[2]
		if seen[name+"."+locale] {
			continue
		}
		seen[name+"."+locale] = true
		w, err := parseWording(files, name, locale)
		if err != nil {
			return nil, err
		}
		all[name] = append(all[name], w)
	}
	t := &Templates{map[string]*template{}}
	for name, wordings := range all {
		t.named[name] = newTemplate(wordings)
	}
	return t, nil
}

// newTemplate puts English first, which is what a matcher falls back to, if there is any.
func newTemplate(wordings []*wording) *template {
	english := slices.IndexFunc(wordings, func(w *wording) bool { return w.locale == language.English })
	if english > 0 {
		wordings[0], wordings[english] = wordings[english], wordings[0]
	}
	var tags []language.Tag
	for _, w := range wordings {
		tags = append(tags, w.locale)
	}
	return &template{language.NewMatcher(tags), wordings}
}

// parseWording parses the files of one template in one locale.
func parseWording(files map[string]string, name, locale string) (*wording, error) {
	base := name + "." + locale + "."
	tag, err := language.Parse(locale)
	if err != nil {
		return nil, fmt.Errorf("template %s*: %q is no locale", base, locale)
	}
	if tag.String() != locale {
		return nil, fmt.Errorf("template %s*: the locale is written %q", base, tag)
	}
	for _, kind := range kinds {
		if _, found := files[base+kind]; !found {
			return nil, fmt.Errorf("template %s is missing", base+kind)
		}
	}
	w := &wording{locale: tag}
	for kind, parsed := range map[string]**text.Template{"subject.txt": &w.subject, "txt": &w.text, "sms.txt": &w.sms} {
		if *parsed, err = text.New(base + kind).Option("missingkey=zero").Parse(files[base+kind]); err != nil {
			return nil, err
		}
	}
	if w.html, err = html.New(base + "html").Option("missingkey=zero").Parse(files[base+"html"]); err != nil {
		return nil, err
	}
	return w, w.try()
}

// samples are messages of which each takes another way through a template.
var samples = []Message{
	{Code: "123456"},
	{Code: "ABCDEFGHJKLM", ExpiresAt: time.Time{}.Add(2 * time.Minute), Purpose: "login"},
	{Code: "123456", ExpiresAt: time.Time{}.Add(5 * time.Minute), Variables: map[string]string{"app": "Example"}},
	{Code: "123456", ExpiresAt: time.Time{}.Add(15 * time.Minute)},
}

// try finds the errors that only show when a template is filled in.
func (w *wording) try() error {
	for _, m := range samples {
		if _, _, _, err := w.mail(m); err != nil {
			return err
		}
		if _, err := w.message(w.sms, m); err != nil {
			return err
		}
	}
	return nil
}

// Mail returns m as an e-mail. The subject is one line of at most 250 bytes. The error is an [otp.FieldError] for
// template, locale or variables.
func (t *Templates) Mail(m Message) (subject, text, html string, err error) {
	w, err := t.find(m)
	if err != nil {
		return "", "", "", err
	}
	if subject, text, html, err = w.mail(m); err != nil {
		return "", "", "", errUnfit
	}
	return subject, text, html, nil
}

// SMS returns m as a text message, without surrounding white space. The error is as that of [Templates.Mail].
func (t *Templates) SMS(m Message) (string, error) {
	w, err := t.find(m)
	if err != nil {
		return "", err
	}
	text, err := w.message(w.sms, m)
	if err != nil {
		return "", errUnfit
	}
	return text, nil
}

// Check reports whether there is a template for m, and whether its locale and its variables are well-formed. The
// error is as that of [Templates.Mail].
func (t *Templates) Check(m Message) error {
	_, err := t.find(m)
	return err
}

// errUnfit is of a template of the operator's that fails for some variables only. What it says of them is not
// repeated, since it quotes them.
var errUnfit = &otp.FieldError{Field: "variables", Reason: "do not suit the template"}

// find returns the wording for m.
func (t *Templates) find(m Message) (*wording, error) {
	if err := checkVariables(m.Variables); err != nil {
		return nil, err
	}
	found := t.named[DefaultTemplate]
	if m.Template != "" {
		found = t.named[m.Template]
	}
	if found == nil {
		return nil, &otp.FieldError{Field: "template", Reason: "must be the name of a template"}
	}
	tag, err := parseLocale(m.Locale)
	if err != nil {
		return nil, err
	}
	_, i, _ := found.locales.Match(tag)
	return found.wording[i], nil
}

// parseLocale reads a tag of RFC 5646. One that is well-formed and means nothing is in order.
func parseLocale(locale string) (language.Tag, error) {
	tag, err := language.Parse(locale)
	if _, unknown := errors.AsType[language.ValueError](err); locale == "" || unknown {
		err = nil
	}
	if err != nil || len(locale) > MaxLocale || !wellFormedTag.MatchString(locale) {
		return tag, &otp.FieldError{Field: "locale", Reason: "must be a BCP 47 tag such as de or pt-BR"}
	}
	return tag, nil
}

func checkVariables(variables map[string]string) error {
	if len(variables) > MaxVariables {
		return &otp.FieldError{Field: "variables", Reason: fmt.Sprintf("must be at most %d", MaxVariables)}
	}
	for name, value := range variables {
		if !variableName.MatchString(name) {
			return &otp.FieldError{Field: "variables", Reason: "must have names of 1 to 32 of a-z 0-9 _ that begin with a letter"}
		}
		if err := otp.CheckText("variables", value, MaxVariableValue); err != nil {
			return err
		}
		if strings.ContainsFunc(value, disorders) {
			return &otp.FieldError{Field: "variables", Reason: "must not contain control characters"}
		}
	}
	return nil
}

// disorders reports whether r ends a line, or changes the direction of the text around it.
func disorders(r rune) bool {
	return unicode.IsControl(r) || '\u2028' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// mail fills in the parts of an e-mail.
func (w *wording) mail(m Message) (subject, text, html string, err error) {
	if subject, err = w.message(w.subject, m); err != nil {
		return "", "", "", err
	}
	if text, err = w.message(w.text, m); err != nil {
		return "", "", "", err
	}
	var b strings.Builder
	err = w.html.Execute(&b, w.filling(m))
	return oneLine(subject), text + "\n", b.String(), err
}

func (w *wording) message(t *text.Template, m Message) (string, error) {
	var b strings.Builder
	err := t.Execute(&b, w.filling(m))
	return strings.TrimSpace(b.String()), err
}

// pluralForms are the names that CLDR gives to forms.
var pluralForms = map[plural.Form]string{
	plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other",
}

func (w *wording) filling(m Message) filling {
	minutes := int(max(1, (m.ExpiresAt.Sub(m.SentAt)+time.Minute-1)/time.Minute))
	form := pluralForms[plural.Cardinal.MatchPlural(w.locale, minutes, 0, 0, 0, 0)]
	return filling{m.Code, minutes, form, m.Purpose, m.Variables}
}

// oneLine returns a subject without line breaks, cut to maxSubject.
func oneLine(subject string) string {
	subject = strings.Join(strings.FieldsFunc(subject, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	for len(subject) > maxSubject {
		_, size := utf8.DecodeLastRuneInString(subject)
		subject = subject[:len(subject)-size]
	}
	return subject
}
