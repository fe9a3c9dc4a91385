package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Bounds on how long one try may take.
const (
	minTry = time.Second
	maxTry = 15 * time.Second // the least that Standard Webhooks would have a sender wait
)

// Of an answer, at most maxDrained bytes are read, for at most maxDraining, for its connection to be used again.
const (
	maxDrained  = 4 << 10
	maxDraining = 50 * time.Millisecond
)

// patience is for somebody who waits for a code.
var patience = Backoff{Least: 100 * time.Millisecond, Most: 2 * time.Second}

// Post hands a message over, and returns once the endpoint has answered with 2xx. It tries again, with the same id and
// a signature of that moment, whatever may pass, until that can no longer be before ctx ends. The id must not come
// from a caller, nor have a dot. The error is a [*Failure], that of the last try.
func (e *Endpoint) Post(ctx context.Context, id string, body []byte) error {
	unknown := false
	for failures := 1; ; failures++ {
		err := e.Try(ctx, id, body)
		failure, failed := errors.AsType[*Failure](err)
		if !failed {
			return nil
		}
		unknown = unknown || failure.Unknown
		if failure.Permanent || !patience.Wait(ctx, failures, failure) {
			failure.Unknown = unknown
			return failure
		}
	}
}

// Try is one try of [Endpoint.Post]. It takes at most half of the time until ctx ends, so that an endpoint that stalls
// once can still take a second try, but not less than 1 s and not more than 15 s.
func (e *Endpoint) Try(ctx context.Context, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, timeLimit(ctx))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return noAnswer(err)
	}
	now := e.now()
	timestamp := strconv.FormatInt(now.Unix(), 10)
	request.Header = http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"otpd"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {timestamp},
		"Webhook-Signature": {signatures(*e.keys.Load(), id, timestamp, body)},
	}
	response, err := e.client.Do(request)
	if err != nil {
		return noAnswer(err)
	}
	drain(response.Body, cancel)
	return judge(response, now)
}

func timeLimit(ctx context.Context) time.Duration {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return maxTry
	}
	return min(max(time.Until(deadline)/2, minTry), maxTry)
}

// drain reads what little there may be of an answer, which cancel ends but where the endpoint has switched protocols.
func drain(body io.ReadCloser, cancel func()) {
	defer time.AfterFunc(maxDraining, func() {
		cancel()
		_ = body.Close()
	}).Stop()
	_, _ = io.CopyN(io.Discard, body, maxDrained)
	_ = body.Close()
}
