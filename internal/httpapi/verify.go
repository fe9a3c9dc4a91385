package httpapi

import (
	"context"
	"fmt"

	"github.com/otpd/otpd/internal/challenge"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

// maxTypedOTP bounds what may be typed for a code, in bytes: the longest code with generous spacing.
const maxTypedOTP = 128

type verifyRequest struct {
	OTP        string  `json:"otp"`
	Context    string  `json:"context"`
	Identifier *string `json:"identifier"`
	Purpose    string  `json:"purpose"`
	Binding    string  `json:"binding"`
	Issue      string  `json:"issue"`
}

type verifyAnswer struct {
	otp.Verified
	tokens *token.Tokens // nil if none were asked for
}

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
	writeSource(o, a.Source)
	if a.tokens != nil {
		writeTokens(o, a.tokens)
	}
}

// writeSource adds where the user came from, if that is known.
func writeSource(o *object, s *otp.Source) {
	if s == nil {
		return
	}
	o.name("source")
	inner := object{data: append(o.data, '{'), begun: len(o.data) + 1}
	inner.text("url", s.URL)
	inner.token("category", s.Category)
	inner.text("name", s.Name)
	o.data = append(inner.data, '}')
}

func (a *API) verify(ctx context.Context, caller otp.Caller, q verifyRequest) (*verifyAnswer, error) {
	if err := require("otp", q.OTP, "context", q.Context); err != nil {
		return nil, err
	}
	if err := checkTyped("otp", q.OTP); err != nil {
		return nil, err
	}
	if err := a.mayIssue(q.Issue); err != nil {
		return nil, err
	}
	verified, err := a.service.Verify(ctx, caller, otp.VerifyRequest{
		OTP: q.OTP, Context: q.Context, Identifier: q.Identifier, Purpose: q.Purpose, Binding: q.Binding,
		NeedsIdentifier: q.Issue != "",
	})
	if err != nil || q.Issue == "" {
		return &verifyAnswer{Verified: verified}, err
	}
	tokens, err := a.tokens.Issue(caller, token.Login{
		Subject: *verified.Identifier, Purpose: verified.Purpose, Methods: challenge.Methods(nil),
		At: verified.VerifiedAt, VerificationID: verified.ID,
	})
	return &verifyAnswer{verified, &tokens}, err
}

func checkTyped(field, code string) error {
	if len(code) > maxTypedOTP {
		return &otp.FieldError{Field: field, Reason: fmt.Sprintf("must be at most %d bytes", maxTypedOTP)}
	}
	return nil
}
