package httpapi

import (
	"cmp"
	"context"

	"github.com/otpd/otpd/internal/otp"
)

type resyncRequest struct {
	Device  string `json:"device"`
	OTP     string `json:"otp"`
	NextOTP string `json:"next_otp"`
}

type resyncAnswer struct{ device, deviceID string }

func (a *resyncAnswer) members(o *object) {
	o.token("device", a.device)
	o.token("device_id", a.deviceID)
}

func (a *API) resync(ctx context.Context, caller otp.Caller, q resyncRequest) (*resyncAnswer, error) {
	if err := require("device", q.Device, "otp", q.OTP, "next_otp", q.NextOTP); err != nil {
		return nil, err
	}
	if err := cmp.Or(checkTyped("otp", q.OTP), checkTyped("next_otp", q.NextOTP)); err != nil {
		return nil, err
	}
	device, id, err := a.devices.Resync(ctx, caller, q.Device, q.OTP, q.NextOTP)
	return &resyncAnswer{device, id}, err
}
