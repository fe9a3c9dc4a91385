package token

import (
	"time"

	"github.com/go-json-experiment/json"

	"github.com/otpd/otpd/internal/otp"
)

// maxAccess bounds the text of an access token, in bytes. None that is issued comes near.
const maxAccess = 8 << 10

// accessClaims is what an access token says, as RFC 9068 §2.2 names it. Times are Unix seconds.
type accessClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	ClientID  string   `json:"client_id,omitzero"` // the namespace
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	ExpiresAt int64    `json:"exp"`
	ID        string   `json:"jti"`
	Family    string   `json:"sid"`
	Methods   []string `json:"amr,omitempty"`
	AuthTime  int64    `json:"auth_time"`
	Purpose   string   `json:"purpose,omitzero"`
}

// signAccess returns a new access token of g's family.
func (s *Service) signAccess(g *grant, now time.Time) (string, error) {
	payload, err := json.Marshal(accessClaims{
		Issuer: s.cfg.Issuer, Subject: g.Subject, Audience: s.cfg.Audience, ClientID: g.Namespace,
		IssuedAt: now.Unix(), NotBefore: now.Unix(), ExpiresAt: now.Add(s.cfg.AccessLife).Unix(),
		ID: otp.NewID(), Family: g.Family, Methods: g.Methods, AuthTime: g.AuthTime, Purpose: g.Purpose,
	})
	if err != nil {
		return "", err
	}
	return s.cfg.Keys.current.Load().signs.sign(payload)
}

// openAccess returns what an access token says, whether or not it has expired, or nil if it is none.
func (s *Service) openAccess(text string) *grant {
	if len(text) > maxAccess {
		return nil
	}
	payload, ok := s.cfg.Keys.current.Load().open(text)
	if !ok {
		return nil
	}
	var c accessClaims
	err := json.Unmarshal(payload, &c, json.RejectUnknownMembers(true)) // one of a later otpd's may restrict the token
	if err != nil || c.Issuer != s.cfg.Issuer || c.Audience != s.cfg.Audience || !otp.IsID(c.Family) {
		return nil
	}
	return &grant{
		tokenType: Bearer, notBefore: c.NotBefore,
		Family: c.Family, Subject: c.Subject, Purpose: c.Purpose, Methods: c.Methods, AuthTime: c.AuthTime,
		Namespace: c.ClientID, IdentifierHash: s.cfg.Sealer.Subject(c.ClientID, c.Subject),
		IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt,
	}
}
