package delivery

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// Resend issues a new code in place of another, as [otp.Service.Resend] does, and if that was sent, sends it: over
// the next of its channels, or the last one again. If that fails, it is as if there had been no resend. The errors
// are those of otp.Service.Resend and of [Service.Send].
func (s *Service) Resend(ctx context.Context, caller otp.Caller, i Idempotency, r otp.ResendRequest) (Sent, error) {
	ctx = context.WithoutCancel(ctx)
	return s.once(ctx, caller, i, func() (Sent, error) {
		resent, err := s.cfg.Codes.Resend(ctx, caller, r)
		if err != nil || resent.Delivery == nil {
			return Sent{Issued: resent.Issued}, err
		}
		sent, err := s.deliverAgain(ctx, caller, resent)
		if err != nil {
			_ = resent.Withdraw(ctx) // if the ledger does not answer to this, it will once it does
		}
		return sent, err
	})
}

func (s *Service) deliverAgain(ctx context.Context, caller otp.Caller, r otp.Resent) (Sent, error) {
	p, err := openPlan(r.Delivery)
	if err != nil {
		return Sent{}, err
	}
	last := len(p.Routes) - 1
	o := order{r.Issued, r.Announce, r.Purpose, r.Decoy, p.Routes[min(r.Resends-1, last)]}
	return s.deliver(ctx, caller, p, min(r.Resends, last), o)
}
