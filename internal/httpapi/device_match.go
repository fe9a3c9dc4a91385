package httpapi

import (
	"context"
	"fmt"

	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

type matchRequest struct {
	Devices []string `json:"devices"`
	OTP     string   `json:"otp"`
}

type matchAnswer struct {
	deviceVerifyAnswer
	index int
}

func (a *matchAnswer) members(o *object) {
	a.deviceVerifyAnswer.members(o)
	o.count("index", a.index)
}

func (a *API) match(ctx context.Context, caller otp.Caller, q matchRequest) (*matchAnswer, error) {
	if err := require("devices", given(q.Devices), "otp", q.OTP); err != nil {
		return nil, err
	}
	if err := checkTyped("otp", q.OTP); err != nil {
		return nil, err
	}
	if err := checkMost(q.Devices, device.MaxMatch); err != nil {
		return nil, err
	}
	index, verified, err := a.devices.Match(ctx, caller, q.Devices, q.OTP)
	return &matchAnswer{deviceVerifyAnswer(verified), index}, err
}

// given stands for a list before require: it is empty if the list is, whatever that holds.
func given(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "given"
}

func checkMost(devices []string, most int) error {
	if len(devices) > most {
		return &otp.FieldError{Field: "devices", Reason: fmt.Sprintf("must hold at most %d devices", most)}
	}
	return nil
}
