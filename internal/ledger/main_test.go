package ledger

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ledger is what a service asks of each.
type ledger interface {
	Attempt(ctx context.Context, v Verification, right bool) (Outcome, error)
	Resend(ctx context.Context, v Verification) (Outcome, error)
	Revoke(ctx context.Context, v Verification) (Outcome, error)
	State(ctx context.Context, v Verification) (Outcome, error)
	Ping(ctx context.Context) error
}

// remembering are the ledgers that the conformance tests hold to one behaviour. A test may find entries
// of other tests in the one it gets.
var remembering = []struct {
	name string
	open func(t testing.TB) ledger
}{
	{"memory", func(t testing.TB) ledger { return newMemory(t, 1_000_000) }},
}

func newMemory(t testing.TB, maxEntries int) *Memory {
	t.Helper()
	m := NewMemory(maxEntries, func() time.Time { return now })
	t.Cleanup(m.Close)
	return m
}

// newVerification returns one that no test had before, of three attempts.
func newVerification() Verification {
	var id [16]byte
	rand.Read(id[:])
	return Verification{
		ID:          base64.RawURLEncoding.EncodeToString(id[:]),
		MaxAttempts: 3, Until: now.Add(15 * time.Minute), Now: now,
	}
}

// operation is a call of one method.
type operation struct {
	name     string // attempt, resend, revoke or state
	right    bool
	attempts int // that the context tells of
	resends  int
}

func (op operation) do(l ledger, v Verification) (Outcome, error) {
	v.Attempts, v.Resends = op.attempts, op.resends
	ctx := context.Background()
	switch op.name {
	case "attempt":
		return l.Attempt(ctx, v, op.right)
	case "resend":
		return l.Resend(ctx, v)
	case "revoke":
		return l.Revoke(ctx, v)
	case "state":
		return l.State(ctx, v)
	}
	panic(op.name)
}

// Operations with a context that tells of no attempt and no resend.
var (
	right  = operation{name: "attempt", right: true}
	wrong  = operation{name: "attempt"}
	resend = operation{name: "resend"}
	revoke = operation{name: "revoke"}
	state  = operation{name: "state"}
)

func (op operation) after(attempts int) operation { op.attempts = attempts; return op }
func (op operation) of(resends int) operation     { op.resends = resends; return op }
