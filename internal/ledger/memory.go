package ledger

import (
	"context"
	"errors"
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFull is the error of an operation that needs a new entry where there is no room for one: rather
// than forget a live verification, [Memory] refuses a new one.
var ErrFull = errors.New("ledger: full")

const (
	shardCount = 1024 // so that a sweep, which holds one lock at a time, holds it for some 20 µs
	sweepEvery = 10 * time.Second
)

// Memory is a ledger for one process, lost with it. It is safe for concurrent use; each operation is
// atomic.
type Memory struct {
	throttle     Throttle
	maxEntries   int64
	entries      atomic.Int64
	receiptBytes atomic.Int64
	seed         maphash.Seed
	shards       [shardCount]shard
	stop         chan struct{}
	stopped      sync.WaitGroup
}

// shard holds the entries of some devices, subjects and other keys, and of all the subjects' verifications, so that
// an operation needs one lock.
type shard struct {
	mu            sync.Mutex
	verifications map[key]verification
	failures      map[key]failures
	devices       map[key]device
	spends        map[key]spends
	manySpends    map[key]manySpends
	receipts      map[key]receipt
}

// key is a verification's or a device's id, a subject, or what else is counted or kept. It is held by value, as all
// of most entries is, so that the garbage collector has nothing to follow through a million of them.
type key [22]byte

type verification struct {
	attempts, resends int32
	used, revoked     bool
	issuedAt          int64 // of the newest code, Unix ms; 0 if only its context tells
	forgetAt          int64 // Unix seconds
}

// failures are those of a subject since its last success.
type failures struct {
	count       int32
	lockedUntil int64 // Unix ms
	forgetAt    int64 // Unix seconds
}

// NewMemory returns an empty ledger for at most maxEntries: a verification has one from its first
// attempt, resend or revocation to its end, and a subject from its first failure to a success, an
// unlock, or the end of the 7th day after the last; a device has one from the first operation that leaves
// something behind to when the last of it may be forgotten. A family of refresh tokens has one until its newest
// token ends; a receipt has one; and what is spent has one, and if that was more than 4 times, one more for each 16.
// [Memory.Close] ends its sweeper. A nil now means [time.Now].
func NewMemory(maxEntries int, throttle Throttle, now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	m := &Memory{
		throttle: throttle, maxEntries: int64(maxEntries), seed: maphash.MakeSeed(), stop: make(chan struct{}),
	}
	for i := range m.shards {
		m.shards[i].clear()
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
	s := m.lock(tag(v))
	defer s.mu.Unlock()
	id, subject := keyOf(v.ID), keyOf(v.Subject)
	e, known := s.recall(id, v)
	f, failed := s.failures[subject]
	verdict := e.verdict(v)
	if wait := f.wait(v.Now); wait > 0 && (verdict == Admitted || verdict == Exhausted) {
		return Outcome{Throttled, int(e.attempts), wait}, nil
	}
	if verdict != Admitted {
		return Outcome{verdict, int(e.attempts), 0}, nil
	}
	counts := m.throttle.counts(v)
	// Whatever the code, there is room for it to be wrong: to be full must not tell one from the other.
	if !m.take(one(!known) + one(counts && !failed)) {
		return Outcome{}, ErrFull
	}
	if right {
		e.used = true
	} else {
		e.attempts++
	}
	s.verifications[id] = e
	switch {
	case counts && right:
		m.forgive(s, subject)
	case counts:
		s.failures[subject] = f.next(m.throttle, v.Now)
	}
	return Outcome{Admitted, int(e.attempts), 0}, nil
}

// Resend supersedes the code in the context, if it is the newest and older than cooldown, by one that
// has been sent once more. The error is [ErrFull].
func (m *Memory) Resend(_ context.Context, v Verification, cooldown time.Duration) (Outcome, error) {
	s := m.lock(tag(v))
	defer s.mu.Unlock()
	id := keyOf(v.ID)
	e, known := s.recall(id, v)
	if verdict := e.verdict(v); verdict != Admitted {
		return Outcome{verdict, int(e.attempts), 0}, nil
	}
	issuedAt := time.UnixMilli(max(e.issuedAt, v.IssuedAt.UnixMilli()))
	if wait := issuedAt.Add(cooldown).Sub(v.Now); wait > 0 {
		return Outcome{Cooling, int(e.attempts), wait}, nil
	}
	e.resends++
	e.issuedAt = v.Now.UnixMilli()
	return m.put(s, id, e, known)
}

// Revoke ends the verification, whatever its state. The error is [ErrFull].
func (m *Memory) Revoke(_ context.Context, v Verification) (Outcome, error) {
	s := m.lock(tag(v))
	defer s.mu.Unlock()
	id := keyOf(v.ID)
	e, known := s.recall(id, v)
	e.revoked = true
	return m.put(s, id, e, known)
}

// State says how the verification itself stands, and changes nothing.
func (m *Memory) State(_ context.Context, v Verification) (Outcome, error) {
	s := m.lock(tag(v))
	defer s.mu.Unlock()
	e, _ := s.recall(keyOf(v.ID), v)
	return Outcome{e.verdict(v), int(e.attempts), 0}, nil
}

// Unlock forgets the failures of a subject.
func (m *Memory) Unlock(_ context.Context, subject string) (Outcome, error) {
	s := m.lock(subject)
	defer s.mu.Unlock()
	if _, failed := s.failures[keyOf(subject)]; failed {
		m.forgive(s, keyOf(subject))
	}
	return Outcome{Verdict: Admitted}, nil
}

// Ping succeeds.
func (*Memory) Ping(context.Context) error { return nil }

// verdict is the order in which the reasons to refuse count.
func (e verification) verdict(v Verification) string {
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

// wait returns how long the subject is still locked.
func (f failures) wait(now time.Time) time.Duration {
	return time.UnixMilli(f.lockedUntil).Sub(now)
}

// lock returns the shard of a tag, locked.
func (m *Memory) lock(tag string) *shard {
	s := &m.shards[maphash.String(m.seed, tag)%shardCount]
	s.mu.Lock()
	return s
}

func keyOf(text string) (k key) {
	if len(text) > len(k) {
		panic("ledger: id too long") // cut short, it could be another's
	}
	copy(k[:], text)
	return k
}

// recall returns what is remembered of v, if anything is, or what its context tells of where that is more:
// of wrong codes and of newer ones that came before the ledger did.
func (s *shard) recall(id key, v Verification) (e verification, known bool) {
	e, known = s.verifications[id]
	e.attempts = max(e.attempts, int32(min(v.Attempts, most)))
	e.resends = max(e.resends, int32(min(v.Resends, most)))
	e.forgetAt = max(e.forgetAt, v.Until.Add(grace).Unix()+1)
	return e, known
}

func (m *Memory) put(s *shard, id key, e verification, known bool) (Outcome, error) {
	if !m.take(one(!known)) {
		return Outcome{}, ErrFull
	}
	s.verifications[id] = e
	return Outcome{Admitted, int(e.attempts), 0}, nil
}

// one is the entry that something takes if it is new.
func one(isNew bool) int64 {
	if isNew {
		return 1
	}
	return 0
}

// take reports whether there is room for so many entries more, and takes it. Fewer than none are given back.
func (m *Memory) take(more int64) bool {
	if m.entries.Add(more) > m.maxEntries && more > 0 {
		m.entries.Add(-more)
		return false
	}
	return true
}

// forgive frees the entry of a subject, which has one or has it reserved.
func (m *Memory) forgive(s *shard, subject key) {
	delete(s.failures, subject)
	m.entries.Add(-1)
}

// next returns f after one failure more.
func (f failures) next(throttle Throttle, now time.Time) failures {
	f.count++
	// A lock until now would be one for a request that read its clock a moment earlier.
	if lock := throttle.lock(int(f.count)); lock > 0 {
		f.lockedUntil = now.Add(lock).UnixMilli()
	}
	f.forgetAt = now.Add(forgetAfter).Unix()
	return f
}

func (m *Memory) sweepUntilStopped(now func() time.Time) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
			m.sweep(now())
		}
	}
}

// sweep drops what is to be forgotten by now, a shard at a time, so that no operation waits for long.
func (m *Memory) sweep(now time.Time) {
	for i := range m.shards {
		dropped, bytes := m.shards[i].sweep(now.Unix())
		m.entries.Add(-dropped)
		m.receiptBytes.Add(-bytes)
		runtime.Gosched() // on a single processor, nobody else would get to run before the end
	}
}

// sweep returns how many entries it has dropped, and the bytes of receipts among them.
func (s *shard) sweep(now int64) (dropped, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.len()
	for k, e := range s.verifications {
		if e.forgetAt <= now {
			delete(s.verifications, k)
		}
	}
	for k, f := range s.failures {
		if f.forgetAt <= now {
			delete(s.failures, k)
		}
	}
	for k, d := range s.devices {
		if d.forgetAt <= now {
			delete(s.devices, k)
		}
	}
	for k, few := range s.spends {
		if few.forgetAt <= now {
			delete(s.spends, k)
		}
	}
	for k, many := range s.manySpends {
		if many.forgetAt <= now {
			delete(s.manySpends, k)
		}
	}
	for k, r := range s.receipts {
		if r.forgetAt <= now {
			bytes += s.forgetReceipt(k)
		}
	}
	left := s.len()
	if left == 0 && before > 0 { // none shrinks by itself
		s.clear()
	}
	return before - left, bytes
}

func (s *shard) clear() {
	s.verifications, s.failures = make(map[key]verification), make(map[key]failures)
	s.devices = make(map[key]device)
	s.spends, s.manySpends = make(map[key]spends), make(map[key]manySpends)
	s.receipts = make(map[key]receipt)
}

// len returns the number of entries.
func (s *shard) len() int64 {
	n := len(s.verifications) + len(s.failures) + len(s.devices) + len(s.spends) + len(s.receipts)
	entries := int64(n)
	for _, many := range s.manySpends {
		entries += spendEntries(len(many.times))
	}
	return entries
}
