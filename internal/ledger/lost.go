package ledger

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// maxLost bounds the commands that wait to be undone. What is lost beyond it stays as it is: a code whose
// answer never left may then be used up.
const maxLost = 100_000

// maxUndoFailures ends an attempt to undo everything.
const maxUndoFailures = 100

// lostCommands are those that got no answer and are to be undone, by the key that they are on.
type lostCommands struct {
	count atomic.Int64 // so that nobody takes the lock while there are none
	mu    sync.Mutex
	byKey map[string][]command
}

func (l *lostCommands) add(c command) {
	if l.count.Add(1) > maxLost {
		l.count.Add(-1)
		return
	}
	c.args = nil // which may be long, and is not needed any more
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byKey == nil {
		l.byKey = make(map[string][]command)
	}
	l.byKey[c.keys[0]] = append(l.byKey[c.keys[0]], c)
}

func (l *lostCommands) of(key string) []command {
	if l.count.Load() == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.byKey[key])
}

func (l *lostCommands) keys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.byKey))
}

func (l *lostCommands) remove(key string, commands []command) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.byKey[key])
	l.byKey[key] = slices.DeleteFunc(l.byKey[key], func(c command) bool {
		return slices.ContainsFunc(commands, func(undone command) bool { return undone.nonce == c.nonce })
	})
	l.count.Add(int64(len(l.byKey[key]) - before))
	if len(l.byKey[key]) == 0 {
		delete(l.byKey, key)
	}
}

// mayHaveRun reports whether a command that failed with err may have run, or may yet.
func mayHaveRun(err error) bool {
	if _, refused := rueidis.IsRedisErr(err); refused || errors.Is(err, errNotConnected) || errors.Is(err, errDialTooSoon) {
		return false
	}
	network, ok := errors.AsType[*net.OpError](err)
	return !ok || network.Op != "dial"
}

// undo undoes the lost commands on one key.
func (r *Redis) undo(ctx context.Context, key string) error {
	lost := r.lost.of(key)
	if len(lost) == 0 {
		return nil
	}
	if left := time.Until(lost[len(lost)-1].until); left > 0 {
		args := []string{durationArg(left)}
		for _, c := range lost {
			args = append(args, c.nonce)
		}
		nonce, err := r.do(func(c rueidis.Client) rueidis.RedisResult {
			return lost[0].undo.Exec(ctx, c, lost[0].keys, args)
		}).ToString()
		if err != nil {
			return err
		}
		if nonce != args[len(args)-1] {
			r.dialer.closeAll()
			return errMalformedReply
		}
	}
	r.lost.remove(key, lost)
	return nil
}

// undoAll undoes all lost commands, as far as the server answers: of a cluster, one node may not.
func (r *Redis) undoAll(ctx context.Context) {
	failed := 0
	for _, key := range r.lost.keys() {
		bounded, cancel := r.bound(ctx)
		err := r.undo(bounded, key)
		cancel()
		if err != nil {
			failed++
		}
		if failed == maxUndoFailures || ctx.Err() != nil {
			return
		}
	}
}
