package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

type refreshRequest struct {
	RefreshToken string `json:"refresh_token"`
}

type tokensAnswer token.Tokens

func (a *tokensAnswer) members(o *object) { writeTokens(o, (*token.Tokens)(a)) }

func (a *API) refresh(ctx context.Context, caller otp.Caller, q refreshRequest) (*tokensAnswer, error) {
	if err := require("refresh_token", q.RefreshToken); err != nil {
		return nil, err
	}
	tokens, err := a.tokens.Refresh(ctx, caller, q.RefreshToken)
	return (*tokensAnswer)(&tokens), err
}
