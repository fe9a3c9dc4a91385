package otpcontext

import (
	"sync"
	"testing"
)

func TestRotation(t *testing.T) {
	s := newSealer(t, keyA)
	old := mustSeal(t, s, newClaims())

	s.Use(newRing(t, keyB, keyA))
	mustOpen(t, s, old)
	fresh := mustSeal(t, s, newClaims())
	mustOpen(t, s, fresh)
	mustOpen(t, newSealer(t, keyB), fresh)
	assertInvalid(t, newSealer(t, keyA), fresh)

	s.Use(newRing(t, keyB))
	mustOpen(t, s, fresh)
	assertInvalid(t, s, old)
}

func TestFallbackOpensAndDoesNotSeal(t *testing.T) {
	replica := newSealer(t, keyA, keyB) // knows the next key, and does not use it yet
	mustOpen(t, replica, mustSeal(t, newSealer(t, keyB), newClaims()))
	mustOpen(t, newSealer(t, keyA), mustSeal(t, replica, newClaims()))
}

func TestUseWhileInUse(t *testing.T) {
	rings := []*Ring{newRing(t, keyA, keyB), newRing(t, keyB, keyA)}
	s := NewSealer(rings[0])
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 200 {
				token, err := s.Seal(newClaims(), now)
				if err != nil {
					t.Error(err)
				}
				if _, err := s.Open(token); err != nil {
					t.Errorf("a context was lost: %v", err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { clients.Wait(); close(done) }()
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
			s.Use(rings[i%2])
		}
	}
}

func TestSubjects(t *testing.T) {
	const ann = "user@example.invalid"
	first := func(s *Sealer, namespace, identifier string) string { return s.Subjects(namespace, identifier)[0] }
	subject := first(newSealer(t, keyA, keyB), "app", ann)
	if len(subject) != 22 {
		t.Errorf("a subject of %d characters, want 22", len(subject))
	}
	for name, test := range map[string]struct {
		subject string
		same    bool
	}{
		"the same on another replica":     {first(newSealer(t, keyA, keyB), "app", ann), true},
		"the same whatever the fallbacks": {first(newSealer(t, keyA), "app", ann), true},
		"the same as a fallback":          {newSealer(t, keyB, keyA).Subjects("app", ann)[1], true},
		"another for another identifier":  {first(newSealer(t, keyA), "app", "user@example.invalie"), false},
		"another for none":                {first(newSealer(t, keyA), "app", ""), false},
		"another in another namespace":    {first(newSealer(t, keyA), "ap", ann), false},
		"another in none":                 {first(newSealer(t, keyA), "", ann), false},
		"another where the two run on":    {first(newSealer(t, keyA), "", "app"+ann), false},
		"another under another key":       {first(newSealer(t, keyB), "app", ann), false},
	} {
		if (test.subject == subject) != test.same {
			t.Errorf("%s: %s and %s", name, subject, test.subject)
		}
	}
}

// A verification keeps its subject whichever keys seal and open its contexts, for its ledger entries are
// found by it.
func TestSubjectOutlivesItsKey(t *testing.T) {
	claims := newClaims()
	original := mustSeal(t, newSealer(t, keyA), claims)
	opened := mustOpen(t, newSealer(t, keyA), original)
	want := newSealer(t, keyA).Subjects(opened.Namespace, *opened.Identifier)[0]
	if opened.Subject != want || claims.Subject != want {
		t.Fatalf("subjects %q and %q, want %q", opened.Subject, claims.Subject, want)
	}
	rotating := newSealer(t, keyB, keyA)
	again := mustOpen(t, rotating, original)
	if again.Subject != want {
		t.Errorf("after the change of keys, the same context has the subject %q", again.Subject)
	}
	resealed := mustSeal(t, rotating, again)
	for _, sealer := range []*Sealer{rotating, newSealer(t, keyB)} {
		opened := mustOpen(t, sealer, resealed)
		if opened.Subject != want {
			t.Errorf("sealed anew, the context has the subject %q", opened.Subject)
		}
		if subject := mustOpen(t, sealer, mustSeal(t, sealer, opened)).Subject; subject != want {
			t.Errorf("sealed twice, the context has the subject %q", subject)
		}
	}
	if again := mustSeal(t, newSealer(t, keyA), mustOpen(t, newSealer(t, keyA), original)); len(again) != len(original) {
		t.Errorf("under its own key a context of %d characters became one of %d", len(original), len(again))
	}
}
