// Package challenge is the second step of a login: whoever has passed the first gets a sealed challenge, and it is
// completed, once, by a code of a device or a mailed code. The package decides what completes a challenge, and
// leaves codes to the packages otp and device. Whoever holds a challenge can neither read nor change it.
package challenge

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

// Why a challenge is refused. Further errors are those of packages otp and device.
var (
	ErrInvalid     = errors.New("challenge: invalid challenge")
	ErrExpired     = errors.New("challenge: expired")
	ErrAlreadyUsed = errors.New("challenge: already used")
)

// MaxMethods is how many methods a request may name.
const MaxMethods = 8

// Config is what a [Service] is made of. Every field but Audit and Now is needed.
type Config struct {
	Sealer  *otpcontext.Sealer
	Ledger  Ledger
	Codes   *otp.Service
	Devices *device.Service
	Expiry  time.Duration // of a challenge

	Audit func(otp.Event)  // is told of each event before its answer leaves; nil for nobody
	Now   func() time.Time // nil for time.Now
}

// Ledger remembers which challenges are completed. Each operation is atomic.
type Ledger interface {
	// Claim uses up a challenge, unless it has been, until release is called.
	Claim(ctx context.Context, v otp.Verification) (outcome otp.Outcome, release func(context.Context), err error)
}

// Service issues and completes challenges. It is safe for concurrent use.
type Service struct{ cfg Config }

// New returns a service, or an error that says what cfg lacks.
func New(cfg Config) (*Service, error) {
	if cfg.Sealer == nil || cfg.Ledger == nil || cfg.Codes == nil || cfg.Devices == nil || cfg.Expiry <= 0 {
		return nil, errors.New("challenge: Sealer, Ledger, Codes, Devices or Expiry is missing")
	}
	if cfg.Audit == nil {
		cfg.Audit = func(otp.Event) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg}, nil
}

// claims is what a challenge says, sealed as JSON. Times are Unix milliseconds.
type claims struct {
	ID         string         `json:"id"`
	Identifier string         `json:"identifier"`
	Metadata   jsontext.Value `json:"metadata,omitzero"`
	Purpose    string         `json:"purpose,omitzero"`
	Methods    []string       `json:"methods,omitzero"`
	Namespace  string         `json:"namespace,omitzero"`
	Subject    string         `json:"subject"` // stands for namespace and identifier in logs
	IssuedAt   int64          `json:"issued_at"`
	ExpiresAt  int64          `json:"expires_at"`
}

// IssueRequest is a request for a challenge.
type IssueRequest struct {
	Identifier string         // who is logging in, 1 to otpcontext.MaxIdentifier bytes
	Metadata   jsontext.Value // any JSON, at most otpcontext.MaxMetadata bytes when compact
	Purpose    string         // at most otpcontext.MaxPurpose bytes
	Methods    []string       // what has been done already, as RFC 8176 names it ("pwd"); at most MaxMethods
}

// Issued is a new challenge.
type Issued struct {
	Challenge string
	ID        string
	ExpiresAt time.Time
}

var methodName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)

// Issue makes a challenge. The error for a value out of its bounds is an [otp.FieldError].
func (s *Service) Issue(caller otp.Caller, r IssueRequest) (Issued, error) {
	now := s.cfg.Now()
	if err := check(r); err != nil {
		return Issued{}, err
	}
	metadata, err := otp.CompactMetadata(r.Metadata)
	if err != nil {
		return Issued{}, err
	}
	c := claims{
		ID: otp.NewID(), Identifier: r.Identifier, Metadata: metadata, Purpose: r.Purpose, Methods: r.Methods,
		Namespace: caller.Namespace, Subject: s.cfg.Sealer.Subject(caller.Namespace, r.Identifier),
		IssuedAt: now.UnixMilli(), ExpiresAt: now.Add(s.cfg.Expiry).UnixMilli(),
	}
	data, err := json.Marshal(c)
	if err != nil {
		return Issued{}, err
	}
	token, err := s.cfg.Sealer.SealAs(otpcontext.Challenge, data, now)
	if err == nil {
		s.record(EventIssued, &c, caller, now)
	}
	return Issued{token, c.ID, time.UnixMilli(c.ExpiresAt).UTC()}, err
}

func check(r IssueRequest) error {
	if r.Identifier == "" {
		return &otp.FieldError{Field: "identifier", Reason: "must not be empty"}
	}
	if err := otp.CheckText("identifier", r.Identifier, otpcontext.MaxIdentifier); err != nil {
		return err
	}
	if err := otp.CheckText("purpose", r.Purpose, otpcontext.MaxPurpose); err != nil {
		return err
	}
	notName := func(method string) bool { return !methodName.MatchString(method) }
	if len(r.Methods) > MaxMethods || slices.ContainsFunc(r.Methods, notName) {
		return &otp.FieldError{
			Field: "methods", Reason: fmt.Sprintf("must be at most %d names of 1 to 32 of A-Z a-z 0-9 . _ -", MaxMethods),
		}
	}
	return nil
}

// CompleteRequest is an attempt at a challenge: with Device and one of OTP and BackupCode, or with Context and OTP.
type CompleteRequest struct {
	Challenge  string
	Device     string
	Context    string
	OTP        string // as typed
	BackupCode string // as typed
	Binding    string // that the context was issued with
}

// Completed is what a right code gives.
type Completed struct {
	ID         string // of the challenge
	Identifier string
	Metadata   jsontext.Value
	Purpose    string
	Methods    []string         // those of the request and what this step adds, as RFC 8176 names it
	Device     *device.Verified // nil if it was a context's code
	Source     *otp.Source      // of the context, nil if it tells of none or if it was a device's code

	CompletedAt time.Time
}

// Complete judges one attempt. What it is made with must be of the challenge's identifier, and a context of its
// purpose, or the error is [otp.ErrContextMismatch]. A challenge is completed once; with a wrong code it stays
// as good as it was.
func (s *Service) Complete(ctx context.Context, caller otp.Caller, r CompleteRequest) (Completed, error) {
	now := s.cfg.Now()
	c, err := s.open(r.Challenge, caller)
	if err != nil {
		return Completed{}, err
	}
	if now.UnixMilli() > c.ExpiresAt {
		return Completed{}, ErrExpired
	}
	// Before the code and whatever it is, so that of several at once no more than one is consumed.
	outcome, release, err := s.cfg.Ledger.Claim(ctx, c.verification(now))
	if err := refusal(outcome, err); err != nil {
		return Completed{}, err
	}
	completed := Completed{
		ID: c.ID, Identifier: c.Identifier, Metadata: c.Metadata, Purpose: c.Purpose, Methods: Methods(c.Methods),
		CompletedAt: otp.Milliseconds(now),
	}
	if completed.Device, completed.Source, err = s.verify(ctx, caller, c, r); err != nil {
		release(ctx)
		return Completed{}, err
	}
	s.record(EventCompleted, c, caller, now)
	return completed, nil
}

// open returns the claims of a challenge that the caller may use.
func (s *Service) open(token string, caller otp.Caller) (*claims, error) {
	data, _, err := s.cfg.Sealer.OpenAs(otpcontext.Challenge, token)
	if err != nil {
		return nil, ErrInvalid
	}
	c := new(claims)
	err = json.Unmarshal(data, c, json.RejectUnknownMembers(true)) // one of a later otpd's may restrict the challenge
	if err != nil || !c.wellFormed() || c.Namespace != "" && c.Namespace != caller.Namespace {
		return nil, ErrInvalid
	}
	return c, nil
}

func (c *claims) wellFormed() bool {
	return otp.IsID(c.ID) && check(IssueRequest{Identifier: c.Identifier, Purpose: c.Purpose, Methods: c.Methods}) == nil
}

// verify judges the code. Of what it returns, one is nil.
func (s *Service) verify(ctx context.Context, caller otp.Caller, c *claims, r CompleteRequest) (*device.Verified, *otp.Source, error) {
	if r.Context != "" {
		verified, err := s.cfg.Codes.Verify(ctx, caller, otp.VerifyRequest{
			OTP: r.OTP, Context: r.Context, Identifier: &c.Identifier, Purpose: c.Purpose, Binding: r.Binding,
		})
		return nil, verified.Source, err
	}
	verified, err := s.cfg.Devices.Verify(ctx, caller, device.VerifyRequest{
		Device: r.Device, Identifier: &c.Identifier, OTP: r.OTP, BackupCode: r.BackupCode,
	})
	return &verified, nil, err
}

// verification returns a challenge as a ledger sees it.
func (c *claims) verification(now time.Time) otp.Verification {
	return otp.Verification{
		ID: c.ID, MaxAttempts: 1, IssuedAt: time.UnixMilli(c.IssuedAt), Until: time.UnixMilli(c.ExpiresAt), Now: now,
	}
}

// refusal puts the answer of the ledger into the domain's terms.
func refusal(outcome otp.Outcome, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", otp.ErrLedgerUnavailable, err)
	case outcome.Verdict == "admitted":
		return nil
	case outcome.Verdict == "used":
		return ErrAlreadyUsed
	}
	return fmt.Errorf("%w: verdict %q", otp.ErrLedgerUnavailable, outcome.Verdict)
}
