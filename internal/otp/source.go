package otp

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// Categories of sources.
const (
	SourceDashboard    = "dashboard"
	SourceCampaign     = "campaign"
	SourceRegistration = "registration"
	SourceWebsite      = "website" // any other page
)

// SourceCategories are all of them.
var SourceCategories = []string{SourceDashboard, SourceCampaign, SourceRegistration, SourceWebsite}

// maxSourceName bounds Source.Name, in bytes.
const maxSourceName = 128

// Source is where a user came from.
type Source struct {
	URL      string // of the page
	Category string // one of SourceCategories
	Name     string // for people: 1 to 128 bytes of UTF-8 without control characters
}

// sourceOf returns the source that the URL of a page tells of, nil for an empty one. The URL must be absolute, of the
// scheme http or https, with a host and without a user, at most otpcontext.MaxSourceURL bytes of UTF-8 without what
// JSON makes longer, control characters, quotes and backslashes, or the error is a [*FieldError].
func sourceOf(text string) (*Source, error) {
	if err := CheckText("source_url", text, otpcontext.MaxSourceURL); err != nil || text == "" {
		return nil, err
	}
	page, err := url.Parse(text)
	if err != nil || page.Scheme != "http" && page.Scheme != "https" || page.User != nil || website(page) == "" ||
		strings.ContainsAny(text, `"\`) {
		return nil, &FieldError{"source_url", "must be an absolute http or https URL, with a host and without a user, quotes or backslashes"}
	}
	category, name := classify(page)
	return &Source{URL: text, Category: category, Name: name}, nil
}

// classify goes from the particular to the general: the link of a campaign may well lead to the registration.
func classify(page *url.URL) (category, name string) {
	host := hostOf(page)
	if label, _, _ := strings.Cut(host, "."); label == "dashboard" {
		return SourceDashboard, "Dashboard"
	}
	if name := campaign(page.Query()); name != "" {
		return SourceCampaign, name
	}
	for segment := range strings.SplitSeq(page.Path, "/") {
		if strings.EqualFold(segment, "register") {
			return SourceRegistration, "Website Registration"
		}
	}
	return SourceWebsite, website(page)
}

// campaign returns the name that the parameters of a link in a campaign give, empty if they give none.
func campaign(parameters url.Values) string {
	source, name := title(parameters.Get("utm_source")), title(parameters.Get("utm_campaign"))
	if source != "" && name != "" {
		source += " - "
	}
	return bounded(source + name)
}

// title returns a parameter's value as people write a name: "spring_campaign" is "Spring Campaign".
func title(value string) string {
	words := strings.Fields(strings.NewReplacer("_", " ", "-", " ", "+", " ").Replace(printable(value)))
	for i, word := range words {
		first, size := utf8.DecodeRuneInString(word)
		words[i] = string(unicode.ToTitle(first)) + strings.ToLower(word[size:])
	}
	return strings.Join(words, " ")
}

// website returns the host as people name it.
func website(page *url.URL) string {
	return bounded(printable(strings.TrimPrefix(hostOf(page), "www.")))
}

func hostOf(page *url.URL) string {
	return strings.TrimRight(strings.ToLower(page.Hostname()), ".") // a name may end with the root's
}

// printable returns text without what a URL can smuggle in, escaped: characters that do not show, but end a line,
// or change the order of others; and bytes that are not UTF-8.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

// bounded returns as much of the beginning of text as a name has room for, in whole characters.
func bounded(text string) string {
	if len(text) <= maxSourceName {
		return text
	}
	end := maxSourceName
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.TrimRight(text[:end], " -")
}
