package delivery

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// parsedMail is an e-mail as its reader sees it.
type parsedMail struct {
	header     netmail.Header
	subject    string
	text, html string
}

// parseMail reads an e-mail, and checks what must hold of any.
func parseMail(tb testing.TB, data []byte) (p parsedMail) {
	tb.Helper()
	for line := range bytes.SplitSeq(data, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			tb.Fatalf("a line that is not one, or too long: %q", line)
		}
	}
	msg, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	p.header = msg.Header
	if p.subject, err = new(mime.WordDecoder).DecodeHeader(p.header.Get("Subject")); err != nil {
		tb.Fatal(err)
	}
	var names []string
	for name, values := range p.header {
		names = append(names, name)
		if len(values) != 1 {
			tb.Errorf("%s: %q", name, values)
		}
	}
	slices.Sort(names)
	want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}
	if !slices.Equal(names, want) {
		tb.Errorf("headers %q, want %q", names, want)
	}
	if got := p.header.Get("Auto-Submitted"); got != "auto-generated" {
		tb.Errorf("Auto-Submitted: %q", got)
	}
	kind, parameters, err := mime.ParseMediaType(p.header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		tb.Fatalf("%q, %v", kind, err)
	}
	parts := multipart.NewReader(msg.Body, parameters["boundary"])
	p.text = readPart(tb, parts, "text/plain")
	p.html = readPart(tb, parts, "text/html")
	if _, err := parts.NextRawPart(); err != io.EOF {
		tb.Errorf("after the parts: %v", err)
	}
	return p
}

func readPart(tb testing.TB, parts *multipart.Reader, want string) string {
	tb.Helper()
	part, err := parts.NextRawPart()
	if err != nil {
		tb.Fatal(err)
	}
	kind, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
	if err != nil || kind != want || !strings.EqualFold(parameters["charset"], "utf-8") {
		tb.Errorf("%q %v, %v, want %s", kind, parameters, err, want)
	}
	if got := part.Header.Get("Content-Transfer-Encoding"); got != "quoted-printable" {
		tb.Errorf("encoded as %q", got)
	}
	raw, err := io.ReadAll(part)
	if err != nil || bytes.ContainsFunc(raw, func(r rune) bool { return r >= 0x80 }) {
		tb.Errorf("not in ASCII: %v", err)
	}
	content, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(raw)))
	if err != nil {
		tb.Fatal(err)
	}
	return strings.ReplaceAll(string(content), "\r\n", "\n")
}

func TestMailArrives(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "127.0.0.1")
	templates := mustLoadTemplates(t, "")
	for _, implicit := range []bool{false, true} {
		k := newSink(t, &a, implicit, nil, "LOGIN", "PLAIN")
		url := "smtp://user:secret@" + k.addr
		if implicit {
			url = "smtps://user:secret@" + k.addr + "/"
		}
		c := newEmail(t, url, a.roots)
		for _, locale := range builtInLocales {
			m := mailMessage(locale, 5*time.Minute)
			m.Variables = map[string]string{"app": strings.Repeat("Übung ", 25)}
			if failure := deliver(t, c, m); failure != nil {
				t.Fatal(failure)
			}
			got := k.take()
			if len(got) != 1 || got[0].from != "codes@example.com" || got[0].to != m.To || got[0].utf8 || got[0].mechanism != "PLAIN" {
				t.Fatalf("%+v", got)
			}
			p := parseMail(t, got[0].data)
			subject, text, html, err := templates.Mail(m)
			if err != nil || p.subject != subject || p.text != text || p.html != html {
				t.Errorf("%s: %q %q %q, %v", locale, p.subject, p.text, p.html, err)
			}
			from, err := p.header.AddressList("From")
			if err != nil || len(from) != 1 || *from[0] != (netmail.Address{Name: "Exämple", Address: "codes@example.com"}) {
				t.Errorf("From: %q, %v", p.header.Get("From"), err)
			}
			if date, err := p.header.Date(); err != nil || !date.Equal(m.SentAt) {
				t.Errorf("Date: %v, %v", date, err)
			}
			if to, id := p.header.Get("To"), p.header.Get("Message-ID"); to != "<user@example.com>" ||
				id != "<AAAAAAAAAAAAAAAAAAAAAA@example.com>" {
				t.Errorf("To: %q, Message-ID: %q", to, id)
			}
		}
		sessions := 1
		if !implicit {
			sessions = 2 // STARTTLS ends one on the same connection
		}
		if k.sessions != sessions {
			t.Errorf("%d sessions", k.sessions)
		}
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "127.0.0.1")
	all := []string{"CRAM-MD5", "XOAUTH2", "LOGIN", "PLAIN"}
	for _, test := range []struct {
		auth    string
		offered []string
		want    string // the mechanism, or empty if there is none
	}{
		{"", all, "PLAIN"},
		{"", []string{"CRAM-MD5", "LOGIN"}, "LOGIN"},
		{"", []string{"XOAUTH2", "CRAM-MD5"}, "CRAM-MD5"},
		{"", []string{"XOAUTH2"}, ""},
		{"?auth=plain", all, "PLAIN"},
		{"?auth=login", all, "LOGIN"},
		{"?auth=cram-md5", all, "CRAM-MD5"},
		{"?auth=xoauth2", all, "XOAUTH2"},
		{"?auth=cram-md5", []string{"PLAIN"}, ""},
	} {
		k := newSink(t, &a, false, nil, test.offered...)
		failure := deliver(t, newEmail(t, "smtp://user:secret@"+k.addr+test.auth, a.roots), mailMessage("", time.Minute))
		got := k.take()
		if test.want == "" {
			if failure == nil || failure.Permanent || !strings.Contains(failure.Reason, "no way to authenticate") || len(got) > 0 {
				t.Errorf("%+v: %v", test, failure)
			}
			continue
		}
		if failure != nil || len(got) != 1 || got[0].mechanism != test.want {
			t.Errorf("%+v: %v, %+v", test, failure, got)
		}
		failure = deliver(t, newEmail(t, "smtp://user:wrong@"+k.addr+test.auth, a.roots), mailMessage("", time.Minute))
		if failure == nil || *failure != (Failure{Reason: "the mail server refused the credentials (535 5.7.8)"}) {
			t.Errorf("%+v, with a wrong password: %v", test, failure)
		}
	}
}

func TestAuthenticationOnLoopback(t *testing.T) {
	t.Parallel()
	k := newSink(t, nil, false, nil, "PLAIN", "LOGIN")
	for _, auth := range []string{"plain", "login"} {
		c := newEmail(t, "smtp://user:secret@"+k.addr+"?tls=none&auth="+auth, nil)
		if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil {
			t.Errorf("%s: %v", auth, failure)
		}
	}
	c := newEmail(t, "smtp://"+k.addr+"?tls=none", nil)
	if failure := deliver(t, c, mailMessage("", time.Minute)); failure == nil || failure.Permanent ||
		failure.Reason != "the mail server refused the sender (502 5.7.0)" {
		t.Errorf("%v", failure)
	}
}

func TestEncryptionIsNotGivenUp(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t, "127.0.0.1"), newAuthority(t, "127.0.0.2")
	plain := newSink(t, nil, false, nil, "PLAIN")
	start, implicit, elsewhere := newSink(t, &a, false, nil), newSink(t, &a, true, nil), newSink(t, &other, false, nil)
	for name, test := range map[string]struct {
		c    *EmailChannel
		want string
	}{
		"none offered":       {newEmail(t, "smtp://user:secret@"+plain.addr, a.roots), "the mail server does not offer STARTTLS"},
		"TLS to a plain one": {newEmail(t, "smtps://"+plain.addr, a.roots), "the connection to the mail server could not be encrypted"},
		"unknown authority":  {newEmail(t, "smtp://"+start.addr, other.roots), "the mail server's certificate is not to be trusted"},
		"implicitly":         {newEmail(t, "smtps://"+implicit.addr, other.roots), "the mail server's certificate is not to be trusted"},
		"system's":           {newEmail(t, "smtp://"+start.addr, nil), "the mail server's certificate is not to be trusted"},
		"another's name":     {newEmail(t, "smtp://"+elsewhere.addr, other.roots), "the mail server's certificate is not to be trusted"},
	} {
		if failure := deliver(t, test.c, mailMessage("", time.Minute)); failure == nil || *failure != (Failure{Reason: test.want}) {
			t.Errorf("%s: %v", name, failure)
		}
	}
	for _, k := range []*sink{plain, start, implicit, elsewhere} {
		if got := k.take(); len(got) > 0 {
			t.Errorf("taken: %+v", got)
		}
	}
}

func TestInternationalisedAddresses(t *testing.T) {
	t.Parallel()
	able := newSink(t, nil, false, func(s *smtp.Server) { s.EnableSMTPUTF8 = true })
	unable := newSink(t, nil, false, nil)
	for _, test := range []struct {
		to   string
		utf8 bool
	}{
		{"ada@example.com", false},
		{"ada@xn--bcher-kva.example", false},
		{`"ada lovelace"@example.com`, false},
		{"用户@xn--r8jz45g.xn--zckzah", true},
	} {
		m := mailMessage("", time.Minute)
		m.To = test.to
		failure := deliver(t, newEmail(t, "smtp://"+able.addr+"?tls=none", nil), m)
		got := able.take()
		if failure != nil || len(got) != 1 || got[0].utf8 != test.utf8 {
			t.Fatalf("%s: %v, %d messages", test.to, failure, len(got))
		}
		want, err := parseMailbox(test.to)
		if err != nil || got[0].to != want.content()+"@"+want.domain { // the server has taken the quotes off
			t.Fatalf("%s: sent to %q, %v", test.to, got[0].to, err)
		}
		to, err := parseMail(t, got[0].data).header.AddressList("To")
		if err != nil || len(to) != 1 || to[0].Address != want.content()+"@"+want.domain || to[0].Name != "" {
			t.Errorf("%s is written as %v, %v", test.to, to, err)
		}
		c := newEmail(t, "smtp://"+unable.addr+"?tls=none", nil)
		failure = deliver(t, c, m)
		if test.utf8 != (failure != nil) || failure != nil &&
			*failure != (Failure{Permanent: true, Reason: "the mail server takes no internationalised addresses"}) {
			t.Errorf("%s: %v", test.to, failure)
		}
	}
}

func TestHeadersAreNotInjected(t *testing.T) {
	t.Parallel()
	k := newSink(t, nil, false, nil)
	const attack = "x\r\nBcc: eve@example.com\r\n\r\nbody"
	c := newEmail(t, "smtp://"+k.addr+"?tls=none", nil)
	m := mailMessage("", time.Minute)
	m.ID, m.Code = attack, attack
	m.Variables = map[string]string{"app": "=?utf-8?q?x=0D=0ABcc:_eve@example.com?="} // RFC 2047 would make it two lines
	if failure := deliver(t, c, m); failure != nil {
		t.Fatal(failure)
	}
	got := k.take()
	if len(got) != 1 || got[0].to != m.To {
		t.Fatalf("%+v", got)
	}
	// parseMail accepts no header but the usual ones, each once.
	if p := parseMail(t, got[0].data); strings.ContainsAny(p.subject, "\r\n") || !strings.Contains(p.subject, "utf-8?q?x=0D") {
		t.Errorf("%q", p.subject)
	}
	m = mailMessage("", time.Minute)
	m.To = "user@example.com>\r\nRCPT TO:<eve@example.com"
	if failure := deliver(t, c, m); failure == nil || *failure != (Failure{Permanent: true, Reason: "the address is not valid"}) {
		t.Error(failure)
	}
	m = mailMessage("", time.Minute)
	m.Variables = map[string]string{"app": attack}
	if failure := deliver(t, c, m); failure == nil || *failure != (Failure{Permanent: false, Reason: "the template failed"}) {
		t.Error(failure)
	}
	if got := k.take(); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

func TestMailIsCheckedBeforehand(t *testing.T) {
	t.Parallel()
	c := newEmail(t, "smtp://mail.example.com", nil)
	m := Message{Locale: "de", SentAt: mailSentAt, ExpiresAt: mailSentAt.Add(time.Minute)}
	if err := c.Check(m); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Message){
		"locale":    func(m *Message) { m.Locale = "de_DE" },
		"template":  func(m *Message) { m.Template = "none" },
		"variables": func(m *Message) { m.Variables = map[string]string{"app": "a\nb"} },
	} {
		changed := m
		change(&changed)
		if err := c.Check(changed); fieldOf(err) != want {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestNewEmail(t *testing.T) {
	t.Parallel()
	templates := mustLoadTemplates(t, "")
	const url = "smtp://mail.example.com"
	if _, err := NewEmail(EmailConfig{URL: url, From: "codes@example.com"}); err == nil {
		t.Error("without templates")
	}
	if _, err := NewEmail(EmailConfig{URL: "http://x", From: "codes@example.com", Templates: templates}); err == nil {
		t.Error("without a mail server")
	}
	for _, from := range []string{
		"", "codes", "codes@localhost", "a@example.com, b@example.com", "Example codes@example.com", "cödes@example.com",
		"Example\r\nBcc: x@example.com <codes@example.com>", "codes@[127.0.0.1]", "<>",
	} {
		if _, err := NewEmail(EmailConfig{URL: url, From: from, Templates: templates}); !errors.Is(err, ErrMailFrom) {
			t.Errorf("%q: %v", from, err)
		}
	}
	for from, want := range map[string]string{
		"codes@Example.com":                        "<codes@example.com>",
		"Example <codes@example.com>":              `"Example" <codes@example.com>`,
		`"Exämple, Inc." <codes@bücher.example>`:   "=?utf-8?b?RXjDpG1wbGUsIEluYy4=?= <codes@xn--bcher-kva.example>",
		"=?utf-8?q?Ex=C3=A4mple?= <c@example.com>": "=?utf-8?q?Ex=C3=A4mple?= <c@example.com>",
	} {
		c, err := NewEmail(EmailConfig{URL: url, From: from, Templates: templates})
		if err != nil || c.from.String() != want {
			t.Errorf("%q: %v, %v", from, c.from.String(), err)
		}
	}
}

func TestURLOfMailServer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]mailServer{
		"smtp://mail.example.com":                     {host: "mail.example.com", port: "587"},
		"smtp://user:pass%40word@mail.example.com:25": {host: "mail.example.com", port: "25", user: "user", password: "pass@word"},
		"smtp://us%40er:p@mail.example.com?auth=login": {
			host: "mail.example.com", port: "587", user: "us@er", password: "p", mechanism: "LOGIN",
		},
		"smtps://mail.example.com/":      {host: "mail.example.com", port: "465", encryption: implicitTLS},
		"SMTPS://[2001:db8::1]:4650":     {host: "2001:db8::1", port: "4650", encryption: implicitTLS},
		"smtp://127.0.0.1?tls=none":      {host: "127.0.0.1", port: "25", encryption: noTLS},
		"smtp://127.1.2.3:2525?tls=none": {host: "127.1.2.3", port: "2525", encryption: noTLS},
		"smtp://[::1]:25?tls=none":       {host: "::1", port: "25", encryption: noTLS},
		"smtp://localhost?tls=none":      {host: "localhost", port: "25", encryption: noTLS},
		"smtp://u:p@localhost?tls=none&auth=plain": {
			host: "localhost", port: "25", encryption: noTLS, user: "u", password: "p", mechanism: "PLAIN",
		},
	} {
		if got, err := parseSMTPURL(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                        "smtp:// or smtps://",
		"mail.example.com":        "smtp:// or smtps://",
		"mail.example.com:25":     "URL|smtp:// or smtps://",
		"smtp:mail.example.com":   "smtp:// or smtps://",
		"smtp://":                 "smtp:// or smtps://",
		"smtp://:25":              "smtp:// or smtps://",
		"http://mail.example.com": "begin with smtp://",
		"smtp://hunter2:hunter2/@mail.example.com":                   "URL|smtp:// or smtps://",
		"smtp://user:hunter2%@mail.example.com":                      "percent-encoded",
		"smtp://user:hunter2\n@mail.example.com":                     "percent-encoded",
		"smtp://user:hunter2%0a@mail.example.com":                    "control characters",
		"smtp://user:hunter2@mail.example.com/inbox":                 "smtp:// or smtps://",
		"smtp://user:hunter2@mail.example.com#x":                     "smtp:// or smtps://",
		"smtp://user:hunter2@mail.example.com?auth=%":                "smtp:// or smtps://",
		"smtp://user:hunter2@mail.example.com?auth=hunter2":          "plain, login",
		"smtp://user:hunter2@mail.example.com?auth":                  "plain, login",
		"smtp://user:hunter2@mail.example.com?auth=PLAIN":            "plain, login",
		"smtp://user:hunter2@mail.example.com?auth=plain&auth=login": "each once",
		"smtp://user:hunter2@mail.example.com?hunter2=x":             "auth and tls only",
		"smtp://hunter2@mail.example.com":                            "both user and password",
		"smtp://:hunter2@mail.example.com":                           "both user and password",
		"smtp://mail.example.com?auth=plain":                         "user and password",
		"smtp://mail.example.com?tls=none":                           "loopback",
		"smtp://10.0.0.1?tls=none":                                   "loopback",
		"smtp://localhost.example.com?tls=none":                      "loopback",
		"smtp://127.0.0.1?tls=off":                                   "tls=none",
		"smtp://127.0.0.1?tls=":                                      "tls=none",
		"smtps://127.0.0.1?tls=none":                                 "tls=none",
		"smtp://user:hunter2@127.0.0.1?tls=none":                     "auth=plain",
		"smtp://mail.example.com:0":                                  "65535",
		"smtp://mail.example.com:65536":                              "65535",
		"smtp://mail.example.com:hunter2":                            "URL",
	} {
		_, err := parseSMTPURL(text)
		if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestDeliveriesAtOnce(t *testing.T) {
	t.Parallel()
	k := newSink(t, nil, false, nil)
	c := newEmail(t, "smtp://"+k.addr+"?tls=none", nil)
	results := make(chan error)
	const deliveries = 100
	for range deliveries {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), guard)
			defer cancel()
			results <- c.Deliver(ctx, mailMessage("", time.Minute))
		}()
	}
	for range deliveries {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := k.take(); len(got) != deliveries {
		t.Errorf("%d arrived", len(got))
	}
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	if n := len(c.kept.sessions); n == 0 || n > maxKept {
		t.Errorf("%d connections are kept", n)
	}
}
