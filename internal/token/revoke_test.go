package token

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

// Any token of a family ends all of it, however old it is.
func TestRevoke(t *testing.T) {
	t.Parallel()
	forEachLedger(t, func(t *testing.T, l Ledger, remembers bool) {
		if !remembers {
			return
		}
		for name, choose := range map[string]func(spent, newest Tokens) string{
			"an access token":          func(_, newest Tokens) string { return newest.Access },
			"a refresh token":          func(_, newest Tokens) string { return newest.Refresh },
			"an older access token":    func(spent, _ Tokens) string { return spent.Access },
			"a spent refresh token":    func(spent, _ Tokens) string { return spent.Refresh },
			"an expired access token":  func(spent, _ Tokens) string { return spent.Access },
			"an expired refresh token": func(spent, _ Tokens) string { return spent.Refresh },
		} {
			f := newFixture(t, l)
			spent, bystander := f.mustIssue(t), f.mustIssue(t)
			f.clock = start.Add(refreshLife - time.Second)
			spent2 := f.mustRefresh(t, spent.Refresh)
			bystander = f.mustRefresh(t, bystander.Refresh)
			f.clock = f.clock.Add(accessLife / 2)
			newest := f.mustRefresh(t, spent2.Refresh)
			if name == "an older access token" || name == "a spent refresh token" {
				spent = spent2
			}
			f.wantEvents(t, name, EventLoginSucceeded, EventLoginSucceeded, EventRefreshed, EventRefreshed, EventRefreshed)
			for i := range 2 { // as often as it is asked for
				f.revoke(t, choose(spent, newest))
				f.wantEvents(t, fmt.Sprint(name, " ", i), EventRevoked)
				f.wantActive(t, name+": the access token", newest.Access, false)
				f.wantActive(t, name+": the refresh token", newest.Refresh, false)
				f.wantRefusal(t, name, newest.Refresh, ErrInvalid)
			}
			f.wantActive(t, name+": another login", bystander.Access, true)
			f.wantActive(t, name+": another login", bystander.Refresh, true)
		}
	})
}

func TestRevokeWhereNobodyRemembers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	tokens := f.mustIssue(t)
	for _, token := range []string{tokens.Access, tokens.Refresh} {
		if err := f.Revoke(context.Background(), f.caller, token); err != otp.ErrLedgerDisabled {
			t.Errorf("%v", err)
		}
	}
	f.revoke(t, "anything else")
	f.wantEvents(t, "all of it", EventLoginSucceeded)
	f.mustRefresh(t, tokens.Refresh)
}
