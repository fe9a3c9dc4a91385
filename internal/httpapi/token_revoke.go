package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

func (a *API) revokeToken(ctx context.Context, caller otp.Caller, q tokenRequest) (statusAnswer, error) {
	if err := require("token", q.Token); err != nil {
		return "", err
	}
	return "revoked", a.tokens.Revoke(ctx, caller, q.Token)
}
