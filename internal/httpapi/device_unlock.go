package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

type deviceUnlockAnswer struct{ device, deviceID string }

func (a *deviceUnlockAnswer) members(o *object) {
	o.token("status", "unlocked")
	o.token("device", a.device)
	o.token("device_id", a.deviceID)
}

func (a *API) unlockDevice(ctx context.Context, caller otp.Caller, q deviceRequest) (*deviceUnlockAnswer, error) {
	if err := require("device", q.Device); err != nil {
		return nil, err
	}
	device, id, err := a.devices.Unlock(ctx, caller, q.Device)
	return &deviceUnlockAnswer{device, id}, err
}
