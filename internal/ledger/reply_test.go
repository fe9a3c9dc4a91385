package ledger

import (
	"context"
	"errors"
	"testing"
)

// A reply to one command is never taken for that to the next, which may be of somebody else.
func TestReplyOfAnotherCommand(t *testing.T) {
	r := newRig(t)
	fresh, used := newVerification(), newVerification()
	if got, err := right.do(r.Redis, used); err != nil || got.Verdict != Admitted {
		t.Fatal(got, err)
	}
	r.proxy.set(t, doubled)
	if got, err := state.do(r.Redis, fresh); err != nil || got != (Outcome{Admitted, 0, 0}) {
		t.Fatal(got, err)
	}
	got, err := right.do(r.Redis, used)
	if !errors.Is(err, errMalformedReply) || got != (Outcome{}) {
		t.Errorf("a used code = %v, %v; want an error", got, err)
	}
	r.proxy.set(t, none)
	for _, v := range []*Verification{&used, &fresh} {
		want := Outcome{Used, 0, 0}
		if v == &fresh {
			want.Verdict = Admitted
		}
		eventually(t, "replies are to their commands again", func() bool {
			got, err := right.do(r.Redis, *v)
			if err == nil && got != want {
				t.Fatalf("Attempt = %v, want %v", got, want)
			}
			return err == nil
		})
	}
}

// A server that does not keep to the protocol is no reason to end.
func TestMalformedReply(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	// Each has a rig of its own: what is undone while a ping is under way would make several commands of one, and a
	// malformed reply to one of several ends the process.
	for op, want := range map[operation]string{right: Admitted, revoke: Revoked} {
		r, v := newRig(t), newVerification()
		r.proxy.set(t, malformed)
		r.fails(t, op, v)
		r.fails(t, state, v) // there is no connection for up to a second
		r.recovers(t)
		if got, err := right.do(r.Redis, v); err != nil || got.Verdict != want {
			t.Errorf("after a malformed reply to %s, Attempt = %v, %v; want %s", op.name, got, err, want)
		}
	}
	r := newRig(t)
	r.proxy.set(t, malformed)
	if err := r.Redis.Ping(context.Background()); err == nil {
		t.Error("Ping succeeds with a malformed reply")
	}
	r.recovers(t)
}
