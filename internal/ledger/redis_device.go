package ledger

import (
	"context"
	_ "embed" // of the scripts
	"errors"
	"time"

	"github.com/redis/rueidis"
)

//go:embed scripts/device.lua
var deviceScript string

//go:embed scripts/undo_device.lua
var undoDeviceScript string

var (
	deviceLua     = rueidis.NewLuaScript(deviceScript)
	undoDeviceLua = rueidis.NewLuaScript(undoDeviceScript)
)

// AttemptDevice judges a code. [Admitted] and [Wrong] mean that it has been counted. After an error a right code
// has not been, or that will be undone.
func (r *Redis) AttemptDevice(ctx context.Context, v Device, p Proof) (Standing, error) {
	return r.runDevice(ctx, r.attemptDevice(v, p), true)
}

// RenewDevice begins a new generation of backup codes. After an error it has not, or that will be undone.
func (r *Redis) RenewDevice(ctx context.Context, v Device) (Standing, error) {
	return r.runDevice(ctx, newDeviceCommand(v, "renew"), true)
}

// DisableDevice ends all versions of the device. After an error it may have; to do it again does no harm.
func (r *Redis) DisableDevice(ctx context.Context, v Device) (Standing, error) {
	return r.runDevice(ctx, newDeviceCommand(v, "disable"), false)
}

// ForgiveDevice forgets the wrong codes for the device. After an error it may have; to do it again does no harm.
func (r *Redis) ForgiveDevice(ctx context.Context, v Device) (Standing, error) {
	return r.runDevice(ctx, newDeviceCommand(v, "forgive"), false)
}

// DeviceStanding says how the device stands, and changes nothing.
func (r *Redis) DeviceStanding(ctx context.Context, v Device) (Standing, error) {
	return r.runDevice(ctx, newDeviceCommand(v, "state"), false)
}

func (r *Redis) attemptDevice(v Device, p Proof) command {
	c := newDeviceCommand(v, "attempt")
	c.args = append(c.args, boolArg(p.Confirms), boolArg(p.Right), boolArg(p.Backup), numberArg(p.Number))
	c.args = append(c.args, r.deviceThrottleArgs...)
	return c
}

func newDeviceCommand(v Device, operation string) command {
	left := max(v.Until.Sub(v.Now), 0) + grace
	var locked int64
	if !v.LockedUntil.IsZero() {
		locked = v.LockedUntil.UnixMilli()
	}
	// Marks of what was undone have a key of their own, which is soon forgotten: a device may be for years.
	c := newNamedCommand(v.ID, "device", undoDeviceLua, lostDeviceFor)
	c.args = append(make([]string, 0, 19), timeArg(v.Now), durationArg(left), intArg(min(v.Generation, most)),
		numberArg(v.Next), intArg(int(v.Used)), intArg(min(v.Failures, most)), numberArg(locked), c.nonce, operation)
	return c
}

// lostDeviceFor is how long a lost operation on a device is worth undoing, and how long it could still come.
const lostDeviceFor = 24 * time.Hour

// runDevice is [Redis.run] for devices.
func (r *Redis) runDevice(ctx context.Context, c command, undo bool) (standing Standing, err error) {
	err = r.exec(ctx, deviceLua, c, undo, func(result rueidis.RedisResult) error {
		standing, err = c.standing(result)
		return err
	})
	return standing, err
}

// standing reads the reply to c. Any other reply is [errMalformedReply].
func (c command) standing(result rueidis.RedisResult) (Standing, error) {
	if err := result.Error(); err != nil {
		return Standing{}, err
	}
	reply, _ := result.ToArray()
	if len(reply) != 7 {
		return Standing{}, errMalformedReply
	}
	verdict, errVerdict := reply[0].ToString()
	nonce, errNonce := reply[6].ToString()
	var numbers [5]int64
	err := errors.Join(errVerdict, errNonce)
	for i := range numbers {
		n, errNumber := reply[1+i].AsInt64()
		numbers[i], err = n, errors.Join(err, errNumber)
	}
	if err != nil || nonce != c.nonce {
		return Standing{}, errMalformedReply
	}
	d := device{
		generation: int32(numbers[0]), next: numbers[1], used: uint32(numbers[2]), failures: int32(numbers[3]),
		lockedUntil: numbers[4],
	}
	return d.standing(verdict), nil
}
