package httpapi

import (
	"net/http"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

// issueTokens is what a request's field issue asks for.
const issueTokens = "tokens"

// mayIssue returns an error unless what a request asks to be issued can be, before anything is consumed.
func (a *API) mayIssue(issue string) error {
	switch issue {
	case "":
		return nil
	case issueTokens:
		return a.tokens.Enabled()
	}
	return &otp.FieldError{Field: "issue", Reason: "must be tokens"}
}

// writeTokens adds what RFC 6749 §5.1 names.
func writeTokens(o *object, t *token.Tokens) {
	o.token("access_token", t.Access)
	o.token("token_type", "Bearer")
	o.count("expires_in", int(t.ExpiresIn.Seconds()))
	o.token("refresh_token", t.Refresh)
}

// jwks serves the public keys, RFC 7517 §5, to anybody.
func (a *API) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(a.tokens.JWKS())
}
