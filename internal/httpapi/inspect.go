package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

type inspectAnswer otp.Inspected

func (a *inspectAnswer) members(o *object) {
	o.token("id", a.ID)
	o.text("purpose", a.Purpose)
	o.token("state", a.State)
	o.count("attempts_remaining", a.AttemptsRemaining)
	o.time("expires_at", a.ExpiresAt)
	o.time("session_expires_at", a.SessionExpiresAt)
	o.count("resends", a.Resends)
}

func (a *API) inspect(ctx context.Context, caller otp.Caller, q contextRequest) (*inspectAnswer, error) {
	if err := require("context", q.Context); err != nil {
		return nil, err
	}
	inspected, err := a.service.Inspect(ctx, caller, q.Context)
	return (*inspectAnswer)(&inspected), err
}
