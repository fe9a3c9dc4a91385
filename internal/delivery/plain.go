package delivery

import (
	"strings"

	"golang.org/x/text/unicode/norm"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// parsePlain reads the address of a channel that takes any text, of 1 to otpcontext.MaxIdentifier bytes without control
// characters. One that looks like an e-mail address or a phone number is masked and counted as such. The error is an
// [otp.FieldError] for to.
func parsePlain(to string) (Recipient, error) {
	if to == "" {
		return Recipient{}, &otp.FieldError{Field: "to", Reason: "must not be empty"}
	}
	if err := otp.CheckText("to", to, otpcontext.MaxIdentifier); err != nil {
		return Recipient{}, err
	}
	if strings.ContainsFunc(to, disorders) {
		return Recipient{}, &otp.FieldError{Field: "to", Reason: "must not contain control characters"}
	}
	if m, err := parseMailbox(to); err == nil {
		return Recipient{Address: to, Masked: m.masked(), Counted: m.counted()}, nil
	}
	if phone, err := parsePhone(to); err == nil {
		return Recipient{Address: to, Masked: phone.Masked, Counted: phone.Counted}, nil
	}
	return Recipient{Address: to, Masked: maskedText(to), Counted: norm.NFC.String(strings.ToLower(to))}, nil
}

// maskedText leaves the first and the last character of a text, and nothing of a short one.
func maskedText(text string) string {
	const dots, short = "•••", 6
	letters := []rune(text)
	if len(letters) < short {
		return dots
	}
	return string(letters[:1]) + dots + string(letters[len(letters)-1:])
}
