package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

type resendRequest struct {
	Context string `json:"context"`
	Purpose string `json:"purpose"`
}

func (a *API) resend(ctx context.Context, caller otp.Caller, q resendRequest) (*issuedAnswer, error) {
	if err := require("context", q.Context); err != nil {
		return nil, err
	}
	issued, err := a.service.Resend(ctx, caller, otp.ResendRequest(q))
	return (*issuedAnswer)(&issued), err
}
