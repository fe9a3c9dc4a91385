package delivery

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Idempotency makes a request that is sent again have no further effect.
type Idempotency struct {
	Key     string // the caller's, 1 to MaxKey visible characters of ASCII; empty if it may have one
	Request []byte // all that makes the request another one
}

// MaxKey is the length of an idempotency key, in characters.
const MaxKey = 255

const (
	receiptFor = 10 * time.Minute // that an answer is kept
	pendingFor = 15 * time.Second // that a request may take, which is more than it does
	pending    = "pending "       // what is kept of one under way, before a random text
)

// once answers a request as do does, or as it did to the same request in the last ten minutes. An error is not
// kept: what has failed may be tried again.
func (s *Service) once(ctx context.Context, caller otp.Caller, i Idempotency, do func() (Sent, error)) (Sent, error) {
	if i.Key == "" {
		return do()
	}
	if err := checkKey(i.Key); err != nil {
		return Sent{}, err
	}
	key, own := s.key(caller, "idempotency\x00"+i.Key), pending+rand.Text()
	held, err := s.cfg.Ledger.Reserve(ctx, key, own, pendingFor, s.cfg.Now())
	switch {
	case err != nil:
		return Sent{}, fmt.Errorf("%w: %w", otp.ErrLedgerUnavailable, err)
	case held == "":
		return Sent{}, otp.ErrLedgerDisabled
	case held != own:
		return s.recall(held, s.key(caller, string(i.Request)))
	}
	sent, err := do()
	kept := ""
	if err == nil {
		kept, err = s.receipt(sent, s.key(caller, string(i.Request)))
	}
	// If the ledger does not answer to this, the request may be sent again once pendingFor is over. The recipient's
	// limits are what it meets then.
	_ = s.cfg.Ledger.Settle(ctx, key, own, kept, receiptFor, s.cfg.Now())
	return sent, err
}

func checkKey(key string) error {
	isOther := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(key) > MaxKey || strings.ContainsFunc(key, isOther) {
		return &otp.FieldError{
			Field: "Idempotency-Key", Reason: fmt.Sprintf("must be 1 to %d visible characters of ASCII", MaxKey),
		}
	}
	return nil
}

// receipt is what is kept of an answer, sealed: whoever can look at the ledger learns nothing. The context, which
// is sealed already, is kept beside it, or the two could be longer than a token may be.
type receipt struct {
	Request string `json:"request"` // a keyed hash
	Sent    Sent   `json:"sent"`
}

func (s *Service) receipt(sent Sent, request string) (string, error) {
	token := sent.Context
	sent.Context = ""
	data, err := json.Marshal(receipt{request, sent})
	if err != nil {
		return "", err
	}
	sealed, err := s.cfg.Sealer.SealAs(otpcontext.Receipt, data, s.cfg.Now())
	return sealed + " " + token, err
}

// recall returns the answer that is kept, if it is one to the same request.
func (s *Service) recall(held, request string) (Sent, error) {
	if strings.HasPrefix(held, pending) {
		return Sent{}, ErrKeyInUse
	}
	sealed, token, _ := strings.Cut(held, " ")
	data, _, err := s.cfg.Sealer.OpenAs(otpcontext.Receipt, sealed)
	if err != nil {
		return Sent{}, fmt.Errorf("%w: what it keeps is no receipt", otp.ErrLedgerUnavailable)
	}
	var kept receipt
	if err := json.Unmarshal(data, &kept); err != nil {
		return Sent{}, err
	}
	if kept.Request != request {
		return Sent{}, ErrKeyReused
	}
	kept.Sent.Context = token
	return kept.Sent, nil
}
