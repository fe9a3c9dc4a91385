package events

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/otp"
)

// payload is a batch as Standard Webhooks would have it. Times are RFC 3339 in UTC.
type payload struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // of the batch
	Data      data      `json:"data"`
}

type data struct {
	Events []event `json:"events"` // 1 to maxBatch, in the order in which they were recorded
}

// event has the names of the audit log. Only the hash of an identifier leaves.
type event struct {
	EventID        string    `json:"event_id"` // of this event, to know it by if it comes again
	Event          string    `json:"event"`
	At             time.Time `json:"at"`
	ID             string    `json:"id"` // of the verification, device, challenge or family of tokens
	Namespace      string    `json:"namespace"`
	Purpose        string    `json:"purpose"`
	IdentifierHash string    `json:"identifier_hash"`
	RetryCount     int       `json:"retry_count"`
	RequestID      string    `json:"request_id"`
	Channel        string    `json:"channel,omitzero"`
	Reason         string    `json:"reason,omitzero"`
	SourceCategory string    `json:"source_category,omitzero"`
	IP             string    `json:"ip,omitzero"`
	UserAgent      string    `json:"user_agent,omitzero"`
}

func (q *Queue) payload(batch []otp.Event) []byte {
	events := make([]event, len(batch))
	for i, e := range batch {
		events[i] = event{
			EventID: otp.NewID(), Event: e.Name, At: otp.Milliseconds(e.At), ID: e.ID, Namespace: e.Caller.Namespace, Purpose: e.Purpose,
			IdentifierHash: e.IdentifierHash, RetryCount: e.RetryCount, RequestID: e.Caller.RequestID, IP: e.Caller.IP,
			UserAgent: e.Caller.UserAgent, Channel: e.Channel, Reason: e.Reason, SourceCategory: e.SourceCategory,
		}
	}
	// There is no error: what is no UTF-8 is replaced, and no clock is past the year 9999.
	body, _ := json.Marshal(payload{"otpd.events", otp.Milliseconds(q.cfg.Now()), data{events}}, jsontext.AllowInvalidUTF8(true))
	return body
}
