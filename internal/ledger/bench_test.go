package ledger

import (
	"context"
	"runtime"
	"testing"
	"time"
)

// prepare returns verifications outside the time that a benchmark measures.
func prepare(n int) []Verification {
	all := make([]Verification, n)
	for i := range all {
		all[i] = newVerification()
	}
	return all
}

// BenchmarkMemoryAttempt has every processor count wrong codes, each of a verification of its own.
func BenchmarkMemoryAttempt(b *testing.B) {
	const verifications = 1 << 16
	m := newMemory(b, verifications, Throttle{})
	known := prepare(verifications)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			v := known[i%verifications]
			v.MaxAttempts = 1 << 30
			if got, err := m.Attempt(context.Background(), v, false); err != nil || got.Verdict != Admitted {
				b.Errorf("Attempt = %v, %v", got, err)
			}
		}
	})
}

// BenchmarkMemoryAttemptAtOne has every processor attempt the same verification.
func BenchmarkMemoryAttemptAtOne(b *testing.B) {
	m := newMemory(b, 1, Throttle{})
	v := newVerification()
	v.MaxAttempts = 1 << 30
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got, err := m.Attempt(context.Background(), v, false); err != nil || got.Verdict != Admitted {
				b.Errorf("Attempt = %v, %v", got, err)
			}
		}
	})
}

// BenchmarkMemoryEntry measures what a million entries take, their ids included.
func BenchmarkMemoryEntry(b *testing.B) {
	const entries, mostBytes = 1_000_000, 250
	for b.Loop() {
		m := NewMemory(entries, Throttle{}, func() time.Time { return now })
		before := heapInUse()
		for range entries {
			if got, err := m.Attempt(context.Background(), newVerification(), false); err != nil || got.Verdict != Admitted {
				b.Fatalf("Attempt = %v, %v", got, err)
			}
		}
		perEntry := float64(heapInUse()-before) / entries
		b.ReportMetric(perEntry, "B/entry")
		if perEntry > mostBytes {
			b.Errorf("%.0f bytes an entry, want at most %d", perEntry, mostBytes)
		}
		runtime.KeepAlive(m)
		m.Close()
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
