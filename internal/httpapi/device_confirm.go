package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

type confirmRequest struct {
	Device string `json:"device"`
	OTP    string `json:"otp"`
}

// renewedAnswer answers confirm and backup-codes.
type renewedAnswer device.Renewed

func (a *renewedAnswer) members(o *object) {
	o.token("device", a.Device)
	o.token("device_id", a.DeviceID)
	o.tokens("backup_codes", a.BackupCodes)
}

func (a *API) confirm(ctx context.Context, caller otp.Caller, q confirmRequest) (*renewedAnswer, error) {
	if err := require("device", q.Device, "otp", q.OTP); err != nil {
		return nil, err
	}
	if err := checkTyped("otp", q.OTP); err != nil {
		return nil, err
	}
	confirmed, err := a.devices.Confirm(ctx, caller, q.Device, q.OTP)
	return (*renewedAnswer)(&confirmed), err
}
