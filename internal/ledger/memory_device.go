package ledger

import "context"

// AttemptDevice judges a code. [Admitted] and [Wrong] mean that it has been counted. The error is [ErrFull].
func (m *Memory) AttemptDevice(_ context.Context, v Device, p Proof) (Standing, error) {
	return m.changeDevice(v, func(d *device) string { return d.attempt(v, p, m.throttle) })
}

// RenewDevice begins a new generation of backup codes. The error is [ErrFull].
func (m *Memory) RenewDevice(_ context.Context, v Device) (Standing, error) {
	return m.changeDevice(v, (*device).renew)
}

// DisableDevice ends all versions of the device. The error is [ErrFull].
func (m *Memory) DisableDevice(_ context.Context, v Device) (Standing, error) {
	return m.changeDevice(v, func(d *device) string {
		d.revoked = true
		return Admitted
	})
}

// ForgiveDevice forgets the wrong codes for the device. The error is [ErrFull].
func (m *Memory) ForgiveDevice(_ context.Context, v Device) (Standing, error) {
	return m.changeDevice(v, (*device).forgive)
}

// DeviceStanding says how the device stands, and changes nothing.
func (m *Memory) DeviceStanding(_ context.Context, v Device) (Standing, error) {
	s := m.lock(v.ID)
	defer s.mu.Unlock()
	d := s.devices[keyOf(v.ID)].merge(v)
	return d.standing(d.verdict(v, Proof{})), nil
}

// changeDevice remembers what change does to a device, if its verdict is [Admitted] or [Wrong].
func (m *Memory) changeDevice(v Device, change func(*device) string) (Standing, error) {
	s := m.lock(v.ID)
	defer s.mu.Unlock()
	id := keyOf(v.ID)
	d, known := s.devices[id]
	d = d.merge(v)
	verdict := change(&d)
	if verdict != Admitted && verdict != Wrong {
		return d.standing(verdict), nil
	}
	if !m.take(one(!known)) {
		return Standing{}, ErrFull
	}
	until := v.Until
	if verdict == Wrong {
		until = v.Now.Add(forgetAfter)
	}
	d.forgetAt = max(d.forgetAt, until.Add(grace).Unix()+1)
	s.devices[id] = d
	return d.standing(verdict), nil
}
