package delivery

import (
	"context"
	"time"
)

// Ledger remembers who was written to, and which request was answered how. Each operation is atomic. An error means
// that nothing is known and nothing may be sent. A ledger that keeps nothing admits every Spend, and Reserve returns
// an empty text.
type Ledger interface {
	// Spend counts one more of a key if none of windows is full, until refund is called, and else says for how long
	// to wait.
	Spend(ctx context.Context, key string, now time.Time, windows []Window) (wait time.Duration, refund func(context.Context), err error)
	// Reserve keeps value under key for ttl, unless another is kept there, and returns the one that is.
	Reserve(ctx context.Context, key, value string, ttl time.Duration, now time.Time) (held string, err error)
	// Settle replaces own, if key still has it, by value for ttl; an empty value forgets it.
	Settle(ctx context.Context, key, own, value string, ttl time.Duration, now time.Time) error
}

// Window allows so many in any time so long. It is an alias of an unnamed struct so that a ledger can name the same
// type without importing this package.
type Window = struct {
	Most int
	Per  time.Duration
}
