package delivery

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	subject, text, sms mustache
	html               mustache
}

// The kinds of file that make up one template in one locale. A locale that lacks one is refused, so that no message
// is found to have no words only when it is due.
var kinds = []string{"subject.txt", "txt", "html", "sms.txt"}

var (
	templateName  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	templateFile  = regexp.MustCompile(`^([a-z0-9][a-z0-9_-]{0,63})\.([A-Za-z0-9-]+)\.(subject\.txt|txt|html|sms\.txt)$`)
	variableName  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
	wellFormedTag = regexp.MustCompile(`^[A-Za-z0-9-]*$`) // the rest is for language.Parse, which lets underscores pass
)

// LoadTemplates returns the built-in templates, and those of a directory in their place or beside them. Its files are
// named NAME.LOCALE.subject.txt, NAME.LOCALE.txt, NAME.LOCALE.html and NAME.LOCALE.sms.txt; a locale must have all
// four of them once the built-in ones are counted. Hidden files and directories are passed over. The error names the
// first file that is of no use. An empty dir means the built-in templates only.
//
// The files are in the subset of Mustache that [mustache] is, with the values code, purpose, which may be empty, minutes
// until the code expires, and all variables; of zero, one, two, few, many and other, the one is set that names the form
// that a noun takes after so many minutes, as CLDR has it for the locale. The built-in ones use one variable, app: the
// name of the application.
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
		return nil, err
	}
	return parseTemplates(files)
}

// readTemplates adds the contents of the files in dir by name.
func readTemplates(files map[string]string, dir fs.FS) error {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
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
	for kind, parsed := range map[string]*mustache{"subject.txt": &w.subject, "txt": &w.text, "html": &w.html, "sms.txt": &w.sms} {
		if *parsed, err = parseMustache(files[base+kind], kind == "html"); err != nil {
			return nil, fmt.Errorf("template %s: %w", base+kind, err)
		}
		if !w.alwaysSaysTheCode(*parsed) {
			return nil, fmt.Errorf("template %s: does not always say the {{code}}", base+kind)
		}
	}
	return w, nil
}

// alwaysSaysTheCode tries a text with numbers of minutes that take all forms that there are.
func (w *wording) alwaysSaysTheCode(text mustache) bool {
	m := Message{Code: "ABCDEFGHJKLM"}
	for minutes := range 121 {
		m.ExpiresAt = m.SentAt.Add(time.Duration(minutes) * time.Minute)
		if !strings.Contains(text.fill(w.values(m)), m.Code) {
			return false
		}
	}
	return true
}

// Mail returns m as an e-mail. The subject is one line of at most 250 bytes. The error is an [otp.FieldError] for
// template, locale or variables.
func (t *Templates) Mail(m Message) (subject, text, html string, err error) {
	w, err := t.find(m)
	if err != nil {
		return "", "", "", err
	}
	values := w.values(m)
	return oneLine(w.subject.fill(values)), strings.TrimSpace(w.text.fill(values)) + "\n", w.html.fill(values), nil
}

// SMS returns m as a text message, without surrounding white space. The error is as that of [Templates.Mail].
func (t *Templates) SMS(m Message) (string, error) {
	w, err := t.find(m)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(w.sms.fill(w.values(m))), nil
}

// allSMS returns m as a text message in the words of every template and locale, by NAME.LOCALE.
func (t *Templates) allSMS(m Message) map[string]string {
	all := make(map[string]string)
	for name, template := range t.named {
		for _, w := range template.wording {
			all[name+"."+w.locale.String()] = strings.TrimSpace(w.sms.fill(w.values(m)))
		}
	}
	return all
}

// Check reports whether there is a template for m, and whether its locale and its variables are well-formed. The
// error is as that of [Templates.Mail].
func (t *Templates) Check(m Message) error {
	_, err := t.find(m)
	return err
}

// reserved are the names that variables cannot have.
var reserved = map[string]bool{
	"code": true, "minutes": true, "purpose": true,
	"zero": true, "one": true, "two": true, "few": true, "many": true, "other": true,
}

// find returns the wording for m.
func (t *Templates) find(m Message) (*wording, error) {
	if err := checkVariables(m.Variables); err != nil {
		return nil, err
	}
	if strings.ContainsFunc(m.Purpose, disorders) {
		return nil, &otp.FieldError{Field: "purpose", Reason: "must not contain control characters"}
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
		if reserved[name] {
			return &otp.FieldError{Field: "variables", Reason: "must not be named like what a template knows by itself"}
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

// pluralForms are the names that CLDR gives to forms.
var pluralForms = map[plural.Form]string{
	plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other",
}

// values are what a template can say of m.
func (w *wording) values(m Message) map[string]string {
	minutes := int(max(1, (m.ExpiresAt.Sub(m.SentAt)+time.Minute-1)/time.Minute))
	values := map[string]string{"code": m.Code, "minutes": strconv.Itoa(minutes), "purpose": m.Purpose}
	values[pluralForms[plural.Cardinal.MatchPlural(w.locale, minutes, 0, 0, 0, 0)]] = "yes"
	for name, value := range m.Variables {
		values[name] = value
	}
	return values
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
