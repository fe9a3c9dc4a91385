package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

type tokenRevokeAnswer struct{}

func (*tokenRevokeAnswer) members(o *object) { o.token("status", "revoked") }

func (a *API) revokeToken(ctx context.Context, caller otp.Caller, q tokenRequest) (*tokenRevokeAnswer, error) {
	if err := require("token", q.Token); err != nil {
		return nil, err
	}
	return &tokenRevokeAnswer{}, a.tokens.Revoke(ctx, caller, q.Token)
}
