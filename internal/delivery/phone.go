package delivery

import (
	"fmt"
	"regexp"

	"github.com/nyaruka/phonenumbers"

	"github.com/otpd/otpd/internal/otp"
)

const (
	maxPhone  = 40 // bytes of a number as it is typed
	maxDigits = 15 // of a number (ITU-T E.164 §6.2.1)
)

// typedPhone is what the library reads as we mean it. It would let pass words, extensions and digits of other scripts.
var typedPhone = regexp.MustCompile(`^\+[0-9 ().-]+$`)

// parsePhone reads a phone number in international form, with spaces, hyphens, dots and parentheses as people type
// them. The error is an [otp.FieldError] for to.
//
// The number must have a length that is in use under its calling code. That it belongs to a range known to be
// assigned is not asked for: new ranges come into use sooner than a service is updated. A number that is known to be
// of premium rate is refused, as whoever it belongs to would earn by each code.
func parsePhone(to string) (Recipient, error) {
	if len(to) > maxPhone || !typedPhone.MatchString(to) {
		return Recipient{}, badPhone("must be a phone number in international form, such as +4915123456789")
	}
	number, err := phonenumbers.Parse(to, "")
	if err == phonenumbers.ErrInvalidCountryCode {
		return Recipient{}, badPhone("must be a phone number that begins with a calling code in use")
	}
	address := phonenumbers.Format(number, phonenumbers.E164)
	if err != nil || len(address) > len("+")+maxDigits ||
		phonenumbers.IsPossibleNumberWithReason(number) != phonenumbers.IS_POSSIBLE {
		return Recipient{}, badPhone("must be a phone number with as many digits as its calling code has")
	}
	if phonenumbers.GetNumberType(number) == phonenumbers.PREMIUM_RATE {
		return Recipient{}, badPhone("must not be a phone number of premium rate")
	}
	// What is left of a number without its trunk prefix can look as if it had another one.
	if again, err := phonenumbers.Parse(address, ""); err != nil || phonenumbers.Format(again, phonenumbers.E164) != address {
		return Recipient{}, badPhone("must be a phone number without prefixes of any network")
	}
	prefix := fmt.Sprintf("+%d", number.GetCountryCode())
	masked := prefix + "•••••••" + address[len(address)-2:]
	return Recipient{Address: address, Masked: masked, Counted: address, Prefix: prefix}, nil
}

func badPhone(reason string) error { return &otp.FieldError{Field: "to", Reason: reason} }
