package delivery

import (
	"context"
	"errors"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

// SendRequest asks for a code and its delivery.
type SendRequest struct {
	Code      otp.GenerateRequest // without an identifier, it is for the first address
	Routes    []Route             // tried in this order, 1 to 1 + MaxFallbacks
	Locale    string              // BCP 47; empty for English
	Template  string              // empty for the default one
	Variables map[string]string   // for the template
}

// Sent is a code that is on its way to its recipient. OTP is empty, unless the caller delivers it.
type Sent struct {
	otp.Issued
	Channel    string // over which the code was sent; empty if the caller delivers it
	ToMasked   string
	DeliveryID string
}

// Send issues a code and delivers it. Beside those of [otp.Service.Generate] its errors are [*Failure],
// [*LimitError], [ErrNotConfigured], [ErrOverloaded] and, with an idempotency key, [ErrKeyReused], [ErrKeyInUse] and
// [otp.ErrLedgerDisabled]. After any of them nothing has been counted.
func (s *Service) Send(ctx context.Context, caller otp.Caller, i Idempotency, r SendRequest) (Sent, error) {
	p, err := s.newPlan(r)
	if err != nil {
		return Sent{}, err
	}
	sealed, err := p.seal()
	if err != nil {
		return Sent{}, err
	}
	if r.Code.Identifier == nil || *r.Code.Identifier == "" {
		r.Code.Identifier = &p.Routes[0].To
	}
	ctx = context.WithoutCancel(ctx) // what is on its way stays so, and its answer is kept
	return s.once(ctx, caller, i, func() (Sent, error) {
		issued, announce, err := s.cfg.Codes.GenerateFor(caller, r.Code, sealed)
		if err != nil {
			return Sent{}, err
		}
		return s.deliver(ctx, caller, p, 0, order{issued: issued, announce: announce, purpose: r.Code.Purpose, decoy: r.Code.Decoy})
	})
}

// order is what is to be delivered.
type order struct {
	issued   otp.Issued
	announce func() // that there is a new code, once it is delivered
	purpose  string
	decoy    bool
	previous Route // of the code before, if it is a resend
}

// remark tells the operator, and nobody else, that a code was not really sent.
func (o order) remark() string {
	if o.decoy {
		return "decoy"
	}
	return ""
}

// deliver sends a code along the routes of p, from one on, until it has arrived. Each has an equal part of the time
// that is left. A limit ends it, or it would be a way around the limit. The error is that of the last, unless the code
// may have arrived before.
func (s *Service) deliver(ctx context.Context, caller otp.Caller, p plan, from int, o order) (sent Sent, err error) {
	deadline := time.Now().Add(s.cfg.Timeout)
	var unknown *Failure
	for i, route := range p.Routes[from:] {
		m := p.message(route, Message{
			ID: otp.NewID(), VerificationID: o.issued.ID, Code: o.issued.OTP, Purpose: o.purpose,
			SentAt: s.cfg.Now(), ExpiresAt: o.issued.ExpiresAt,
		})
		part := time.Until(deadline) / time.Duration(len(p.Routes)-from-i)
		sent, err = s.deliverOn(ctx, caller, route, m, part, o)
		failure, failed := errors.AsType[*Failure](err)
		if failed && failure.Unknown && unknown == nil {
			unknown = failure
		}
		if !failed && err != ErrOverloaded {
			break
		}
	}
	if err != nil && unknown != nil {
		return Sent{}, unknown
	}
	return sent, err
}

// deliverOn delivers m over one route, and counts it unless that fails.
func (s *Service) deliverOn(ctx context.Context, caller otp.Caller, route Route, m Message, timeout time.Duration, o order) (Sent, error) {
	channel, err := s.channel(route.Channel)
	if err != nil {
		return Sent{}, err
	}
	recipient, err := channel.Recipient(route.To)
	if err != nil { // it was in order when the context was made, under another configuration
		return Sent{}, &Failure{Permanent: true, Reason: "the channel takes no such address"}
	}
	lane := s.lanes[route.Channel]
	select {
	case lane.slots <- struct{}{}:
		defer func() { <-lane.slots }()
	default:
		return Sent{}, ErrOverloaded
	}
	refund, err := s.spend(ctx, caller, route.Channel, recipient, route == o.previous, m.SentAt)
	if err != nil {
		if _, limited := errors.AsType[*LimitError](err); limited {
			s.record(EventLimited, route.Channel, "", m.SentAt, o.issued, m, caller)
		}
		return Sent{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := s.hand(bounded, route.Channel, channel, m, o.decoy); err != nil {
		if !err.Unknown {
			refund(ctx)
		}
		s.record(EventFailed, route.Channel, err.Reason, m.SentAt, o.issued, m, caller)
		return Sent{}, err
	}
	o.announce()
	s.record(EventSent, route.Channel, o.remark(), m.SentAt, o.issued, m, caller)
	sent := Sent{Issued: o.issued, Channel: route.Channel, ToMasked: recipient.Masked, DeliveryID: m.ID}
	sent.OTP = ""
	return sent, nil
}

// hand hands m over to a channel, or pretends to.
func (s *Service) hand(ctx context.Context, name string, channel Channel, m Message, decoy bool) *Failure {
	pace, start := &s.lanes[name].pace, time.Now()
	if decoy {
		return pace.pretend(ctx, start)
	}
	failure := failureOf(channel.Deliver(ctx, m))
	took := time.Since(start)
	pace.note(outcome{start, took, failure})
	s.cfg.Observe(name, took, failure)
	return failure
}

// failureOf returns the error of a channel as what it must be.
func failureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	if failure, ok := errors.AsType[*Failure](err); ok {
		return failure
	}
	return &Failure{Reason: "an unexpected error"}
}
