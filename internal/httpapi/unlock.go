package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

type unlockRequest struct {
	Identifier string `json:"identifier"`
}

func (a *API) unlock(ctx context.Context, caller otp.Caller, q unlockRequest) (statusAnswer, error) {
	if err := require("identifier", q.Identifier); err != nil {
		return "", err
	}
	return "unlocked", a.service.Unlock(ctx, caller, q.Identifier)
}
