package delivery

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// encryption is how the connection to a mail server is encrypted.
type encryption int

const (
	startTLS    encryption = iota // RFC 3207, never without
	implicitTLS                   // RFC 8314 §3.3
	noTLS                         // on loopback only
)

// mailServer is where mail is handed over, and as whom.
type mailServer struct {
	host, port     string
	encryption     encryption
	mechanism      string // of SASL; empty for the first of defaultMechanisms that the server offers
	user, password string // empty if there is nothing to authenticate with

	tls   *tls.Config
	hello string // the name to greet with
}

// mechanisms are those that a URL may name. With XOAUTH2 the password is an access token.
var mechanisms = map[string]string{"plain": "PLAIN", "login": "LOGIN", "cram-md5": "CRAM-MD5", "xoauth2": "XOAUTH2"}

// defaultMechanisms are in order of preference. A connection is encrypted before any of them is used.
var defaultMechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5"}

// parseSMTPURL reads smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://, perhaps with ?auth=MECHANISM, and for loopback with
// ?tls=none. The error does not quote it.
func parseSMTPURL(text string) (mailServer, error) {
	u, err := url.Parse(text)
	if err != nil {
		return mailServer{}, errors.New("is no URL; special characters in user and password must be percent-encoded")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || u.Opaque != "" || u.Path != "" && u.Path != "/" || u.Fragment != "" || u.Hostname() == "" {
		return mailServer{}, errors.New("must be smtp:// or smtps://, perhaps USER:PASSWORD@, and HOST:PORT")
	}
	s := mailServer{host: u.Hostname(), port: u.Port(), user: u.User.Username()}
	s.password, _ = u.User.Password()
	for key, values := range query {
		if key != "tls" && key != "auth" || len(values) > 1 {
			return mailServer{}, errors.New("may have the parameters auth and tls only, each once")
		}
	}
	if err := s.setEncryption(u.Scheme, query); err != nil {
		return mailServer{}, err
	}
	if err := s.setAuthentication(query); err != nil {
		return mailServer{}, err
	}
	if port, err := strconv.ParseUint(s.port, 10, 16); err != nil || port == 0 {
		return mailServer{}, errors.New("must have a port from 1 to 65535")
	}
	return s, nil
}

// setEncryption sets it and the port that is usual with it (RFC 8314 §7.3).
func (s *mailServer) setEncryption(scheme string, query url.Values) error {
	usual := "587"
	switch {
	case scheme == "smtps":
		s.encryption, usual = implicitTLS, "465"
	case scheme == "smtp" && query.Has("tls"):
		s.encryption, usual = noTLS, "25"
	case scheme != "smtp":
		return errors.New("must begin with smtp:// or smtps://")
	}
	if query.Has("tls") && (s.encryption != noTLS || query.Get("tls") != "none" || !isLoopbackHost(s.host)) {
		return errors.New("may have tls=none only, with smtp:// and a loopback address")
	}
	if s.port == "" {
		s.port = usual
	}
	return nil
}

func (s *mailServer) setAuthentication(query url.Values) error {
	if query.Has("auth") {
		if s.mechanism = mechanisms[query.Get("auth")]; s.mechanism == "" {
			return errors.New("must have plain, login, cram-md5 or xoauth2 for auth")
		}
	}
	switch {
	case (s.user == "") != (s.password == ""):
		return errors.New("must have both user and password, or neither")
	case s.mechanism != "" && s.user == "":
		return errors.New("must have user and password with auth")
	case s.mechanism == "" && s.user != "" && s.encryption == noTLS:
		return errors.New("must name what to send unencrypted, as auth=plain, if it has both a password and tls=none")
	case strings.ContainsFunc(s.user+s.password, unicode.IsControl):
		return errors.New("must not have control characters in user or password")
	}
	return nil
}

func (s *mailServer) address() string { return net.JoinHostPort(s.host, s.port) }

// choose returns the mechanism to use with a server that offers some, empty for none.
func (s *mailServer) choose(offered []string) string {
	acceptable := defaultMechanisms
	if s.mechanism != "" {
		acceptable = []string{s.mechanism}
	}
	for _, mechanism := range acceptable {
		if slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, mechanism) }) {
			return mechanism
		}
	}
	return ""
}

// isLoopbackHost reports whether host is this machine, without asking a name server.
func isLoopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
