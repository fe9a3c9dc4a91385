package delivery

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// MaxFallbacks is how many ways a request may name beside the first.
const MaxFallbacks = 3

// Route is one way to a recipient.
type Route struct {
	Channel string `json:"channel"`
	To      string `json:"to"`
}

// plan is how the codes of a verification are delivered, as its context keeps it.
type plan struct {
	Routes    []Route           `json:"routes"` // a resend begins one further on, as long as there is one
	Locale    string            `json:"locale,omitzero"`
	Template  string            `json:"template,omitzero"`
	Variables map[string]string `json:"variables,omitzero"`
}

// newPlan checks what a request wants, and puts each address into its canonical form.
func (s *Service) newPlan(r SendRequest) (plan, error) {
	p := plan{Locale: r.Locale, Template: r.Template, Variables: r.Variables}
	if len(r.Routes) > 1+MaxFallbacks {
		return plan{}, &otp.FieldError{Field: "fallback", Reason: fmt.Sprintf("must be at most %d channels", MaxFallbacks)}
	}
	sample := s.sample(r.Code)
	for i, route := range r.Routes {
		canonical, err := s.checkRoute(route, p, sample)
		if field, ok := err.(*otp.FieldError); ok && i > 0 && (field.Field == "to" || field.Field == "channel") {
			err = &otp.FieldError{Field: "fallback", Reason: "has a " + field.Field + " that " + field.Reason}
		}
		if err != nil {
			return plan{}, err
		}
		p.Routes = append(p.Routes, canonical)
	}
	return p, nil
}

// sample returns a message for a code like the one that will be sent.
func (s *Service) sample(r otp.GenerateRequest) Message {
	length, life := s.cfg.Codes.Outline(r)
	return Message{
		ID: otp.NewID(), VerificationID: otp.NewID(), Code: strings.Repeat("0", length), Purpose: r.Purpose,
		SentAt: s.cfg.Now(), ExpiresAt: s.cfg.Now().Add(life),
	}
}

func (s *Service) checkRoute(route Route, p plan, sample Message) (Route, error) {
	channel, err := s.channel(route.Channel)
	if err != nil {
		return Route{}, err
	}
	recipient, err := channel.Recipient(route.To)
	if err != nil {
		return Route{}, err
	}
	route.To = recipient.Address
	return route, channel.Check(p.message(route, sample))
}

func (s *Service) channel(name string) (Channel, error) {
	if s.lanes[name] == nil {
		return nil, &otp.FieldError{Field: "channel", Reason: "must be email, sms, webhook or console"}
	}
	channel := (*s.channels.Load())[name]
	if channel == nil {
		return nil, ErrNotConfigured
	}
	return channel, nil
}

// message returns m with what p says of it.
func (p plan) message(route Route, m Message) Message {
	m.To, m.Locale, m.Template, m.Variables = route.To, p.Locale, p.Template, p.Variables
	return m
}

// seal returns p as a context keeps it.
func (p plan) seal() (jsontext.Value, error) {
	sealed, err := json.Marshal(p, json.Deterministic(true))
	if err == nil && len(sealed) > otpcontext.MaxDelivery {
		field := "variables"
		if len(p.Variables) == 0 {
			field = "fallback"
		}
		err = &otp.FieldError{
			Field:  field,
			Reason: fmt.Sprintf("must be shorter: all addresses and variables together may take %d bytes", otpcontext.MaxDelivery),
		}
	}
	return sealed, err
}

// openPlan reads what seal has written, or a later otpd's, which may mean more than this one knows.
func openPlan(sealed jsontext.Value) (p plan, err error) {
	err = json.Unmarshal(sealed, &p, json.RejectUnknownMembers(true))
	if err != nil || len(p.Routes) == 0 {
		return plan{}, otp.ErrInvalidContext
	}
	return p, nil
}
