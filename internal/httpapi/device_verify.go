package httpapi

import (
	"cmp"
	"context"

	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

type deviceVerifyRequest struct {
	Device     string  `json:"device"`
	Identifier *string `json:"identifier"`
	OTP        string  `json:"otp"`
	BackupCode string  `json:"backup_code"`
}

type deviceVerifyAnswer device.Verified

func (a *deviceVerifyAnswer) members(o *object) {
	o.token("status", "verified")
	o.token("device", a.Device)
	o.token("device_id", a.DeviceID)
	o.text("identifier", a.Identifier)
	writeMethod(o, (*device.Verified)(a))
}

// writeMethod adds how a device was verified.
func writeMethod(o *object, a *device.Verified) {
	o.token("method", a.Method)
	switch a.Method {
	case device.TOTP:
		o.count("step", int(a.Number))
	case device.HOTP:
		o.count("counter", int(a.Number))
	}
	o.count("backup_codes_remaining", a.BackupCodesRemaining)
}

func (a *API) verifyDevice(ctx context.Context, caller otp.Caller, q deviceVerifyRequest) (*deviceVerifyAnswer, error) {
	if err := require("device", q.Device, "otp", cmp.Or(q.OTP, q.BackupCode)); err != nil {
		return nil, err
	}
	if err := checkEither(q.OTP, q.BackupCode); err != nil {
		return nil, err
	}
	verified, err := a.devices.Verify(ctx, caller, device.VerifyRequest(q))
	return (*deviceVerifyAnswer)(&verified), err
}

// checkEither returns an error unless at most one of a code and a backup code is given, and none is too long.
func checkEither(code, backupCode string) error {
	if code != "" && backupCode != "" {
		return &otp.FieldError{Field: "backup_code", Reason: "must not be given together with otp"}
	}
	return cmp.Or(checkTyped("otp", code), checkTyped("backup_code", backupCode))
}
