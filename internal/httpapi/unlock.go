package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

type unlockRequest struct {
	Identifier string `json:"identifier"`
}

type unlockAnswer struct{}

func (unlockAnswer) members(o *object) { o.token("status", "unlocked") }

func (a *API) unlock(ctx context.Context, caller otp.Caller, q unlockRequest) (unlockAnswer, error) {
	if err := require("identifier", q.Identifier); err != nil {
		return unlockAnswer{}, err
	}
	return unlockAnswer{}, a.service.Unlock(ctx, caller, q.Identifier)
}
