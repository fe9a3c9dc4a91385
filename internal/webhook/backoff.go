package webhook

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait before the next try: twice as long after each failure, from Least to Most, and of that
// at random between a half and all, so that senders that failed together do not come back together.
type Backoff struct{ Least, Most time.Duration }

// Wait waits after the given number of failures, from 1, and for as long as the last of them asks. It reports whether
// a try is due; it is not if ctx ends before, and then Wait does not wait for that.
func (b Backoff) Wait(ctx context.Context, failures int, last *Failure) bool {
	wait := max(b.after(failures), last.RetryAfter)
	if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) <= wait {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b Backoff) after(failures int) time.Duration {
	wait := b.Most
	if doublings := failures - 1; doublings < 16 { // more would overflow
		wait = min(b.Least<<doublings, b.Most)
	}
	return wait/2 + rand.N(wait/2+1)
}
