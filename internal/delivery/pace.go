package delivery

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	paceMemory  = 64                     // deliveries
	failureFor  = 10 * time.Minute       // that a failure is remembered
	unknownPace = 250 * time.Millisecond // until there is a delivery
)

// pace remembers how deliveries went of late, so that those that are only pretended go alike.
type pace struct {
	mu     sync.Mutex
	recent [paceMemory]outcome
	next   int
}

// outcome is how one delivery went.
type outcome struct {
	at      time.Time
	took    time.Duration
	failure *Failure // nil if it was delivered
}

// note remembers an outcome, unless it is the recipient's own: nobody else's would be like it.
func (p *pace) note(o outcome) {
	if o.failure != nil && o.failure.Permanent {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent[p.next%paceMemory] = o
	p.next++
}

// any returns one of those that are remembered at now.
func (p *pace) any(now time.Time) outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	var recent []outcome
	for _, o := range p.recent {
		if !o.at.IsZero() && (o.failure == nil || now.Sub(o.at) < failureFor) {
			recent = append(recent, o)
		}
	}
	if len(recent) == 0 {
		return outcome{took: unknownPace}
	}
	return recent[rand.IntN(len(recent))]
}

// pretend takes as long as a delivery does, and fails as often.
func (p *pace) pretend(ctx context.Context, now time.Time) *Failure {
	o := p.any(now)
	timer := time.NewTimer(o.took)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return o.failure
}
