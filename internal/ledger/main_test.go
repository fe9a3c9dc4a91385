package ledger

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			stopSharedServer()
			os.Exit(code)
		}),
		// It sleeps for up to a second after its client has been closed.
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		// It waits for ever for a client that panicked over a reply, see [Redis.drop].
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*pipe).Close"),
	)
}

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ledger is what a service asks of each.
type ledger interface {
	Attempt(ctx context.Context, v Verification, right bool) (Outcome, error)
	Resend(ctx context.Context, v Verification, cooldown time.Duration) (Outcome, error)
	Revoke(ctx context.Context, v Verification) (Outcome, error)
	State(ctx context.Context, v Verification) (Outcome, error)
	Unlock(ctx context.Context, subject string) (Outcome, error)
	Withdraw(ctx context.Context, v Verification) error
	Refresh(ctx context.Context, v Verification) (Outcome, error)
	Spend(ctx context.Context, key string, now time.Time, windows []Window) (wait time.Duration, refund func(context.Context), err error)
	Reserve(ctx context.Context, key, value string, ttl time.Duration, now time.Time) (held string, err error)
	Settle(ctx context.Context, key, own, value string, ttl time.Duration, now time.Time) error
	Ping(ctx context.Context) error
}

// remembering are the ledgers that the conformance tests hold to one behaviour. A test may find entries
// of other tests in the one it gets.
var remembering = []struct {
	name string
	open func(t testing.TB, throttle Throttle) ledger
}{
	{"memory", func(t testing.TB, throttle Throttle) ledger { return newMemory(t, 1_000_000, throttle) }},
	{"redis", func(t testing.TB, throttle Throttle) ledger { return openReplicas(t, 3, throttle) }},
}

func newMemory(t testing.TB, maxEntries int, throttle Throttle) *Memory {
	t.Helper()
	m := NewMemory(maxEntries, throttle, func() time.Time { return now })
	t.Cleanup(m.Close)
	return m
}

// newVerification returns one that no test had before, of three attempts, for somebody new.
func newVerification() Verification {
	return Verification{
		ID: newID(), Subject: newID(), MaxAttempts: 3, IssuedAt: now, Until: now.Add(15 * time.Minute), Now: now,
	}
}

func newID() string {
	var id [16]byte
	rand.Read(id[:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// operation is a call of one method.
type operation struct {
	name     string // attempt, resend, withdraw, revoke, state, unlock or refresh
	right    bool
	attempts int // that the context tells of
	resends  int
	cooldown time.Duration
	at       time.Duration // when, from now
	issued   time.Duration // when the context's code was, from now
	on       int           // of which of a test's verifications
}

func (op operation) do(l ledger, v Verification) (Outcome, error) {
	v.Attempts, v.Resends = op.attempts, op.resends
	v.Now, v.IssuedAt = v.Now.Add(op.at), v.IssuedAt.Add(op.issued)
	ctx := context.Background()
	switch op.name {
	case "attempt":
		return l.Attempt(ctx, v, op.right)
	case "resend":
		return l.Resend(ctx, v, op.cooldown)
	case "withdraw":
		return Outcome{}, l.Withdraw(ctx, v)
	case "revoke":
		return l.Revoke(ctx, v)
	case "refresh":
		return l.Refresh(ctx, v)
	case "state":
		return l.State(ctx, v)
	case "unlock":
		return l.Unlock(ctx, v.Subject)
	}
	panic(op.name)
}

// Operations with a context that tells of no attempt and no resend.
var (
	right    = operation{name: "attempt", right: true}
	wrong    = operation{name: "attempt"}
	resend   = operation{name: "resend"}
	withdraw = operation{name: "withdraw"}
	revoke   = operation{name: "revoke"}
	state    = operation{name: "state"}
	unlock   = operation{name: "unlock"}
	refresh  = operation{name: "refresh"}
)

func (op operation) after(attempts int) operation { op.attempts = attempts; return op }
func (op operation) of(resends int) operation     { op.resends = resends; return op }

func (op operation) cooling(d time.Duration) operation  { op.cooldown = d; return op }
func (op operation) later(d time.Duration) operation    { op.at = d; return op }
func (op operation) issuedAt(d time.Duration) operation { op.issued = d; return op }
func (op operation) to(verification int) operation      { op.on = verification; return op }
