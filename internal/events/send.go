package events

import (
	"errors"
	"net/http"
	"time"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/webhook"
)

const (
	maxBatch = 100
	pause    = time.Second // after the beginning of a batch, before one that is not full
)

// patience is for an endpoint that may be down for hours.
var patience = webhook.Backoff{Least: time.Second, Most: time.Minute}

// send sends batches, one after the other so that they keep their order, until the queue is closed and empty.
func (q *Queue) send() {
	defer close(q.done)
	var began time.Time
	for {
		batch := q.collect(began)
		if len(batch) == 0 {
			return
		}
		began = time.Now()
		q.post(batch)
		q.underWay.Store(0)
	}
}

// collect waits for events. When all is quiet, one goes out as it comes; those that come within a second of it go out
// together when that is over, or as soon as they are a full batch. It returns none once the queue is closed and empty.
func (q *Queue) collect(began time.Time) (batch []otp.Event) {
	e, open := <-q.events
	due := time.After(time.Until(began.Add(pause)))
	for open {
		batch = append(batch, e)
		q.underWay.Store(int64(len(batch)))
		if len(batch) == maxBatch {
			break
		}
		wait := due
		if len(q.events) > 0 {
			wait = nil // what is there goes along
		}
		select {
		case e, open = <-q.events:
		case <-wait:
			return batch
		}
	}
	return batch
}

// post sends a batch until the endpoint has taken it or refused it for good, or the time of Close is over.
func (q *Queue) post(batch []otp.Event) {
	id, body := otp.NewID(), q.payload(batch)
	for failures := 1; q.cut.Err() == nil; failures++ {
		failure, failed := errors.AsType[*webhook.Failure](q.cfg.Endpoint.Try(q.cut, id, body))
		if !failed {
			q.metrics.accept(len(batch))
			return
		}
		if failure.Permanent && isOfBatch(failure.Status) {
			q.metrics.refuse(len(batch))
			q.cfg.Log.Warn("events were refused, and are lost", "status", failure.Status, "events", len(batch))
			return
		}
		q.metrics.failedPosts.Inc()
		if failures == 1 {
			q.cfg.Log.Warn("events could not be sent, and will be tried again", "reason", failure.Reason, "events", len(batch))
		}
		if !q.wait(failures, failure) {
			failures = 0
		}
	}
	q.left += len(batch)
	q.metrics.shutdown.Add(float64(len(batch)))
}

// isOfBatch reports whether a status that refuses speaks of what was sent, and not of an endpoint that is being set up
// anew, or has another secret for a moment.
func isOfBatch(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// wait waits before the next try. It returns false if Close has cut the wait short: of what it leaves, a minute would be
// too much, and the next try comes at once.
func (q *Queue) wait(failures int, last *webhook.Failure) bool {
	if q.closing.Err() != nil {
		return patience.Wait(q.cut, failures, last)
	}
	return patience.Wait(q.closing, failures, last)
}
