package ledger

import (
	"context"
	"crypto/rand"
	_ "embed" // of the scripts
	"time"

	"github.com/redis/rueidis"
)

//go:embed scripts/spend.lua
var spendScript string

//go:embed scripts/undo_spend.lua
var undoSpendScript string

var (
	spendLua     = rueidis.NewLuaScript(spendScript)
	undoSpendLua = rueidis.NewLuaScript(undoSpendScript)
)

// A spend counts one of something that is limited in any time so long: a message to somebody, or one of all that a
// budget pays for. What is remembered of a key is a log of when it was spent.

// Window allows so many in any time so long. It is an alias of an unnamed struct, as [Verification] is.
type Window = struct {
	Most int           // 0 for none at all
	Per  time.Duration // a millisecond or more. What was exactly so long ago no longer counts
}

// Spend admits all.
func (None) Spend(context.Context, string, time.Time, []Window) (wait time.Duration, refund func(context.Context), err error) {
	return 0, func(context.Context) {}, nil
}

// Spend counts one more for key, of 22 characters at most, if none of windows is full by now, and else returns how
// long that will take. What was counted is taken back by refund, of which once is enough. After an error it was not
// counted, or that will be undone; so it is if Redis does not answer to refund.
func (r *Redis) Spend(
	ctx context.Context, key string, now time.Time, windows []Window,
) (wait time.Duration, refund func(context.Context), err error) {
	return r.spend(ctx, newSpendCommand(key, now, windows))
}

func (r *Redis) spend(ctx context.Context, c command) (wait time.Duration, refund func(context.Context), err error) {
	outcome, err := r.run(ctx, spendLua, c, true)
	if err == nil && outcome.Verdict != Admitted && outcome.Verdict != Cooling {
		err = errMalformedReply // or what was not counted could be taken for admitted
	}
	return outcome.RetryAfter, r.takesBack(c, outcome, func(ctx context.Context, client rueidis.Client) rueidis.RedisResult {
		return client.Do(ctx, client.B().Zrem().Key(c.keys[0]).Member(c.nonce).Build())
	}), err
}

// takesBack returns a function that has an admitted command taken back: now, or later like one whose own answer was
// lost.
func (r *Redis) takesBack(
	c command, outcome Outcome, do func(context.Context, rueidis.Client) rueidis.RedisResult,
) func(context.Context) {
	return func(ctx context.Context) {
		if outcome.Verdict != Admitted {
			return // after an error it is undone anyway
		}
		ctx, cancel := r.bound(ctx)
		defer cancel()
		if r.do(func(client rueidis.Client) rueidis.RedisResult { return do(ctx, client) }).Error() != nil {
			r.lost.add(c)
		}
	}
}

func newSpendCommand(key string, now time.Time, windows []Window) command {
	kept := keptFor(windows) + grace.Milliseconds()
	c := newNamedCommand(key, "sends", undoSpendLua, time.Duration(kept)*time.Millisecond)
	c.args = append(make([]string, 0, 3+2*len(windows)), timeArg(now), numberArg(kept), c.nonce)
	for _, w := range windows {
		c.args = append(c.args, intArg(max(w.Most, 0)), durationArg(w.Per))
	}
	return c
}

// newNamedCommand returns a command without arguments on what is kept under a key. Marks of what was undone have a
// key of their own: what they mark can be as old.
func newNamedCommand(key, kind string, undo *rueidis.Lua, kept time.Duration) command {
	prefix := "otpd:{" + key + "}:"
	return command{
		keys:  []string{prefix + kind, prefix + "undone"},
		nonce: rand.Text()[:12], // 60 bits, unique within the key
		until: time.Now().Add(kept),
		undo:  undo,
	}
}

// keptFor returns how long one that was counted can matter, in ms.
func keptFor(windows []Window) (longest int64) {
	for _, w := range windows {
		longest = max(longest, w.Per.Milliseconds())
	}
	return longest
}
