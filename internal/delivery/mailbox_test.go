package delivery

import (
	netmail "net/mail"
	"strings"
	"testing"
)

func TestRecipientOfMail(t *testing.T) {
	t.Parallel()
	c := new(EmailChannel)
	for _, test := range []struct{ to, address, masked, counted string }{
		{"ada@example.com", "", "a•••@example.com", ""},
		{"  ada@example.com ", "ada@example.com", "a•••@example.com", "ada@example.com"},
		{"Ada.Lovelace@Example.COM", "Ada.Lovelace@example.com", "A•••@example.com", "ada.lovelace@example.com"},
		{"a@example.com", "", "•••@example.com", ""},
		{"ab@example.com", "", "•••@example.com", ""},
		{"abc+news@example.com", "", "a•••@example.com", "abc@example.com"},
		{"abc+a+b@example.com", "", "a•••@example.com", "abc@example.com"},
		{"+abc@example.com", "", "+•••@example.com", ""},
		{"A.B.C+x@gmail.com", "", "A•••@gmail.com", "abc@gmail.com"},
		{"a.bc@GoogleMail.com", "a.bc@googlemail.com", "a•••@googlemail.com", "abc@gmail.com"},
		{"a.bc@mail.gmail.com", "", "a•••@mail.gmail.com", ""},
		{"!#$%&'*+/=?^_`{|}~-@example.com", "", "!•••@example.com", "!#$%&'*@example.com"},
		{`"ada"@example.com`, "", "a•••@example.com", "ada@example.com"},
		{`"a\da"@example.com`, "", "a•••@example.com", "ada@example.com"},
		{`"a d@a"@example.com`, "", "a•••@example.com", "a d@a@example.com"},
		{`"\"\\x<>"@example.com`, "", `"•••@example.com`, `"\x<>@example.com`},
		{`"a"@example.com`, "", "•••@example.com", "a@example.com"},
		{"ÄDÄ@example.com", "", "Ä•••@example.com", "ädä@example.com"},
		{"a\u0308da@example.com", "", "a•••@example.com", "äda@example.com"},
		{"用户名@例え.テスト", "用户名@xn--r8jz45g.xn--zckzah", "用•••@例え.テスト", "用户名@xn--r8jz45g.xn--zckzah"},
		{"ada@BÜCHER.example", "ada@xn--bcher-kva.example", "a•••@bücher.example", "ada@xn--bcher-kva.example"},
		{"ada@xn--bcher-kva.example", "", "a•••@bücher.example", ""},
		{"ada@a--b.example", "", "a•••@a--b.example", ""},
		{"ada@sub.1and1.example", "", "a•••@sub.1and1.example", ""},
		{strings.Repeat("a", 64) + "@example.com", "", "a•••@example.com", ""},
	} {
		want := Recipient{Address: test.address, Masked: test.masked, Counted: test.counted}
		if want.Address == "" {
			want.Address = test.to
		}
		if want.Counted == "" {
			want.Counted = want.Address
		}
		got, err := c.Recipient(test.to)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", test.to, got, err, want)
		}
		if again, err := c.Recipient(got.Address); err != nil || again != got {
			t.Errorf("%q is not canonical: %+v, %v", got.Address, again, err)
		}
	}
}

func TestRefusedMailboxes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("abcdefghi.", 19)
	for to, want := range map[string]string{
		"":                                        "must not be empty",
		"  ":                                      "must not be empty",
		"ada":                                     "with an @",
		"Ada <ada@example.com>":                   "without a name",
		"<ada@example.com>":                       "without a name",
		"ada@example.com, bob@example.com":        "one @",
		"ada@bob@example.com":                     "one @",
		"ada(comment)@example.com":                "before the @",
		"@example.com":                            "before the @",
		`""@example.com`:                          "before the @",
		`"ada@example.com`:                        "one @ only|before the @",
		`"a"b@example.com`:                        "before the @",
		`a"b"@example.com`:                        "before the @",
		`"a\"@example.com`:                        "before the @",
		".ada@example.com":                        "before the @",
		"ada.@example.com":                        "before the @",
		"a..da@example.com":                       "before the @",
		"ada lovelace@example.com":                "spaces",
		"ada @example.com":                        "spaces",
		"ada@ example.com":                        "valid domain",
		"ada@exa mple.com":                        "valid domain",
		"ada@example.com\r\nRCPT TO:<b@b.c>":      "control characters",
		"ada@example.com\n":                       "control characters",
		"ada\x00@example.com":                     "control characters",
		"\tada@example.com":                       "control characters",
		"ada\x7f@example.com":                     "control characters",
		"ada\u0085@example.com":                   "control characters",
		"ada\u2028@example.com":                   "control characters",
		"ada\u00a0@example.com":                   "control characters",
		"ada\u200b@example.com":                   "invisible",
		"\u202eada@example.com":                   "invisible",
		"ada\xff@example.com":                     "invisible",
		"ada@":                                    "domain",
		"ada@localhost":                           "whole domain",
		"ada@example.com.":                        "valid domain",
		"ada@.example.com":                        "valid domain",
		"ada@example..com":                        "valid domain",
		"ada@-example.com":                        "valid domain",
		"ada@exam_ple.com":                        "valid domain",
		"ada@example.com:25":                      "valid domain",
		"ada@xn--a.example":                       "valid domain",
		"ada@" + strings.Repeat("a", 64) + ".com": "valid domain",
		"ada@example.123":                         "valid domain",
		"ada@127.0.0.1":                           "IP address",
		"ada@[127.0.0.1]":                         "IP address",
		"ada@[IPv6:::1]":                          "IP address",
		"ada@::1":                                 "IP address",
		strings.Repeat("a", 65) + "@example.com":  "64 bytes",
		strings.Repeat("ä", 33) + "@example.com":  "64 bytes",
		strings.Repeat("a", 60) + "@" + long + "abcd":                        "254 bytes",
		strings.Repeat("a", 64) + "@" + strings.Repeat("ü.", 24) + "example": "254 bytes",
	} {
		_, err := new(EmailChannel).Recipient(to)
		if fieldOf(err) != "to" {
			t.Errorf("%q: %v", to, err)
			continue
		}
		matched := false
		for part := range strings.SplitSeq(want, "|") {
			matched = matched || strings.Contains(err.Error(), part)
		}
		if !matched {
			t.Errorf("%q: %v, want %q", to, err, want)
		}
	}
}

func FuzzMailbox(f *testing.F) {
	for _, seed := range []string{"ada@example.com", `"a \" b"@example.com`, "用户@例え.テスト", "a@b@c.d", "x@[1.2.3.4]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMailbox(text)
		if err != nil {
			return
		}
		if again, err := parseMailbox(m.String()); err != nil || again != m {
			t.Fatalf("%q is read as %q, which is read as %q, %v", text, m, again, err)
		}
		if strings.ContainsAny(m.String(), "\r\n\x00") || len(m.String()) > maxMailbox {
			t.Fatalf("%q is let pass", m)
		}
		plain := m.content() + "@" + m.domain
		header := (&netmail.Address{Address: plain}).String()
		if parsed, err := netmail.ParseAddress(header); err != nil || parsed.Address != plain {
			t.Fatalf("%q makes the header %q, which is read as %v, %v", m, header, parsed, err)
		}
	})
}
