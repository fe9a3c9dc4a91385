package delivery

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// ErrWebOTPOrigin is the error for an origin that no code can be bound to. It is to follow the name of the setting.
var ErrWebOTPOrigin = errors.New("must be a host such as example.com, or its https:// origin")

// asciiHost is a host name as browsers compare it; one with other letters is written in Punycode.
var asciiHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// parseWebOTPOrigin returns the host of an origin. Codes are bound to hosts: the format has neither a scheme, which
// is https, nor a port (Origin-bound one-time codes delivered via SMS §3).
func parseWebOTPOrigin(origin string) (host string, err error) {
	origin = strings.ToLower(origin)
	if asciiHost.MatchString(origin) {
		return origin, nil
	}
	u, err := url.Parse(origin)
	if err != nil || !asciiHost.MatchString(u.Hostname()) || origin != "https://"+u.Host {
		return "", ErrWebOTPOrigin
	}
	return u.Hostname(), nil
}

// webOTPLine is the line that lets the page at host, and no other, read the code out of an SMS.
func webOTPLine(host, code string) string { return "@" + host + " #" + code }

// boundCode is what a browser takes for a code that is bound to a host, and perhaps, after it, to a host embedded
// there. The format says that it is the last line of a message; Chromium takes the first one after any white space.
var boundCode = regexp.MustCompile(`(?:^|\s)@\S+ #[^\n]*`)
