package main

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"github.com/pquerna/otp/hotp"

	domain "github.com/otpd/otpd/internal/device"
)

// Paths of devices and challenges.
const (
	enroll        = "/v1/devices/enroll"
	confirm       = "/v1/devices/confirm"
	verifyDevice  = "/v1/devices/verify"
	match         = "/v1/devices/match"
	inspectDevice = "/v1/devices/inspect"
	renew         = "/v1/devices/backup-codes"
	resync        = "/v1/devices/resync"
	reseal        = "/v1/devices/reseal"
	unlockDevice  = "/v1/devices/unlock"
	disable       = "/v1/devices/disable"
	challenge     = "/v1/challenges"
	complete      = "/v1/challenges/verify"
)

// Types of devices.
const (
	steps    = "totp"
	counters = "hotp"
)

// period is how long a step lasts: as long as can be, so that an attack is over before the next.
const period = 60 * time.Second

// device is an app with a secret, and the versions of its device token.
type device struct {
	client      *client
	identifier  string
	kind        string
	secret      string
	base        int64  // the step or counter of the code that confirms it
	unconfirmed string // the version as enrolled
	first       string // as confirmed
	newest      string
	backupCodes []string
}

// enroll makes a device that is still to be confirmed.
func (c *client) enroll(ctx context.Context, kind string) (*device, error) {
	d := &device{client: c, identifier: someone(), kind: kind}
	request := fields{"type": kind, "identifier": d.identifier}
	if kind == steps {
		request["period"] = int(period.Seconds())
		d.base = currentStep()
	}
	a, err := c.must(ctx, enroll, request)
	d.secret, d.unconfirmed = a.Secret, a.Device
	return d, err
}

// device makes a confirmed device, with backup codes.
func (c *client) device(ctx context.Context, kind string) (*device, error) {
	d, err := c.enroll(ctx, kind)
	if err != nil {
		return nil, err
	}
	a, err := c.must(ctx, confirm, fields{"device": d.unconfirmed, "otp": d.code(0)})
	d.first, d.newest, d.backupCodes = a.Device, a.Device, a.BackupCodes
	return d, err
}

// device makes a confirmed device. Where the signing key is known it has no backup codes: to hash them takes a
// service longer than most attacks.
func (t *target) device(ctx context.Context, kind string) (*device, error) {
	if t.rig == nil {
		return t.main.device(ctx, kind)
	}
	d := &device{client: t.main, identifier: someone(), kind: kind, secret: rand.Text()[:24]}
	request := domain.EnrollRequest{Type: kind, Identifier: d.identifier, Secret: &d.secret}
	if kind == steps {
		seconds := int(period.Seconds())
		request.Period, d.base = &seconds, currentStep()
	}
	var err error
	d.first, err = domain.Import(t.rig.sealer(), domain.Imported{
		EnrollRequest: request, Namespace: mainTenant, Next: d.base + 1,
	}, time.Now())
	d.newest = d.first
	return d, err
}

// devices makes several.
func (t *target) devices(ctx context.Context, kinds ...string) (all []*device, err error) {
	for _, kind := range kinds {
		d, err := t.device(ctx, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func currentStep() int64 { return time.Now().Unix() / int64(period.Seconds()) }

// code returns the code of a step or counter, n after the one that confirms the device. Its clock is right, so
// that 1 is good, and for a device with steps nothing more until 1 is accepted.
func (d *device) code(n int) string { return codeOf(d.secret, d.base+int64(n)) }

// codeOf returns nothing for a secret that is none. No service takes that for a code.
func codeOf(secret string, number int64) string {
	code, _ := hotp.GenerateCode(secret, uint64(number))
	return code
}

// wrongCodes returns n different codes that the device will not have for a long time.
func (d *device) wrongCodes(n int) (codes []string) {
	right := make(map[string]bool)
	for i := max(-d.base, -30); i < 30; i++ {
		right[d.code(int(i))] = true
	}
	for i := 100_000; len(codes) < n; i++ {
		if code := strconv.Itoa(i); !right[code] {
			codes = append(codes, code)
		}
	}
	return codes
}

// try is an attempt with a version of the device.
func (d *device) try(version, code string) call {
	return call{d.client, verifyDevice, fields{"device": version, "otp": code}}
}

func (d *device) tryBackup(version, code string) call {
	return call{d.client, verifyDevice, fields{"device": version, "backup_code": code}}
}

func (d *device) tryMatch(version, code string) call {
	return call{d.client, match, fields{"devices": []string{version}, "otp": code}}
}

func (d *device) tryResync(version, code, next string) call {
	return call{d.client, resync, fields{"device": version, "otp": code, "next_otp": next}}
}

func tryComplete(c *client, login answer, proof fields) call {
	body := fields{"challenge": login.Challenge}
	for name, value := range proof {
		body[name] = value
	}
	return call{c, complete, body}
}

// tries returns guesses, all with one version.
func (d *device) tries(version string, codes []string) (calls []call) {
	for _, code := range codes {
		calls = append(calls, d.try(version, code))
	}
	return calls
}

// must makes a call that has to succeed.
func (c call) must(ctx context.Context) (answer, error) { return c.to.must(ctx, c.path, c.body) }

// accept has a code accepted, and makes the version that comes with it the newest.
func (d *device) accept(ctx context.Context, code string) error {
	a, err := d.try(d.newest, code).must(ctx)
	if err == nil {
		d.newest = a.Device
	}
	return err
}

// login has a challenge issued.
func (c *client) login(ctx context.Context, identifier string) (answer, error) {
	return c.must(ctx, challenge, fields{"identifier": identifier})
}

// The default throttle of a device.
const (
	deviceFree   = 3
	deviceFactor = time.Second
)

// deviceAllows is how many wrong codes for one device its locks let pass in some time.
func deviceAllows(elapsed time.Duration) int {
	return deviceFree + 1 + locksEnded(elapsed, deviceFactor)
}
