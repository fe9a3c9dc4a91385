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
	if len(q.OTP) > maxTypedOTP {
		return nil, &otp.FieldError{Field: "otp", Reason: fmt.Sprintf("must be at most %d bytes", maxTypedOTP)}
	}
	verified, err := a.service.Verify(ctx, caller, otp.VerifyRequest(q))
	return (*verifyAnswer)(&verified), err
}
