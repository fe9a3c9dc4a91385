package ledger

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// fill makes an entry of each verification.
func fill(t testing.TB, m *Memory, verifications ...Verification) {
	t.Helper()
	for _, v := range verifications {
		if got, err := wrong.do(m, v); err != nil || got.Verdict != Admitted {
			t.Fatalf("Attempt = %v, %v", got, err)
		}
	}
}

func TestMemoryRefusesWhenFull(t *testing.T) {
	m := newMemory(t, 2, Throttle{})
	known := []Verification{newVerification(), newVerification()}
	fill(t, m, known...)
	stranger := newVerification()
	for _, op := range []operation{right, wrong, resend, revoke} {
		if got, err := op.do(m, stranger); !errors.Is(err, ErrFull) || got != (Outcome{}) {
			t.Errorf("%+v of a new verification = %v, %v; want ErrFull", op, got, err)
		}
	}
	for _, v := range known {
		if got, err := wrong.do(m, v); err != nil || got != (Outcome{Admitted, 2, 0}) {
			t.Errorf("an attempt at a known verification = %v, %v", got, err)
		}
	}
	for op, want := range map[operation]Outcome{
		state:          {Admitted, 0, 0},
		right.after(3): {Exhausted, 3, 0},
	} { // neither needs an entry
		if got, err := op.do(m, stranger); err != nil || got != want {
			t.Errorf("%+v of a new verification = %v, %v; want %v", op, got, err, want)
		}
	}
	if m.Len() != 2 {
		t.Errorf("Len = %d, want 2", m.Len())
	}
	m.sweep(known[0].Until.Add(grace + time.Second))
	fill(t, m, stranger)
}

func TestMemoryIsNeverMoreThanFull(t *testing.T) {
	const room = 100
	m := newMemory(t, room, Throttle{})
	var admitted atomic.Int64
	var clients sync.WaitGroup
	for range crowd {
		clients.Go(func() {
			got, err := right.do(m, newVerification())
			switch {
			case err == nil && got.Verdict == Admitted:
				admitted.Add(1)
			case !errors.Is(err, ErrFull):
				t.Errorf("Attempt = %v, %v", got, err)
			}
		})
	}
	clients.Wait()
	// While one is refused, another may see its place taken.
	if n := admitted.Load(); n > room || int(n) != m.Len() {
		t.Errorf("%d were admitted, and Len is %d", n, m.Len())
	}
	for m.Len() < room {
		fill(t, m, newVerification())
	}
}

func TestMemoryKeepsAnEntryUntilItsEnd(t *testing.T) {
	tests := []struct {
		name  string
		until time.Duration // from now
		sweep time.Duration
		kept  bool
	}{
		{"before its end", time.Minute, time.Minute - time.Second, true},
		{"at its end", time.Minute, time.Minute, true},
		{"within the second of its end", time.Minute, time.Minute + 999*time.Millisecond, true},
		{"a second after", time.Minute, time.Minute + time.Second, false},
		{"an end between two seconds", time.Minute + 900*time.Millisecond, time.Minute + 900*time.Millisecond, true},
		{"after an end between two seconds", time.Minute + 900*time.Millisecond, time.Minute + time.Second, false},
		{"long after", time.Minute, 24 * time.Hour, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMemory(t, 10, Throttle{})
			v := newVerification()
			v.Until = now.Add(test.until)
			if got, err := right.do(m, v); err != nil || got.Verdict != Admitted {
				t.Fatal(got, err)
			}
			m.sweep(now.Add(test.sweep + grace))
			got, err := state.do(m, v)
			if err != nil || (got.Verdict == Used) != test.kept || (m.Len() == 1) != test.kept {
				t.Errorf("after the sweep it is %v, %v, and Len is %d", got, err, m.Len())
			}
		})
	}
}

// Entries come in any order of their ends.
func TestMemorySweepsAllThatHasEnded(t *testing.T) {
	const n = 10 * shardCount
	m := newMemory(t, n, Throttle{})
	ends := make([]Verification, n)
	for i := range ends {
		ends[i] = newVerification()
		ends[i].Until = now.Add(time.Duration(i*7919%n) * time.Second) // 7919 is prime: each once
	}
	fill(t, m, ends...)
	for _, ended := range []int{0, 1, n / 2, n} {
		m.sweep(now.Add(time.Duration(ended)*time.Second + grace))
		if m.Len() != n-ended {
			t.Errorf("%d s on, Len = %d, want %d", ended, m.Len(), n-ended)
		}
	}
	fill(t, m, newVerification())
}

func TestMemorySweepsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // within, time is made up and passes at once
		m := NewMemory(10, Throttle{}, nil)
		defer m.Close()
		v := newVerification()
		v.Until = time.Now().Add(time.Minute)
		fill(t, m, v)
		time.Sleep(time.Minute)
		synctest.Wait()
		if m.Len() != 1 {
			t.Error("an entry was forgotten before its end")
		}
		time.Sleep(grace - sweepEvery)
		synctest.Wait()
		if m.Len() != 1 {
			t.Error("an entry was forgotten as soon as it had ended")
		}
		time.Sleep(2*time.Second + 2*sweepEvery)
		synctest.Wait()
		if m.Len() != 0 {
			t.Error("an entry was remembered after its end")
		}
	})
}

func TestMemorySweepsWhileInUse(t *testing.T) {
	m := newMemory(t, 1_000_000, Throttle{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 500 {
				short, long := newVerification(), newVerification()
				short.Until = now
				fill(t, m, short, long)
				if got, err := wrong.do(m, long); err != nil || got != (Outcome{Admitted, 2, 0}) {
					t.Errorf("a live entry was lost: %v, %v", got, err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for swept := false; !swept; {
		select {
		case <-done:
			swept = true
		default:
		}
		m.sweep(now.Add(time.Second + grace))
	}
	if m.Len() != 4*500 {
		t.Errorf("Len = %d, want %d", m.Len(), 4*500)
	}
}

func TestMemoryCloseEndsTheSweeper(t *testing.T) {
	before := goleak.IgnoreCurrent()
	m := NewMemory(1, Throttle{}, nil)
	if goleak.Find(before, goleak.Cleanup(func(int) {})) == nil {
		t.Error("there is no sweeper: the test is wrong")
	}
	m.Close()
	goleak.VerifyNone(t, before)
	if err := m.Ping(context.Background()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func TestMemoryTakesNoIDForAnother(t *testing.T) {
	m := newMemory(t, 10, Throttle{})
	v := newVerification()
	fill(t, m, v)
	defer func() {
		if recover() == nil {
			t.Error("an id longer than any was cut short")
		}
	}()
	v.ID += "A"
	_, _ = state.do(m, v)
}
