package ledger

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// deviceLedger is what a service asks of each for devices.
type deviceLedger interface {
	AttemptDevice(ctx context.Context, v Device, p Proof) (Standing, error)
	RenewDevice(ctx context.Context, v Device) (Standing, error)
	DisableDevice(ctx context.Context, v Device) (Standing, error)
	ForgiveDevice(ctx context.Context, v Device) (Standing, error)
	DeviceStanding(ctx context.Context, v Device) (Standing, error)
}

func (r *replicas) AttemptDevice(ctx context.Context, v Device, p Proof) (Standing, error) {
	return r.next().AttemptDevice(ctx, v, p)
}

func (r *replicas) RenewDevice(ctx context.Context, v Device) (Standing, error) {
	return r.next().RenewDevice(ctx, v)
}

func (r *replicas) DisableDevice(ctx context.Context, v Device) (Standing, error) {
	return r.next().DisableDevice(ctx, v)
}

func (r *replicas) ForgiveDevice(ctx context.Context, v Device) (Standing, error) {
	return r.next().ForgiveDevice(ctx, v)
}

func (r *replicas) DeviceStanding(ctx context.Context, v Device) (Standing, error) {
	return r.next().DeviceStanding(ctx, v)
}

// rememberingDevices are the ledgers that remember devices. A test may find entries of other tests in the one it
// gets.
var rememberingDevices = []struct {
	name string
	open func(t testing.TB, throttle Throttle) deviceLedger
}{
	{"memory", func(t testing.TB, throttle Throttle) deviceLedger { return newMemory(t, 1_000_000, throttle) }},
	{"redis", func(t testing.TB, throttle Throttle) deviceLedger { return openReplicas(t, 3, throttle) }},
}

// version is what a version of a device tells: its generation, the least number that it accepts, the bits of its
// used backup codes, its failures, and until when, from now, they lock it; 0 for never.
type version struct {
	generation int
	next       int64
	used       uint32
	failures   int
	locked     time.Duration
}

// stands is a [Standing] in those words.
type stands struct {
	verdict string
	version
}

// deviceOp is a call of one method.
type deviceOp struct {
	name  string // attempt, renew, disable, forgive or look
	proof Proof
	told  version
	at    time.Duration // when, from now
}

var (
	wrongCode    = deviceOp{name: "attempt"}
	wrongBackup  = deviceOp{name: "attempt", proof: Proof{Backup: true}}
	wrongConfirm = deviceOp{name: "attempt", proof: Proof{Confirms: true}}
	renew        = deviceOp{name: "renew"}
	disable      = deviceOp{name: "disable"}
	forgive      = deviceOp{name: "forgive"}
	look         = deviceOp{name: "look"}
)

// code is a code that is right for a step or counter.
func code(number int64) deviceOp {
	return deviceOp{name: "attempt", proof: Proof{Right: true, Number: number}}
}

// backup is a backup code, the first of which is 0.
func backup(number int64) deviceOp {
	return deviceOp{name: "attempt", proof: Proof{Right: true, Backup: true, Number: number}}
}

func confirm(number int64) deviceOp {
	return deviceOp{name: "attempt", proof: Proof{Right: true, Number: number, Confirms: true}}
}

func (op deviceOp) of(told version) deviceOp       { op.told = told; return op }
func (op deviceOp) later(d time.Duration) deviceOp { op.at = d; return op }
func (op deviceOp) do(l deviceLedger, id string) (stands, error) {
	return op.until(l, id, now.Add(op.at+10*time.Minute))
}

// until does op, of which the ledger need not know after an end.
func (op deviceOp) until(l deviceLedger, id string, end time.Time) (stands, error) {
	v, ctx := op.device(id, end), context.Background()
	var got Standing
	var err error
	switch op.name {
	case "attempt":
		got, err = l.AttemptDevice(ctx, v, op.proof)
	case "renew":
		got, err = l.RenewDevice(ctx, v)
	case "disable":
		got, err = l.DisableDevice(ctx, v)
	case "forgive":
		got, err = l.ForgiveDevice(ctx, v)
	case "look":
		got, err = l.DeviceStanding(ctx, v)
	default:
		panic(op.name)
	}
	s := stands{got.Verdict, version{got.Generation, got.Next, got.Used, got.Failures, 0}}
	if !got.LockedUntil.IsZero() {
		s.locked = got.LockedUntil.Sub(now)
	}
	return s, err
}

func (op deviceOp) device(id string, end time.Time) Device {
	v := Device{
		ID: id, Generation: op.told.generation, Next: op.told.next, Used: op.told.used, Failures: op.told.failures,
		Until: end, Now: now.Add(op.at),
	}
	if op.told.locked != 0 {
		v.LockedUntil = now.Add(op.told.locked)
	}
	return v
}

// after returns the version that is sealed after op was told s: what the domain makes of a standing.
func (v version) after(op deviceOp, s stands) version {
	switch {
	case s.verdict == Throttled, s.verdict == Disabled:
		return v
	case s.verdict == Admitted && (op.name == "renew" || op.proof.Confirms):
		return s.version
	case s.generation == v.generation:
		v.used = s.used
	case v.generation > 0: // it has none of the newer backup codes
		v.generation, v.used = s.generation, 0
	}
	v.next, v.failures, v.locked = s.next, s.failures, s.locked
	return v
}

type deviceStep struct {
	op   deviceOp
	want stands
}

// Who always sends the newest version is told the same by every ledger, even by the one that remembers nothing.
func TestDeviceConformance(t *testing.T) {
	tests := []struct {
		name  string
		steps []deviceStep // of which each has the version that the one before left
	}{
		{"a device is confirmed once", []deviceStep{
			{look, stands{Admitted, version{}}},
			{confirm(100), stands{Admitted, version{1, 101, 0, 0, 0}}},
			{confirm(101), stands{Confirmed, version{1, 101, 0, 0, 0}}},
			{wrongConfirm, stands{Confirmed, version{1, 101, 0, 0, 0}}},
			{look, stands{Admitted, version{1, 101, 0, 0, 0}}},
		}},
		{"a wrong code confirms nothing", []deviceStep{
			{wrongConfirm, stands{Wrong, version{0, 0, 0, 1, 0}}},
			{confirm(7), stands{Admitted, version{1, 8, 0, 0, 0}}},
		}},
		{"the code that set an unconfirmed device right does not confirm it", []deviceStep{
			{code(7), stands{Admitted, version{0, 8, 0, 0, 0}}},
			{confirm(7), stands{Used, version{0, 8, 0, 0, 0}}},
			{confirm(8), stands{Admitted, version{1, 9, 0, 0, 0}}},
		}},
		{"a code is right once", []deviceStep{
			{confirm(0), stands{Admitted, version{1, 1, 0, 0, 0}}},
			{code(1), stands{Admitted, version{1, 2, 0, 0, 0}}},
			{code(1), stands{Used, version{1, 2, 0, 0, 0}}},
			{code(1), stands{Used, version{1, 2, 0, 0, 0}}},
			{code(2), stands{Admitted, version{1, 3, 0, 0, 0}}},
		}},
		{"a step and then the one before", []deviceStep{
			{confirm(10), stands{Admitted, version{1, 11, 0, 0, 0}}},
			{code(21), stands{Admitted, version{1, 22, 0, 0, 0}}},
			{code(20), stands{Wrong, version{1, 22, 0, 1, 0}}},
			{code(21), stands{Used, version{1, 22, 0, 1, 0}}},
			{code(22), stands{Admitted, version{1, 23, 0, 0, 0}}},
		}},
		{"a step and then the one after", []deviceStep{
			{code(20), stands{Admitted, version{0, 21, 0, 0, 0}}},
			{code(21), stands{Admitted, version{0, 22, 0, 0, 0}}},
		}},
		{"number 0 of a new device", []deviceStep{
			{code(0), stands{Admitted, version{0, 1, 0, 0, 0}}},
			{code(0), stands{Used, version{0, 1, 0, 0, 0}}},
		}},
		{"numbers as great as Lua can reckon with", []deviceStep{
			{code(1<<53 - 3), stands{Admitted, version{0, 1<<53 - 2, 0, 0, 0}}},
			{code(1<<53 - 4), stands{Wrong, version{0, 1<<53 - 2, 0, 1, 0}}},
			{code(1<<53 - 3), stands{Used, version{0, 1<<53 - 2, 0, 1, 0}}},
			{code(1<<53 - 2), stands{Admitted, version{0, 1<<53 - 1, 0, 0, 0}}},
			{wrongCode, stands{Wrong, version{0, 1<<53 - 1, 0, 1, 0}}},
			{look, stands{Admitted, version{0, 1<<53 - 1, 0, 1, 0}}},
		}},
		{"each backup code is right once", []deviceStep{
			{confirm(1), stands{Admitted, version{1, 2, 0, 0, 0}}},
			{backup(0), stands{Admitted, version{1, 2, 0b1, 0, 0}}},
			{backup(0), stands{Used, version{1, 2, 0b1, 0, 0}}},
			{backup(9), stands{Admitted, version{1, 2, 0b10_0000_0001, 0, 0}}},
			{backup(9), stands{Used, version{1, 2, 0b10_0000_0001, 0, 0}}},
			{wrongBackup, stands{Wrong, version{1, 2, 0b10_0000_0001, 1, 0}}},
			{backup(2), stands{Admitted, version{1, 2, 0b10_0000_0101, 0, 0}}},
			{code(2), stands{Admitted, version{1, 3, 0b10_0000_0101, 0, 0}}},
		}},
		{"the number of a backup code is no step", []deviceStep{
			{confirm(9), stands{Admitted, version{1, 10, 0, 0, 0}}},
			{backup(9), stands{Admitted, version{1, 10, 1 << 9, 0, 0}}},
			{backup(1), stands{Admitted, version{1, 10, 1<<9 | 1<<1, 0, 0}}},
			{code(9), stands{Used, version{1, 10, 1<<9 | 1<<1, 0, 0}}},
		}},
		{"32 backup codes", []deviceStep{
			{backup(31), stands{Admitted, version{0, 0, 1 << 31, 0, 0}}},
			{backup(0), stands{Admitted, version{0, 0, 1<<31 | 1, 0, 0}}},
			{backup(31), stands{Used, version{0, 0, 1<<31 | 1, 0, 0}}},
			{look, stands{Admitted, version{0, 0, 1<<31 | 1, 0, 0}}},
		}},
		{"new backup codes", []deviceStep{
			{confirm(1), stands{Admitted, version{1, 2, 0, 0, 0}}},
			{backup(3), stands{Admitted, version{1, 2, 0b1000, 0, 0}}},
			{wrongCode, stands{Wrong, version{1, 2, 0b1000, 1, 0}}},
			{renew, stands{Admitted, version{2, 2, 0, 1, 0}}},
			{backup(3), stands{Admitted, version{2, 2, 0b1000, 0, 0}}},
			{renew, stands{Admitted, version{3, 2, 0, 0, 0}}},
			{renew, stands{Admitted, version{4, 2, 0, 0, 0}}},
			{code(1), stands{Used, version{4, 2, 0, 0, 0}}},
		}},
		{"a look changes nothing", []deviceStep{
			{look, stands{Admitted, version{}}},
			{look, stands{Admitted, version{}}},
			{wrongCode, stands{Wrong, version{0, 0, 0, 1, 0}}},
			{look, stands{Admitted, version{0, 0, 0, 1, 0}}},
		}},
		{"a locked device looks at no code, and renews", []deviceStep{
			{wrongCode, stands{Wrong, version{0, 0, 0, 1, 0}}},
			{wrongCode, stands{Wrong, version{0, 0, 0, 2, 0}}},
			{wrongCode, stands{Wrong, version{0, 0, 0, 3, 0}}},
			{wrongCode, stands{Wrong, version{0, 0, 0, 4, time.Second}}},
			{code(5), stands{Throttled, version{0, 0, 0, 4, time.Second}}},
			{backup(5), stands{Throttled, version{0, 0, 0, 4, time.Second}}},
			{wrongBackup, stands{Throttled, version{0, 0, 0, 4, time.Second}}},
			{confirm(5), stands{Throttled, version{0, 0, 0, 4, time.Second}}},
			{look, stands{Admitted, version{0, 0, 0, 4, time.Second}}},
			{renew, stands{Admitted, version{1, 0, 0, 4, time.Second}}},
			{confirm(5), stands{Confirmed, version{1, 0, 0, 4, time.Second}}},
			{code(5).later(time.Second - time.Millisecond), stands{Throttled, version{1, 0, 0, 4, time.Second}}},
			{code(5).later(time.Second), stands{Admitted, version{1, 6, 0, 0, 0}}},
			{wrongCode, stands{Wrong, version{1, 6, 0, 1, 0}}},
		}},
		{"an unlock forgets failures and lock, and nothing else", []deviceStep{
			{forgive, stands{Admitted, version{}}},
			{confirm(5), stands{Admitted, version{1, 6, 0, 0, 0}}},
			{backup(1), stands{Admitted, version{1, 6, 0b10, 0, 0}}},
			{wrongCode, stands{Wrong, version{1, 6, 0b10, 1, 0}}},
			{wrongCode, stands{Wrong, version{1, 6, 0b10, 2, 0}}},
			{wrongCode, stands{Wrong, version{1, 6, 0b10, 3, 0}}},
			{wrongCode, stands{Wrong, version{1, 6, 0b10, 4, time.Second}}},
			{forgive, stands{Admitted, version{1, 6, 0b10, 0, 0}}},
			{look, stands{Admitted, version{1, 6, 0b10, 0, 0}}},
			{code(5), stands{Used, version{1, 6, 0b10, 0, 0}}},
			{backup(1), stands{Used, version{1, 6, 0b10, 0, 0}}},
			{wrongCode, stands{Wrong, version{1, 6, 0b10, 1, 0}}},
		}},
	}
	throttle := Throttle{After: 20, Factor: time.Second, Max: time.Minute}
	kinds := append(slices.Clone(rememberingDevices), rememberingDevices[0])
	kinds[2].name = "none"
	kinds[2].open = func(_ testing.TB, throttle Throttle) deviceLedger { return None{throttle} }
	for _, kind := range kinds {
		l := kind.open(t, throttle)
		for _, test := range tests {
			t.Run(kind.name+", "+test.name, func(t *testing.T) {
				var newest version
				id := newID()
				for i, s := range test.steps {
					op := s.op.of(newest)
					got, err := op.do(l, id)
					if err != nil || got != s.want {
						t.Fatalf("step %d, %+v = %v, %v; want %v", i+1, op, got, err, s.want)
					}
					newest = newest.after(op, got)
				}
			})
		}
		t.Run(kind.name+", locks", func(t *testing.T) { testDeviceLocks(t, kind.open) })
	}
}

// testDeviceLocks has wrong codes come as soon as they may, and right ones between.
func testDeviceLocks(t *testing.T, open func(testing.TB, Throttle) deviceLedger) {
	const s = time.Second
	severe := func(free int, first, longest time.Duration) (locks []time.Duration) {
		for n := 1; n <= 103; n++ {
			var lock time.Duration
			switch {
			case n >= 100:
				lock = 24 * time.Hour
			case n > free:
				lock = longest
				if n-free < 13 {
					lock = min(longest, first<<(n-free-1))
				}
			}
			locks = append(locks, lock)
		}
		return locks
	}
	tests := []struct {
		name     string
		throttle Throttle
		locks    []time.Duration // by each wrong code in turn
	}{
		{"as by default", Throttle{20, s, time.Hour}, []time.Duration{
			0, 0, 0, s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 512 * s, 1024 * s, 2048 * s,
			3600 * s, 3600 * s, 3600 * s,
		}},
		{"up to a longest", Throttle{3, s, 8 * s}, []time.Duration{0, 0, 0, s, 2 * s, 4 * s, 8 * s, 8 * s, 8 * s}},
		{"up to a longest between", Throttle{3, s, 5 * s}, []time.Duration{0, 0, 0, s, 2 * s, 4 * s, 5 * s, 5 * s}},
		{"with fewer free", Throttle{1, 3 * s, time.Hour}, []time.Duration{0, 3 * s, 6 * s, 12 * s, 24 * s}},
		{"with none free", Throttle{0, s, time.Hour}, []time.Duration{s, 2 * s, 4 * s, 8 * s}},
		{"with the first longer than the longest", Throttle{0, time.Minute, 7 * s}, []time.Duration{7 * s, 7 * s}},
		{"with a factor of a day", Throttle{3, 24 * time.Hour, 24 * time.Hour}, []time.Duration{0, 0, 0, 24 * time.Hour}},
		{"of a day from the hundredth", Throttle{20, s, 3 * s}, severe(3, s, 3*s)},
		{"of a day from the hundredth, with none free", Throttle{0, s, time.Hour}, severe(0, s, time.Hour)},
		{"factor 0 locks never", Throttle{3, 0, time.Hour}, make([]time.Duration, 150)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, id := open(t, test.throttle), newID()
			newest, at := version{generation: 1}, time.Duration(0)
			for i, lock := range test.locks {
				op := wrongCode.of(newest).later(at)
				want := version{1, 0, 0, i + 1, newest.locked}
				if lock > 0 {
					want.locked = at + lock
				}
				got, err := op.do(l, id)
				if err != nil || got != (stands{Wrong, want}) {
					t.Fatalf("wrong code %d = %v, %v; want a lock of %v", i+1, got, err, lock)
				}
				if newest = got.version; lock == 0 {
					continue
				}
				for _, op := range []deviceOp{wrongCode, code(5), backup(5)} {
					for _, early := range []time.Duration{lock, time.Millisecond} {
						op := op.of(newest).later(at + lock - early)
						if got, err := op.do(l, id); err != nil || got != (stands{Throttled, want}) {
							t.Fatalf("%+v while it is locked = %v, %v; want %v", op, got, err, want)
						}
					}
				}
				at += lock
			}
			op := code(5).of(newest).later(at)
			if got, err := op.do(l, id); err != nil || got != (stands{Admitted, version{1, 6, 0, 0, 0}}) {
				t.Errorf("a right code after the last lock = %v, %v", got, err)
			}
		})
	}
}

// Whoever keeps an older version gains nothing, and whoever has one by accident loses nothing.
func TestOldVersionsOfDevices(t *testing.T) {
	const s = time.Second
	enrolled, confirmed := version{}, version{generation: 1, next: 101}
	failed := func(n int, op deviceOp) (steps []deviceStep) {
		for i := range n {
			left := op.told
			left.failures += i + 1
			steps = append(steps, deviceStep{op, stands{Wrong, left}})
		}
		return steps
	}
	tests := []struct {
		name  string
		steps []deviceStep
	}{
		{"a code of an older version", []deviceStep{
			{code(105).of(confirmed), stands{Admitted, version{1, 106, 0, 0, 0}}},
			{code(105).of(confirmed), stands{Used, version{1, 106, 0, 0, 0}}},
			{code(104).of(confirmed), stands{Wrong, version{1, 106, 0, 1, 0}}},
			{code(106).of(confirmed), stands{Admitted, version{1, 107, 0, 0, 0}}},
			{code(105).of(confirmed), stands{Wrong, version{1, 107, 0, 1, 0}}},
		}},
		{"a version tells of a number that was accepted elsewhere", []deviceStep{
			{look.of(version{1, 50, 0, 0, 0}), stands{Admitted, version{1, 50, 0, 0, 0}}},
			{wrongCode.of(version{1, 50, 0, 0, 0}), stands{Wrong, version{1, 50, 0, 1, 0}}},
			{code(49).of(version{1, 10, 0, 0, 0}), stands{Used, version{1, 50, 0, 1, 0}}},
			{code(48).of(version{1, 10, 0, 0, 0}), stands{Wrong, version{1, 50, 0, 2, 0}}},
			{code(50).of(version{1, 10, 0, 0, 0}), stands{Admitted, version{1, 51, 0, 0, 0}}},
		}},
		{"a backup code of an older version", []deviceStep{
			{backup(3).of(confirmed), stands{Admitted, version{1, 101, 0b1000, 0, 0}}},
			{backup(3).of(confirmed), stands{Used, version{1, 101, 0b1000, 0, 0}}},
			{backup(4).of(confirmed), stands{Admitted, version{1, 101, 0b11000, 0, 0}}},
			{backup(3).of(version{1, 101, 0b10000, 0, 0}), stands{Used, version{1, 101, 0b11000, 0, 0}}},
		}},
		{"a version tells of backup codes that were used elsewhere", []deviceStep{
			{wrongCode.of(version{1, 101, 0b110, 0, 0}), stands{Wrong, version{1, 101, 0b110, 1, 0}}},
			{backup(2).of(confirmed), stands{Used, version{1, 101, 0b110, 1, 0}}},
			{backup(0).of(version{1, 101, 0b1010, 0, 0}), stands{Admitted, version{1, 101, 0b1111, 0, 0}}},
			{backup(3).of(confirmed), stands{Used, version{1, 101, 0b1111, 0, 0}}},
		}},
		{"the unconfirmed version after the confirmation", []deviceStep{
			{confirm(100).of(enrolled), stands{Admitted, confirmed}},
			{confirm(101).of(enrolled), stands{Confirmed, confirmed}},
			{wrongConfirm.of(enrolled), stands{Confirmed, confirmed}},
			{code(101).of(enrolled), stands{Superseded, confirmed}},
			{wrongCode.of(enrolled), stands{Superseded, confirmed}},
			{look.of(enrolled), stands{Superseded, confirmed}},
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
		}},
		{"a version of older backup codes", []deviceStep{
			{backup(1).of(confirmed), stands{Admitted, version{1, 101, 0b10, 0, 0}}},
			{renew.of(confirmed), stands{Admitted, version{2, 101, 0, 0, 0}}},
			{backup(0).of(confirmed), stands{Superseded, version{2, 101, 0, 0, 0}}},
			{backup(1).of(confirmed), stands{Superseded, version{2, 101, 0, 0, 0}}},
			{wrongBackup.of(confirmed), stands{Superseded, version{2, 101, 0, 0, 0}}},
			{look.of(confirmed), stands{Admitted, version{2, 101, 0, 0, 0}}},
			{look.of(enrolled), stands{Superseded, version{2, 101, 0, 0, 0}}},
			{backup(1).of(version{2, 101, 0, 0, 0}), stands{Admitted, version{2, 101, 0b10, 0, 0}}},
			{code(101).of(confirmed), stands{Admitted, version{2, 102, 0b10, 0, 0}}}, // its steps are as good as any's
			{code(101).of(confirmed), stands{Used, version{2, 102, 0b10, 0, 0}}},
			{wrongCode.of(confirmed), stands{Wrong, version{2, 102, 0b10, 1, 0}}},
			{code(102).of(enrolled), stands{Superseded, version{2, 102, 0b10, 1, 0}}},
		}},
		{"an older version asks for new backup codes", []deviceStep{
			{renew.of(confirmed), stands{Admitted, version{2, 101, 0, 0, 0}}},
			{backup(5).of(version{2, 101, 0, 0, 0}), stands{Admitted, version{2, 101, 1 << 5, 0, 0}}},
			{renew.of(confirmed), stands{Admitted, version{3, 101, 0, 0, 0}}},
			{backup(6).of(version{2, 101, 0, 0, 0}), stands{Superseded, version{3, 101, 0, 0, 0}}},
			{backup(5).of(version{3, 101, 0, 0, 0}), stands{Admitted, version{3, 101, 1 << 5, 0, 0}}},
		}},
		{"what is used in an older generation is nothing to the newer", []deviceStep{
			{renew.of(confirmed), stands{Admitted, version{2, 101, 0, 0, 0}}},
			{look.of(version{1, 101, 0b111, 0, 0}), stands{Admitted, version{2, 101, 0, 0, 0}}},
			{wrongCode.of(version{1, 101, 0b111, 0, 0}), stands{Wrong, version{2, 101, 0, 1, 0}}},
			{code(101).of(version{1, 101, 0b111, 0, 0}), stands{Admitted, version{2, 102, 0, 0, 0}}},
			{backup(0).of(version{2, 101, 0, 0, 0}), stands{Admitted, version{2, 102, 1, 0, 0}}},
			{disable.of(version{1, 102, 0b111, 0, 0}), stands{Admitted, version{2, 102, 1, 0, 0}}},
		}},
		{"a version tells of a generation that began elsewhere", []deviceStep{
			{backup(1).of(confirmed), stands{Admitted, version{1, 101, 0b10, 0, 0}}},
			{backup(4).of(version{5, 101, 0b100, 0, 0}), stands{Admitted, version{5, 101, 0b10100, 0, 0}}},
			{backup(6).of(version{4, 101, 0, 0, 0}), stands{Superseded, version{5, 101, 0b10100, 0, 0}}},
			{backup(1).of(version{5, 101, 0, 0, 0}), stands{Admitted, version{5, 101, 0b10110, 0, 0}}},
			{renew.of(version{7, 101, 0b1, 0, 0}), stands{Admitted, version{8, 101, 0, 0, 0}}},
		}},
		{"the numbers of an older generation stay dead", []deviceStep{
			{code(105).of(confirmed), stands{Admitted, version{1, 106, 0, 0, 0}}},
			{renew.of(confirmed), stands{Admitted, version{2, 106, 0, 0, 0}}},
			{code(105).of(version{2, 101, 0, 0, 0}), stands{Used, version{2, 106, 0, 0, 0}}},
			{code(104).of(version{2, 101, 0, 0, 0}), stands{Wrong, version{2, 106, 0, 1, 0}}},
		}},
		{"an older version rolls no failures back", slices.Concat(failed(3, wrongCode.of(confirmed)), []deviceStep{
			{wrongCode.of(confirmed), stands{Wrong, version{1, 101, 0, 4, s}}},
			{code(101).of(confirmed), stands{Throttled, version{1, 101, 0, 4, s}}},
			{code(101).of(enrolled), stands{Superseded, version{1, 101, 0, 4, s}}},
			{wrongCode.of(confirmed).later(s), stands{Wrong, version{1, 101, 0, 5, 3 * s}}},
		})},
		{"codes, backup codes and confirmations fail together", []deviceStep{
			{wrongCode.of(enrolled), stands{Wrong, version{0, 0, 0, 1, 0}}},
			{wrongBackup.of(enrolled), stands{Wrong, version{0, 0, 0, 2, 0}}},
			{wrongConfirm.of(enrolled), stands{Wrong, version{0, 0, 0, 3, 0}}},
			{code(7).of(version{next: 9}), stands{Wrong, version{0, 9, 0, 4, s}}},
			{confirm(10).of(enrolled), stands{Throttled, version{0, 9, 0, 4, s}}},
		}},
		{"a version tells of failures elsewhere", []deviceStep{
			{wrongCode.of(version{1, 101, 0, 6, 0}), stands{Wrong, version{1, 101, 0, 7, 8 * s}}},
			{wrongCode.of(version{1, 101, 0, 2, 0}).later(8 * s), stands{Wrong, version{1, 101, 0, 8, 24 * s}}},
		}},
		{"a version tells of a lock elsewhere", []deviceStep{
			{code(101).of(version{1, 101, 0, 6, 4 * s}), stands{Throttled, version{1, 101, 0, 6, 4 * s}}},
			{look.of(version{1, 101, 0, 6, 4 * s}), stands{Admitted, version{1, 101, 0, 6, 4 * s}}},
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}}, // a refusal is nothing to remember
		}},
		{"the longer lock holds", slices.Concat(failed(3, wrongCode.of(confirmed)), []deviceStep{
			{wrongCode.of(confirmed), stands{Wrong, version{1, 101, 0, 4, s}}},
			{code(101).of(version{1, 101, 0, 1, 3 * s}).later(s), stands{Throttled, version{1, 101, 0, 4, 3 * s}}},
			{code(101).of(version{1, 101, 0, 9, s / 2}), stands{Throttled, version{1, 101, 0, 9, s}}},
		})},
		{"a right code clears failures and lock of all versions", slices.Concat(failed(3, wrongCode.of(confirmed)), []deviceStep{
			{wrongCode.of(confirmed), stands{Wrong, version{1, 101, 0, 4, s}}},
			{backup(0).of(confirmed).later(s), stands{Admitted, version{1, 101, 1, 0, 0}}},
			{wrongCode.of(confirmed).later(s), stands{Wrong, version{1, 101, 1, 1, 0}}},
		})},
		{"an unlock by any version holds for all that tell of no failures", slices.Concat(failed(3, wrongCode.of(confirmed)), []deviceStep{
			{wrongCode.of(confirmed), stands{Wrong, version{1, 101, 0, 4, s}}},
			{forgive.of(enrolled), stands{Admitted, confirmed}},
			{look.of(version{1, 101, 0, 4, s}), stands{Admitted, version{1, 101, 0, 4, s}}}, // as locked as it says
			{wrongCode.of(confirmed), stands{Wrong, version{1, 101, 0, 1, 0}}},
			{forgive.of(version{1, 101, 0, 4, s}), stands{Admitted, confirmed}},
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
		})},
		{"an unlock remembers what its version tells", []deviceStep{
			{forgive.of(version{2, 101, 0b11, 5, s}), stands{Admitted, version{2, 101, 0b11, 0, 0}}},
			{backup(0).of(version{1, 101, 0, 0, 0}), stands{Superseded, version{2, 101, 0b11, 0, 0}}},
			{backup(0).of(version{2, 101, 0, 0, 0}), stands{Used, version{2, 101, 0b11, 0, 0}}},
			{code(100).of(version{2, 9, 0, 0, 0}), stands{Used, version{2, 101, 0b11, 0, 0}}},
		}},
		{"a used code counts nothing", slices.Concat([]deviceStep{
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
			{backup(0).of(confirmed), stands{Admitted, version{1, 102, 1, 0, 0}}},
		}, slices.Repeat([]deviceStep{
			{code(101).of(confirmed), stands{Used, version{1, 102, 1, 0, 0}}},
			{backup(0).of(confirmed), stands{Used, version{1, 102, 1, 0, 0}}},
		}, 10))},
		{"a used code clears nothing", slices.Concat([]deviceStep{
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
			{wrongCode.of(confirmed), stands{Wrong, version{1, 102, 0, 1, 0}}},
			{code(101).of(confirmed), stands{Used, version{1, 102, 0, 1, 0}}},
			{look.of(confirmed), stands{Admitted, version{1, 102, 0, 1, 0}}},
		})},
		{"a look and a refusal leave nothing behind", []deviceStep{
			{look.of(version{3, 99, 0b11, 9, time.Hour}), stands{Admitted, version{3, 99, 0b11, 9, time.Hour}}},
			{code(98).of(version{3, 99, 0b11, 9, 0}), stands{Used, version{3, 99, 0b11, 9, 0}}},
			{backup(0).of(version{3, 99, 0b11, 9, 0}), stands{Used, version{3, 99, 0b11, 9, 0}}},
			{confirm(9).of(version{3, 99, 0b11, 9, 0}), stands{Confirmed, version{3, 99, 0b11, 9, 0}}},
			{code(99).of(version{3, 99, 0b11, 9, time.Hour}), stands{Throttled, version{3, 99, 0b11, 9, time.Hour}}},
			{look.of(enrolled), stands{Admitted, enrolled}},
		}},
		{"a disabled device is dead in all versions", []deviceStep{
			{disable.of(confirmed), stands{Admitted, confirmed}},
			{code(101).of(confirmed), stands{Revoked, confirmed}},
			{wrongCode.of(confirmed), stands{Revoked, confirmed}},
			{backup(1).of(confirmed), stands{Revoked, confirmed}},
			{wrongBackup.of(confirmed), stands{Revoked, confirmed}},
			{confirm(101).of(enrolled), stands{Revoked, confirmed}},
			{renew.of(confirmed), stands{Revoked, confirmed}},
			{forgive.of(confirmed), stands{Revoked, confirmed}},
			{look.of(confirmed), stands{Revoked, confirmed}},
			{code(200).of(version{9, 150, 0b1, 3, s}), stands{Revoked, version{9, 150, 0b1, 3, s}}},
			{renew.of(version{9, 150, 0b1, 3, s}), stands{Revoked, version{9, 150, 0b1, 3, s}}},
			{look.of(enrolled), stands{Revoked, confirmed}},
			{disable.of(enrolled), stands{Admitted, confirmed}},
		}},
		{"an unconfirmed version disables", []deviceStep{
			{confirm(100).of(enrolled), stands{Admitted, confirmed}},
			{disable.of(enrolled), stands{Admitted, confirmed}},
			{code(101).of(confirmed), stands{Revoked, confirmed}},
		}},
		{"an end counts before a lock and an older generation", []deviceStep{
			{renew.of(confirmed), stands{Admitted, version{2, 101, 0, 0, 0}}},
			{disable.of(version{2, 101, 0, 8, s}), stands{Admitted, version{2, 101, 0, 8, s}}},
			{code(101).of(confirmed), stands{Revoked, version{2, 101, 0, 8, s}}},
		}},
		{"an older generation counts before a lock", []deviceStep{
			{renew.of(version{1, 101, 0, 8, s}), stands{Admitted, version{2, 101, 0, 8, s}}},
			{backup(0).of(confirmed), stands{Superseded, version{2, 101, 0, 8, s}}},
			{code(101).of(enrolled), stands{Superseded, version{2, 101, 0, 8, s}}},
			{code(101).of(confirmed), stands{Throttled, version{2, 101, 0, 8, s}}},
			{code(101).of(version{2, 101, 0, 0, 0}), stands{Throttled, version{2, 101, 0, 8, s}}},
		}},
		{"a lock counts before a use", []deviceStep{
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
			{backup(0).of(confirmed), stands{Admitted, version{1, 102, 1, 0, 0}}},
			{wrongCode.of(version{1, 101, 0, 6, 0}), stands{Wrong, version{1, 102, 1, 7, 8 * s}}},
			{code(101).of(confirmed), stands{Throttled, version{1, 102, 1, 7, 8 * s}}},
			{backup(0).of(confirmed), stands{Throttled, version{1, 102, 1, 7, 8 * s}}},
		}},
		{"free failures lock out nobody whose clock is behind", []deviceStep{
			{wrongCode.of(confirmed).later(5 * s), stands{Wrong, version{1, 101, 0, 1, 0}}},
			{wrongCode.of(confirmed), stands{Wrong, version{1, 101, 0, 2, 0}}},
		}},
		{"counts beyond any that a version holds", []deviceStep{
			{wrongCode.of(version{1, 101, 0, 1 << 40, 0}), stands{Wrong, version{1, 101, 0, 1<<30 + 1, 24 * time.Hour}}},
			{renew.of(version{generation: 1 << 40}), stands{Admitted, version{1<<30 + 1, 101, 0, 1<<30 + 1, 24 * time.Hour}}},
		}},
	}
	for _, kind := range rememberingDevices {
		l := kind.open(t, Throttle{After: 20, Factor: s, Max: time.Minute})
		for _, test := range tests {
			t.Run(kind.name+", "+test.name, func(t *testing.T) {
				id, other := newID(), newID()
				for i, step := range test.steps {
					if got, err := step.op.do(l, id); err != nil || got != step.want {
						t.Fatalf("step %d, %+v = %v, %v; want %v", i+1, step.op, got, err, step.want)
					}
				}
				if got, err := look.do(l, other); err != nil || got != (stands{verdict: Admitted}) {
					t.Errorf("another device is %v, %v now", got, err)
				}
			})
		}
	}
}

// devicesTogether has a crowd do ops, in turn, on one device at once, and returns how often each was told what.
func devicesTogether(t testing.TB, l deviceLedger, id string, ops ...deviceOp) map[deviceOp]map[string]int {
	t.Helper()
	told := make(map[deviceOp]map[string]int)
	for _, op := range ops {
		told[op] = make(map[string]int)
	}
	var mu sync.Mutex
	var clients sync.WaitGroup
	start := make(chan struct{})
	for i := range crowd {
		op := ops[i%len(ops)]
		clients.Go(func() {
			<-start
			got, err := op.do(l, id)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			told[op][got.verdict]++
		})
	}
	close(start)
	clients.Wait()
	return told
}

func TestConcurrentDeviceOperations(t *testing.T) {
	const rounds = 10 // a race is not lost every time
	one := version{generation: 1, next: 5}
	unlocked := Throttle{After: 3, Max: time.Hour}
	locking := Throttle{After: 2, Factor: time.Minute, Max: time.Hour}
	var backups []deviceOp
	for i := range int64(10) {
		backups = append(backups, backup(i).of(one))
	}
	tests := []struct {
		name     string
		throttle Throttle
		ops      []deviceOp
		want     map[string]int // of all ops together, but for those that are 0
		left     version        // failures and lock not looked at
	}{
		{"one code: once", unlocked, []deviceOp{code(7).of(one)}, map[string]int{Admitted: 1, Used: crowd - 1}, version{1, 8, 0, 0, 0}},
		{"one backup code: once", unlocked, []deviceOp{backup(7).of(one)}, map[string]int{Admitted: 1, Used: crowd - 1}, version{1, 5, 1 << 7, 0, 0}},
		{"ten backup codes: each once", unlocked, backups, map[string]int{Admitted: 10, Used: crowd - 10}, version{1, 5, 1<<10 - 1, 0, 0}},
		{"one confirmation: once", unlocked, []deviceOp{confirm(7), wrongConfirm.of(version{generation: 1})},
			map[string]int{Admitted: 1, Confirmed: crowd - 1}, version{1, 8, 0, 0, 0}},
		{"wrong codes: as many as are free, and one", locking, []deviceOp{wrongCode.of(one), wrongBackup.of(one), code(4).of(version{1, 6, 0, 0, 0})},
			map[string]int{Wrong: 3, Throttled: crowd - 3}, version{}},
		{"renewals: each once", unlocked, []deviceOp{renew.of(one)}, map[string]int{Admitted: crowd}, version{1 + crowd, 5, 0, 0, 0}},
	}
	for _, kind := range rememberingDevices {
		for _, test := range tests {
			t.Run(kind.name+", "+test.name, func(t *testing.T) {
				l := kind.open(t, test.throttle)
				for range rounds {
					id, sum := newID(), make(map[string]int)
					for _, told := range devicesTogether(t, l, id, test.ops...) {
						for verdict, n := range told {
							sum[verdict] += n
						}
					}
					if !maps.Equal(sum, test.want) {
						t.Fatalf("they were told %v, want %v", sum, test.want)
					}
					got, err := look.of(version{generation: test.left.generation}).do(l, id)
					if want := test.left; want != (version{}) && (err != nil || got != stands{Admitted, want}) {
						t.Fatalf("in the end it is %v, %v; want %v", got, err, want)
					}
				}
			})
		}
		// A right code among wrong ones clears what came before it, so that twice as many may be wrong, and no more.
		t.Run(kind.name+", right and wrong codes", func(t *testing.T) {
			l := kind.open(t, locking)
			for range rounds {
				right := code(7).of(one)
				told := devicesTogether(t, l, newID(), right, wrongCode.of(one))
				rights, wrongs := told[right][Admitted], told[wrongCode.of(one)][Wrong]
				if rights > 1 || wrongs > 3*(1+rights) || rights == 0 && wrongs != 3 {
					t.Fatalf("%v", told)
				}
			}
		})
		t.Run(kind.name+", codes and an end", func(t *testing.T) {
			l := kind.open(t, unlocked)
			for range rounds {
				id, right := newID(), code(7).of(one)
				told := devicesTogether(t, l, id, right, renew.of(one), disable.of(one))
				if told[right][Admitted] > 1 || told[disable.of(one)][Admitted] != crowd/3 {
					t.Fatalf("%v", told)
				}
				if got, err := look.of(version{generation: crowd}).do(l, id); err != nil || got.verdict != Revoked {
					t.Fatalf("in the end it is %v, %v", got, err)
				}
			}
		})
	}
}
