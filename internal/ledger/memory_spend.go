package ledger

import (
	"context"
	"slices"
	"time"
)

// fewSpends is how many times of a key are held by value, which is all that most people need.
const fewSpends = 4

// perSpendEntry is how many of the times beyond those that are held elsewhere count as an entry more: they take as
// much memory.
const perSpendEntry = 16

// spends are when a key was spent, if that was seldom. Times are in Unix ms, the oldest first.
type spends struct {
	times    [fewSpends]int64
	n        int32
	forgetAt int64 // Unix seconds
}

// manySpends are when a key was spent more often.
type manySpends struct {
	times    []int64
	forgetAt int64
}

// Spend counts one more for key, of 22 characters at most, if none of windows is full by now, and else returns how
// long that will take. What was counted is taken back by refund, of which once is enough. The error is [ErrFull].
func (m *Memory) Spend(
	_ context.Context, key string, now time.Time, windows []Window,
) (wait time.Duration, refund func(context.Context), err error) {
	s := m.lock(key)
	defer s.mu.Unlock()
	id, at, kept := keyOf(key), now.UnixMilli(), keptFor(windows)
	times, forgetAt := s.spent(id)
	if wait := untilFree(times, at, windows); wait > 0 {
		return time.Duration(wait) * time.Millisecond, func(context.Context) {}, nil
	}
	old, _ := slices.BinarySearch(times, at-kept+1)
	if !m.take(spendEntries(len(times)-old+1) - spendEntries(len(times))) {
		return 0, func(context.Context) {}, ErrFull
	}
	times = slices.Delete(times, 0, old)
	place, _ := slices.BinarySearch(times, at)
	s.keepSpent(id, slices.Insert(times, place, at), max(forgetAt, (at+kept+grace.Milliseconds())/1000+1))
	refunded := false
	return 0, func(context.Context) {
		s := m.lock(key)
		defer s.mu.Unlock()
		if !refunded {
			refunded = true
			m.unspend(s, id, at)
		}
	}, nil
}

// unspend takes back one that was counted at a time, unless it is forgotten. Those of one time are alike.
func (m *Memory) unspend(s *shard, id key, at int64) {
	times, forgetAt := s.spent(id)
	place, found := slices.BinarySearch(times, at)
	if !found {
		return
	}
	m.entries.Add(spendEntries(len(times)-1) - spendEntries(len(times)))
	s.keepSpent(id, slices.Delete(times, place, place+1), forgetAt)
}

// untilFree returns for how many ms any of windows is still full.
func untilFree(times []int64, now int64, windows []Window) (wait int64) {
	for _, w := range windows {
		per := w.Per.Milliseconds()
		switch {
		case w.Most <= 0:
			wait = max(wait, per)
		case len(times) >= w.Most: // it is full until the last but Most is out of it
			wait = max(wait, times[len(times)-w.Most]+per-now)
		}
	}
	return wait
}

// spent returns the times of a key, to be changed and given to keepSpent.
func (s *shard) spent(id key) (times []int64, forgetAt int64) {
	if many, known := s.manySpends[id]; known {
		return many.times, many.forgetAt
	}
	few := s.spends[id]
	return few.times[:few.n], few.forgetAt
}

func (s *shard) keepSpent(id key, times []int64, forgetAt int64) {
	if len(times) > fewSpends {
		if cap(times) > 4*len(times) {
			times = slices.Clone(times)
		}
		s.manySpends[id] = manySpends{times, forgetAt}
		delete(s.spends, id)
		return
	}
	delete(s.manySpends, id)
	if len(times) == 0 {
		delete(s.spends, id)
		return
	}
	few := spends{n: int32(len(times)), forgetAt: forgetAt}
	copy(few.times[:], times)
	s.spends[id] = few
}

// spendEntries returns how many entries a key with so many times counts for.
func spendEntries(times int) int64 {
	switch {
	case times == 0:
		return 0
	case times <= fewSpends:
		return 1
	}
	return 1 + int64(times+perSpendEntry-1)/perSpendEntry
}
