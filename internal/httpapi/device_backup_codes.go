package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/otp"
)

func (a *API) renewBackupCodes(ctx context.Context, caller otp.Caller, q deviceRequest) (*renewedAnswer, error) {
	if err := require("device", q.Device); err != nil {
		return nil, err
	}
	renewed, err := a.devices.RenewBackupCodes(ctx, caller, q.Device)
	return (*renewedAnswer)(&renewed), err
}
