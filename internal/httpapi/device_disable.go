package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

// disableAnswer is the id of what was disabled.
type disableAnswer string

func (a disableAnswer) members(o *object) {
	o.token("status", "disabled")
	o.token("device_id", string(a))
}

func (a *API) disable(ctx context.Context, caller otp.Caller, q deviceRequest) (disableAnswer, error) {
	if err := require("device", q.Device); err != nil {
		return "", err
	}
	id, err := a.devices.Disable(ctx, caller, q.Device)
	return disableAnswer(id), err
}
