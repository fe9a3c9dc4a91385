package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

// deviceRequest asks for inspect, unlock, backup-codes and disable.
type deviceRequest struct {
	Device string `json:"device"`
}

type deviceInspectAnswer device.Inspected

func (a *deviceInspectAnswer) members(o *object) {
	o.token("device_id", a.DeviceID)
	o.token("type", a.Type)
	o.text("name", a.Name)
	o.text("identifier", a.Identifier)
	o.flag("confirmed", a.Confirmed)
	o.time("created_at", a.CreatedAt)
	o.timeOrNull("last_used_at", a.LastUsedAt)
	o.count("failures", a.Failures)
	o.timeOrNull("locked_until", a.LockedUntil)
	o.count("backup_codes_remaining", a.BackupCodesRemaining)
	o.count("drift", a.Drift)
	o.flag("sealed_with_primary_key", a.SealedWithPrimaryKey)
}

func (a *API) inspectDevice(ctx context.Context, caller otp.Caller, q deviceRequest) (*deviceInspectAnswer, error) {
	if err := require("device", q.Device); err != nil {
		return nil, err
	}
	inspected, err := a.devices.Inspect(ctx, caller, q.Device)
	return (*deviceInspectAnswer)(&inspected), err
}
