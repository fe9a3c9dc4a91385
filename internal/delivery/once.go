package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Idempotency makes a request that is sent again have no further effect.
type Idempotency struct {
	Key     string // the caller's, 1 to MaxKey visible characters of ASCII; empty if it has none
	Request []byte // all that makes the request another one
}

// MaxKey is the length of an idempotency key, in characters.
const MaxKey = 255

const (
	receiptFor = 10 * time.Minute // that an answer is kept, or that there is none
	pending    = "pending "       // what is kept of a request under way, before a random text
)

// once answers a request as do does, or as it did to the same request in the last ten minutes. An error is not
// kept, so that what has failed may be tried again, unless the code may have been sent all the same.
func (s *Service) once(ctx context.Context, caller otp.Caller, i Idempotency, do func() (Sent, error)) (Sent, error) {
	if i.Key == "" {
		return do()
	}
	if err := checkKey(i.Key); err != nil {
		return Sent{}, err
	}
	key, own := s.key(caller, "idempotency\x00"+i.Key), pending+rand.Text()
	held, err := s.cfg.Ledger.Reserve(ctx, key, own, receiptFor, s.cfg.Now())
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
	failure, failed := errors.AsType[*Failure](err)
	if err == nil || failed && failure.Unknown {
		var errSeal error
		if kept, errSeal = s.receipt(receipt{s.key(caller, string(i.Request)), sent, failure}); errSeal != nil {
			return Sent{}, errSeal
		}
	}
	// If the ledger does not answer to this, the key stays in use, and nothing is sent twice.
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
	Request string   `json:"request"` // a keyed hash
	Sent    Sent     `json:"sent,omitzero"`
	Failure *Failure `json:"failure,omitzero"`
}

func (s *Service) receipt(r receipt) (string, error) {
	token := r.Sent.Context
	r.Sent.Context = ""
	data, err := json.Marshal(r)
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
	if kept.Failure != nil {
		return Sent{}, kept.Failure
	}
	kept.Sent.Context = token
	return kept.Sent, nil
}
