package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// contextRequest asks for revoke and inspect.
type contextRequest struct {
	Context string `json:"context"`
}

type revokeAnswer struct {
	Status string `json:"status"`
	ID     string `json:"id"`
}

func (a *API) revoke(ctx context.Context, caller otp.Caller, q contextRequest) (revokeAnswer, error) {
	if err := require("context", q.Context); err != nil {
		return revokeAnswer{}, err
	}
	id, err := a.service.Revoke(ctx, caller, q.Context)
	return revokeAnswer{Status: "revoked", ID: id}, err
}
