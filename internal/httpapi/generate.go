package httpapi

import (
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/otp"
)

type generateRequest struct {
	Identifier           *string        `json:"identifier"`
	Metadata             jsontext.Value `json:"metadata"`
	Purpose              string         `json:"purpose"`
	Binding              string         `json:"binding"`
	Length               *int           `json:"length"`
	Alphabet             string         `json:"alphabet"`
	MaxRetries           *int           `json:"max_retries"`
	ExpirySeconds        *int           `json:"expiry_seconds"`
	SessionExpirySeconds *int           `json:"session_expiry_seconds"`
	Decoy                bool           `json:"decoy"`
}

// issuedAnswer answers generate and resend.
type issuedAnswer struct {
	OTP               string    `json:"otp"`
	Context           string    `json:"context"`
	ID                string    `json:"id"`
	ExpiresAt         time.Time `json:"expires_at"`
	SessionExpiresAt  time.Time `json:"session_expires_at"`
	AttemptsRemaining int       `json:"attempts_remaining"`
}

func (a *API) generate(_ context.Context, caller otp.Caller, q generateRequest) (issuedAnswer, error) {
	issued, err := a.service.Generate(caller, otp.GenerateRequest(q))
	return issuedAnswer(issued), err
}
