package token

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ledger.None{})
	for _, test := range []struct {
		names string // in the error; empty for none
		edit  func(*Config)
	}{
		{"", func(*Config) {}},
		{"", func(cfg *Config) { *cfg = Config{} }},
		{"", func(cfg *Config) { cfg.Audit, cfg.Now = nil, nil }},
		{"", func(cfg *Config) {
			cfg.Issuer, cfg.Audience = strings.Repeat("a", MaxName), strings.Repeat("a", MaxName)
		}},
		{"", func(cfg *Config) { cfg.AccessLife, cfg.RefreshLife = time.Second, time.Second }},
		{"", func(cfg *Config) { cfg.AccessLife, cfg.RefreshLife = MaxAccessLife, MaxRefreshLife }},
		{"Sealer", func(cfg *Config) { cfg.Sealer = nil }},
		{"Ledger", func(cfg *Config) { cfg.Ledger = nil }},
		{"Keys", func(cfg *Config) { cfg.Keys = new(Keys) }},
		{"Issuer", func(cfg *Config) { cfg.Issuer = "" }},
		{"Issuer", func(cfg *Config) { cfg.Issuer = strings.Repeat("a", MaxName+1) }},
		{"Issuer", func(cfg *Config) { cfg.Issuer = "a\n" }},
		{"Audience", func(cfg *Config) { cfg.Audience = "" }},
		{"Audience", func(cfg *Config) { cfg.Audience = "\xff" }},
		{"RefreshLife", func(cfg *Config) { cfg.RefreshLife = 0 }},
		{"RefreshLife", func(cfg *Config) { cfg.RefreshLife = MaxRefreshLife + time.Second }},
		{"RefreshLife", func(cfg *Config) { cfg.RefreshLife += time.Millisecond }},
		{"AccessLife", func(cfg *Config) { cfg.AccessLife = 0 }},
		{"AccessLife", func(cfg *Config) { cfg.AccessLife = -time.Second }},
		{"AccessLife", func(cfg *Config) { cfg.AccessLife = time.Millisecond }},
		{"AccessLife", func(cfg *Config) { cfg.AccessLife = MaxAccessLife + time.Second }},
		{"AccessLife", func(cfg *Config) { cfg.RefreshLife = cfg.AccessLife - time.Second }},
	} {
		cfg := f.cfg
		test.edit(&cfg)
		_, err := New(cfg)
		if test.names == "" && err != nil || test.names != "" && (err == nil || !strings.Contains(err.Error(), test.names)) {
			t.Errorf("%v, want %q", err, test.names)
		}
	}
}

func TestWithoutKeysThereAreNoTokens(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newMemory(t))
	tokens := f.mustIssue(t)
	f.wantEvents(t, "before", EventLoginSucceeded)
	disabled, err := New(Config{Audit: f.audit})
	if err != nil {
		t.Fatal(err)
	}
	_, issued := disabled.Issue(f.caller, f.login())
	_, refreshed := disabled.Refresh(context.Background(), f.caller, tokens.Refresh)
	_, introspected := disabled.Introspect(context.Background(), f.caller, tokens.Access)
	revoked := disabled.Revoke(context.Background(), f.caller, tokens.Refresh)
	for operation, err := range map[string]error{
		"Enabled": disabled.Enabled(), "Issue": issued, "Refresh": refreshed, "Introspect": introspected, "Revoke": revoked,
	} {
		if err != ErrDisabled {
			t.Errorf("%s: %v", operation, err)
		}
	}
	if jwks := string(disabled.JWKS()); jwks != `{"keys":[]}` {
		t.Errorf("the keys are %s", jwks)
	}
	f.wantEvents(t, "disabled")
	if err := f.Enabled(); err != nil {
		t.Errorf("with keys: %v", err)
	}
	f.mustRefresh(t, tokens.Refresh) // nothing was consumed
}

// What the ledger does not say for certain is an error for every token that it is asked about.
func TestALedgerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	for _, test := range []struct {
		outcome otp.Outcome
		err     error
	}{
		{otp.Outcome{}, down},
		{otp.Outcome{Verdict: "admitted"}, down},
		{otp.Outcome{Verdict: "revoked"}, down},
		{otp.Outcome{}, nil},
		{otp.Outcome{Verdict: "used"}, nil},
		{otp.Outcome{Verdict: "exhausted"}, nil},
		{otp.Outcome{Verdict: "Admitted"}, nil},
	} {
		f := newFixture(t, &stubLedger{outcome: test.outcome, err: test.err})
		tokens := f.mustIssue(t) // which needs no ledger
		f.wantEvents(t, "Issue", EventLoginSucceeded)
		var errs []error
		_, err := f.refresh(tokens.Refresh)
		errs = append(errs, err)
		for _, token := range []string{tokens.Access, tokens.Refresh} {
			found, err := f.Introspect(context.Background(), f.caller, token)
			if found.Active {
				t.Errorf("%+v: %+v", test, found)
			}
			errs = append(errs, err, f.Revoke(context.Background(), f.caller, token))
		}
		for _, err := range errs {
			if !errors.Is(err, otp.ErrLedgerUnavailable) || !errors.Is(err, test.err) && test.err != nil {
				t.Errorf("%+v: %v", test, err)
			}
		}
		f.wantEvents(t, "no answer")
	}
}
