package httpapi

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/otpd/otpd"
	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

// everyFailure returns one error for each way in which a request can fail.
func everyFailure() []error {
	all := []error{
		&otp.WrongCodeError{Context: "c", AttemptsRemaining: 2}, &otp.CooldownError{RetryAfter: 30 * time.Second},
		&otp.ThrottledError{RetryAfter: time.Second}, &otp.ThrottledError{RetryAfter: 2 * time.Second},
		&device.WrongCodeError{Device: "d"}, &device.WrongCodeError{Devices: []string{"d"}},
		&delivery.LimitError{RetryAfter: time.Minute},
		&delivery.Failure{Permanent: true, Reason: "the mail server refused the recipient (550 5.1.1)"},
		&delivery.Failure{Reason: "the mail server refused the recipient (451 4.3.0)"},
		device.ErrInvalid, &device.InvalidError{Index: 1}, &bodyTooLargeError{maxBody}, &bodyTooLargeError{maxResealBody},
		&otp.FieldError{Field: "length", Reason: "must be 6 to 12"}, &missingFieldsError{[]string{"context"}},
		errors.New("anything else"),
	}
	for _, f := range failures {
		all = append(all, f.err)
	}
	return all
}

// contractParts is what of openapi.yaml is compared with the code.
type contractParts struct {
	Components struct {
		Schemas struct {
			ErrorCode struct {
				Enum []string `yaml:"enum"`
			} `yaml:"ErrorCode"`
		} `yaml:"schemas"`
		Examples map[string]struct {
			Value map[string]any `yaml:"value"`
		} `yaml:"examples"`
	} `yaml:"components"`
}

func readContract(t *testing.T) (c contractParts) {
	t.Helper()
	if err := yaml.Unmarshal(otpd.OpenAPI, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContractHasExactlyTheErrorCodes(t *testing.T) {
	var got []string
	for _, err := range everyFailure() {
		_, answer := describe(err)
		got = append(got, answer.ErrorCode)
	}
	want := readContract(t).Components.Schemas.ErrorCode.Enum
	slices.Sort(got)
	got = slices.Compact(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the code has %v\nthe contract has %v", got, want)
	}
}

// The texts in the examples must stay those that the service gives, or they are no answers of its own.
func TestContractExamplesHaveTheTextsOfErrors(t *testing.T) {
	texts := make(map[any][]any)
	for _, err := range everyFailure() {
		_, answer := describe(err)
		texts[answer.ErrorCode] = append(texts[answer.ErrorCode], answer.Error)
	}
	compared := 0
	for name, example := range readContract(t).Components.Examples {
		code, isError := example.Value["error_code"]
		if !isError || code == "INVALID_REQUEST" { // whose text depends on the field
			continue
		}
		compared++
		if !slices.Contains(texts[code], example.Value["error"]) {
			t.Errorf("example %s says %q, the service %q", name, example.Value["error"], texts[code])
		}
	}
	if compared < len(failures) {
		t.Errorf("compared %d examples, want one for each of %d errors at least", compared, len(failures))
	}
}
