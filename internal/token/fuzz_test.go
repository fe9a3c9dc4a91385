package token

import (
	"context"
	_ "embed" // of tokens
	"slices"
	"testing"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

// What an earlier otpd has issued, under the sealing key of these tests and the key of RFC 8037. It must stay good,
// and is the same in each of the processes that fuzz.
var (
	//go:embed testdata/access.txt
	issuedAccess string
	//go:embed testdata/refresh.txt
	issuedRefresh string
)

func issuedFixture(t testing.TB, l Ledger) *fixture {
	t.Helper()
	f := newFixture(t, l)
	set, err := ParseKeys(rfc8037Key(t))
	if err != nil {
		t.Fatal(err)
	}
	f.keys.Use(set)
	return f
}

func TestTokensOfAnEarlierOtpd(t *testing.T) {
	t.Parallel()
	f := issuedFixture(t, ledger.None{})
	for _, token := range []string{issuedAccess, issuedRefresh} {
		if found := f.introspect(t, token); !found.Active || found.Subject != ann || found.Purpose != "login" || !slices.Equal(found.Methods, []string{"pwd", "otp", "mfa"}) {
			t.Errorf("%+v", found)
		}
	}
	f.wantActive(t, "refreshed", f.mustRefresh(t, issuedRefresh).Access, true)
}

// No text but the two that were issued is a token.
func FuzzTokens(f *testing.F) {
	fix := issuedFixture(f, &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}})
	header, claims := segments(f, issuedAccess)
	for _, seed := range []string{
		issuedAccess, issuedRefresh, issuedAccess + "\n", issuedAccess[:len(issuedAccess)-1] + "A", header, claims, "..", "",
		forge(f, header, claims, byNobody), issuedAccess + "." + issuedRefresh,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found, err := fix.Introspect(context.Background(), fix.caller, text)
		if issued := text == issuedAccess || text == issuedRefresh; err != nil || found.Active != issued {
			t.Errorf("%+v, %v", found, err)
		}
		if _, err := fix.refresh(text); text != issuedRefresh && err != ErrInvalid {
			t.Errorf("Refresh: %v", err)
		}
		if err := fix.Revoke(context.Background(), fix.caller, text); err != nil {
			t.Errorf("Revoke: %v", err)
		}
	})
}

// Whatever a key has signed or sealed brings nothing down, and has a time at which it expires.
func FuzzClaims(f *testing.F) {
	fix := newFixture(f, ledger.None{})
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
