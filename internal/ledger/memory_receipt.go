package ledger

import (
	"context"
	"strings"
	"time"
)

// maxReceiptBytes bounds the values of all receipts of a [Memory] together.
const maxReceiptBytes = 64 << 20

// receipt is a value that is kept for a time.
type receipt struct {
	value    string
	end      int64 // Unix ms
	forgetAt int64 // Unix seconds
}

// Reserve keeps value, of 16 KiB at most, under key, of 22 characters at most, until ttl is over, and returns it;
// unless there is another, which it returns then. The error is [ErrFull], also if all values come to more than 64 MiB.
func (m *Memory) Reserve(_ context.Context, key, value string, ttl time.Duration, now time.Time) (held string, err error) {
	if len(value) > maxReceipt {
		return "", errReceiptTooLong
	}
	s := m.lock(key)
	defer s.mu.Unlock()
	id := keyOf(key)
	if old, known := s.receipts[id]; known && old.end > now.UnixMilli() {
		return old.value, nil
	}
	if err := m.keepReceipt(s, id, value, now.Add(ttl)); err != nil {
		return "", err
	}
	return value, nil
}

// Settle replaces own, if it is what key has, by value for a new ttl; an empty value forgets it. The error is
// [ErrFull], and then own is what key has still.
func (m *Memory) Settle(_ context.Context, key, own, value string, ttl time.Duration, now time.Time) error {
	if len(value) > maxReceipt {
		return errReceiptTooLong
	}
	s := m.lock(key)
	defer s.mu.Unlock()
	id := keyOf(key)
	old, known := s.receipts[id]
	switch {
	case !known || old.value != own || old.end <= now.UnixMilli():
		return nil
	case value == "":
		m.entries.Add(-1)
		m.receiptBytes.Add(-s.forgetReceipt(id))
		return nil
	}
	return m.keepReceipt(s, id, value, now.Add(ttl))
}

// keepReceipt keeps value in place of what id has.
func (m *Memory) keepReceipt(s *shard, id key, value string, end time.Time) error {
	old, known := s.receipts[id]
	more := int64(len(value) - len(old.value))
	if m.receiptBytes.Add(more) > maxReceiptBytes && more > 0 {
		m.receiptBytes.Add(-more)
		return ErrFull
	}
	if !m.take(one(!known)) {
		m.receiptBytes.Add(-more)
		return ErrFull
	}
	// The clone is of no longer text that would be kept with it.
	s.receipts[id] = receipt{strings.Clone(value), end.UnixMilli(), end.Add(grace).Unix() + 1}
	return nil
}

// forgetReceipt returns how many bytes are free by it.
func (s *shard) forgetReceipt(id key) int64 {
	bytes := len(s.receipts[id].value)
	delete(s.receipts, id)
	return int64(bytes)
}
