package httpapi

import (
	"cmp"
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/challenge"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

type challengeRequest struct {
	Identifier string         `json:"identifier"`
	Metadata   jsontext.Value `json:"metadata"`
	Purpose    string         `json:"purpose"`
	Methods    []string       `json:"methods"`
}

type challengeAnswer challenge.Issued

func (a *challengeAnswer) members(o *object) {
	o.token("challenge", a.Challenge)
	o.token("id", a.ID)
	o.time("expires_at", a.ExpiresAt)
}

func (a *API) issueChallenge(_ context.Context, caller otp.Caller, q challengeRequest) (*challengeAnswer, error) {
	if err := require("identifier", q.Identifier); err != nil {
		return nil, err
	}
	issued, err := a.challenges.Issue(caller, challenge.IssueRequest(q))
	return (*challengeAnswer)(&issued), err
}

type completeRequest struct {
	Challenge  string `json:"challenge"`
	Device     string `json:"device"`
	Context    string `json:"context"`
	OTP        string `json:"otp"`
	BackupCode string `json:"backup_code"`
	Binding    string `json:"binding"`
	Issue      string `json:"issue"`
}

type completeAnswer struct {
	challenge.Completed
	tokens *token.Tokens // nil if none were asked for
}

func (a *completeAnswer) members(o *object) {
	o.token("status", "verified")
	o.token("id", a.ID)
	o.text("identifier", a.Identifier)
	o.raw("metadata", a.Metadata)
	o.text("purpose", a.Purpose)
	o.tokens("methods", a.Methods)
	if a.Device != nil {
		o.token("device", a.Device.Device)
		o.token("device_id", a.Device.DeviceID)
		writeMethod(o, a.Device)
	}
	writeSource(o, a.Source)
	if a.tokens != nil {
		writeTokens(o, a.tokens)
	}
}

func (a *API) completeChallenge(ctx context.Context, caller otp.Caller, q completeRequest) (*completeAnswer, error) {
	err := require("challenge", q.Challenge, "device", cmp.Or(q.Device, q.Context), "otp", cmp.Or(q.OTP, q.BackupCode))
	if err != nil {
		return nil, err
	}
	if err := checkEither(q.OTP, q.BackupCode); err != nil {
		return nil, err
	}
	for _, both := range []struct{ field, value, with, other string }{
		{"context", q.Context, "device", q.Device},
		{"backup_code", q.BackupCode, "context", q.Context},
		{"binding", q.Binding, "device", q.Device},
	} {
		if both.value != "" && both.other != "" {
			return nil, &otp.FieldError{Field: both.field, Reason: "must not be given together with " + both.with}
		}
	}
	if err := a.mayIssue(q.Issue); err != nil {
		return nil, err
	}
	completed, err := a.challenges.Complete(ctx, caller, challenge.CompleteRequest{
		Challenge: q.Challenge, Device: q.Device, Context: q.Context, OTP: q.OTP, BackupCode: q.BackupCode, Binding: q.Binding,
	})
	if err != nil || q.Issue == "" {
		return &completeAnswer{Completed: completed}, err
	}
	tokens, err := a.tokens.Issue(caller, token.Login{
		Subject: completed.Identifier, Purpose: completed.Purpose, Methods: completed.Methods,
		At: completed.CompletedAt, VerificationID: completed.ID,
	})
	return &completeAnswer{completed, &tokens}, err
}
