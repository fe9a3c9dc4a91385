package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// deviceKeys returns the key of a device, and that of the marks of what was undone on it.
func deviceKeys(id string) (device, undone string) {
	return fmt.Sprintf("otpd:{%s}:device", id), fmt.Sprintf("otpd:{%s}:undone", id)
}

// send runs op as a command that can be sent again and undone, as r itself would send it.
func (op deviceOp) send(t testing.TB, r *Redis, c command) stands {
	t.Helper()
	got, err := r.runDevice(context.Background(), c, false)
	if err != nil {
		t.Fatal(err)
	}
	s := stands{got.Verdict, version{got.Generation, got.Next, got.Used, got.Failures, 0}}
	if !got.LockedUntil.IsZero() {
		s.locked = got.LockedUntil.Sub(now)
	}
	return s
}

// command is what r would send for op, which is no end.
func (op deviceOp) command(r *Redis, id string) command {
	v := op.device(id, now.Add(10*time.Minute))
	if op.name == "attempt" {
		return r.attemptDevice(v, op.proof)
	}
	return newDeviceCommand(v, op.name)
}

func (r *Redis) undoCommand(t testing.TB, c command) {
	t.Helper()
	r.lost.add(c)
	if err := r.undo(context.Background(), c.keys[0]); err != nil {
		t.Fatal(err)
	}
}

// losesDevice does op once, and its answer does not come.
func (r rig) losesDevice(t testing.TB, op deviceOp, id string) {
	t.Helper()
	r.proxy.set(t, none)
	r.recovers(t)
	r.proxy.set(t, cut)
	r.failsDevice(t, op, id)
}

// failsDevice does op and demands that it fails, in time.
func (r rig) failsDevice(t testing.TB, op deviceOp, id string) {
	t.Helper()
	begin := time.Now()
	got, err := op.do(r.Redis, id)
	if err == nil || got != (stands{}) {
		t.Errorf("%+v while it is broken = %v, %v; want an error", op, got, err)
	}
	if took := time.Since(begin); took > impatience+slack {
		t.Errorf("%+v took %v", op, took)
	}
}

// losses are operations on a confirmed or, to be confirmed, a new device of which one failed attempt is known, with
// what is left of each when its answer was lost and all is well again.
var losses = []struct {
	name string
	op   deviceOp
	done version // while the loss is not undone
	left version
}{
	{"a code", code(7).of(version{generation: 1}), version{1, 8, 0, 0, 0}, version{1, 5, 0, 0, 0}},
	{"a backup code", backup(3).of(version{generation: 1}), version{1, 5, 0b1000, 0, 0}, version{1, 5, 0, 0, 0}},
	{"a confirmation", confirm(7), version{1, 8, 0, 0, 0}, version{0, 5, 0, 0, 0}},
	{"a renewal", renew.of(version{generation: 1}), version{2, 5, 0, 1, 0}, version{1, 5, 0, 1, 0}},
	{"a wrong code", wrongCode.of(version{generation: 1}), version{1, 5, 0, 2, 0}, version{1, 5, 0, 2, 0}},
	{"a wrong backup code", wrongBackup.of(version{generation: 1}), version{1, 5, 0, 2, 0}, version{1, 5, 0, 2, 0}},
	{"a wrong confirmation", wrongConfirm, version{0, 5, 0, 2, 0}, version{0, 5, 0, 2, 0}},
	{"a code of before", code(2).of(version{generation: 1}), version{1, 5, 0, 2, 0}, version{1, 5, 0, 2, 0}},
	{"a used code", code(4).of(version{generation: 1}), version{1, 5, 0, 1, 0}, version{1, 5, 0, 1, 0}},
	{"an end", disable.of(version{generation: 1}), version{1, 5, 0, 1, 0}, version{1, 5, 0, 1, 0}},
	{"an unlock", forgive.of(version{generation: 1}), version{1, 5, 0, 0, 0}, version{1, 5, 0, 0, 0}},
}

// isUndone reports whether op is undone if its answer is lost, or else can be done again.
func (op deviceOp) isUndone() bool { return op.name == "attempt" || op.name == "renew" }

// failedOnce makes a device of the generation that op tells, which accepts 5 and has a failure.
func failedOnce(t testing.TB, l deviceLedger, op deviceOp) (id string) {
	t.Helper()
	id = newID()
	want := version{op.told.generation, 5, 0, 1, 0}
	if got, err := wrongCode.of(version{op.told.generation, 5, 0, 0, 0}).do(l, id); err != nil || got != (stands{Wrong, want}) {
		t.Fatal(got, err)
	}
	return id
}

// What one replica lost is undone for all of them, whether or not anyone asks; but for wrong codes and an end.
func TestLostDeviceOperations(t *testing.T) {
	r := newRig(t)
	other := r.server.open(t, someThrottle)
	ids := make([]string, len(losses))
	verdictOf := func(op deviceOp) string {
		if op.name == "disable" {
			return Revoked
		}
		return Admitted
	}
	for i, loss := range losses {
		ids[i] = failedOnce(t, other, loss.op)
		r.losesDevice(t, loss.op, ids[i])
		look := look.of(version{generation: loss.done.generation})
		if got, err := look.do(other, ids[i]); err != nil || got != (stands{verdictOf(loss.op), loss.done}) {
			t.Errorf("before the loss of %s is undone, the device is %v, %v; want %v", loss.name, got, err, loss.done)
		}
	}
	r.proxy.set(t, none)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	for i, loss := range losses {
		look := look.of(version{generation: loss.left.generation})
		for _, l := range []*Redis{other, r.Redis} {
			if got, err := look.do(l, ids[i]); err != nil || got != (stands{verdictOf(loss.op), loss.left}) {
				t.Errorf("after the loss of %s, the device is %v, %v; want %v", loss.name, got, err, loss.left)
			}
		}
		_, undone := deviceKeys(ids[i])
		if n := r.server.number(t, "HLEN", undone); (n == 1) != loss.op.isUndone() {
			t.Errorf("%s left %d marks", loss.name, n)
		}
		if loss.op.proof.Right && loss.left.next == 5 && loss.left.failures == 0 {
			if got, err := loss.op.do(other, ids[i]); err != nil || got.verdict != Admitted {
				t.Errorf("%s that was lost = %v, %v when it is tried again", loss.name, got, err)
			}
		}
	}
}

// Whatever asks for a device finds it as if what was lost had not been.
func TestEachDeviceOperationUndoesFirst(t *testing.T) {
	r := newRig(t)
	lost := code(7).of(version{generation: 1})
	for _, test := range []struct {
		op   deviceOp
		want stands
	}{
		{look, stands{Admitted, version{1, 5, 0, 0, 0}}},
		{code(7), stands{Admitted, version{1, 8, 0, 0, 0}}},
		{code(6), stands{Admitted, version{1, 7, 0, 0, 0}}},
		{backup(0), stands{Admitted, version{1, 5, 1, 0, 0}}},
		{wrongCode, stands{Wrong, version{1, 5, 0, 1, 0}}},
		{renew, stands{Admitted, version{2, 5, 0, 0, 0}}},
		{forgive, stands{Admitted, version{1, 5, 0, 0, 0}}},
		{disable, stands{Admitted, version{1, 5, 0, 0, 0}}},
	} {
		id := failedOnce(t, r.Redis, lost)
		r.losesDevice(t, lost, id)
		r.proxy.set(t, none)
		r.recovers(t)
		if got, err := test.op.of(lost.told).do(r.Redis, id); err != nil || got != test.want {
			t.Errorf("%+v after a code that was lost = %v, %v; want %v", test.op, got, err, test.want)
		}
	}
}

// What happens while the server stands still happens when it goes on, and then counts for nothing, unless it is
// wrong.
func TestServerStandsStillForDevices(t *testing.T) {
	r := newRig(t)
	ids := make([]string, len(losses))
	for i, loss := range losses {
		ids[i] = failedOnce(t, r.Redis, loss.op)
	}
	r.signal(t, syscall.SIGSTOP)
	var clients sync.WaitGroup
	for i, loss := range losses {
		clients.Go(func() { r.failsDevice(t, loss.op, ids[i]) })
	}
	clients.Wait()
	r.signal(t, syscall.SIGCONT)
	r.recovers(t)
	eventually(t, "all is undone", func() bool { return r.lost.count.Load() == 0 })
	for i, loss := range losses {
		if !loss.op.isUndone() {
			continue // it may come or not
		}
		got, err := look.of(version{generation: loss.left.generation}).do(r.Redis, ids[i])
		// A command that never left, or came after its undoing, has counted nothing.
		unsent := version{loss.op.told.generation, 5, 0, 1, 0}
		if err != nil || got.verdict != Admitted || got.version != loss.left && got.version != unsent {
			t.Errorf("%s while it stood still left %v, %v; want %v or %v", loss.name, got, err, loss.left, unsent)
		}
	}
}

// An operation that its client has given up, and undone over another connection, arrives at last.
func TestLateDeviceOperationDoesNothing(t *testing.T) {
	s := sharedServer(t)
	r := s.open(t, someThrottle)
	for _, loss := range losses {
		if !loss.op.isUndone() {
			continue
		}
		id := failedOnce(t, r, loss.op)
		c := loss.op.command(r, id)
		r.undoCommand(t, c)
		for range 2 {
			if got := loss.op.send(t, r, c); got.verdict != "undone" {
				t.Errorf("%s that arrives after it was undone = %v", loss.name, got)
			}
		}
		want := stands{Admitted, version{loss.op.told.generation, 5, 0, 1, 0}}
		if got, err := look.of(want.version).do(r, id); err != nil || got != want {
			t.Errorf("after %s that arrived late the device is %v, %v; want %v", loss.name, got, err, want)
		}
	}
}

// learn returns what is known after v and a version that tells told.
func (v version) learn(told version) version {
	learned, _ := modelDevice{version: v}.next(disable.of(told), Throttle{})
	return learned.version
}

// A device is left as if what was lost had never come, but for what its version told. And what other versions have
// told meanwhile is not undone with it, even if nobody but them knew.
func TestUndoneDeviceOperations(t *testing.T) {
	const rounds, seed = 1500, 5
	r := sharedServer(t).open(t, Throttle{After: 3, Max: time.Hour})
	random := rand.New(rand.NewPCG(seed, seed))
	seen := make(map[string]int)
	for range rounds {
		id, known := newID(), versions{all: make([]version, 1)}
		do := func(op deviceOp) stands {
			got, err := op.do(r, id)
			if err != nil {
				t.Fatal(err)
			}
			known.add(op.told.after(op, got))
			return got
		}
		for range random.IntN(6) {
			if op := known.randomDeviceOp(random); op.name != "disable" {
				do(op.later(time.Hour)) // when no lock is left that a version tells of
			}
		}
		before := do(look).version

		lost := known.randomDeviceOp(random).later(time.Hour)
		if !lost.isUndone() {
			lost.name = "renew"
		}
		c := lost.command(r, id)
		got := lost.send(t, r, c)
		seen[got.verdict]++
		want := before
		if got.verdict == Admitted || got.verdict == Wrong {
			want = before.learn(lost.told)
		}
		for range random.IntN(3) {
			op := []deviceOp{wrongCode, wrongCode, forgive, disable}[random.IntN(4)].of(version{
				generation: got.generation + random.IntN(2), next: got.next + random.Int64N(3) - 1, used: 1 << random.IntN(6),
			}).later(time.Hour)
			if told := do(op); told.verdict == Wrong || told.verdict == Admitted {
				want = want.learn(op.told)
			}
		}

		for range 2 { // as if the answer to the first were lost, too
			r.undoCommand(t, c)
		}
		undone := do(look).version
		if undone.generation != want.generation || undone.next != want.next || undone.used != want.used {
			t.Fatalf("%+v = %v, and when it is undone it is %v, after %v; want %v", lost, got, undone, before, want)
		}
		if late := lost.send(t, r, c); late.verdict != "undone" || do(look).version != undone {
			t.Fatalf("%+v that arrives late = %v", lost, late)
		}
	}
	if seen[Admitted] < rounds/5 || seen[Wrong] < rounds/5 {
		t.Errorf("the test is wrong: of what was lost, %v, too little would have done something", seen)
	}
}

// Two replicas lose an operation each, and undo them in either order. None that was undone late takes back what came
// after it, and each code is right at most once.
func TestTwoReplicasUndo(t *testing.T) {
	s := sharedServer(t)
	a, b := s.open(t, someThrottle), s.open(t, someThrottle)
	one := version{1, 5, 0, 0, 0}
	admits := func(t *testing.T, op deviceOp, r *Redis, id string, want version) {
		t.Helper()
		if got, err := op.do(r, id); err != nil || got != (stands{Admitted, want}) {
			t.Errorf("%+v = %v, %v; want %v", op, got, err, want)
		}
	}
	t.Run("one command that both have", func(t *testing.T) {
		id, op := newID(), backup(3).of(one)
		c := op.command(a, id)
		op.send(t, a, c)
		a.undoCommand(t, c)
		admits(t, op, b, id, version{1, 5, 0b1000, 0, 0})
		b.undoCommand(t, c)
		admits(t, look.of(one), a, id, version{1, 5, 0b1000, 0, 0})
	})
	for _, order := range [][2]*Redis{{a, b}, {b, a}} {
		t.Run("a code, and then one after it", func(t *testing.T) {
			id := newID()
			earlier, later := code(6).of(one), code(7).of(one)
			commands := map[*Redis]command{a: earlier.command(a, id), b: later.command(b, id)}
			earlier.send(t, a, commands[a])
			later.send(t, b, commands[b])
			order[0].undoCommand(t, commands[order[0]])
			order[1].undoCommand(t, commands[order[1]])
			admits(t, look.of(one), a, id, version{1, 7, 0, 0, 0}) // the earlier is not the last: it stays
			admits(t, later, a, id, version{1, 8, 0, 0, 0})
		})
	}
	t.Run("a code, after which another was right", func(t *testing.T) {
		id, lost := newID(), code(6).of(one)
		c := lost.command(a, id)
		lost.send(t, a, c)
		admits(t, backup(0).of(one), b, id, version{1, 7, 1, 0, 0})
		a.undoCommand(t, c)
		admits(t, look.of(one), b, id, version{1, 7, 1, 0, 0})
	})
	t.Run("a renewal, after which another was answered", func(t *testing.T) {
		id, lost := newID(), renew.of(one)
		c := lost.command(a, id)
		lost.send(t, a, c)
		admits(t, renew.of(one), b, id, version{3, 5, 0, 0, 0})
		a.undoCommand(t, c)
		admits(t, look.of(version{generation: 3}), b, id, version{3, 5, 0, 0, 0})
	})
}

// Every key has an expiry, and it never gets shorter. Marks of what was undone are kept no longer than what they mark
// could still come, however long the device is remembered.
func TestDeviceKeysExpire(t *testing.T) {
	s := startServer(t)
	r := s.open(t, someThrottle)
	const year = 365 * 24 * time.Hour
	keeps := func(t *testing.T, key string, want time.Duration) {
		t.Helper()
		ttl := time.Duration(s.number(t, "PTTL", key)) * time.Millisecond
		if ttl <= want-patience || ttl > want {
			t.Errorf("%s is kept for %v, want %v", key, ttl, want)
		}
	}
	type use struct {
		op   deviceOp
		ends time.Duration // from then
	}
	for _, test := range []struct {
		name string
		uses []use
		want time.Duration
	}{
		{"a code", []use{{code(1), time.Minute}}, time.Minute + grace},
		{"an end that has passed", []use{{code(1), -time.Hour}}, grace},
		{"a code at another time", []use{{code(1).later(5 * year), time.Minute}}, time.Minute + grace},
		{"a code for years", []use{{code(1), 10 * year}}, 10*year + grace},
		{"a wrong code", []use{{wrongCode, time.Minute}}, forgetAfter},
		{"a wrong code for years", []use{{wrongCode, 10 * year}}, forgetAfter},
		{"an unlock after a wrong code", []use{{wrongCode, time.Minute}, {forgive, 0}}, forgetAfter},
		{"an unlock", []use{{forgive, 0}}, grace},
		{"a code after a wrong one", []use{{wrongCode, time.Minute}, {code(1), time.Minute}}, forgetAfter},
		{"a wrong code after a right one", []use{{code(1), time.Minute}, {wrongCode, time.Minute}}, forgetAfter},
		{"anything after a renewal", []use{
			{renew, 10 * year}, {code(1).of(version{generation: 1}), time.Minute},
			{wrongCode.of(version{generation: 1}), time.Minute}, {backup(1).of(version{generation: 1}), time.Hour},
			{renew, time.Hour}, {look, time.Minute}, {disable, time.Minute},
		}, 10*year + grace},
		{"a longer one after a shorter one", []use{{code(1), time.Minute}, {disable, 10 * year}}, 10*year + grace},
		{"refusals", []use{
			{disable, time.Hour}, {code(1), 10 * year}, {wrongCode, 10 * year}, {renew, 10 * year}, {look, 10 * year},
		}, time.Hour + grace},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := newID()
			for _, u := range test.uses {
				if _, err := u.op.until(r, id, now.Add(u.op.at+u.ends)); err != nil {
					t.Fatal(err)
				}
			}
			device, undone := deviceKeys(id)
			keeps(t, device, test.want)
			for range 3 {
				c := code(9).of(version{generation: 9}).command(r, id)
				code(9).send(t, r, c)
				r.undoCommand(t, c)
			}
			keeps(t, undone, lostDeviceFor)
			short := code(9).command(r, id)
			short.until = time.Now().Add(time.Minute)
			r.undoCommand(t, short)
			keeps(t, undone, lostDeviceFor)
			keeps(t, device, max(test.want, 10*time.Minute+grace))
			if n := s.number(t, "HEXISTS", device, short.nonce); n != 0 {
				t.Error("the device itself holds a mark")
			}
		})
	}
	var keys, expires int
	keyspace := s.info("db0")
	if _, err := fmt.Sscanf(keyspace, "keys=%d,expires=%d", &keys, &expires); err != nil || keys != expires || keys < 20 {
		t.Errorf("%d keys, of which %d expire (%v)", keys, expires, err)
	}
}

func TestDeviceStandingWritesNothing(t *testing.T) {
	s := startServer(t)
	r := s.open(t, someThrottle)
	told := version{3, 9, 0b11, 2, time.Hour}
	for _, op := range []deviceOp{look, code(10), code(8), backup(0), confirm(10)} { // and no refusal does
		if got, err := op.of(told).do(r, newID()); err != nil || got.version != told || got.verdict == Wrong {
			t.Errorf("%+v = %v, %v", op, got, err)
		}
	}
	if n := s.number(t, "DBSIZE"); n != 0 {
		t.Errorf("%d keys after looks and refusals", n)
	}
}

// Anything but the reply to the very command is an error.
func TestMalformedDeviceReplies(t *testing.T) {
	r := sharedServer(t).open(t, someThrottle)
	for reply, malformed := range map[string]bool{
		"{'admitted', 1, 5, 0, 0, 0, nonce}": false,

		"{}": true, "'OK'": true, "1": true, "{ok = 'OK'}": true, "false": true,
		"{'admitted', 1, 5, 0, 0, 0}":            true,
		"{'admitted', 1, 5, 0, 0, 0, nonce, 1}":  true,
		"{'admitted', 1, 5, 0, 0, 0, 'another'}": true,
		"{'admitted', 1, 5, 0, 0, 0, 7}":         true,
		"{7, 1, 5, 0, 0, 0, nonce}":              true,
		"{'admitted', 'x', 5, 0, 0, 0, nonce}":   true,
		"{'admitted', 1, 'x', 0, 0, 0, nonce}":   true,
		"{'admitted', 1, 5, 'x', 0, 0, nonce}":   true,
		"{'admitted', 1, 5, 0, {}, 0, nonce}":    true,
		"{'admitted', 1, 5, 0, 0, false, nonce}": true,
		"{'admitted', 0, 4, 0, 0, 0, nonce, ''}": true, // to an operation on a verification, with more
	} {
		t.Run(reply, func(t *testing.T) {
			c := look.command(r, newID())
			script := rueidis.NewLuaScript("local nonce = ARGV[8]; return " + reply)
			got, err := c.standing(r.do(func(client rueidis.Client) rueidis.RedisResult {
				return script.Exec(context.Background(), client, c.keys, c.args)
			}))
			if want := (Standing{Verdict: Admitted, Generation: 1, Next: 5}); !malformed && (err != nil || got != want) {
				t.Errorf("it is taken for %v, %v; want %v", got, err, want)
			}
			if malformed && (err == nil || got != (Standing{})) {
				t.Errorf("it is taken for %v, %v", got, err)
			}
		})
	}
}

// A server that does not keep to the protocol is no reason to end, while one command is under way, and what it may
// have done is undone.
func TestMalformedDeviceReply(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, op := range []deviceOp{backup(7), renew} {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			r, id := newRig(t), newID() // each its own: what is undone beside a ping may leave two under way
			r.proxy.set(t, malformed)
			r.failsDevice(t, op, id)
			r.failsDevice(t, look, id) // there is no connection for up to a second
			r.recovers(t)
			if got, err := op.do(r.Redis, id); err != nil || got.verdict != Admitted {
				t.Errorf("after a malformed reply, %+v = %v, %v", op, got, err)
			}
		})
	}
}

// A reply to one command is never taken for that to the next, which may be about another device.
func TestReplyOfAnotherDeviceCommand(t *testing.T) {
	r := newRig(t)
	fresh, used := newID(), newID()
	if got, err := code(7).do(r.Redis, used); err != nil || got.verdict != Admitted {
		t.Fatal(got, err)
	}
	r.proxy.set(t, doubled)
	if got, err := look.do(r.Redis, fresh); err != nil || got != (stands{verdict: Admitted}) {
		t.Fatal(got, err)
	}
	if got, err := code(7).do(r.Redis, used); !errors.Is(err, errMalformedReply) || got != (stands{}) {
		t.Errorf("a used code = %v, %v; want an error", got, err)
	}
	r.proxy.set(t, none)
	eventually(t, "replies are to their commands again", func() bool {
		got, err := code(7).do(r.Redis, used)
		if err == nil && got.verdict != Used {
			t.Fatalf("a used code = %v", got)
		}
		return err == nil
	})
}

func TestDeviceCounters(t *testing.T) {
	s := sharedServer(t)
	r := s.open(t, someThrottle)
	id := newID()
	const most = 1<<53 - 1
	if got, err := code(most-1).do(r, id); err != nil || got != (stands{Admitted, version{next: most}}) {
		t.Fatal(got, err)
	}
	c := backup(31).command(r, id)
	backup(31).send(t, r, c)
	r.undoCommand(t, c)
	device, _ := deviceKeys(id)
	reply := s.do(t, "HGET", device, "x")
	if text, err := reply.ToString(); err != nil || text != strconv.Itoa(most) {
		t.Errorf("the server has %q (%v), want %d", text, err, most)
	}
}
