package httpapi

import (
	"context"
	"fmt"

	"github.com/otpd/otpd/internal/otp"
)

// maxTypedOTP bounds what may be typed for a code, in bytes: the longest code with generous spacing.
const maxTypedOTP = 128

type verifyRequest struct {
	OTP        string  `json:"otp"`
	Context    string  `json:"context"`
	Identifier *string `json:"identifier"`
	Purpose    string  `json:"purpose"`
	Binding    string  `json:"binding"`
}

type verifyAnswer otp.Verified

func (a *verifyAnswer) members(o *object) {
	o.token("status", "verified")
	o.token("id", a.ID)
	if a.Identifier == nil {
		o.raw("identifier", nil)
	} else {
		o.text("identifier", *a.Identifier)
	}
	o.raw("metadata", a.Metadata)
	o.text("purpose", a.Purpose)
	o.count("retry_count", a.RetryCount)
	o.time("issued_at", a.IssuedAt)
	o.time("verified_at", a.VerifiedAt)
}

func (a *API) verify(ctx context.Context, caller otp.Caller, q verifyRequest) (*verifyAnswer, error) {
	if err := require("otp", q.OTP, "context", q.Context); err != nil {
		return nil, err
	}
	if err := checkTyped("otp", q.OTP); err != nil {
		return nil, err
	}
	verified, err := a.service.Verify(ctx, caller, otp.VerifyRequest(q))
	return (*verifyAnswer)(&verified), err
}

func checkTyped(field, code string) error {
	if len(code) > maxTypedOTP {
		return &otp.FieldError{Field: field, Reason: fmt.Sprintf("must be at most %d bytes", maxTypedOTP)}
	}
	return nil
}
