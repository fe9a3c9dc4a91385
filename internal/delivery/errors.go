package delivery

import (
	"errors"
	"time"
)

// Why nothing was sent. Beside these there are [*Failure], [*LimitError], and the errors of package otp.
var (
	ErrNotConfigured = errors.New("delivery: channel not configured")
	ErrOverloaded    = errors.New("delivery: too many deliveries of the channel are under way")
	ErrKeyReused     = errors.New("delivery: idempotency key of another request")
	ErrKeyInUse      = errors.New("delivery: the request with this idempotency key is under way")
)

// LimitError is the error for one message more than a recipient, or a budget, allows.
type LimitError struct{ RetryAfter time.Duration }

func (*LimitError) Error() string { return "delivery: send limit exceeded" }
