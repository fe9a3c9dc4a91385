package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

type resendRequest struct {
	idempotent
	Context string `json:"context"`
	Purpose string `json:"purpose"`
}

func (a *API) resend(ctx context.Context, caller otp.Caller, q resendRequest) (*sentAnswer, error) {
	if err := require("context", q.Context); err != nil {
		return nil, err
	}
	key, err := idempotency("/v1/otp/resend", q.Key, q)
	if err != nil {
		return nil, err
	}
	sent, err := a.delivery.Resend(ctx, caller, key, otp.ResendRequest{Context: q.Context, Purpose: q.Purpose})
	return (*sentAnswer)(&sent), err
}
