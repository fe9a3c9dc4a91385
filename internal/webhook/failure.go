package webhook

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/otpd/otpd/internal/egress"
)

// Failure is the error of a message that the endpoint has not taken. It holds nothing of the message, and nothing that
// the endpoint has written but its status.
type Failure struct {
	Permanent  bool          // to try again would be of no use
	Unknown    bool          // the endpoint may have taken the message all the same, at this try or one before
	Status     int           // of the answer; 0 if there was none
	Reason     string        // like "the endpoint answered 503"
	RetryAfter time.Duration // that the endpoint has asked for, up to an hour; 0 if it has not
}

func (f *Failure) Error() string { return "webhook: " + f.Reason }

// judge returns the error that an answer is. Whatever Standard Webhooks gives a second chance has one here, and of
// the other statuses those that speak of the endpoint rather than of the message.
func judge(response *http.Response, now time.Time) error {
	status := response.StatusCode
	if status >= 200 && status <= 299 {
		return nil
	}
	passing := status >= 500 && status <= 599 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
	failure := &Failure{
		Permanent: !passing, Unknown: egress.IsOfAnother(status),
		Status: status, Reason: fmt.Sprintf("the endpoint answered %d", status),
	}
	if passing {
		failure.RetryAfter = retryAfter(response.Header.Get("Retry-After"), now)
	}
	return failure
}

// maxRetryAfter is the longest wait that an endpoint can impose: a mistake of its own must not stop everything for a
// year.
const maxRetryAfter = time.Hour

// retryAfter reads the header of that name (RFC 9110 §10.2.3); what cannot be read asks for nothing.
func retryAfter(text string, now time.Time) (wait time.Duration) {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

func noAnswer(err error) error {
	reason, received := egress.NoAnswer("the endpoint", err)
	return &Failure{Unknown: received, Reason: reason}
}
