package ledger

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// receiptKeys returns the key of a receipt, and that of the marks of what was undone under it.
func receiptKeys(key string) (receipt, undone string) {
	return fmt.Sprintf("otpd:{%s}:receipt", key), fmt.Sprintf("otpd:{%s}:undone", key)
}

// failsReserve reserves key and demands that it fails, in time.
func (r rig) failsReserve(t testing.TB, key, own string) {
	t.Helper()
	begin := time.Now()
	if held, err := r.Reserve(context.Background(), key, own, receiptFor, now); err == nil || held != "" {
		t.Errorf("Reserve while it is broken = %q, %v; want an error", held, err)
	}
	if took := time.Since(begin); took > impatience+slack {
		t.Errorf("Reserve took %v", took)
	}
}

// failsSettle settles key and demands that it fails, in time.
func (r rig) failsSettle(t testing.TB, key, own, value string) {
	t.Helper()
	begin := time.Now()
	if err := r.Settle(context.Background(), key, own, value, receiptFor, now); err == nil {
		t.Error("Settle succeeds while it is broken")
	}
	if took := time.Since(begin); took > impatience+slack {
		t.Errorf("Settle took %v", took)
	}
}

// A reservation whose answer was lost is undone for all replicas as soon as Redis answers, and so whoever sends the
// request again is the first. What was settled stays so.
func TestLostReservations(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, Throttle{})
	lost, taken, settled := newID(), newID(), newID()
	reserve(t, other, taken, "theirs", "theirs")
	reserve(t, r.Redis, settled, "own", "own")
	r.proxy.set(t, cut)
	r.failsReserve(t, lost, "own")
	r.proxy.set(t, none)
	r.recovers(t)
	r.proxy.set(t, cut)
	r.failsReserve(t, taken, "own")
	r.proxy.set(t, none)
	r.recovers(t)
	r.proxy.set(t, cut)
	r.failsSettle(t, settled, "own", "answer")
	r.proxy.set(t, none)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	reserve(t, other, lost, "next", "next")
	reserve(t, other, taken, "next", "theirs")
	reserve(t, other, settled, "next", "answer")
}

func TestReserveUndoesFirst(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, Throttle{})
	key := newID()
	r.proxy.set(t, cut)
	r.failsReserve(t, key, "lost")
	reserve(t, other, key, "next", "lost") // so it was done
	r.proxy.set(t, none)
	r.recovers(t)
	reserve(t, r.Redis, key, "next", "next")
}

// A reservation that its client has given up, and undone over another connection, arrives at last.
func TestLateReservationDoesNothing(t *testing.T) {
	s := sharedServer(t)
	r := s.open(t, Throttle{})
	send := func(c command) string {
		t.Helper()
		held, err := c.held(r.do(func(client rueidis.Client) rueidis.RedisResult {
			return reserveLua.Exec(context.Background(), client, c.keys, c.args)
		}))
		if err != nil {
			t.Error(err)
		}
		return held
	}
	key := newID()
	c := newReceiptCommand(key, receiptFor, now, "late")
	r.undoCommand(t, c)
	if held := send(c); held != "" {
		t.Errorf("it is told %q", held)
	}
	reserve(t, r, key, "next", "next")
	if held := send(c); held != "" {
		t.Errorf("it is told %q", held)
	}
	reserve(t, r, key, "other", "next")
}

// Only one's own reservation is undone, and only until it is settled: not that of another who happens to have the
// same value, nor one that was made anew.
func TestUndoneReservations(t *testing.T) {
	r := sharedServer(t).open(t, Throttle{})
	made := func(key, value string) command {
		t.Helper()
		c := newReceiptCommand(key, receiptFor, now, value)
		if held, err := c.held(r.do(func(client rueidis.Client) rueidis.RedisResult {
			return reserveLua.Exec(context.Background(), client, c.keys, c.args)
		})); err != nil || held != value {
			t.Fatal(held, err)
		}
		return c
	}
	settled, alike, anew := newID(), newID(), newID()
	first := made(settled, "own")
	settle(t, r, settled, "own", "answer")
	r.undoCommand(t, first)
	reserve(t, r, settled, "next", "answer")

	made(alike, "own")
	second := made(alike, "own")
	r.undoCommand(t, second)
	reserve(t, r, alike, "next", "own")

	third := made(anew, "own")
	r.undoCommand(t, third)
	reserve(t, r, anew, "own", "own")
	r.undoCommand(t, third)
	reserve(t, r, anew, "next", "own")
}

func TestServerStandsStillForReceipts(t *testing.T) {
	r := newRig(t)
	key := newID()
	r.signal(t, syscall.SIGSTOP)
	r.failsReserve(t, key, "first")
	r.failsReserve(t, key, "second")
	r.signal(t, syscall.SIGCONT)
	r.recovers(t)
	reserve(t, r.Redis, key, "third", "third")
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	reserve(t, r.Redis, key, "fourth", "third")
}

func TestReceiptKeysExpire(t *testing.T) {
	s := startServer(t)
	r := s.open(t, Throttle{})
	ctx := context.Background()
	keeps := func(key string, want time.Duration) {
		t.Helper()
		ttl := time.Duration(s.number(t, "PTTL", key)) * time.Millisecond
		if ttl <= want-patience || ttl > want {
			t.Errorf("%s is kept for %v, want %v", key, ttl, want)
		}
	}
	for _, ttl := range []time.Duration{-time.Hour, 0, time.Minute, time.Hour} {
		for _, at := range []time.Duration{0, 10_000 * time.Hour} { // whatever a replica's clock says
			key := newID()
			receipt, undone := receiptKeys(key)
			if _, err := r.Reserve(ctx, key, "a", ttl, now.Add(at)); err != nil {
				t.Fatal(err)
			}
			keeps(receipt, max(ttl, 0)+grace)
			if err := r.Settle(ctx, key, "a", "answer", 2*time.Hour, now.Add(at)); err != nil {
				t.Fatal(err)
			}
			if ttl > 0 {
				keeps(receipt, 2*time.Hour+grace)
				if n := s.number(t, "HLEN", receipt); n != 2 {
					t.Errorf("it has %d fields", n)
				}
			}
			r.undoCommand(t, newReceiptCommand(key, time.Hour, now, "a"))
			r.undoCommand(t, newReceiptCommand(key, time.Minute, now, "a"))
			keeps(undone, time.Hour+grace)
		}
	}
	key := newID()
	reserve(t, r, key, "a", "a")
	settle(t, r, key, "a", "")
	settle(t, r, newID(), "a", "answer")
	var keys, expires int
	if _, err := fmt.Sscanf(s.info("db0"), "keys=%d,expires=%d", &keys, &expires); err != nil || keys != expires || keys != 16 {
		t.Errorf("%d keys, of which %d expire (%v); want 16", keys, expires, err)
	}
}

// Values of lost reservations are not kept: 100,000 of them could be long.
func TestLostCommandsAreSmall(t *testing.T) {
	r := openRedis(t, "redis://"+freeAddr(t), impatience, Throttle{})
	key := newID()
	c := newReceiptCommand(key, receiptFor, now, "long")
	r.lost.add(c)
	if lost := r.lost.of(c.keys[0]); len(lost) != 1 || lost[0].args != nil || lost[0].nonce != c.nonce {
		t.Errorf("%+v is remembered", lost)
	}
	c.until = time.Now()
	r.lost.remove(c.keys[0], []command{c})
}

// Anything but the reply to the very command is an error.
func TestMalformedReceiptReplies(t *testing.T) {
	r := sharedServer(t).open(t, Throttle{})
	for reply, malformed := range map[string]bool{
		"{'a', nonce}": false,

		"{}": true, "'OK'": true, "1": true, "{ok = 'OK'}": true, "false": true, "{'a'}": true,
		"{'a', nonce, 1}":              true,
		"{'a', 'another'}":             true,
		"{'a', 7}":                     true,
		"{7, nonce}":                   true,
		"{{}, nonce}":                  true,
		"{'admitted', 0, 0, nonce}":    true,
		"{false, nonce}":               true,
		"redis.error_reply('ERR any')": true,
	} {
		c := newReceiptCommand(newID(), receiptFor, now, "a")
		script := rueidis.NewLuaScript("local nonce = ARGV[4]; return " + reply)
		held, err := c.held(r.do(func(client rueidis.Client) rueidis.RedisResult {
			return script.Exec(context.Background(), client, c.keys, c.args)
		}))
		if malformed != (err != nil) || malformed != (held == "") {
			t.Errorf("%s is taken for %q, %v", reply, held, err)
		}
	}
}

func TestReplyOfAnotherReceipt(t *testing.T) {
	r := newRig(t)
	held, fresh := newID(), newID()
	reserve(t, r.Redis, held, "theirs", "theirs")
	r.proxy.set(t, doubled)
	reserve(t, r.Redis, fresh, "own", "own")
	r.failsReserve(t, held, "own")
	r.proxy.set(t, none)
	r.recovers(t)
	eventually(t, "replies are to their commands again", func() bool {
		got, err := r.Reserve(context.Background(), held, "own", receiptFor, now)
		if err == nil && got != "theirs" {
			t.Fatalf("Reserve = %q", got)
		}
		return err == nil
	})
}
