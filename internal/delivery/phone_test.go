package delivery

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/otpd/otpd/internal/otp"
)

func TestPhone(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, to, address, masked, prefix string }{
		{"as it is stored", "+4915123456789", "+4915123456789", "+49•••••••89", "+49"},
		{"spaces", "+49 151 23456789", "+4915123456789", "+49•••••••89", "+49"},
		{"parentheses, dots and hyphens", "+1 (202) 555.01-23", "+12025550123", "+1•••••••23", "+1"},
		{"a trunk prefix in parentheses", "+49 (0) 151 23456789", "+4915123456789", "+49•••••••89", "+49"},
		{"a trunk prefix without", "+44 07700 900123", "+447700900123", "+44•••••••23", "+44"},
		{"a zero that is no trunk prefix", "+39 06 12345678", "+390612345678", "+39•••••••78", "+39"},
		{"an area code written in the national way", "+54 11 15 1234 5678", "+5491112345678", "+54•••••••78", "+54"},
		{"the shortest", "+290 4123", "+2904123", "+290•••••••23", "+290"},
		{"a range that is not assigned", "+447700900123", "+447700900123", "+44•••••••23", "+44"},
		{"Twilio's number for tests", "+15005550006", "+15005550006", "+1•••••••06", "+1"},
		{"a satellite", "+870 773 111 632", "+870773111632", "+870•••••••32", "+870"},
		{"the longest", "+4915123456789012"[:16], "+491512345678901", "+49•••••••01", "+49"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := Recipient{Address: test.address, Masked: test.masked, Counted: test.address, Prefix: test.prefix}
			for _, to := range []string{test.to, test.address} {
				if got, err := parsePhone(to); got != want || err != nil {
					t.Errorf("%q is %+v: %v", to, got, err)
				}
			}
		})
	}
}

func TestPhoneRefused(t *testing.T) {
	t.Parallel()
	const form, code, digits, premium, prefixes = "international form", "calling code in use", "as many digits", "premium", "prefixes"
	tests := []struct{ name, to, reason string }{
		{"nothing", "", form},
		{"no plus sign", "4915123456789", form},
		{"national", "0151 23456789", form},
		{"an exit code", "0049 151 23456789", form},
		{"two plus signs", "++4915123456789", form},
		{"a plus sign later", "+49+15123456789", form},
		{"a full-width plus sign", "＋4915123456789", form},
		{"digits of another script", "+٤٩١٥١٢٣٤٥٦٧٨٩", form},
		{"letters", "+1 800 FLOWERS", form},
		{"an extension", "+12025550123 ext. 4", form},
		{"an extension of RFC 3966", "+12025550123;ext=4", form},
		{"a pause", "+12025550123,4", form},
		{"a line break", "+4915123456789\r\n", form},
		{"a second number", "+4915123456789/+4915123456780", form},
		{"very long", "+49151" + strings.Repeat(" ", 40) + "23456789", form},
		{"only punctuation", "+ (-).", digits},
		{"an unused calling code", "+999 12345678", code},
		{"zero as a calling code", "+0 151 23456789", code},
		{"short", "+49 1", digits},
		{"an emergency number", "+49 110", digits},
		{"a short code", "+1 12345", digits},
		{"long", "+1 202 555 01234", digits},
		{"longer than any", "+49 15123456789012", digits},
		{"local only", "+1 555 0123", digits},
		{"premium rate", "+1 900 555 0123", premium},
		{"premium rate of a country", "+44 909 879 0123", premium},
		{"premium rate of no country", "+979 123 456 789", premium},
		{"a number after another exit code", "+49 0049 151 2345", prefixes},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := parsePhone(test.to)
			field, ok := errors.AsType[*otp.FieldError](err)
			if !ok || field.Field != "to" || !strings.Contains(field.Reason, test.reason) || got != (Recipient{}) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

var addressForm = regexp.MustCompile(`^\+[1-9][0-9]{4,14}$`)

// FuzzPhone reads anything as a phone number. What is accepted must be read as the same when it is read again, as a
// resend does, and must not be shown.
func FuzzPhone(f *testing.F) {
	for _, to := range []string{
		"+4915123456789", "+1 (202) 555-0123", "+49 (0)151 23456789", "+49 0049 151 23456789", "+39 06 12345678",
		"+54 11 15 1234 5678", "+55 015 11 91234 5678", "+8001234567 8", "+979123456789", "+7 8 912 345 67 89", "+(", "", "\xff",
	} {
		f.Add(to)
	}
	f.Fuzz(func(t *testing.T, to string) {
		r, err := parsePhone(to)
		if err != nil {
			if field, ok := errors.AsType[*otp.FieldError](err); !ok || field.Field != "to" || r != (Recipient{}) {
				t.Errorf("%q: %+v, %v", to, r, err)
			}
			return
		}
		again, err := parsePhone(r.Address)
		if again != r || err != nil {
			t.Errorf("%q is %+v, and that is %+v: %v", to, r, again, err)
		}
		hidden := strings.TrimPrefix(r.Address, r.Prefix)
		if !addressForm.MatchString(r.Address) || !strings.HasPrefix(r.Address, r.Prefix) ||
			strings.Contains(r.Masked, hidden) || utf8.RuneCountInString(r.Masked) != len(r.Prefix)+9 {
			t.Errorf("%q is %+v", to, r)
		}
	})
}
