package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

// maxResealBody is what as many devices take as reseal does, in bytes.
const maxResealBody = 256 << 10

type resealRequest struct {
	Devices []string `json:"devices"`
}

type resealAnswer []string

func (a resealAnswer) members(o *object) { o.tokens("devices", a) }

func (a *API) reseal(_ context.Context, caller otp.Caller, q resealRequest) (resealAnswer, error) {
	if err := require("devices", given(q.Devices)); err != nil {
		return nil, err
	}
	if err := checkMost(q.Devices, device.MaxReseal); err != nil {
		return nil, err
	}
	return a.devices.Reseal(caller, q.Devices)
}
