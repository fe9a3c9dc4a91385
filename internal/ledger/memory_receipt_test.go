package ledger

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMemoryRefusesReceiptsWhenFull(t *testing.T) {
	ctx := context.Background()
	m := newMemory(t, 2, Throttle{})
	key, other, stranger := newID(), newID(), newID()
	reserve(t, m, key, "a", "a")
	spend(t, m, other, 0, 0, Window{1, time.Hour}) // one of another kind takes the same room
	full := func() {
		t.Helper()
		if held, err := m.Reserve(ctx, stranger, "b", receiptFor, now); !errors.Is(err, ErrFull) || held != "" {
			t.Errorf("Reserve = %q, %v; want ErrFull", held, err)
		}
	}
	full()
	reserve(t, m, key, "b", "a")
	settle(t, m, key, "a", "answer")
	settle(t, m, stranger, "b", "answer") // nobody has it
	reserve(t, m, key, "b", "answer")
	reserveAt(t, m, receiptFor, key, "b", "b")
	full()
	settle(t, m, key, "b", "")
	if m.Len() != 1 {
		t.Errorf("Len = %d, want 1", m.Len())
	}
	reserve(t, m, stranger, "b", "b")
}

// All receipts together take 64 MiB and no more, however few they are.
func TestMemoryBoundsReceipts(t *testing.T) {
	ctx := context.Background()
	m := newMemory(t, 1_000_000, Throttle{})
	long := strings.Repeat("x", maxReceipt)
	keys := make([]string, maxReceiptBytes/maxReceipt)
	for i := range keys {
		keys[i] = newID()
		reserve(t, m, keys[i], long, long)
	}
	stranger := newID()
	full := func() {
		t.Helper()
		if held, err := m.Reserve(ctx, stranger, "a", receiptFor, now); !errors.Is(err, ErrFull) || held != "" {
			t.Errorf("Reserve = %.40q, %v; want ErrFull", held, err)
		}
	}
	full()
	settle(t, m, keys[0], long, "")
	reserve(t, m, stranger, "a", "a")
	reserve(t, m, keys[0], "b", "b")
	// What replaces another needs room for what it is longer, and leaves it if there is none.
	if err := m.Settle(ctx, keys[0], "b", long, receiptFor, now); !errors.Is(err, ErrFull) {
		t.Errorf("Settle: %v, want ErrFull", err)
	}
	reserve(t, m, keys[0], "c", "b")
	settle(t, m, keys[0], "b", long[2:])
	settle(t, m, keys[0], long[2:], long[1:]) // the last byte
	stranger = newID()
	full()
	settle(t, m, keys[0], long[1:], long[5:])
	settle(t, m, keys[1], long, long[:7])
	if n := m.receiptBytes.Load(); n != maxReceiptBytes-4-maxReceipt+7 {
		t.Errorf("%d bytes are reckoned with, want %d", n, maxReceiptBytes-4-maxReceipt+7)
	}
	m.sweep(now.Add(receiptFor + grace + time.Second))
	if m.Len() != 0 || m.receiptBytes.Load() != 0 {
		t.Errorf("after their end Len = %d, with %d bytes", m.Len(), m.receiptBytes.Load())
	}
	reserve(t, m, stranger, "a", "a")
}

func TestMemoryIsNeverMoreThanFullOfReceipts(t *testing.T) {
	const room = 100
	m := newMemory(t, room, Throttle{})
	var clients sync.WaitGroup
	for i := range crowd {
		clients.Go(func() {
			ctx, key := context.Background(), newID()
			_, err := m.Reserve(ctx, key, "own", receiptFor, now)
			if err != nil && !errors.Is(err, ErrFull) {
				t.Error(err)
			}
			if err := m.Settle(ctx, key, "own", strings.Repeat("x", i%3), receiptFor, now); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	var entries, bytes int64
	for i := range m.shards {
		entries += m.shards[i].len()
		for _, r := range m.shards[i].receipts {
			bytes += int64(len(r.value))
		}
	}
	if entries > room || int64(m.Len()) != entries || m.receiptBytes.Load() != bytes || entries == 0 {
		t.Errorf("Len is %d with %d entries of %d; %d bytes are reckoned with, of %d", m.Len(), entries, room, m.receiptBytes.Load(), bytes)
	}
}

func TestMemoryKeepsReceiptsUntilTheirEnd(t *testing.T) {
	m, key, settled := newMemory(t, 10, Throttle{}), newID(), newID()
	reserve(t, m, key, "a", "a")
	reserve(t, m, settled, "a", "a")
	settleAt(t, m, time.Minute, settled, "a", "answer")
	for _, sweep := range []struct {
		at   time.Duration
		left int
	}{
		{receiptFor, 2}, {receiptFor + grace, 2}, {receiptFor + grace + time.Second, 1}, {receiptFor + grace + time.Minute, 1},
		{receiptFor + grace + time.Minute + time.Second, 0},
	} {
		m.sweep(now.Add(sweep.at))
		if m.Len() != sweep.left {
			t.Errorf("after %v Len = %d, want %d", sweep.at, m.Len(), sweep.left)
		}
	}
}
