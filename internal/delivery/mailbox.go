package delivery

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Bounds of RFC 5321 §4.5.3.1, in bytes.
const (
	maxMailbox   = 254 // a path of 256 less its brackets
	maxLocalPart = 64
)

var errTooLong = errors.New("must be at most 254 bytes")

// mailbox is a Mailbox of RFC 5321 §4.1.2, with what RFC 6531 §3.3 adds to it and without address literals.
type mailbox struct {
	local  string // as written, perhaps quoted
	domain string // in A-labels, lower case
}

var (
	dotString    = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-\u0080-\U0010ffff]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-\u0080-\U0010ffff]+)*$")
	quotedString = regexp.MustCompile(`^"([ !#-\[\]-~\x{80}-\x{10ffff}]|\\[ -~])+"$`)
	quotedPair   = regexp.MustCompile(`\\(.)`)
	labels       = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.|$))+$`)
	lastNumeric  = regexp.MustCompile(`\.[0-9]*$`)
)

var domainNames = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(false), idna.VerifyDNSLength(true))

// parseMailbox reads a bare address. Spaces around it are ignored, as they come with what is pasted. The error is for
// whoever typed it, and says what is allowed, to follow the name of a field.
func parseMailbox(text string) (mailbox, error) {
	text = strings.Trim(text, " ")
	at := strings.LastIndexByte(text, '@')
	switch {
	case text == "":
		return mailbox{}, errors.New("must not be empty")
	case len(text) > maxMailbox: // before it is worked on, and below with its domain in A-labels
		return mailbox{}, errTooLong
	case !utf8.ValidString(text) || strings.ContainsFunc(text, invisible):
		return mailbox{}, errors.New("must not contain control characters or invisible ones")
	case strings.HasSuffix(text, ">"):
		return mailbox{}, errors.New("must be an address alone, without a name and without angle brackets")
	case at < 0:
		return mailbox{}, errors.New("must be an e-mail address, with an @ and a domain")
	}
	m := mailbox{local: text[:at]}
	if err := checkLocalPart(m.local); err != nil {
		return mailbox{}, err
	}
	var err error
	if m.domain, err = parseDomain(text[at+1:]); err != nil {
		return mailbox{}, err
	}
	if len(m.String()) > maxMailbox {
		return mailbox{}, errTooLong
	}
	return m, nil
}

// invisible reports whether r is no character of an address, but could be pasted along with one. The two joiners are
// needed in some scripts.
func invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.IsSpace(r) && r != ' ' || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d'
}

func checkLocalPart(local string) error {
	switch {
	case len(local) > maxLocalPart:
		return errors.New("must have at most 64 bytes before the @")
	case dotString.MatchString(local) || quotedString.MatchString(local):
		return nil
	case strings.Contains(local, "@"):
		return errors.New("must have one @ only")
	case strings.Contains(local, " "):
		return errors.New("must not contain spaces")
	}
	return errors.New("must have letters, digits, single dots or any of !#$%&'*+/=?^_`{|}~- before the @")
}

// parseDomain returns a domain name in A-labels, lower case.
func parseDomain(text string) (string, error) {
	if _, err := netip.ParseAddr(text); err == nil || strings.HasPrefix(text, "[") {
		return "", errors.New("must have a domain after the @, not an IP address")
	}
	domain, err := domainNames.ToASCII(text)
	switch {
	case err != nil || !labels.MatchString(domain) || lastNumeric.MatchString(domain):
		return "", errors.New("must have a valid domain after the @")
	case !strings.Contains(domain, "."):
		return "", errors.New("must have a whole domain after the @, such as example.com")
	}
	return domain, nil
}

// String returns m as an envelope has it.
func (m mailbox) String() string { return m.local + "@" + m.domain }

// international reports whether m can only be written to with SMTPUTF8 (RFC 6531).
func (m mailbox) international() bool {
	return strings.ContainsFunc(m.local, func(r rune) bool { return r >= utf8.RuneSelf })
}

// content returns the local part without its quotes: two that differ in them only are the same (RFC 5321 §4.1.2).
func (m mailbox) content() string {
	if quoted, ok := strings.CutPrefix(m.local, `"`); ok {
		return quotedPair.ReplaceAllString(strings.TrimSuffix(quoted, `"`), "$1")
	}
	return m.local
}

// masked returns m with no more than the first letter of its local part, and none of a short one.
func (m mailbox) masked() string {
	const dots = "•••"
	domain, _ := domainNames.ToUnicode(m.domain) // which it was made of
	letters := []rune(m.content())
	if len(letters) <= 2 {
		return dots + "@" + domain
	}
	return string(letters[:1]) + dots + "@" + domain
}

// counted returns what is the same for all addresses that most likely reach whom m reaches. Most hosts ignore case,
// many what follows a plus, and Gmail dots too.
func (m mailbox) counted() string {
	local := norm.NFC.String(strings.ToLower(m.content()))
	if plus := strings.IndexByte(local, '+'); plus > 0 {
		local = local[:plus]
	}
	domain := m.domain
	if domain == "gmail.com" || domain == "googlemail.com" {
		local, domain = strings.ReplaceAll(local, ".", ""), "gmail.com"
	}
	return local + "@" + domain
}
