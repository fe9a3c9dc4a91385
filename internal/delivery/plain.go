package delivery

import (
	"unicode/utf8"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// parsePlain reads the address of a channel that takes any text, and knows an e-mail address or a phone number when
// it sees one. The error is an [otp.FieldError] for to.
func parsePlain(to string) (Recipient, error) {
	if err := otp.CheckText("to", to, otpcontext.MaxIdentifier); err != nil {
		return Recipient{}, err
	}
	if m, err := parseMailbox(to); err == nil {
		return Recipient{Address: to, Masked: m.masked(), Counted: m.counted()}, nil
	}
	if r, err := parsePhone(to); err == nil {
		return Recipient{Address: to, Masked: r.Masked, Counted: r.Counted}, nil
	}
	return Recipient{Address: to, Masked: maskPlain(to), Counted: to}, nil
}

// maskPlain leaves the first character of a text, if there are enough others.
func maskPlain(text string) string {
	const least = 5
	if utf8.RuneCountInString(text) < least {
		return "•••"
	}
	_, first := utf8.DecodeRuneInString(text)
	return text[:first] + "•••"
}
