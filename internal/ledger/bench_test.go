package ledger

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// prepareDevices returns devices of a confirmed generation outside the time that a benchmark measures.
func prepareDevices(n int) []Device {
	all := make([]Device, n)
	for i := range all {
		all[i] = code(0).of(version{generation: 1}).device(newID(), now.Add(12*time.Minute))
	}
	return all
}

// BenchmarkMemoryAttemptDevice has every processor judge right codes, each of a device of its own.
func BenchmarkMemoryAttemptDevice(b *testing.B) {
	const devices = 1 << 16
	m := newMemory(b, devices, someThrottle)
	known := prepareDevices(devices)
	var step atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			p := Proof{Right: true, Number: step.Add(1)}
			if got, err := m.AttemptDevice(context.Background(), known[i%devices], p); err != nil || got.Verdict == Throttled {
				b.Errorf("AttemptDevice = %v, %v", got, err)
			}
		}
	})
}

// BenchmarkMemoryEntry measures what a million entries take, their ids included.
func BenchmarkMemoryEntry(b *testing.B) {
	const entries, mostBytes = 1_000_000, 250
	throttle := Throttle{After: 20, Factor: time.Second, Max: time.Hour}
	kinds := []struct {
		name     string
		subjects bool
		devices  bool
		spends   int // of each recipient
	}{
		{"verifications", false, false, 0}, {"verifications and subjects, half and half", true, false, 0},
		{"devices", false, true, 0}, {"recipients of 4", false, false, 4}, {"recipients of 20", false, false, 20},
	}
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				m := NewMemory(entries, throttle, func() time.Time { return now })
				before := heapInUse()
				for kind.devices && m.Len() < entries {
					if got, err := code(7).do(m, newID()); err != nil || got.verdict != Admitted {
						b.Fatalf("AttemptDevice = %v, %v", got, err)
					}
				}
				for kind.spends > 0 && m.Len() < entries-kind.spends {
					key := newID()
					for range kind.spends {
						spend(b, m, key, 0, 0, Window{kind.spends, time.Hour})
					}
				}
				for kind.spends == 0 && m.Len() < entries {
					v := newVerification()
					if !kind.subjects {
						v.Subject = ""
					}
					if got, err := wrong.do(m, v); err != nil || got.Verdict != Admitted {
						b.Fatalf("Attempt = %v, %v", got, err)
					}
				}
				perEntry := float64(heapInUse()-before) / float64(m.Len())
				b.ReportMetric(perEntry, "B/entry")
				if perEntry > mostBytes {
					b.Errorf("%.0f bytes an entry, want at most %d", perEntry, mostBytes)
				}
				runtime.KeepAlive(m)
				m.Close()
			}
		})
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// BenchmarkMemoryWhileSwept measures the slowest of operations on a ledger of half a million entries that
// every processor uses and the sweeper goes through all the time, not only every 10 s.
func BenchmarkMemoryWhileSwept(b *testing.B) {
	const entries = 500_000
	m := newMemory(b, 2*entries, Throttle{After: 20, Factor: time.Second, Max: time.Hour})
	known := prepare(entries)
	for i := range known {
		known[i].MaxAttempts = 1 << 30
	}
	fill(b, m, known[:entries/2]...)
	stop, swept := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swept)
		for {
			select {
			case <-stop:
				return
			default:
				m.sweep(now)
			}
		}
	}()
	var mu sync.Mutex
	var all []time.Duration
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var took []time.Duration
		for i := mathrand.IntN(entries); pb.Next(); i++ {
			begin := time.Now()
			got, err := m.Attempt(context.Background(), known[i%entries], false)
			took = append(took, time.Since(begin))
			if err != nil || got.Verdict != Admitted && got.Verdict != Throttled {
				b.Errorf("Attempt = %v, %v", got, err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, took...)
	})
	b.StopTimer()
	close(stop)
	<-swept
	slices.Sort(all)
	for _, percentile := range []float64{50, 99, 99.9} {
		at := min(len(all)-1, int(float64(len(all))*percentile/100))
		b.ReportMetric(float64(all[at].Nanoseconds()), fmt.Sprintf("p%v-ns", percentile))
	}
}

// BenchmarkRedisAttempt has many clients count wrong codes, each of a verification of its own.
func BenchmarkRedisAttempt(b *testing.B) {
	r := sharedServer(b).open(b, Throttle{After: 20, Factor: time.Second, Max: time.Hour})
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got, err := r.Attempt(context.Background(), newVerification(), false); err != nil || got.Verdict != Admitted {
				b.Errorf("Attempt = %v, %v", got, err)
			}
		}
	})
}

// BenchmarkRedisAttemptDevice has many clients judge right codes, each of a device of its own, as verifications do.
func BenchmarkRedisAttemptDevice(b *testing.B) {
	r := sharedServer(b).open(b, Throttle{After: 20, Factor: time.Second, Max: time.Hour})
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v := code(0).of(version{generation: 1, next: 58_000_000}).device(newID(), now.Add(12*time.Minute))
			got, err := r.AttemptDevice(context.Background(), v, Proof{Right: true, Number: 58_000_001})
			if err != nil || got.Verdict != Admitted {
				b.Errorf("AttemptDevice = %v, %v", got, err)
			}
		}
	})
}

// BenchmarkRedisDeviceKey measures what the server needs for a device, with its share of the table of keys and that
// of ends.
func BenchmarkRedisDeviceKey(b *testing.B) {
	const devices = 100_000
	one := version{generation: 1, next: 58_000_000}
	kinds := []struct {
		name string
		ops  []deviceOp
	}{
		{"after 1 wrong code", []deviceOp{wrongCode.of(one)}},
		{"after 1 right code", []deviceOp{code(58_000_001).of(one)}},
		{"after 1 of each, and a backup code", []deviceOp{code(58_000_001).of(one), backup(9).of(one), wrongCode.of(one)}},
		{"disabled", []deviceOp{disable.of(one)}},
	}
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				s := startServer(b)
				r := s.open(b, someThrottle)
				before := s.usedMemory(b)
				var clients sync.WaitGroup
				for range 50 {
					clients.Go(func() {
						for range devices / 50 {
							id := newID()
							for _, op := range kind.ops {
								if got, err := op.do(r, id); err != nil || got.verdict != Admitted && got.verdict != Wrong {
									b.Errorf("%+v = %v, %v", op, got, err)
								}
							}
						}
					})
				}
				clients.Wait()
				b.ReportMetric(float64(s.usedMemory(b)-before)/devices, "B/device")
				reply := s.do(b, "RANDOMKEY")
				name, _ := reply.ToString()
				b.ReportMetric(float64(s.number(b, "MEMORY", "USAGE", name)), "B/key")
				r.Close()
				s.kill()
			}
		})
	}
}

// BenchmarkRedisKey measures what the server needs for a verification, with its share of the table of
// keys and that of ends, and for a subject that fails.
func BenchmarkRedisKey(b *testing.B) {
	const verifications = 100_000
	kinds := []struct {
		name    string
		subject bool
		ops     []operation
	}{
		{"after 1 wrong code", false, []operation{wrong}},
		{"after 1 right code", false, []operation{right}},
		{"after 3 wrong codes and the right one", false, []operation{wrong, wrong, wrong, right}},
		{"after 1 wrong code, and its subject", true, []operation{wrong}},
	}
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				s := startServer(b)
				r := s.open(b, Throttle{After: 20, Factor: time.Second, Max: time.Hour})
				before := s.usedMemory(b)
				var clients sync.WaitGroup
				for range 50 {
					clients.Go(func() {
						for range verifications / 50 {
							v := newVerification()
							v.MaxAttempts = 4
							if !kind.subject {
								v.Subject = ""
							}
							for _, op := range kind.ops {
								if got, err := op.do(r, v); err != nil || got.Verdict != Admitted {
									b.Errorf("Attempt = %v, %v", got, err)
								}
							}
						}
					})
				}
				clients.Wait()
				b.ReportMetric(float64(s.usedMemory(b)-before)/verifications, "B/verification")
				if !kind.subject { // or it could be either
					reply := s.do(b, "RANDOMKEY")
					name, _ := reply.ToString()
					b.ReportMetric(float64(s.number(b, "MEMORY", "USAGE", name)), "B/key")
				}
				r.Close()
				s.kill()
			}
		})
	}
}

func (s *server) usedMemory(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(s.info("used_memory"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkRedisDeliveryKey measures what the server needs for what a delivery or a family of refresh tokens leaves.
func BenchmarkRedisDeliveryKey(b *testing.B) {
	most := Window{100_000, time.Hour}
	spends := func(n int) func(b *testing.B, r *Redis) {
		return func(b *testing.B, r *Redis) {
			key := newID()
			for range n {
				spend(b, r, key, 0, 0, most)
			}
		}
	}
	kinds := []struct {
		name string
		keys int
		make func(b *testing.B, r *Redis)
	}{
		{"a recipient of 1", 100_000, spends(1)},
		{"a recipient of 4", 20_000, spends(4)},
		{"a recipient of 20", 10_000, spends(20)},
		{"a budget of 100000", 1, spends(100_000)},
		{"a receipt of 1000 bytes", 50_000, func(b *testing.B, r *Redis) {
			key, answer := newID(), strings.Repeat("x", 1000)
			reserve(b, r, key, "own", "own")
			settle(b, r, key, "own", answer)
		}},
		{"a family", 100_000, func(b *testing.B, r *Redis) {
			v := newVerification()
			done(b, r, v, refresh, Admitted)
			done(b, r, v, refresh.of(1), Admitted)
		}},
	}
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			for b.Loop() {
				s := startServer(b)
				r := s.open(b, someThrottle)
				before := s.usedMemory(b)
				var clients sync.WaitGroup
				for range min(50, kind.keys) {
					clients.Go(func() {
						for range max(kind.keys/50, 1) {
							kind.make(b, r)
						}
					})
				}
				clients.Wait()
				b.ReportMetric(float64(s.usedMemory(b)-before)/float64(kind.keys), "B/key")
				r.Close()
				s.kill()
			}
		})
	}
}
