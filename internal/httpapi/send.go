package httpapi

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/otp"
)

type sendRequest struct {
	generateRequest
	idempotent
	Channel   string            `json:"channel"`
	To        string            `json:"to"`
	Fallback  []fallback        `json:"fallback"`
	Locale    string            `json:"locale"`
	Template  string            `json:"template"`
	Variables map[string]string `json:"variables"`
}

// fallback is a channel by its name, for the same address, or with an address of its own.
type fallback delivery.Route

// UnmarshalJSONFrom reads either.
func (f *fallback) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == '"' {
		return json.UnmarshalDecode(dec, &f.Channel)
	}
	return json.UnmarshalDecode(dec, (*delivery.Route)(f))
}

// idempotent is a request that may have an Idempotency-Key.
type idempotent struct {
	Key string `json:"-"`
}

// takeKey refuses an empty key, which whoever sends it relies on, and several, of which only one would count.
func (i *idempotent) takeKey(r *http.Request) error {
	switch keys := r.Header.Values("Idempotency-Key"); {
	case len(keys) > 1 || len(keys) == 1 && keys[0] == "":
		return &otp.FieldError{Field: "Idempotency-Key", Reason: "must be given once, and not empty"}
	case len(keys) == 1:
		i.Key = keys[0]
	}
	return nil
}

// idempotency tells a request by its path and what it asks for, however that is spelt.
func idempotency(path, key string, request any) (delivery.Idempotency, error) {
	if key == "" {
		return delivery.Idempotency{}, nil
	}
	data, err := json.Marshal(request, json.Deterministic(true))
	return delivery.Idempotency{Key: key, Request: append([]byte(path), data...)}, err
}

// sentAnswer answers send and resend.
type sentAnswer delivery.Sent

func (a *sentAnswer) members(o *object) {
	if a.OTP != "" {
		o.token("otp", a.OTP)
	}
	o.token("context", a.Context)
	o.token("id", a.ID)
	o.time("expires_at", a.ExpiresAt)
	o.time("session_expires_at", a.SessionExpiresAt)
	o.count("attempts_remaining", a.AttemptsRemaining)
	if a.Channel != "" {
		o.token("channel", a.Channel)
		o.text("to_masked", a.ToMasked)
		o.token("delivery_id", a.DeliveryID)
	}
}

func (a *API) send(ctx context.Context, caller otp.Caller, q sendRequest) (*sentAnswer, error) {
	if err := require("channel", q.Channel, "to", q.To); err != nil {
		return nil, err
	}
	key, err := idempotency("/v1/otp/send", q.Key, q)
	if err != nil {
		return nil, err
	}
	routes := []delivery.Route{{Channel: q.Channel, To: q.To}}
	for _, f := range q.Fallback {
		if f.To == "" {
			f.To = q.To
		}
		routes = append(routes, delivery.Route(f))
	}
	sent, err := a.delivery.Send(ctx, caller, key, delivery.SendRequest{
		Code: otp.GenerateRequest(q.generateRequest), Routes: routes,
		Locale: q.Locale, Template: q.Template, Variables: q.Variables,
	})
	return (*sentAnswer)(&sent), err
}
