package ledger

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

type step struct {
	op   operation
	want Outcome
}

func TestConformance(t *testing.T) {
	tests := []struct {
		name  string
		max   int
		steps []step
	}{
		{"a right code is right once", 3, []step{
			{right, Outcome{Admitted, 0, 0}},
			{right, Outcome{Used, 0, 0}},
			{wrong, Outcome{Used, 0, 0}},
			{resend, Outcome{Used, 0, 0}},
			{state, Outcome{Used, 0, 0}},
		}},
		{"a right code after wrong ones", 3, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{wrong.after(1), Outcome{Admitted, 2, 0}},
			{right.after(2), Outcome{Admitted, 2, 0}},
			{right.after(2), Outcome{Used, 2, 0}},
		}},
		{"as many wrong codes as are allowed", 3, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{wrong.after(1), Outcome{Admitted, 2, 0}},
			{wrong.after(2), Outcome{Admitted, 3, 0}},
			{right.after(3), Outcome{Exhausted, 3, 0}},
			{wrong.after(3), Outcome{Exhausted, 3, 0}},
			{resend.after(3), Outcome{Exhausted, 3, 0}},
			{state, Outcome{Exhausted, 3, 0}},
		}},
		{"an old context does not roll the count back", 3, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{wrong, Outcome{Admitted, 2, 0}},
			{wrong, Outcome{Admitted, 3, 0}},
			{right, Outcome{Exhausted, 3, 0}},
		}},
		{"an old context is not punished for its age", 3, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{wrong.after(1), Outcome{Admitted, 2, 0}},
			{right, Outcome{Admitted, 2, 0}},
		}},
		{"a context tells of attempts made elsewhere", 3, []step{
			{wrong.after(2), Outcome{Admitted, 3, 0}},
			{right, Outcome{Exhausted, 3, 0}},
		}},
		{"a context that is spent by its own count", 3, []step{
			{right.after(3), Outcome{Exhausted, 3, 0}},
			{right.after(7), Outcome{Exhausted, 7, 0}},
			{right, Outcome{Admitted, 0, 0}},
		}},
		{"no attempt allowed", 0, []step{
			{right, Outcome{Exhausted, 0, 0}},
			{resend, Outcome{Exhausted, 0, 0}},
			{state, Outcome{Exhausted, 0, 0}},
		}},
		{"a revocation ends it", 3, []step{
			{revoke, Outcome{Admitted, 0, 0}},
			{right, Outcome{Revoked, 0, 0}},
			{wrong, Outcome{Revoked, 0, 0}},
			{resend, Outcome{Revoked, 0, 0}},
			{right.of(1), Outcome{Revoked, 0, 0}},
			{state, Outcome{Revoked, 0, 0}},
			{revoke, Outcome{Admitted, 0, 0}},
		}},
		{"a revocation by an old context ends the newer one", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{revoke, Outcome{Admitted, 0, 0}},
			{right.of(1), Outcome{Revoked, 0, 0}},
		}},
		{"a revocation counts before a lack of attempts", 1, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{revoke, Outcome{Admitted, 1, 0}},
			{right, Outcome{Revoked, 1, 0}},
		}},
		{"a use counts before a revocation", 3, []step{
			{right, Outcome{Admitted, 0, 0}},
			{revoke, Outcome{Admitted, 0, 0}},
			{right, Outcome{Used, 0, 0}},
		}},
		{"a use counts before a resend", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{right.of(1), Outcome{Admitted, 0, 0}},
			{right, Outcome{Used, 0, 0}},
		}},
		{"a resend supersedes", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{right, Outcome{Superseded, 0, 0}},
			{wrong, Outcome{Superseded, 0, 0}},
			{resend, Outcome{Superseded, 0, 0}},
			{state, Outcome{Superseded, 0, 0}},
			{right.of(1), Outcome{Admitted, 0, 0}},
		}},
		{"a resend of a resend supersedes both", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{resend.of(1), Outcome{Admitted, 0, 0}},
			{right, Outcome{Superseded, 0, 0}},
			{right.of(1), Outcome{Superseded, 0, 0}},
			{right.of(2), Outcome{Admitted, 0, 0}},
		}},
		{"a resend keeps the count", 3, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{wrong, Outcome{Admitted, 2, 0}},
			{resend, Outcome{Admitted, 2, 0}},
			{wrong.of(1), Outcome{Admitted, 3, 0}},
			{right.of(1), Outcome{Exhausted, 3, 0}},
			{right, Outcome{Superseded, 3, 0}},
		}},
		{"a context tells of resends made elsewhere", 3, []step{
			{wrong.of(2), Outcome{Admitted, 1, 0}},
			{right.of(1), Outcome{Superseded, 1, 0}},
			{resend.of(2), Outcome{Admitted, 1, 0}},
			{right.of(3), Outcome{Admitted, 1, 0}},
		}},
		{"a look changes nothing", 1, []step{
			{state, Outcome{Admitted, 0, 0}},
			{state.after(1), Outcome{Exhausted, 1, 0}},
			{state.of(1), Outcome{Admitted, 0, 0}},
			{right, Outcome{Admitted, 0, 0}},
		}},
		{"an unlock says nothing of a verification", 3, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{unlock, Outcome{Admitted, 0, 0}},
			{wrong, Outcome{Admitted, 2, 0}},
		}},
		{"a resend waits until the context's code is old enough", 3, []step{
			{resend.cooling(30 * time.Second), Outcome{Cooling, 0, 30 * time.Second}},
			{resend.cooling(30 * time.Second).later(30*time.Second - time.Millisecond), Outcome{Cooling, 0, time.Millisecond}},
			{right.later(time.Second), Outcome{Admitted, 0, 0}},
		}},
		{"a resend waits until the newest code is old enough", 3, []step{
			{resend.cooling(30 * time.Second).later(30 * time.Second), Outcome{Admitted, 0, 0}},
			{resend.cooling(30 * time.Second).later(30 * time.Second), Outcome{Superseded, 0, 0}},
			{resend.of(1).cooling(30 * time.Second).later(time.Minute - time.Millisecond), Outcome{Cooling, 0, time.Millisecond}},
			{wrong.of(1), Outcome{Admitted, 1, 0}},
			{resend.of(1).cooling(30 * time.Second).later(time.Minute - time.Second), Outcome{Cooling, 1, time.Second}},
			{resend.of(1).cooling(30 * time.Second).later(time.Minute), Outcome{Admitted, 1, 0}},
		}},
		{"a context tells of a code sent elsewhere", 3, []step{
			{resend.of(1).issuedAt(10 * time.Second).cooling(30 * time.Second).later(35 * time.Second), Outcome{Cooling, 0, 5 * time.Second}},
			{resend.of(1).issuedAt(10 * time.Second).cooling(30 * time.Second).later(40 * time.Second), Outcome{Admitted, 0, 0}},
		}},
		{"a use counts before a cooldown", 3, []step{
			{right, Outcome{Admitted, 0, 0}},
			{resend.cooling(time.Minute), Outcome{Used, 0, 0}},
		}},
		{"a lack of attempts counts before a cooldown", 1, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{resend.cooling(time.Minute), Outcome{Exhausted, 1, 0}},
		}},
		{"counts beyond any that a context holds", 1000, []step{
			{right.after(1 << 40), Outcome{Exhausted, 1 << 30, 0}},
			{resend.of(1 << 40), Outcome{Admitted, 0, 0}},
			{right, Outcome{Superseded, 0, 0}},
		}},
		{"a resend that is withdrawn never was", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{state, Outcome{Superseded, 0, 0}},
			{withdraw, Outcome{}},
			{state, Outcome{Admitted, 0, 0}},
			{resend, Outcome{Admitted, 0, 0}},
			{withdraw, Outcome{}},
			{right, Outcome{Admitted, 0, 0}},
		}},
		{"a withdrawal is of the last resend", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{resend.of(1), Outcome{Admitted, 0, 0}},
			{withdraw, Outcome{}},
			{state, Outcome{Superseded, 0, 0}},
			{state.of(1), Outcome{Superseded, 0, 0}},
			{withdraw.of(2), Outcome{}},
			{state.of(1), Outcome{Superseded, 0, 0}},
			{withdraw.of(1), Outcome{}},
			{state, Outcome{Superseded, 0, 0}},
			{withdraw.of(1), Outcome{}},
			{state, Outcome{Superseded, 0, 0}},
			{right.of(1), Outcome{Admitted, 0, 0}},
		}},
		{"without a resend a withdrawal does nothing", 3, []step{
			{withdraw, Outcome{}},
			{wrong, Outcome{Admitted, 1, 0}},
			{withdraw, Outcome{}},
			{withdraw.of(3), Outcome{}},
			{resend, Outcome{Admitted, 1, 0}},
			{right.of(1), Outcome{Admitted, 1, 0}},
		}},
		{"a withdrawal keeps the count, a revocation and a use", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{wrong.of(1), Outcome{Admitted, 1, 0}},
			{withdraw, Outcome{}},
			{resend, Outcome{Admitted, 1, 0}},
			{revoke, Outcome{Admitted, 1, 0}},
			{withdraw, Outcome{}},
			{right, Outcome{Revoked, 1, 0}},
		}},
		{"a use outlasts a withdrawal", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{right.of(1), Outcome{Admitted, 0, 0}},
			{withdraw, Outcome{}},
			{right, Outcome{Used, 0, 0}},
		}},
		{"after a withdrawal a cooldown runs from the older code", 3, []step{
			{resend.cooling(30 * time.Second).later(time.Minute), Outcome{Admitted, 0, 0}},
			{withdraw.later(62 * time.Second), Outcome{}},
			{resend.cooling(time.Minute).later(time.Minute - time.Millisecond), Outcome{Cooling, 0, time.Millisecond}},
			{resend.cooling(time.Minute).later(time.Minute), Outcome{Admitted, 0, 0}},
			{resend.of(1).issuedAt(time.Minute).cooling(time.Minute).later(3 * time.Minute), Outcome{Admitted, 0, 0}},
			{withdraw.of(1).issuedAt(time.Minute), Outcome{}},
			{resend.of(1).cooling(time.Minute).later(2*time.Minute - time.Second), Outcome{Cooling, 0, time.Second}},
			{resend.of(1).cooling(time.Minute).later(2 * time.Minute), Outcome{Admitted, 0, 0}},
		}},
		{"a withdrawal beyond any count that a context holds", 3, []step{
			{resend.of(1 << 40), Outcome{Admitted, 0, 0}},
			{state.of(1 << 30), Outcome{Superseded, 0, 0}},
			{withdraw.of(1 << 40), Outcome{}},
			{state.of(1 << 30), Outcome{Admitted, 0, 0}},
		}},
		{"each token of a family is good once", 1, []step{
			{refresh, Outcome{Admitted, 0, 0}},
			{state, Outcome{Superseded, 0, 0}},
			{state.of(1), Outcome{Admitted, 0, 0}},
			{refresh.of(1), Outcome{Admitted, 0, 0}},
			{refresh.of(2), Outcome{Admitted, 0, 0}},
			{state.of(2), Outcome{Superseded, 0, 0}},
			{state.of(3), Outcome{Admitted, 0, 0}},
		}},
		{"a spent token ends its family", 1, []step{
			{refresh, Outcome{Admitted, 0, 0}},
			{refresh, Outcome{Superseded, 0, 0}},
			{refresh, Outcome{Revoked, 0, 0}},
			{refresh.of(1), Outcome{Revoked, 0, 0}},
			{refresh.of(2), Outcome{Revoked, 0, 0}},
			{state, Outcome{Revoked, 0, 0}},
			{state.of(1), Outcome{Revoked, 0, 0}},
			{revoke, Outcome{Admitted, 0, 0}},
			{refresh.of(1), Outcome{Revoked, 0, 0}},
		}},
		{"a token that was spent long ago ends its family", 1, []step{
			{refresh, Outcome{Admitted, 0, 0}},
			{refresh.of(1), Outcome{Admitted, 0, 0}},
			{refresh.of(2), Outcome{Admitted, 0, 0}},
			{refresh, Outcome{Superseded, 0, 0}},
			{refresh.of(3), Outcome{Revoked, 0, 0}},
		}},
		{"a revocation ends a family", 1, []step{
			{refresh, Outcome{Admitted, 0, 0}},
			{revoke, Outcome{Admitted, 0, 0}},
			{refresh.of(1), Outcome{Revoked, 0, 0}},
			{refresh, Outcome{Revoked, 0, 0}},
			{state.of(1), Outcome{Revoked, 0, 0}},
		}},
		{"a revocation ends a family of which nothing is known", 1, []step{
			{revoke.of(3), Outcome{Admitted, 0, 0}},
			{refresh.of(3), Outcome{Revoked, 0, 0}},
		}},
		{"a token tells of those that were spent elsewhere", 1, []step{
			{refresh.of(5), Outcome{Admitted, 0, 0}},
			{state.of(6), Outcome{Admitted, 0, 0}},
			{refresh.of(9), Outcome{Admitted, 0, 0}},
			{refresh.of(9), Outcome{Superseded, 0, 0}},
			{refresh.of(10), Outcome{Revoked, 0, 0}},
		}},
		{"a refresh asks for no attempts", 0, []step{
			{refresh, Outcome{Admitted, 0, 0}},
			{refresh.of(1).after(1), Outcome{Admitted, 1, 0}},
			{refresh, Outcome{Superseded, 1, 0}},
		}},
		{"what was used up is no family", 3, []step{
			{right, Outcome{Admitted, 0, 0}},
			{refresh, Outcome{Used, 0, 0}},
			{refresh.of(1), Outcome{Used, 0, 0}},
			{state, Outcome{Used, 0, 0}},
		}},
		{"a generation beyond any that a token tells", 1, []step{
			{refresh.of(1 << 40), Outcome{Admitted, 0, 0}},
			{refresh.of(1 << 40), Outcome{Superseded, 0, 0}},
			{refresh, Outcome{Revoked, 0, 0}},
		}},
	}
	for _, subject := range remembering {
		t.Run(subject.name, func(t *testing.T) {
			l := subject.open(t, Throttle{})
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					v, other := newVerification(), newVerification()
					v.MaxAttempts = test.max
					for i, s := range test.steps {
						if got, err := s.op.do(l, v); err != nil || got != s.want {
							t.Fatalf("step %d, %+v = %v, %v; want %v", i+1, s.op, got, err, s.want)
						}
					}
					if got, err := state.do(l, other); err != nil || got != (Outcome{Admitted, 0, 0}) {
						t.Errorf("another verification is %v, %v now", got, err)
					}
				})
			}
			if err := l.Ping(context.Background()); err != nil {
				t.Errorf("Ping: %v", err)
			}
		})
	}
}

// crowd is how many clients attempt at once.
const crowd = 300

// together has a crowd do ops, in turn, on one verification at once, and returns the outcomes by
// operation.
func together(t testing.TB, l ledger, v Verification, ops ...operation) map[operation][]Outcome {
	t.Helper()
	outcomes := make(map[operation][]Outcome)
	var mu sync.Mutex
	var clients sync.WaitGroup
	start := make(chan struct{})
	for i := range crowd {
		op := ops[i%len(ops)]
		clients.Go(func() {
			<-start
			got, err := op.do(l, v)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[op] = append(outcomes[op], got)
		})
	}
	close(start)
	clients.Wait()
	return outcomes
}

func count(outcomes []Outcome, verdict string) (n int) {
	for _, o := range outcomes {
		if o.Verdict == verdict {
			n++
		}
	}
	return n
}

func TestConcurrentAttempts(t *testing.T) {
	const rounds = 20 // a race is not lost every time
	tests := []struct {
		name string
		ops  []operation
		ok   func(got map[operation][]Outcome) bool
	}{
		{"all wrong: exactly those that are allowed, each counted once", []operation{wrong}, func(got map[operation][]Outcome) bool {
			return slices.Equal(admittedCounts(got[wrong]), []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) &&
				count(got[wrong], Exhausted) == crowd-10
		}},
		{"all right: exactly one", []operation{right}, func(got map[operation][]Outcome) bool {
			return count(got[right], Admitted) == 1 && count(got[right], Used) == crowd-1
		}},
		{"right and wrong: at most one, after at most those that are allowed", []operation{wrong, right}, func(got map[operation][]Outcome) bool {
			rights, wrongs := count(got[right], Admitted), count(got[wrong], Admitted)
			return rights == 1 && wrongs < 10 || rights == 0 && wrongs == 10
		}},
		{"resends of one code: exactly one", []operation{resend}, func(got map[operation][]Outcome) bool {
			return count(got[resend], Admitted) == 1 && count(got[resend], Superseded) == crowd-1
		}},
		{"refreshes of one token: exactly one, and one that ends the family", []operation{refresh}, func(got map[operation][]Outcome) bool {
			return count(got[refresh], Admitted) == 1 && count(got[refresh], Superseded) == 1 &&
				count(got[refresh], Revoked) == crowd-2
		}},
		{"a refresh and a revocation: at most one, and nothing after it", []operation{refresh, revoke}, func(got map[operation][]Outcome) bool {
			refreshed, spent := count(got[refresh], Admitted), count(got[refresh], Superseded)
			return refreshed <= 1 && spent <= refreshed && count(got[refresh], Revoked) == crowd/2-refreshed-spent &&
				count(got[revoke], Admitted) == crowd/2
		}},
	}
	for _, subject := range remembering {
		l := subject.open(t, Throttle{})
		for _, test := range tests {
			t.Run(subject.name+", "+test.name, func(t *testing.T) {
				for range rounds {
					v := newVerification()
					v.MaxAttempts = 10
					if got := together(t, l, v, test.ops...); !test.ok(got) {
						t.Fatalf("the outcomes are %v", got)
					}
				}
			})
		}
	}
}

func admittedCounts(outcomes []Outcome) (counts []int) {
	for _, o := range outcomes {
		if o.Verdict == Admitted {
			counts = append(counts, o.Attempts)
		}
	}
	slices.Sort(counts)
	return counts
}

func TestNone(t *testing.T) {
	tests := []struct {
		name  string
		max   int
		steps []step
	}{
		{"a right code is right as often as it is sent", 3, []step{
			{right, Outcome{Admitted, 0, 0}},
			{right, Outcome{Admitted, 0, 0}},
			{right.after(2), Outcome{Admitted, 2, 0}},
		}},
		{"the count is the context's", 3, []step{
			{wrong, Outcome{Admitted, 1, 0}},
			{wrong, Outcome{Admitted, 1, 0}},
			{wrong.after(2), Outcome{Admitted, 3, 0}},
			{wrong.after(3), Outcome{Exhausted, 3, 0}},
			{right.after(3), Outcome{Exhausted, 3, 0}},
			{right, Outcome{Admitted, 0, 0}},
		}},
		{"no attempt allowed", 0, []step{
			{right, Outcome{Exhausted, 0, 0}},
			{resend, Outcome{Exhausted, 0, 0}},
		}},
		{"a resend leaves the older code good", 3, []step{
			{resend.after(1), Outcome{Admitted, 1, 0}},
			{right, Outcome{Admitted, 0, 0}},
			{resend.after(3), Outcome{Exhausted, 3, 0}},
		}},
		{"a resend waits until the context's code is old enough", 3, []step{
			{resend.cooling(30 * time.Second).later(29 * time.Second), Outcome{Cooling, 0, time.Second}},
			{resend.cooling(30 * time.Second).later(30 * time.Second), Outcome{Admitted, 0, 0}},
			{resend.cooling(30 * time.Second).later(30 * time.Second), Outcome{Admitted, 0, 0}},
			{resend.after(3).cooling(30 * time.Second), Outcome{Exhausted, 3, 0}},
		}},
		{"an unlock is not possible", 3, []step{
			{unlock, Outcome{Disabled, 0, 0}},
		}},
		{"a revocation is not possible", 3, []step{
			{revoke.after(1), Outcome{Disabled, 1, 0}},
			{right, Outcome{Admitted, 0, 0}},
		}},
		{"a look tells what the context does", 3, []step{
			{state.after(2), Outcome{Admitted, 2, 0}},
			{state.after(3), Outcome{Exhausted, 3, 0}},
		}},
		{"a withdrawal changes nothing", 3, []step{
			{resend, Outcome{Admitted, 0, 0}},
			{withdraw, Outcome{}},
			{right.of(1), Outcome{Admitted, 0, 0}},
			{right, Outcome{Admitted, 0, 0}},
		}},
		{"a refresh token is good as often as it is sent", 0, []step{
			{refresh, Outcome{Admitted, 0, 0}},
			{refresh, Outcome{Admitted, 0, 0}},
			{refresh.of(7).after(2), Outcome{Admitted, 2, 0}},
			{refresh, Outcome{Admitted, 0, 0}},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := newVerification()
			v.MaxAttempts = test.max
			for i, s := range test.steps {
				if got, err := s.op.do(None{}, v); err != nil || got != s.want {
					t.Fatalf("step %d, %+v = %v, %v; want %v", i+1, s.op, got, err, s.want)
				}
			}
		})
	}
	if err := (None{}).Ping(context.Background()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}
