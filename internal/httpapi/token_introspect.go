package httpapi

import (
	"context"

	"github.com/go-json-experiment/json"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

// tokenRequest also is for revoke. The hint, which RFC 7662 §2.1 and RFC 7009 §2.1 let clients give, is not needed.
type tokenRequest struct {
	Token         string `json:"token"`
	TokenTypeHint string `json:"token_type_hint"`
}

type introspectAnswer token.Introspection

func (a *introspectAnswer) members(o *object) {
	o.flag("active", a.Active)
	if !a.Active {
		return
	}
	o.text("sub", a.Subject)
	o.count("exp", int(a.ExpiresAt.Unix()))
	o.count("iat", int(a.IssuedAt.Unix()))
	methods, _ := json.Marshal(a.Methods) // unlike a challenge's, those of a token may be any text
	o.raw("amr", methods)
	o.token("token_type", a.TokenType)
	if a.Purpose != "" {
		o.text("purpose", a.Purpose)
	}
}

func (a *API) introspect(ctx context.Context, caller otp.Caller, q tokenRequest) (*introspectAnswer, error) {
	if err := require("token", q.Token); err != nil {
		return nil, err
	}
	found, err := a.tokens.Introspect(ctx, caller, q.Token)
	return (*introspectAnswer)(&found), err
}
