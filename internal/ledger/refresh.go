package ledger

import (
	"context"
	_ "embed" // of the script

	"github.com/redis/rueidis"
)

//go:embed scripts/extend.lua
var extendScript string

//go:embed scripts/refresh.lua
var refreshScript string

var refreshLua = rueidis.NewLuaScript(recallScript + extendScript + refreshScript)

// A family of refresh tokens is a verification that never ends while its tokens are used: Resends is the generation
// of the token at hand, and Until, to Refresh, is when the token that it makes room for will end, so that the family
// is remembered for at least as long as its newest token is good. State and Revoke are those of any verification,
// and so MaxAttempts of a family must be 1 or more.

// Refresh admits what the token itself tells: each works as often as it is sent.
func (None) Refresh(_ context.Context, v Verification) (Outcome, error) {
	return Outcome{Verdict: Admitted, Attempts: v.Attempts}, nil
}

// Refresh spends a token, and makes room for the one of the next generation, if it is the newest of its family. One
// that was spent before is [Superseded], and with that the family is [Revoked]. The error is [ErrFull].
func (m *Memory) Refresh(_ context.Context, v Verification) (Outcome, error) {
	s := m.lock(tag(v))
	defer s.mu.Unlock()
	v.Resends = min(v.Resends, most)
	id := keyOf(v.ID)
	e, known := s.recall(id, v)
	verdict := e.verdict(v)
	switch verdict {
	case Used, Revoked:
		return Outcome{verdict, int(e.attempts), 0}, nil
	case Superseded:
		e.revoked = true
	default:
		verdict = Admitted
		e.resends++
	}
	outcome, err := m.put(s, id, e, known)
	if err == nil {
		outcome.Verdict = verdict
	}
	return outcome, err
}

// Refresh spends a token, and makes room for the one of the next generation, if it is the newest of its family. One
// that was spent before is [Superseded], and with that the family is [Revoked]. After an error the token is not
// spent, or that will be undone; and with it the end of the family, should the token itself have come again meanwhile.
func (r *Redis) Refresh(ctx context.Context, v Verification) (Outcome, error) {
	return r.run(ctx, refreshLua, newCommand(v), true)
}
