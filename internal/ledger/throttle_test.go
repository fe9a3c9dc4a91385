package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// times returns n wrong codes, each admitted, of which the first is number first of its verification.
func times(n, first int, op operation) (steps []step) {
	for i := range n {
		steps = append(steps, step{op, Outcome{Admitted, first + i, 0}})
	}
	return steps
}

// Verifications that a test of the throttle has.
const (
	first   = iota
	second  // of the same subject
	another // of another subject
	nobodys
)

func TestThrottle(t *testing.T) {
	const s = time.Second
	three := Throttle{After: 3, Factor: 10 * s, Max: 60 * s} // locks 20, 40, 60, 60… s
	locked := times(4, 1, wrong)                             // for 20 s
	tests := []struct {
		name     string
		throttle Throttle
		steps    []step
	}{
		{"the first failures are free", three, slices.Concat(times(3, 1, wrong), []step{
			{right, Outcome{Admitted, 3, 0}},
		})},
		{"the next one locks", three, slices.Concat(locked, []step{
			{wrong, Outcome{Throttled, 4, 20 * s}},
			{wrong.later(20*s - time.Millisecond), Outcome{Throttled, 4, time.Millisecond}},
			{wrong.later(20 * s), Outcome{Admitted, 5, 0}},
		})},
		{"each locks twice as long, up to the longest", three, slices.Concat(locked, []step{
			{wrong.later(20 * s), Outcome{Admitted, 5, 0}},
			{wrong.later(20 * s), Outcome{Throttled, 5, 40 * s}},
			{wrong.later(60 * s), Outcome{Admitted, 6, 0}},
			{wrong.later(60 * s), Outcome{Throttled, 6, 60 * s}},
			{wrong.later(120 * s), Outcome{Admitted, 7, 0}},
			{wrong.later(120 * s), Outcome{Throttled, 7, 60 * s}},
		})},
		{"a refused attempt does not prolong the lock", three, slices.Concat(locked, []step{
			{wrong.later(19 * s), Outcome{Throttled, 4, s}},
			{wrong.later(19 * s), Outcome{Throttled, 4, s}},
			{wrong.later(20 * s), Outcome{Admitted, 5, 0}},
		})},
		{"a right code is refused too, and stays good", three, slices.Concat(locked, []step{
			{right, Outcome{Throttled, 4, 20 * s}},
			{state, Outcome{Admitted, 4, 0}},
			{right.later(20 * s), Outcome{Admitted, 4, 0}},
		})},
		{"none is free", Throttle{After: 0, Factor: s, Max: 60 * s}, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{right, Outcome{Throttled, 1, 2 * s}},
		}},
		{"the longest lock is shorter than the first", Throttle{After: 0, Factor: 60 * s, Max: 7 * s}, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{right, Outcome{Throttled, 1, 7 * s}},
		}},
		{"the hundredth failure locks for a day", Throttle{After: 98, Factor: s, Max: 3 * s}, slices.Concat(times(99, 1, wrong), []step{
			{wrong, Outcome{Throttled, 99, 2 * s}},
			{wrong.later(2 * s), Outcome{Admitted, 100, 0}},
			{wrong.later(2 * s), Outcome{Throttled, 100, 24 * time.Hour}},
			{wrong.later(2*s + 24*time.Hour), Outcome{Admitted, 101, 0}},
			{wrong.later(2*s + 24*time.Hour), Outcome{Throttled, 101, 24 * time.Hour}},
		})},
		{"the hundredth failure is free where it is to be", Throttle{After: 120, Factor: s, Max: 3 * s}, slices.Concat(times(121, 1, wrong), []step{
			{wrong, Outcome{Throttled, 121, 24 * time.Hour}},
		})},
		{"a hundred doublings", Throttle{After: 0, Factor: s, Max: 24 * time.Hour}, func() (steps []step) {
			var at time.Duration
			for n := 1; n < severeAfter; n++ {
				lock := 24 * time.Hour
				if n < 17 {
					lock = min(lock, s<<n)
				}
				steps = append(steps, step{wrong.later(at), Outcome{Admitted, n, 0}}, step{wrong.later(at), Outcome{Throttled, n, lock}})
				at += lock
			}
			return steps
		}()},
		{"a success clears them", three, slices.Concat(times(3, 1, wrong), []step{
			{right, Outcome{Admitted, 3, 0}},
		}, times(4, 1, wrong.to(second)), []step{
			{wrong.to(second), Outcome{Throttled, 4, 20 * s}},
		})},
		{"an unlock clears them", three, slices.Concat(locked, []step{
			{unlock, Outcome{Admitted, 0, 0}},
		}, times(4, 5, wrong), []step{
			{wrong, Outcome{Throttled, 8, 20 * s}},
			{unlock, Outcome{Admitted, 0, 0}},
			{right, Outcome{Admitted, 8, 0}},
		})},
		{"an unlock of nobody in particular", three, slices.Concat(locked, []step{
			{unlock.to(another), Outcome{Admitted, 0, 0}},
			{wrong, Outcome{Throttled, 4, 20 * s}},
		})},
		{"two verifications of a subject share them", three, slices.Concat(times(2, 1, wrong), times(2, 1, wrong.to(second)), []step{
			{wrong, Outcome{Throttled, 2, 20 * s}},
			{right.to(second), Outcome{Throttled, 2, 20 * s}},
		})},
		{"another subject is not locked", three, slices.Concat(locked, times(4, 1, wrong.to(another)), []step{
			{unlock, Outcome{Admitted, 0, 0}},
			{wrong.to(another), Outcome{Throttled, 4, 20 * s}},
		})},
		{"nobody is not locked", three, times(200, 1, wrong.to(nobodys))},
		{"factor 0 locks nobody", Throttle{After: 3, Max: 60 * s}, times(200, 1, wrong)},
		{"what ended it counts before a lock", three, slices.Concat([]step{
			{right.to(second), Outcome{Admitted, 0, 0}},
		}, locked, []step{
			{wrong.to(second), Outcome{Used, 0, 0}},
			{right.to(second), Outcome{Used, 0, 0}},
			{revoke, Outcome{Admitted, 4, 0}},
			{right, Outcome{Revoked, 4, 0}},
		})},
		{"a newer code counts before a lock", three, slices.Concat(locked, []step{
			{resend, Outcome{Admitted, 4, 0}},
			{right, Outcome{Superseded, 4, 0}},
			{right.of(1), Outcome{Throttled, 4, 20 * s}},
		})},
		{"a lock counts before a lack of attempts", three, slices.Concat(locked, []step{
			{right.after(1000), Outcome{Throttled, 1000, 20 * s}},
			{right.after(1000).later(20 * s), Outcome{Exhausted, 1000, 0}},
			{wrong.after(1000).later(20 * s), Outcome{Exhausted, 1000, 0}},
			{wrong.later(20 * s), Outcome{Admitted, 5, 0}},
			{wrong.later(20 * s), Outcome{Throttled, 5, 40 * s}},
		})},
		{"the rest goes on while it is locked", three, slices.Concat(locked, []step{
			{state, Outcome{Admitted, 4, 0}},
			{state.after(1000), Outcome{Exhausted, 1000, 0}},
			{resend, Outcome{Admitted, 4, 0}},
			{revoke, Outcome{Admitted, 4, 0}},
			{state, Outcome{Revoked, 4, 0}},
		})},
		{"free failures lock out nobody whose clock is behind", three, []step{
			{wrong.later(5 * s), Outcome{Admitted, 1, 0}},
			{wrong, Outcome{Admitted, 2, 0}},
		}},
	}
	for _, kind := range remembering {
		for _, test := range tests {
			t.Run(kind.name+", "+test.name, func(t *testing.T) {
				l := kind.open(t, test.throttle)
				verifications := [4]Verification{newVerification(), newVerification(), newVerification(), newVerification()}
				verifications[second].Subject = verifications[first].Subject
				verifications[nobodys].Subject = ""
				for i, step := range test.steps {
					v := verifications[step.op.on]
					v.MaxAttempts, v.Until = 1000, now.Add(365*24*time.Hour)
					if got, err := step.op.do(l, v); err != nil || got != step.want {
						t.Fatalf("step %d, %+v = %v, %v; want %v", i+1, step.op, got, err, step.want)
					}
				}
			})
		}
	}
}

// A crowd guesses at once, each at a verification of its own and all at one subject.
func TestThrottleTogether(t *testing.T) {
	for _, kind := range remembering {
		for _, after := range []int{0, 20} {
			t.Run(fmt.Sprintf("%s, %d are free", kind.name, after), func(t *testing.T) {
				l := kind.open(t, Throttle{After: after, Factor: time.Minute, Max: time.Hour})
				subject := newID()
				var mu sync.Mutex
				var outcomes []Outcome
				var clients sync.WaitGroup
				start := make(chan struct{})
				for i := range crowd {
					v := newVerification()
					v.Subject = subject
					clients.Go(func() {
						<-start
						got, err := l.Attempt(context.Background(), v, false)
						if err != nil {
							t.Errorf("client %d: %v", i, err)
						}
						mu.Lock()
						defer mu.Unlock()
						outcomes = append(outcomes, got)
					})
				}
				close(start)
				clients.Wait()
				if admitted, throttled := count(outcomes, Admitted), count(outcomes, Throttled); admitted != after+1 || throttled != crowd-after-1 {
					t.Errorf("%d were admitted and %d throttled, want %d and the rest", admitted, throttled, after+1)
				}
			})
		}
	}
}

func TestMemoryForgetsFailuresAfterSevenDays(t *testing.T) {
	const s = time.Second
	m := newMemory(t, 10, Throttle{After: 0, Factor: s, Max: time.Hour})
	v := newVerification()
	v.Until = now.Add(30 * 24 * time.Hour)
	for i, step := range []struct {
		after time.Duration // the last failure
		locks time.Duration
	}{{0, 2 * s}, {forgetAfter - s, 4 * s}, {forgetAfter, 2 * s}} {
		v.Now = v.Now.Add(step.after)
		m.sweep(v.Now)
		if got, err := wrong.do(m, v); err != nil || got.Verdict != Admitted {
			t.Fatal(got, err)
		}
		if got, err := right.do(m, v); err != nil || got != (Outcome{Throttled, i + 1, step.locks}) {
			t.Errorf("failure %d: %v, %v; want a lock of %v", i+1, got, err, step.locks)
		}
	}
}

func TestMemoryCountsSubjects(t *testing.T) {
	m := newMemory(t, 4, someThrottle)
	v, other := newVerification(), newVerification()
	other.Subject, other.MaxAttempts = v.Subject, 9
	for i, step := range []struct {
		op   operation
		of   Verification
		want int
	}{{right, v, 1}, {wrong, other, 3}, {wrong, other, 3}, {unlock, v, 2}, {unlock, v, 2}, {wrong, other, 3}, {unlock, other, 2}, {right, other, 2}} {
		if got, err := step.op.do(m, step.of); err != nil || got.Verdict != Admitted || m.Len() != step.want {
			t.Errorf("step %d = %v, %v; Len is %d, want %d", i+1, got, err, m.Len(), step.want)
		}
	}
}

// To be full tells nobody whether a code is right.
func TestMemoryIsFullForAnyCode(t *testing.T) {
	m := newMemory(t, 2, someThrottle)
	v := newVerification()
	v.Subject = ""
	fill(t, m, v)
	for _, op := range []operation{right, wrong} {
		if got, err := op.do(m, newVerification()); !errors.Is(err, ErrFull) || got != (Outcome{}) {
			t.Errorf("with room for one entry of two, %+v = %v, %v", op, got, err)
		}
	}
	if m.Len() != 1 {
		t.Errorf("Len = %d", m.Len())
	}
}
