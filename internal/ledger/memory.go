package ledger

import (
	"container/heap"
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFull is the error of an operation that needs a new entry where there is no room for one: rather
// than forget a live verification, [Memory] refuses a new one.
var ErrFull = errors.New("ledger: full")

const (
	shardCount = 256
	sweepEvery = time.Second
	grace      = time.Minute // that an ended entry stays, lest a clock that is set back revive a used code
	sweepBatch = 32          // entries dropped under one hold of a shard's lock
)

// Memory is a ledger for one process, lost with it. It is safe for concurrent use; each operation is
// atomic.
type Memory struct {
	maxEntries int64
	entries    atomic.Int64
	seed       maphash.Seed
	shards     [shardCount]shard
	stop       chan struct{}
	stopped    sync.WaitGroup
}

type shard struct {
	mu      sync.Mutex
	entries map[key]entry
	due     dueHeap // every entry of the map, the next to end first
}

// key is a verification id. It is held by value, as all of an entry is, so that the garbage collector
// has nothing to follow through a million of them.
type key [22]byte

type entry struct {
	attempts int32
	resends  int32
	used     bool
	revoked  bool
}

// NewMemory returns an empty ledger for at most maxEntries verifications at a time, of which each has
// an entry from its first attempt, resend or revocation to its end. [Memory.Close] ends its sweeper.
// A nil now means [time.Now].
func NewMemory(maxEntries int, now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	m := &Memory{maxEntries: int64(maxEntries), seed: maphash.MakeSeed(), stop: make(chan struct{})}
	for i := range m.shards {
		m.shards[i].entries = make(map[key]entry)
	}
	m.stopped.Go(func() { m.sweepUntilStopped(now) })
	return m
}

// Close ends the sweeper and waits for it.
func (m *Memory) Close() {
	close(m.stop)
	m.stopped.Wait()
}

// Len returns the number of entries.
func (m *Memory) Len() int { return int(m.entries.Load()) }

// Attempt judges one code. [Admitted] means that the verdict on the code, right or not, may be given,
// and that it has been counted. The error is [ErrFull].
func (m *Memory) Attempt(_ context.Context, v Verification, right bool) (Outcome, error) {
	return m.change(v, func(e entry) entry {
		if right {
			e.used = true
		} else {
			e.attempts++
		}
		return e
	})
}

// Resend supersedes the code in the context, if it is the newest, by one that has been sent once more.
// The error is [ErrFull].
func (m *Memory) Resend(_ context.Context, v Verification) (Outcome, error) {
	return m.change(v, func(e entry) entry {
		e.resends++
		return e
	})
}

// Revoke ends the verification, whatever its state. The error is [ErrFull].
func (m *Memory) Revoke(_ context.Context, v Verification) (Outcome, error) {
	s, k := m.lock(v.ID)
	defer s.mu.Unlock()
	e := s.recall(k, v)
	e.revoked = true
	if err := m.put(s, k, v, e); err != nil {
		return Outcome{}, err
	}
	return Outcome{Admitted, int(e.attempts)}, nil
}

// State says what [Memory.Attempt] would, and changes nothing.
func (m *Memory) State(_ context.Context, v Verification) (Outcome, error) {
	s, k := m.lock(v.ID)
	defer s.mu.Unlock()
	e := s.recall(k, v)
	return Outcome{e.verdict(v), int(e.attempts)}, nil
}

// Ping succeeds.
func (*Memory) Ping(context.Context) error { return nil }

// change applies edit to the entry of a verification that is still open.
func (m *Memory) change(v Verification, edit func(entry) entry) (Outcome, error) {
	s, k := m.lock(v.ID)
	defer s.mu.Unlock()
	e := s.recall(k, v)
	if verdict := e.verdict(v); verdict != Admitted {
		return Outcome{verdict, int(e.attempts)}, nil
	}
	e = edit(e)
	if err := m.put(s, k, v, e); err != nil {
		return Outcome{}, err
	}
	return Outcome{Admitted, int(e.attempts)}, nil
}

// verdict is the order in which the reasons to refuse count.
func (e entry) verdict(v Verification) string {
	switch {
	case e.used:
		return Used
	case e.revoked:
		return Revoked
	case int(e.resends) > v.Resends:
		return Superseded
	case int(e.attempts) >= v.MaxAttempts:
		return Exhausted
	}
	return Admitted
}

// lock returns the shard of an id, locked, and the id as its key.
func (m *Memory) lock(id string) (*shard, key) {
	if len(id) > len(key{}) {
		panic("ledger: id too long") // cut short, it could be another's
	}
	var k key
	copy(k[:], id)
	s := &m.shards[maphash.Bytes(m.seed, k[:])%shardCount]
	s.mu.Lock()
	return s, k
}

// recall returns what is remembered of v, or what its context tells of where that is more: of wrong codes
// and of newer ones that came before the ledger did.
func (s *shard) recall(k key, v Verification) entry {
	e := s.entries[k]
	e.attempts = max(e.attempts, int32(min(v.Attempts, 1<<30)))
	e.resends = max(e.resends, int32(min(v.Resends, 1<<30)))
	return e
}

func (m *Memory) put(s *shard, k key, v Verification, e entry) error {
	if _, known := s.entries[k]; !known {
		if m.entries.Add(1) > m.maxEntries {
			m.entries.Add(-1)
			return ErrFull
		}
		heap.Push(&s.due, due{v.Until.Unix() + 1, k})
	}
	s.entries[k] = e
	return nil
}

func (m *Memory) sweepUntilStopped(now func() time.Time) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
			m.sweep(now().Add(-grace))
		}
	}
}

// sweep drops what has ended by now, a few entries of one shard at a time, so that no operation waits
// for long.
func (m *Memory) sweep(now time.Time) {
	for i := range m.shards {
		for m.shards[i].drop(now.Unix(), sweepBatch, &m.entries) == sweepBatch {
		}
	}
}

func (s *shard) drop(now int64, most int, entries *atomic.Int64) (dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for dropped < most && len(s.due) > 0 && s.due[0].at <= now {
		delete(s.entries, heap.Pop(&s.due).(due).key)
		dropped++
	}
	if len(s.entries) == 0 {
		s.entries, s.due = make(map[key]entry), nil // neither shrinks by itself
	}
	entries.Add(int64(-dropped))
	return dropped
}

type due struct {
	at  int64 // Unix seconds
	key key
}

// dueHeap is a [heap.Interface], the earliest first.
type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = due{}
	*h = (*h)[:last]
	return x
}
