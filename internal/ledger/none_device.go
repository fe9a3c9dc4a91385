package ledger

import "context"

// AttemptDevice judges a code by what the version itself tells.
func (n None) AttemptDevice(_ context.Context, v Device, p Proof) (Standing, error) {
	d := device{}.merge(v)
	verdict := d.attempt(v, p, n.Throttle)
	return d.standing(verdict), nil
}

// RenewDevice admits any version. The backup codes of older ones stay good.
func (None) RenewDevice(_ context.Context, v Device) (Standing, error) {
	d := device{}.merge(v)
	verdict := d.renew()
	return d.standing(verdict), nil
}

// ForgiveDevice forgives what the version tells.
func (None) ForgiveDevice(_ context.Context, v Device) (Standing, error) {
	d := device{}.merge(v)
	verdict := d.forgive()
	return d.standing(verdict), nil
}

// DisableDevice answers [Disabled].
func (None) DisableDevice(_ context.Context, v Device) (Standing, error) {
	return device{}.merge(v).standing(Disabled), nil
}

// DeviceStanding says what the version says.
func (None) DeviceStanding(_ context.Context, v Device) (Standing, error) {
	return device{}.merge(v).standing(Admitted), nil
}
