package token

import (
	"context"
	"testing"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// No text but the two that were issued is a token.
func FuzzTokens(f *testing.F) {
	stub := &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}}
	fix := newFixture(f, stub, "EdDSA", "ES256", "RS256")
	tokens := fix.mustIssue(f)
	header, claims := segments(f, tokens.Access)
	for _, seed := range []string{
		tokens.Access, tokens.Refresh, tokens.Access + "\n", tokens.Access[:len(tokens.Access)-1] + "A", header, claims, "..", "",
		forge(f, header, claims, byNobody), tokens.Access + "." + tokens.Refresh,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found, err := fix.Introspect(context.Background(), fix.caller, text)
		if issued := text == tokens.Access || text == tokens.Refresh; err != nil || found.Active != issued {
			t.Errorf("%+v, %v", found, err)
		}
		if _, err := fix.refresh(text); text != tokens.Refresh && err != ErrInvalid {
			t.Errorf("Refresh: %v", err)
		}
		if err := fix.Revoke(context.Background(), fix.caller, text); err != nil {
			t.Errorf("Revoke: %v", err)
		}
	})
}

// Whatever a key has signed or sealed brings nothing down, and has a time at which it expires.
func FuzzClaims(f *testing.F) {
	stub := &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}}
	fix := newFixture(f, stub)
	tokens := fix.mustIssue(f)
	header, claims := segments(f, tokens.Access)
	sign := by(privateKey(f, "EdDSA"))
	for _, seed := range []string{claims, fix.sealed(f, tokens.Refresh), "{}", "null", "[]", `{"exp":1e400}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || len(text) > 4096 {
			return
		}
		for _, token := range []string{forge(t, header, text, sign), fix.sealAs(t, otpcontext.Refresh, text)} {
			found, err := fix.Introspect(context.Background(), fix.caller, token)
			if err != nil || found.Active && !found.ExpiresAt.After(start) {
				t.Errorf("%+v, %v", found, err)
			}
			if _, err := fix.refresh(token); err != nil && err != ErrInvalid {
				t.Errorf("Refresh: %v", err)
			}
		}
	})
}
