package ledger

import (
	"context"
	_ "embed" // of the script

	"github.com/redis/rueidis"
)

//go:embed scripts/withdraw.lua
var withdrawScript string

var withdrawLua = rueidis.NewLuaScript(recallScript + withdrawScript)

// Withdraw does nothing: the older code is good as it is.
func (None) Withdraw(context.Context, Verification) error { return nil }

// Withdraw takes back the Resend that was admitted for v, if there was none after it: the code in the context is the
// newest again, and a cooldown runs from when it was issued. There is no error.
func (m *Memory) Withdraw(_ context.Context, v Verification) error {
	s := m.lock(tag(v))
	defer s.mu.Unlock()
	id, told := keyOf(v.ID), int32(min(v.Resends, most))
	if e, known := s.verifications[id]; known && e.resends == told+1 {
		e.resends, e.issuedAt = told, v.IssuedAt.UnixMilli()
		s.verifications[id] = e
	}
	return nil
}

// Withdraw takes back the Resend that was admitted for v, if there was none after it: the code in the context is the
// newest again, and a cooldown runs from when it was issued. After an error it is undone as what is lost is: that
// resend, of v.Now, and none that came after.
func (r *Redis) Withdraw(ctx context.Context, v Verification) error {
	c := newCommand(v)
	c.args = append(c.args, timeArg(v.IssuedAt))
	_, err := r.run(ctx, withdrawLua, c, false)
	if err != nil {
		c.nonce = "resend " + intArg(min(v.Resends, most)) + " " + timeArg(v.Now)
		r.lost.add(c)
	}
	return err
}
