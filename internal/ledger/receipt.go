package ledger

import (
	"context"
	_ "embed" // of the scripts
	"errors"
	"time"

	"github.com/redis/rueidis"
)

//go:embed scripts/reserve.lua
var reserveScript string

//go:embed scripts/settle.lua
var settleScript string

//go:embed scripts/undo_reserve.lua
var undoReserveScript string

var (
	reserveLua     = rueidis.NewLuaScript(reserveScript)
	settleLua      = rueidis.NewLuaScript(settleScript)
	undoReserveLua = rueidis.NewLuaScript(undoReserveScript)
)

// A receipt says under a key, for a time, that something is being done or was done. Its value is any text but the
// empty one: whoever reserves the key with a value that nobody else has knows by it whether they are the first, and
// settles it by the value that all others are to get.

// maxReceipt is the length of a receipt's value, in bytes.
const maxReceipt = 16 << 10

var errReceiptTooLong = errors.New("ledger: receipt too long")

// Reserve keeps nothing, and returns the empty text.
func (None) Reserve(context.Context, string, string, time.Duration, time.Time) (held string, err error) {
	return "", nil
}

// Settle does nothing.
func (None) Settle(context.Context, string, string, string, time.Duration, time.Time) error {
	return nil
}

// Reserve keeps value, of 16 KiB at most, under key, of 22 characters at most, until ttl is over, and returns it;
// unless there is another, which it returns then. After an error value is not kept, or that will be undone.
func (r *Redis) Reserve(ctx context.Context, key, value string, ttl time.Duration, now time.Time) (held string, err error) {
	if len(value) > maxReceipt {
		return "", errReceiptTooLong
	}
	c := newReceiptCommand(key, ttl, now, value)
	err = r.exec(ctx, reserveLua, c, true, func(result rueidis.RedisResult) error {
		held, err = c.held(result)
		return err
	})
	return held, err
}

// Settle replaces own, if it is what key has, by value for a new ttl; an empty value forgets it. After an error it may
// have been replaced, or may yet be.
func (r *Redis) Settle(ctx context.Context, key, own, value string, ttl time.Duration, now time.Time) error {
	if len(value) > maxReceipt {
		return errReceiptTooLong
	}
	c := newReceiptCommand(key, ttl, now, value, own)
	return r.exec(ctx, settleLua, c, false, func(result rueidis.RedisResult) error {
		_, err := c.held(result)
		return err
	})
}

func newReceiptCommand(key string, ttl time.Duration, now time.Time, values ...string) command {
	kept := max(ttl, 0) + grace
	c := newNamedCommand(key, "receipt", undoReserveLua, kept)
	c.args = append([]string{timeArg(now), timeArg(now.Add(ttl)), durationArg(kept), c.nonce}, values...)
	return c
}

// held reads the reply to c, {what is kept, nonce}. Any other reply is [errMalformedReply].
func (c command) held(result rueidis.RedisResult) (string, error) {
	if err := result.Error(); err != nil {
		return "", err
	}
	reply, _ := result.ToArray()
	if len(reply) != 2 {
		return "", errMalformedReply
	}
	held, err0 := reply[0].ToString()
	nonce, err1 := reply[1].ToString()
	if errors.Join(err0, err1) != nil || nonce != c.nonce {
		return "", errMalformedReply
	}
	return held, nil
}
