package ledger

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A key that was spent often counts for as many entries as it takes the memory of.
func TestMemorySpendsAreEntries(t *testing.T) {
	const most = 200
	m, key := newMemory(t, 1000, Throttle{}), newID()
	want := func(times int) int {
		if times <= 4 {
			return min(times, 1)
		}
		return 1 + (times+15)/16
	}
	var refunds []func()
	for i := range most {
		refunds = append(refunds, spend(t, m, key, time.Duration(i)*time.Second, 0, Window{most, time.Hour}))
		if m.Len() != want(i+1) {
			t.Errorf("Len = %d after %d, want %d", m.Len(), i+1, want(i+1))
		}
	}
	spend(t, m, key, most*time.Second, time.Hour-most*time.Second, Window{most, time.Hour})
	rand.Shuffle(most/2, func(i, j int) { refunds[i], refunds[j] = refunds[j], refunds[i] })
	for i, refund := range refunds[:most/2] {
		refund()
		refund()
		if m.Len() != want(most-i-1) {
			t.Errorf("Len = %d after %d refunds, want %d", m.Len(), i+1, want(most-i-1))
		}
	}
	// What is too old to count is dropped by the next.
	spend(t, m, key, time.Hour+(most-3)*time.Second, 0, Window{most, time.Hour})
	if m.Len() != 1 {
		t.Errorf("Len = %d when all but 3 are too old, want 1", m.Len())
	}
	for _, refund := range refunds {
		refund()
	}
	if m.Len() != 1 {
		t.Errorf("Len = %d when all but the last are refunded, want 1", m.Len())
	}
	if s := m.lock(key); true {
		if times, _ := s.spent(keyOf(key)); len(times) != 1 || len(s.manySpends) != 0 {
			t.Errorf("%d times are left, want the last", len(times))
		}
		s.mu.Unlock()
	}
}

// A log that was long takes no memory to speak of when it is short again.
func TestMemoryShrinksSpends(t *testing.T) {
	const most, left = 10_000, 50
	m, key := newMemory(t, most, Throttle{}), newID()
	for i := range most {
		at := time.Duration(i/(most-left)) * time.Minute
		spend(t, m, key, at, 0, Window{most, time.Hour})
	}
	spend(t, m, key, time.Hour, 0, Window{most, time.Hour})
	s := m.lock(key)
	defer s.mu.Unlock()
	if times, _ := s.spent(keyOf(key)); len(times) != left+1 || cap(times) > 4*len(times) {
		t.Errorf("%d times are held in room for %d", len(times), cap(times))
	}
}

func TestMemoryRefusesSpendsWhenFull(t *testing.T) {
	m := newMemory(t, 4, Throttle{})
	key, often, hour := newID(), newID(), Window{100, time.Hour}
	refund := spend(t, m, key, 0, 0, hour)
	for range 16 {
		spend(t, m, often, 0, 0, hour)
	}
	fill(t, m, Verification{ID: newID(), MaxAttempts: 1, Until: now.Add(time.Hour), Now: now})
	full := func(key string) {
		t.Helper()
		wait, refund, err := m.Spend(context.Background(), key, now, []Window{hour})
		if !errors.Is(err, ErrFull) || wait != 0 {
			t.Errorf("Spend = %v, %v; want ErrFull", wait, err)
		}
		refund(context.Background())
	}
	full(newID())
	full(often)
	spend(t, m, key, 0, 0, hour) // it has an entry
	spend(t, m, key, 0, time.Hour, Window{2, time.Hour})
	spend(t, m, newID(), 0, time.Hour, Window{0, time.Hour}) // nothing is to be counted
	if m.Len() != 4 {
		t.Errorf("Len = %d, want 4", m.Len())
	}
	spend(t, m, often, 0, time.Hour, Window{16, time.Hour}) // none was added, and none was lost
	refund()
	full(newID())
	spend(t, m, often, 2*time.Hour, 0, hour) // and 16 are too old
	if m.Len() != 3 {
		t.Errorf("Len = %d, want 3", m.Len())
	}
	spend(t, m, newID(), 0, 0, hour)
	full(newID())
}

func TestMemoryIsNeverMoreThanFullOfSpends(t *testing.T) {
	const room = 50
	m := newMemory(t, room, Throttle{})
	keys := make([]string, 20)
	for i := range keys {
		keys[i] = newID()
	}
	var counted, refused atomic.Int64
	var clients sync.WaitGroup
	for i := range 4 * crowd {
		clients.Go(func() {
			_, refund, err := m.Spend(context.Background(), keys[i%len(keys)], now, []Window{{10_000, time.Hour}})
			switch {
			case err == nil && i%3 == 0:
				refund(context.Background())
			case err == nil:
				counted.Add(1)
			case errors.Is(err, ErrFull):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	clients.Wait()
	var entries, times int64
	for i := range m.shards {
		s := &m.shards[i]
		entries += s.len()
		for k := range s.spends {
			few, _ := s.spent(k)
			times += int64(len(few))
		}
		for k := range s.manySpends {
			many, _ := s.spent(k)
			times += int64(len(many))
		}
	}
	if int64(m.Len()) != entries || entries > room || times != counted.Load() || refused.Load() == 0 {
		t.Errorf("Len is %d with %d entries of %d; %d times are held of %d that count; %d were refused",
			m.Len(), entries, room, times, counted.Load(), refused.Load())
	}
}

func TestMemoryKeepsSpendsUntilTheirEnd(t *testing.T) {
	const s, minute = time.Second, time.Minute
	tests := []struct {
		name    string
		at      []time.Duration
		windows []Window
		kept    time.Duration // at least, and a second later not
	}{
		{"one", []time.Duration{0}, []Window{{9, minute}}, minute + grace},
		{"the longest of windows", []time.Duration{0}, []Window{{9, minute}, {9, time.Hour}, {9, s}}, time.Hour + grace},
		{"the last of them", []time.Duration{0, 0, 30 * s}, []Window{{9, minute}}, 90*s + grace},
		{"the last of many", []time.Duration{0, 0, 0, 0, 0, 0, 30 * s}, []Window{{9, minute}}, 90*s + grace},
		{"an end between two seconds", []time.Duration{s / 2}, []Window{{9, minute}}, minute + grace},
		{"a clock that is behind", []time.Duration{30 * s, 0}, []Window{{9, minute}}, 90*s + grace},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, key := newMemory(t, 10, Throttle{}), newID()
			for _, at := range test.at {
				spend(t, m, key, at, 0, test.windows...)
			}
			entries := m.Len()
			m.sweep(now.Add(test.kept))
			if m.Len() != entries || entries == 0 {
				t.Errorf("after %v Len = %d, want %d", test.kept, m.Len(), entries)
			}
			m.sweep(now.Add(test.kept + s))
			if m.Len() != 0 {
				t.Errorf("a second later Len = %d", m.Len())
			}
			spend(t, m, key, 0, 0, Window{1, minute})
		})
	}
}

func TestMemorySweepsSpendsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // within, time is made up and passes at once
		m := NewMemory(100, Throttle{}, nil)
		defer m.Close()
		for _, times := range []int{1, 40} {
			key := newID()
			for range times {
				if wait, _, err := m.Spend(context.Background(), key, time.Now(), []Window{{100, time.Minute}}); wait != 0 || err != nil {
					t.Fatal(wait, err)
				}
			}
		}
		time.Sleep(time.Minute + grace - sweepEvery)
		synctest.Wait()
		if m.Len() != 1+1+3 {
			t.Errorf("Len = %d before their end, want 5", m.Len())
		}
		time.Sleep(2*time.Second + 2*sweepEvery)
		synctest.Wait()
		if m.Len() != 0 {
			t.Errorf("Len = %d after their end", m.Len())
		}
	})
}

// A refund that comes when all is forgotten does nothing, and one for a key that was spent again meanwhile neither.
func TestMemoryRefundAfterASweep(t *testing.T) {
	m, key, one := newMemory(t, 10, Throttle{}), newID(), Window{1, time.Minute}
	refund := spend(t, m, key, 0, 0, one)
	m.sweep(now.Add(time.Hour))
	refund()
	if m.Len() != 0 {
		t.Errorf("Len = %d", m.Len())
	}
	refund = spend(t, m, key, 0, 0, one)
	m.sweep(now.Add(time.Hour))
	spend(t, m, key, time.Hour, 0, one)
	refund()
	spend(t, m, key, time.Hour, time.Minute, one)
}

func TestMemoryTakesNoKeyForAnother(t *testing.T) {
	m, key := newMemory(t, 10, Throttle{}), newID()
	spend(t, m, key, 0, 0, Window{1, time.Minute})
	if held, err := m.Reserve(context.Background(), key, "mine", time.Minute, now); held != "mine" || err != nil {
		t.Errorf("a receipt of the same name is %q, %v", held, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a key longer than any was cut short")
		}
	}()
	_, _, _ = m.Spend(context.Background(), key+"A", now, []Window{{1, time.Minute}})
}
