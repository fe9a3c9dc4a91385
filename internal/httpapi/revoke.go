package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// contextRequest asks for revoke and inspect.
type contextRequest struct {
	Context string `json:"context"`
}

// revokeAnswer is the id of what was revoked.
type revokeAnswer string

func (a revokeAnswer) members(o *object) {
	o.token("status", "revoked")
	o.token("id", string(a))
}

func (a *API) revoke(ctx context.Context, caller otp.Caller, q contextRequest) (revokeAnswer, error) {
	if err := require("context", q.Context); err != nil {
		return "", err
	}
	id, err := a.service.Revoke(ctx, caller, q.Context)
	return revokeAnswer(id), err
}
