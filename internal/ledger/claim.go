package ledger

import (
	"context"
	_ "embed" // of the script

	"github.com/redis/rueidis"
)

//go:embed scripts/release.lua
var releaseScript string

var releaseLua = rueidis.NewLuaScript(releaseScript)

// A claim uses a verification up, as a right code does, before it is known whether there will be one. If there is
// none, it is released, and then it is as if there had been no claim.

// Claim admits what the context itself admits.
func (n None) Claim(ctx context.Context, v Verification) (Outcome, func(context.Context), error) {
	outcome, err := n.Attempt(ctx, v, true)
	return outcome, func(context.Context) {}, err
}

// Claim uses v up if it is [Admitted], until release is called. The error is [ErrFull].
func (m *Memory) Claim(ctx context.Context, v Verification) (outcome Outcome, release func(context.Context), err error) {
	outcome, err = m.Attempt(ctx, v, true)
	released := outcome.Verdict != Admitted // or it would be another's claim
	return outcome, func(context.Context) {
		s := m.lock(tag(v))
		defer s.mu.Unlock()
		if e, known := s.verifications[keyOf(v.ID)]; known && !released {
			e.used, released = false, true
			s.verifications[keyOf(v.ID)] = e
		}
	}, err
}

// Claim uses v up if it is [Admitted], until release is called. If Redis does not answer to that, it is undone later
// like an operation whose own answer was lost.
func (r *Redis) Claim(ctx context.Context, v Verification) (outcome Outcome, release func(context.Context), err error) {
	c := r.attempt(v, true)
	outcome, err = r.run(ctx, attemptLua, c, true)
	return outcome, r.takesBack(c, outcome, func(ctx context.Context, client rueidis.Client) rueidis.RedisResult {
		return releaseLua.Exec(ctx, client, c.keys, []string{c.nonce})
	}), err
}
