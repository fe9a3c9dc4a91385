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

func TestHashIdentifier(t *testing.T) {
	hash := newSealer(t, keyA, keyB).HashIdentifier("user@example.invalid")
	if len(hash) != 22 {
		t.Errorf("a hash of %d characters, want 22", len(hash))
	}
	for name, test := range map[string]struct {
		hash string
		same bool
	}{
		"the same on another replica":     {newSealer(t, keyA, keyB).HashIdentifier("user@example.invalid"), true},
		"the same whatever the fallbacks": {newSealer(t, keyA).HashIdentifier("user@example.invalid"), true},
		"another for another identifier":  {newSealer(t, keyA).HashIdentifier("user@example.invalie"), false},
		"another for none":                {newSealer(t, keyA).HashIdentifier(""), false},
		"another under another key":       {newSealer(t, keyB).HashIdentifier("user@example.invalid"), false},
	} {
		if (test.hash == hash) != test.same {
			t.Errorf("%s: %s and %s", name, hash, test.hash)
		}
	}
}
