package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/webhook"
)

// WebhookChannel hands codes to an endpoint of the application, which reaches the recipient by means of its own.
type WebhookChannel struct{ endpoint *webhook.Endpoint }

// NewWebhook returns a channel to endpoint.
func NewWebhook(endpoint *webhook.Endpoint) *WebhookChannel { return &WebhookChannel{endpoint} }

// Recipient takes any text: what it stands for is known to the application. It has no prefix, since what a message
// costs is the application's concern.
func (c *WebhookChannel) Recipient(to string) (Recipient, error) { return parsePlain(to) }

// Check reports whether locale, template and variables have the form that they must have for a template. Whether there
// is such a template is for the application to know.
func (c *WebhookChannel) Check(m Message) error {
	if _, err := parseLocale(m.Locale); err != nil {
		return err
	}
	if m.Template != "" && !templateName.MatchString(m.Template) {
		return &otp.FieldError{Field: "template", Reason: "must be 1 to 64 of a-z 0-9 _ - and begin with a letter or digit"}
	}
	return checkVariables(m.Variables)
}

// codeSent is the payload. Times are RFC 3339 in UTC.
type codeSent struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      codeData  `json:"data"`
}

type codeData struct {
	DeliveryID     string            `json:"delivery_id"`
	To             string            `json:"to"`
	Code           string            `json:"code"`
	VerificationID string            `json:"verification_id"`
	Purpose        string            `json:"purpose,omitzero"`
	ExpiresAt      time.Time         `json:"expires_at"`
	Locale         string            `json:"locale,omitzero"`
	Template       string            `json:"template,omitzero"`
	Variables      map[string]string `json:"variables,omitempty"`
}

// Deliver posts m as a Standard Webhook of type otp.code, with the id of the delivery. The endpoint takes
// responsibility with an answer of 2xx; it may be sent the same delivery more than once.
func (c *WebhookChannel) Deliver(ctx context.Context, m Message) error {
	body, err := json.Marshal(codeSent{"otp.code", otp.Milliseconds(m.SentAt), codeData{
		DeliveryID: m.ID, To: m.To, Code: m.Code, VerificationID: m.VerificationID, Purpose: m.Purpose,
		ExpiresAt: otp.Milliseconds(m.ExpiresAt), Locale: m.Locale, Template: m.Template, Variables: m.Variables,
	}}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return &Failure{Permanent: true, Reason: "the message has a time without a date in RFC 3339"}
	}
	if failure, failed := errors.AsType[*webhook.Failure](c.endpoint.Post(ctx, m.ID, body)); failed {
		return &Failure{failure.Permanent, failure.Unknown, failure.Reason}
	}
	return nil
}
