package ledger

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A deviceHistory is a [history] of one device.
type deviceHistory []deviceEvent

type deviceEvent struct {
	op         deviceOp
	told       stands
	begin, end int64
}

// modelDevice is what a ledger remembers of a device, in as few words as can say it.
type modelDevice struct {
	version
	disabled bool
}

// next returns what op tells and leaves behind.
func (m modelDevice) next(op deviceOp, throttle Throttle) (stands, modelDevice) {
	v, old := m.version, op.told.generation < m.generation
	switch {
	case op.told.generation > v.generation:
		v.generation, v.used = op.told.generation, op.told.used
	case !old:
		v.used |= op.told.used
	}
	v.next, v.failures, v.locked = max(v.next, op.told.next), max(v.failures, op.told.failures), max(v.locked, op.told.locked)
	refused := func(verdict string) (stands, modelDevice) { return stands{verdict, v}, m }
	p := op.proof
	switch {
	case op.name == "disable":
		return stands{Admitted, v}, modelDevice{v, true}
	case m.disabled:
		return refused(Revoked)
	case op.name == "forgive":
		v.failures, v.locked = 0, 0
		return stands{Admitted, v}, modelDevice{v, false}
	case op.name == "renew":
		v.generation, v.used = v.generation+1, 0
		return stands{Admitted, v}, modelDevice{v, false}
	case p.Confirms && v.generation > 0:
		return refused(Confirmed)
	case old && (p.Backup || op.told.generation == 0):
		return refused(Superseded)
	case op.name == "look":
		return refused(Admitted)
	case v.locked > op.at:
		return refused(Throttled)
	case p.Right && p.Backup && v.used>>p.Number&1 == 1, p.Right && !p.Backup && p.Number+1 == v.next:
		return refused(Used)
	case p.Right && p.Backup:
		v.used += 1 << p.Number
	case p.Right && p.Number >= v.next:
		v.next = p.Number + 1
	default:
		v.failures++
		if n := v.failures - min(throttle.After, 3) - 1; n >= 0 && throttle.Factor > 0 {
			v.locked = op.at + min(throttle.Factor<<n, throttle.Max)
		}
		return stands{Wrong, v}, modelDevice{v, false}
	}
	v.failures, v.locked = 0, 0
	if p.Confirms {
		v.generation = 1
	}
	return stands{Admitted, v}, modelDevice{v, false}
}

// linearizable reports whether some order explains h.
func (h deviceHistory) linearizable(throttle Throttle) bool {
	return explained(len(h), func(i int) (begin, end int64) { return h[i].begin, h[i].end }, func(m modelDevice, i int) (modelDevice, bool) {
		told, left := m.next(h[i].op, throttle)
		return left, told == h[i].told
	})
}

// versions are those that clients of one device have got so far, for anyone to send again.
type versions struct {
	mu  sync.Mutex
	all []version
}

func (k *versions) add(v version) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, v)
}

// random returns an old version more often than not.
func (k *versions) random(random *rand.Rand) version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[random.IntN(len(k.all))]
}

// randomDeviceOp returns an operation with one of the versions, and seldom with one that nobody has got from this
// ledger. A code is mostly one that is near to what the version accepts.
func (k *versions) randomDeviceOp(random *rand.Rand) deviceOp {
	told := k.random(random)
	if random.IntN(8) == 0 {
		told.generation += random.IntN(2)
		told.next += int64(random.IntN(3))
		told.used |= 1 << random.IntN(4)
		told.failures += random.IntN(3)
		told.locked = time.Duration(random.IntN(2)) * 10 * time.Second
	}
	number := max(told.next+int64(random.IntN(5))-2, 0)
	ops := []deviceOp{
		code(number), code(number), code(number), wrongCode, wrongCode, wrongCode, backup(int64(random.IntN(4))),
		backup(int64(random.IntN(4))), wrongBackup, confirm(number), confirm(number), wrongConfirm, renew, look, look, forgive, disable,
	}
	if random.IntN(4) > 0 {
		ops = ops[:len(ops)-1] // or most histories would soon be over
	}
	return ops[random.IntN(len(ops))].of(told)
}

// recordDevice has clients do random operations at once, while time goes by in steps, and returns what they saw.
func recordDevice(t testing.TB, l deviceLedger, random *rand.Rand, clients, each int) (h deviceHistory) {
	t.Helper()
	var order, clock atomic.Int64
	var mu sync.Mutex
	var running sync.WaitGroup
	id, known, start := newID(), versions{all: make([]version, 1)}, make(chan struct{})
	for range clients {
		random := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		running.Go(func() {
			<-start
			for range each {
				var passed int64
				if random.IntN(3) == 0 {
					passed = int64(random.IntN(20)) * int64(time.Second)
				}
				op := known.randomDeviceOp(random).later(time.Duration(clock.Add(passed)))
				e := deviceEvent{op: op, begin: order.Add(1)}
				runtime.Gosched() // or one client would often be done before the next begins
				told, err := op.do(l, id)
				if err != nil {
					t.Error(err)
				}
				e.told, e.end = told, order.Add(1)
				known.add(op.told.after(op, told))
				mu.Lock()
				h = append(h, e)
				mu.Unlock()
			}
		})
	}
	close(start)
	running.Wait()
	return h
}

func TestDeviceHistories(t *testing.T) {
	const seed = 1
	histories := map[string]int{"memory": 4000, "redis": 600}
	throttles := []Throttle{
		{After: 3, Max: time.Hour}, {After: 0, Factor: 5 * time.Second, Max: 15 * time.Second},
		{After: 20, Factor: 2 * time.Second, Max: time.Minute},
	}
	for _, kind := range rememberingDevices {
		t.Run(kind.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, seed))
			seen := make(map[string]int)
			for _, throttle := range throttles {
				l := kind.open(t, throttle)
				for range histories[kind.name] / len(throttles) {
					h := recordDevice(t, l, random, 4, 5)
					if !h.linearizable(throttle) {
						t.Fatalf("no order of its operations explains %+v by %+v", h, throttle)
					}
					for _, e := range h {
						seen[e.told.verdict]++
					}
				}
			}
			for _, verdict := range []string{Admitted, Wrong, Used, Throttled, Superseded, Confirmed, Revoked} {
				if seen[verdict] < histories[kind.name]/20 {
					t.Errorf("the test is wrong: of the verdicts, %v, there are too few %s", seen, verdict)
				}
			}
		})
	}
}

func TestDeviceHistoryCheckerFindsFaults(t *testing.T) {
	const s = time.Second
	told := func(op deviceOp, verdict string, v version, begin, end int64) deviceEvent {
		return deviceEvent{op, stands{verdict, v}, begin, end}
	}
	tests := []struct {
		name         string
		h            deviceHistory
		linearizable bool
	}{
		{"one success", deviceHistory{told(code(1), Admitted, version{next: 2}, 1, 2)}, true},
		{"two successes with one code", deviceHistory{
			told(code(1), Admitted, version{next: 2}, 1, 4), told(code(1), Admitted, version{next: 2}, 2, 3),
		}, false},
		{"two successes with one backup code", deviceHistory{
			told(backup(1), Admitted, version{used: 2}, 1, 4), told(backup(1), Admitted, version{used: 2}, 2, 3),
		}, false},
		{"two steps at once", deviceHistory{
			told(code(2), Admitted, version{next: 3}, 1, 4), told(code(1), Admitted, version{next: 2}, 2, 3),
		}, true},
		{"a step after the next", deviceHistory{
			told(code(2), Admitted, version{next: 3}, 1, 2), told(code(1), Admitted, version{next: 2}, 3, 4),
		}, false},
		{"two failures with one count", deviceHistory{
			told(wrongCode, Wrong, version{failures: 1}, 1, 4), told(wrongCode, Wrong, version{failures: 1}, 2, 3),
		}, false},
		{"no lock", deviceHistory{
			told(wrongCode, Wrong, version{failures: 1}, 1, 2), told(wrongCode, Wrong, version{failures: 2}, 3, 4),
		}, false},
		{"a lock", deviceHistory{
			told(wrongCode, Wrong, version{failures: 1}, 1, 2), told(wrongCode, Wrong, version{failures: 2, locked: s}, 3, 4),
			told(code(1), Throttled, version{failures: 2, locked: s}, 5, 6),
			told(code(1).later(s), Admitted, version{next: 2}, 7, 8),
		}, true},
		{"a code while it is locked", deviceHistory{
			told(wrongCode, Wrong, version{failures: 1}, 1, 2), told(wrongCode, Wrong, version{failures: 2, locked: s}, 3, 4),
			told(code(1), Admitted, version{next: 2}, 5, 6),
		}, false},
		{"an older generation", deviceHistory{
			told(renew, Admitted, version{generation: 1}, 1, 2), told(code(1), Admitted, version{next: 2}, 3, 4),
		}, false},
		{"older backup codes", deviceHistory{
			told(renew.of(version{generation: 1}), Admitted, version{generation: 2}, 1, 2),
			told(backup(0).of(version{generation: 1}), Admitted, version{generation: 2, used: 1}, 3, 4),
		}, false},
		{"a failure that was forgiven", deviceHistory{
			told(wrongCode, Wrong, version{failures: 1}, 1, 2), told(forgive, Admitted, version{}, 3, 4),
			told(wrongCode, Wrong, version{failures: 2, locked: s}, 5, 6),
		}, false},
		{"an older generation during a renewal", deviceHistory{
			told(renew, Admitted, version{generation: 1, next: 2}, 1, 4), told(code(1), Admitted, version{next: 2}, 2, 3),
		}, true},
		{"a second confirmation", deviceHistory{
			told(confirm(1), Admitted, version{generation: 1, next: 2}, 1, 4),
			told(confirm(2), Admitted, version{generation: 1, next: 3}, 2, 3),
		}, false},
		{"a code after the end", deviceHistory{
			told(disable, Admitted, version{}, 1, 2), told(code(1), Admitted, version{next: 2}, 3, 4),
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := slices.Clone(test.h)
			for range 2 {
				if got := h.linearizable(Throttle{After: 1, Factor: s, Max: time.Minute}); got != test.linearizable {
					t.Errorf("linearizable = %t, want %t", got, test.linearizable)
				}
				slices.Reverse(h)
			}
		})
	}
}

// Go and Lua tell the same of any operation in any state, and at first None does too.
func TestLedgersAgreeOnDevices(t *testing.T) {
	const (
		clients, sequences, each = 16, 250, 15
		seed                     = 2
	)
	someOf := func(random *rand.Rand, n ...int64) int64 { return n[random.IntN(len(n))] }
	arbitrary := func(random *rand.Rand) deviceOp {
		op := []deviceOp{code(0), code(0), backup(0), confirm(0), wrongCode, wrongBackup, wrongConfirm, renew, look, forgive, disable}[random.IntN(11)]
		op.proof.Number = someOf(random, 0, 1, 2, 7, 30, 31, 32, 1<<32, 1<<53-100, 1<<53-99)
		if op.proof.Backup {
			op.proof.Number = random.Int64N(32)
		}
		return op.of(version{
			generation: int(someOf(random, 0, 0, 1, 1, 1, 2, 1<<30-100)),
			next:       someOf(random, 0, 0, 1, 2, 3, 8, 31, 32, 33, 1<<32+1, 1<<53-100, 1<<53-99, 1<<53-98),
			used:       uint32(someOf(random, 0, 1, 2, 1<<31, random.Int64N(1<<32), 1<<32-1)),
			failures:   int(someOf(random, 0, 0, 0, 1, 3, 15, 16, 63, 64, 98, 99, 100, 1<<30-1)),
			locked:     time.Duration(someOf(random, 0, 0, 0, 1, 999, 1000, 60_000, 100_000_000)) * time.Millisecond,
		})
	}
	var running sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(client)))
		throttle := Throttle{
			After: random.IntN(6), Factor: time.Duration(random.IntN(4)) * time.Second,
			Max: time.Duration(someOf(random, 1, 7, 60, 3600, 86400)) * time.Second,
		}
		memory, redis, none := newMemory(t, sequences, throttle), sharedServer(t).open(t, throttle), None{throttle}
		running.Go(func() {
			for range sequences {
				id, at := newID(), time.Duration(0)
				known := versions{all: make([]version, 1)}
				for i := range each {
					op := known.randomDeviceOp(random)
					if random.IntN(3) == 0 {
						op = arbitrary(random)
					}
					if op = op.later(at); op.name == "disable" && i < each/2 {
						op.name = "renew"
					}
					want, err := op.do(memory, id)
					if err != nil {
						t.Error(err)
					}
					if got, err := op.do(redis, id); err != nil || got != want {
						t.Errorf("with %+v, %+v = %v, %v of Redis, and %v of Memory", throttle, op, got, err, want)
						return
					}
					if got, err := op.do(none, id); i == 0 && (err != nil || got != want) {
						t.Errorf("with %+v, %+v = %v, %v of None, and %v of Memory", throttle, op, got, err, want)
						return
					}
					known.add(op.told.after(op, want))
					at += time.Duration(someOf(random, 0, 0, 0, 1, 999, 1000, 8000, 3600_000)) * time.Millisecond
				}
			}
		})
	}
	running.Wait()
}

// deviceKnowledge is what clients have been told of a device, and have asked of it.
type deviceKnowledge struct {
	mu              sync.Mutex
	codes, backups  map[int64]int // how often each was admitted
	next            int64         // the greatest that any admission tells of
	wrongs, guesses int           // wrong codes that were counted, and all
}

// While connections are cut and the server dies, no code is ever admitted twice, and none older than one that was
// admitted; and what was admitted still holds when all is well again.
func TestDeviceHistoriesWithKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	const clients, kills, devices = 12, 18, 30
	s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
	p := startProxy(t, s.addr)
	var replicas []*Redis
	for range 3 {
		replicas = append(replicas, openRedis(t, "redis://"+p.addr, impatience, Throttle{After: 3, Max: time.Hour}))
	}
	ids, known := make([]string, devices), make([]deviceKnowledge, devices)
	for i := range ids {
		ids[i], known[i].codes, known[i].backups = newID(), make(map[int64]int), make(map[int64]int)
	}
	one := version{generation: 1} // as everybody always sends it: the oldest
	var over atomic.Bool
	var counter, failed, done atomic.Int64
	var running sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(3, uint64(client)))
		running.Go(func() {
			for !over.Load() {
				i := random.IntN(devices)
				k := &known[i]
				op := []deviceOp{
					wrongCode, backup(random.Int64N(32)), code(counter.Load() - random.Int64N(3)), code(counter.Add(1)),
				}[random.IntN(4)].of(one)
				k.mu.Lock()
				next := k.next
				if op == wrongCode.of(one) {
					k.guesses++
				}
				k.mu.Unlock()
				got, err := op.do(replicas[random.IntN(len(replicas))], ids[i])
				if err != nil {
					failed.Add(1)
					time.Sleep(100 * time.Microsecond) // or the clients would do little but fail
					continue
				}
				done.Add(1)
				k.mu.Lock()
				switch {
				case got.verdict == "undone":
					t.Errorf("%+v is told that it was undone", op)
				case got.verdict == Wrong && op == wrongCode.of(one):
					k.wrongs++
				case got.verdict == Admitted && op.proof.Backup:
					k.backups[op.proof.Number]++
				case got.verdict == Admitted:
					if op.proof.Number < next {
						t.Errorf("%+v is admitted, after the least was %d", op, next)
					}
					k.codes[op.proof.Number]++
					k.next = max(k.next, op.proof.Number+1)
				}
				k.mu.Unlock()
			}
		})
	}
	random := rand.New(rand.NewPCG(4, 4))
	for n := range kills {
		p.trouble(t, s, n, random)
	}
	over.Store(true)
	running.Wait()
	after := openRedis(t, "redis://"+p.addr, calmly, Throttle{})
	for _, r := range append(replicas, after) {
		eventually(t, "the server answers and nothing waits to be undone", func() bool {
			return r.Ping(context.Background()) == nil && r.lost.count.Load() == 0
		})
	}
	var admitted, wrongs, guesses int
	for i := range known {
		k := &known[i]
		got, err := look.of(one).do(after, ids[i])
		if err != nil || got.verdict != Admitted || got.generation != 1 || got.next < k.next {
			t.Errorf("in the end it is %v, %v, after the least was %d", got, err, k.next)
		}
		for number, n := range k.codes {
			if admitted++; n > 1 {
				t.Errorf("code %d was admitted %d times", number, n)
			}
		}
		for number, n := range k.backups {
			if admitted++; n > 1 || got.used>>number&1 == 0 {
				t.Errorf("backup code %d was admitted %d times, and in the end %b are used", number, n, got.used)
			}
		}
		wrongs += k.wrongs
		guesses += k.guesses
	}
	if failed.Load() == 0 || admitted < devices || wrongs == 0 {
		t.Errorf("%d operations failed, %d codes were admitted, %d were wrong: the test is wrong", failed.Load(), admitted, wrongs)
	}
	t.Logf("%d operations failed and %d did not; %d codes were admitted, %d of %d guesses told wrong",
		failed.Load(), done.Load(), admitted, wrongs, guesses)
}
