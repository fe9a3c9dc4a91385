package ledger

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fillDevices makes an entry of each device, which may be forgotten after an end.
func fillDevices(t testing.TB, m *Memory, end time.Time, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if got, err := code(7).until(m, id, end); err != nil || got.verdict != Admitted {
			t.Fatalf("AttemptDevice = %v, %v", got, err)
		}
	}
}

// To be full refuses what would have to be remembered, and tells nobody whether a code is right.
func TestMemoryRefusesDevicesWhenFull(t *testing.T) {
	m := newMemory(t, 3, someThrottle)
	end := now.Add(time.Hour)
	known, other, stranger := newID(), newID(), newID()
	fillDevices(t, m, end, known, other)
	v := newVerification() // one of another kind takes the same room
	v.Subject = ""
	fill(t, m, v)
	for _, op := range []deviceOp{
		code(7), backup(3), confirm(7), wrongCode, wrongBackup, wrongConfirm, code(6).of(version{next: 9}), renew, forgive, disable,
	} {
		if got, err := op.do(m, stranger); !errors.Is(err, ErrFull) || got != (stands{}) {
			t.Errorf("%+v of a new device = %v, %v; want ErrFull", op, got, err)
		}
	}
	if got, err := wrong.do(m, newVerification()); !errors.Is(err, ErrFull) {
		t.Errorf("an attempt at a verification = %v, %v; want ErrFull", got, err)
	}
	told := version{2, 9, 0b11, 1, 0}
	for op, verdict := range map[deviceOp]string{ // none of which leaves anything behind
		look:       Admitted,
		code(8):    Used,
		backup(1):  Used,
		confirm(9): Confirmed,
		code(9):    Throttled,
		wrongCode:  Throttled,
	} {
		op.told = told
		if verdict == Throttled {
			op.told.locked = time.Second
		}
		if got, err := op.do(m, stranger); err != nil || got != (stands{verdict, op.told}) {
			t.Errorf("%+v of a new device = %v, %v; want %s", op, got, err, verdict)
		}
	}
	for _, op := range []deviceOp{code(8), wrongCode, backup(0), forgive, renew, disable} {
		if got, err := op.of(version{next: 8}).do(m, known); err != nil || got.verdict == Used {
			t.Errorf("%+v of a known device = %v, %v", op, got, err)
		}
	}
	if m.Len() != 3 {
		t.Errorf("Len = %d, want 3", m.Len())
	}
	m.sweep(end.Add(grace + time.Second)) // known has a failure, which is for longer
	if m.Len() != 1 {
		t.Errorf("Len = %d after the sweep, want 1", m.Len())
	}
	fillDevices(t, m, end, stranger)
}

func TestMemoryIsNeverMoreThanFullOfDevices(t *testing.T) {
	const room = 100
	m := newMemory(t, room, someThrottle)
	var counted atomic.Int64
	var clients sync.WaitGroup
	for i := range crowd {
		clients.Go(func() {
			_, err := []deviceOp{code(7), wrongCode, renew, disable}[i%4].do(m, newID())
			switch {
			case err == nil:
				counted.Add(1)
			case !errors.Is(err, ErrFull):
				t.Error(err)
			}
		})
	}
	clients.Wait()
	// While one is refused, another may see its place taken.
	if n := counted.Load(); n > room || int(n) != m.Len() {
		t.Errorf("%d were counted, and Len is %d", n, m.Len())
	}
}

// A device is remembered as long as anything that it must be remembered for.
func TestMemoryKeepsADeviceUntilItsEnd(t *testing.T) {
	const minute, s, year = time.Minute, time.Second, 365 * 24 * time.Hour
	one := version{generation: 1}
	type use struct {
		op   deviceOp
		ends time.Duration // from then
	}
	tests := []struct {
		name string
		uses []use
		kept time.Duration // at least, and a second later not
	}{
		{"a code", []use{{code(1), minute}}, minute + grace},
		{"an end between two seconds", []use{{code(1), minute + s/2}}, minute + grace},
		{"a code later", []use{{code(1).later(minute), minute}}, 2*minute + grace},
		{"a longer end before", []use{{renew, 10 * year}, {code(1).of(one), minute}}, 10*year + grace},
		{"a longer end after", []use{{code(1), minute}, {disable, 10 * year}}, 10*year + grace},
		{"a wrong code", []use{{wrongCode, minute}}, forgetAfter + grace},
		{"a wrong code later", []use{{wrongCode, minute}, {wrongCode.later(minute), minute}}, forgetAfter + minute + grace},
		{"a wrong code for years", []use{{wrongCode, 10 * year}}, forgetAfter + grace},
		{"an unlock", []use{{code(1), minute}, {wrongCode, minute}, {forgive, 0}}, forgetAfter + grace},
		{"a wrong code and a right one", []use{{wrongCode, minute}, {code(1), minute}}, forgetAfter + grace},
		{"a right code and a wrong one", []use{{code(1), 10 * year}, {wrongCode, minute}}, 10*year + grace},
		{"refusals", []use{{disable, minute}, {code(1), year}, {wrongCode, year}, {renew, year}, {look, year}}, minute + grace},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, id := newMemory(t, 10, someThrottle), newID()
			for _, u := range test.uses {
				if _, err := u.op.until(m, id, now.Add(u.op.at+u.ends)); err != nil {
					t.Fatal(err)
				}
			}
			before, err := look.do(m, id)
			if err != nil || before == (stands{verdict: Admitted}) {
				t.Fatal(before, err)
			}
			m.sweep(now.Add(test.kept))
			if got, err := look.do(m, id); err != nil || got != before || m.Len() != 1 {
				t.Errorf("after %v it is %v, %v and Len is %d; want %v", test.kept, got, err, m.Len(), before)
			}
			m.sweep(now.Add(test.kept + s))
			if got, err := look.do(m, id); err != nil || got != (stands{verdict: Admitted}) || m.Len() != 0 {
				t.Errorf("a second later it is %v, %v, and Len is %d", got, err, m.Len())
			}
		})
	}
}

// Devices and verifications are swept alike, in any order of their ends.
func TestMemorySweepsAllDevicesThatHaveEnded(t *testing.T) {
	const n = 4 * shardCount
	m := newMemory(t, 2*n, Throttle{})
	for i := range n {
		end := now.Add(time.Duration(i*7919%n) * time.Second) // 7919 is prime: each once
		fillDevices(t, m, end, newID())
		v := newVerification()
		v.Until = end
		fill(t, m, v)
	}
	for _, ended := range []int{0, 1, n / 2, n} {
		m.sweep(now.Add(time.Duration(ended)*time.Second + grace))
		if m.Len() != 2*(n-ended) {
			t.Errorf("%d s on, Len = %d, want %d", ended, m.Len(), 2*(n-ended))
		}
	}
	fillDevices(t, m, now, newID())
}

func TestMemorySweepsDevicesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // within, time is made up and passes at once
		m := NewMemory(10, someThrottle, nil)
		defer m.Close()
		fillDevices(t, m, time.Now().Add(time.Minute), newID())
		time.Sleep(time.Minute + grace - sweepEvery)
		synctest.Wait()
		if m.Len() != 1 {
			t.Error("a device was forgotten before its end")
		}
		time.Sleep(2*time.Second + 2*sweepEvery)
		synctest.Wait()
		if m.Len() != 0 {
			t.Error("a device was remembered after its end")
		}
	})
}

func TestMemoryTakesNoDeviceForAnother(t *testing.T) {
	m := newMemory(t, 10, Throttle{})
	id := newID()
	fillDevices(t, m, now.Add(time.Hour), id)
	v := newVerification()
	v.ID, v.Subject = id, id // a verification of the same name is none
	if got, err := state.do(m, v); err != nil || got != (Outcome{Admitted, 0, 0}) {
		t.Errorf("the verification is %v, %v", got, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("an id longer than any was cut short")
		}
	}()
	_, _ = look.do(m, id+"A")
}
