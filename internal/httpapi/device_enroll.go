package httpapi

import (
	"context"

	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

type enrollRequest struct {
	Type       string  `json:"type"`
	Identifier string  `json:"identifier"`
	Issuer     *string `json:"issuer"`
	Name       string  `json:"name"`
	Digits     *int    `json:"digits"`
	Period     *int    `json:"period"`
	Algorithm  *string `json:"algorithm"`
	Secret     *string `json:"secret"`
}

type enrollAnswer device.Enrolled

func (a *enrollAnswer) members(o *object) {
	o.token("device", a.Device)
	o.token("device_id", a.DeviceID)
	o.token("secret", a.Secret)
	o.token("uri", a.URI)
	o.text("qr_svg", a.QRSVG)
	o.token("qr_png", a.QRPNG)
	o.time("expires_at", a.ExpiresAt)
}

func (a *API) enroll(_ context.Context, caller otp.Caller, q enrollRequest) (*enrollAnswer, error) {
	if err := require("identifier", q.Identifier); err != nil {
		return nil, err
	}
	enrolled, err := a.devices.Enroll(caller, device.EnrollRequest(q))
	return (*enrollAnswer)(&enrolled), err
}
