package httpapi

import (
	"context"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

type inspectAnswer struct {
	ID                string    `json:"id"`
	Purpose           string    `json:"purpose"`
	State             string    `json:"state"`
	AttemptsRemaining int       `json:"attempts_remaining"`
	ExpiresAt         time.Time `json:"expires_at"`
	SessionExpiresAt  time.Time `json:"session_expires_at"`
	Resends           int       `json:"resends"`
}

func (a *API) inspect(ctx context.Context, caller otp.Caller, q contextRequest) (inspectAnswer, error) {
	if err := require("context", q.Context); err != nil {
		return inspectAnswer{}, err
	}
	inspected, err := a.service.Inspect(ctx, caller, q.Context)
	return inspectAnswer(inspected), err
}
