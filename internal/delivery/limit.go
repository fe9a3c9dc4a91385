package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// recipientWindows are how many messages one recipient gets of one namespace over one channel. For a code in place of
// another that went the same way, the cooldown of the verification stands for the first.
var recipientWindows = []Window{{1, time.Minute}, {5, 10 * time.Minute}, {20, 24 * time.Hour}}

// spend counts a message against the recipient's limits and, if it has one, the budget of its prefix, until refund
// is called. Decoys are counted as well: to be limited must not tell them from others.
func (s *Service) spend(ctx context.Context, caller otp.Caller, channel string, r Recipient, again bool, now time.Time) (refund func(context.Context), err error) {
	windows := recipientWindows
	if again {
		windows = windows[1:]
	}
	message, err := s.spendKey(ctx, caller, "recipient\x00"+channel+"\x00"+r.Counted, now, windows)
	if err != nil || r.Prefix == "" || s.cfg.SMSBudget == 0 {
		return message, err
	}
	budget, err := s.spendKey(ctx, caller, "budget\x00"+r.Prefix, now, []Window{{s.cfg.SMSBudget, time.Hour}})
	if err != nil {
		message(ctx)
		return nil, err
	}
	return func(ctx context.Context) {
		message(ctx)
		budget(ctx)
	}, nil
}

func (s *Service) spendKey(ctx context.Context, caller otp.Caller, what string, now time.Time, windows []Window) (func(context.Context), error) {
	wait, refund, err := s.cfg.Ledger.Spend(ctx, s.key(caller, what), now, windows)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", otp.ErrLedgerUnavailable, err)
	case wait > 0:
		return nil, &LimitError{wait}
	}
	return refund, nil
}

// key returns what the ledger has for something in the caller's namespace: a keyed hash. It is no identifier's, as
// those have no control characters.
func (s *Service) key(caller otp.Caller, what string) string {
	return s.cfg.Sealer.Subject(caller.Namespace, "\x00"+what)
}
