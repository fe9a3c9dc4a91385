package delivery

import (
	"slices"
	"sync"
	"time"
)

// Bounds of connections to the mail server.
const (
	maxSessions = 16 // in use
	maxKept     = 8  // beside those
	keepFor     = 30 * time.Second
)

// kept are sessions that wait for the next message.
type kept struct {
	idle time.Duration // before one is closed

	mu       sync.Mutex
	sessions []*session // the one used last is the last
	closed   bool
}

// take returns the session that was used last; nil if there is none.
func (k *kept) take() *session {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.sessions) == 0 {
		return nil
	}
	s := k.sessions[len(k.sessions)-1]
	k.sessions = k.sessions[:len(k.sessions)-1]
	s.expiry.Stop()
	return s
}

// put keeps s, or ends it.
func (k *kept) put(s *session) {
	if s.spent {
		_ = s.conn.Close()
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || len(k.sessions) == maxKept {
		s.quit()
		return
	}
	s.expiry = time.AfterFunc(k.idle, func() { k.expire(s) })
	k.sessions = append(k.sessions, s)
}

// expire ends s, unless it has been taken.
func (k *kept) expire(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.Index(k.sessions, s); i >= 0 {
		k.sessions = slices.Delete(k.sessions, i, i+1)
		s.quit()
	}
}

// close ends all sessions, and lets none be kept from now on.
func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sessions {
		s.expiry.Stop()
		s.quit()
	}
	k.sessions, k.closed = nil, true
}
