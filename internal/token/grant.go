package token

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Types of tokens, as introspection names them.
const (
	Bearer  = "Bearer"        // an access token, RFC 6750
	Refresh = "refresh_token" // as RFC 7009 §2.1 calls it; no API may take one
)

// grant is what a token says. A refresh token is one, sealed as JSON. Times are Unix seconds.
type grant struct {
	tokenType string // Bearer or Refresh
	notBefore int64  // of an access token

	Family         string   `json:"family"`              // 22 characters
	Generation     int      `json:"generation,omitzero"` // how many refresh tokens of the family came before
	Subject        string   `json:"subject"`
	Purpose        string   `json:"purpose,omitzero"`
	Methods        []string `json:"methods,omitempty"`
	AuthTime       int64    `json:"auth_time"`
	Namespace      string   `json:"namespace,omitzero"`
	IdentifierHash string   `json:"identifier_hash"` // stands for namespace and subject in logs, over a change of keys
	IssuedAt       int64    `json:"issued_at"`
	ExpiresAt      int64    `json:"expires_at"`
}

// maxGeneration is beyond what a client could come to, and what a ledger takes.
const maxGeneration = 1 << 30

// open returns what a token of either type says that the caller may use, whether or not it has expired, or nil.
func (s *Service) open(text string, caller otp.Caller) *grant {
	open := s.openRefresh
	if strings.Contains(text, ".") { // as in every JWT, and in nothing that is sealed
		open = s.openAccess
	}
	g := open(text)
	if g == nil || g.Namespace != "" && g.Namespace != caller.Namespace {
		return nil
	}
	return g
}

// openRefresh returns what a refresh token says, whether or not it has expired, or nil if it is none.
func (s *Service) openRefresh(text string) *grant {
	data, _, err := s.cfg.Sealer.OpenAs(otpcontext.Refresh, text)
	if err != nil {
		return nil
	}
	g := &grant{tokenType: Refresh}
	err = json.Unmarshal(data, g, json.RejectUnknownMembers(true)) // one of a later otpd's may restrict the token
	if err != nil || !otp.IsID(g.Family) || g.Generation < 0 || g.Generation >= maxGeneration {
		return nil
	}
	return g
}

func (s *Service) sealRefresh(g *grant, now time.Time) (string, error) {
	data, err := json.Marshal(g)
	if err != nil {
		return "", err
	}
	return s.cfg.Sealer.SealAs(otpcontext.Refresh, data, now)
}

// current reports whether a token may be used by its own times. From the moment it expires it may not, RFC 7519 §4.1.4.
func (g *grant) current(now time.Time) bool {
	return now.Add(maxClockSkew).Unix() >= g.notBefore && now.Unix() < g.ExpiresAt
}

// verification returns the family of g as a ledger sees it. It is to be remembered until the newest refresh token of
// the family has expired: that may be another than this one, and issued just now.
func (s *Service) verification(g *grant, now time.Time) otp.Verification {
	newest := max(g.ExpiresAt, now.Add(s.cfg.RefreshLife).Unix())
	return otp.Verification{
		ID: g.Family, Resends: g.Generation, MaxAttempts: 1,
		IssuedAt: time.Unix(g.IssuedAt, 0), Until: time.Unix(newest, 0), Now: now,
	}
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", otp.ErrLedgerUnavailable, err) }

func unexpected(outcome otp.Outcome) error {
	return fmt.Errorf("%w: verdict %q", otp.ErrLedgerUnavailable, outcome.Verdict)
}
