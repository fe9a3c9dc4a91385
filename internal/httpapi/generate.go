package httpapi

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/otp"
)

type generateRequest struct {
	Identifier           *string        `json:"identifier"`
	Metadata             jsontext.Value `json:"metadata"`
	Purpose              string         `json:"purpose"`
	Binding              string         `json:"binding"`
	Length               *int           `json:"length"`
	Alphabet             *string        `json:"alphabet"`
	MaxRetries           *int           `json:"max_retries"`
	ExpirySeconds        *int           `json:"expiry_seconds"`
	SessionExpirySeconds *int           `json:"session_expiry_seconds"`
	Decoy                bool           `json:"decoy"`
	SourceURL            string         `json:"source_url"`
}

type issuedAnswer otp.Issued

func (a *issuedAnswer) members(o *object) {
	o.token("otp", a.OTP)
	o.token("context", a.Context)
	o.token("id", a.ID)
	o.time("expires_at", a.ExpiresAt)
	o.time("session_expires_at", a.SessionExpiresAt)
	o.count("attempts_remaining", a.AttemptsRemaining)
}

func (a *API) generate(_ context.Context, caller otp.Caller, q generateRequest) (*issuedAnswer, error) {
	issued, err := a.service.Generate(caller, otp.GenerateRequest(q))
	return (*issuedAnswer)(&issued), err
}
