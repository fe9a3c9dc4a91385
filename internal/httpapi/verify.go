package httpapi

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

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

type verifyAnswer struct {
	Status     string         `json:"status"`
	ID         string         `json:"id"`
	Identifier *string        `json:"identifier"`
	Metadata   jsontext.Value `json:"metadata"`
	Purpose    string         `json:"purpose"`
	RetryCount int            `json:"retry_count"`
	IssuedAt   time.Time      `json:"issued_at"`
	VerifiedAt time.Time      `json:"verified_at"`
}

func (a *API) verify(ctx context.Context, caller otp.Caller, q verifyRequest) (verifyAnswer, error) {
	if err := require("otp", q.OTP, "context", q.Context); err != nil {
		return verifyAnswer{}, err
	}
	if len(q.OTP) > maxTypedOTP {
		return verifyAnswer{}, &otp.FieldError{Field: "otp", Reason: "must be at most 128 bytes"}
	}
	v, err := a.service.Verify(ctx, caller, otp.VerifyRequest(q))
	return verifyAnswer{
		Status: "verified", ID: v.ID, Identifier: v.Identifier, Metadata: v.Metadata, Purpose: v.Purpose,
		RetryCount: v.RetryCount, IssuedAt: v.IssuedAt, VerifiedAt: v.VerifiedAt,
	}, err
}
