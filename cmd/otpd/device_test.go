package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
)

// authenticator makes codes of six digits as an app or a hardware token does, by RFC 4226 §5.3.
type authenticator struct {
	secret []byte
	next   int64 // step or counter
}

func newAuthenticator(tb testing.TB, secret string) *authenticator {
	tb.Helper()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		tb.Fatal(err)
	}
	return &authenticator{secret: raw}
}

func (a *authenticator) codeOf(number int64) string {
	mac := hmac.New(sha1.New, a.secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(number)))
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&0xf:])&0x7fffffff%1e6)
}

// code returns the next code.
func (a *authenticator) code() string {
	a.next++
	return a.codeOf(a.next - 1)
}

// The routes of devices, by their last part.
func (c *client) device(tb testing.TB, want, route string, body fields) *answer {
	tb.Helper()
	return c.post(tb, want, "/v1/devices/"+route, body)
}

// enroll enrolls a device of a type, and returns with its answer what makes its codes. A minute's period and a first
// code of the minute before allow for some codes in a row, also when a minute ends in between.
func (c *client) enroll(tb testing.TB, kind string) (*answer, *authenticator) {
	tb.Helper()
	request := fields{"type": kind, "identifier": "user@example.com"}
	if kind == device.TOTP {
		request["period"] = 60
	}
	enrolled := c.device(tb, "200", "enroll", request)
	a := newAuthenticator(tb, enrolled.Secret)
	if kind == device.TOTP {
		a.next = time.Now().Unix()/60 - 1
	}
	return enrolled, a
}

// confirmed enrolls and confirms a device.
func (c *client) confirmed(tb testing.TB, kind string) (*answer, *authenticator) {
	tb.Helper()
	enrolled, a := c.enroll(tb, kind)
	return c.device(tb, "200", "confirm", fields{"device": enrolled.Device, "otp": a.code()}), a
}

// TestDeviceOutlivesRestartsAndKeys takes one device through its life. Between any two of its steps another process
// takes over, and the signing key changes in the middle.
func TestDeviceOutlivesRestartsAndKeys(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"memory:", "redis", "none:"} {
		t.Run(strings.TrimSuffix(url, ":"), func(t *testing.T) {
			t.Parallel()
			if url == "redis" {
				url = startedRedis(t).url()
			}
			old, renewed := newKey(t), newKey(t)
			file := newFile(t, old)
			var p *process
			restarted := func() *client {
				t.Helper()
				if p != nil {
					if status := p.end(t, syscall.SIGTERM); status != 0 {
						t.Fatalf("exit status %d: %s", status, p.stderr.String())
					}
				}
				p = launchBuilt(t, "OTP_SIGNING_KEY_FILE="+file, "OTP_LEDGER_URL="+url, patient)
				return newClient(t, p.addr, nil)
			}

			enrolled, app := restarted().enroll(t, device.TOTP)
			restarted().device(t, "409 DEVICE_NOT_CONFIRMED", "verify", fields{"device": enrolled.Device, "otp": app.codeOf(app.next)})
			confirmed := restarted().device(t, "200", "confirm", fields{"device": enrolled.Device, "otp": app.code()})
			if confirmed.DeviceID != enrolled.DeviceID || len(confirmed.BackupCodes) != 10 {
				t.Errorf("confirmed as %s, want the device %s and ten backup codes", confirmed, enrolled.DeviceID)
			}
			wrong := restarted().device(t, "400 INVALID_OTP", "verify", fields{"device": confirmed.Device, "otp": wrongCode})

			replaceFile(t, file, renewed+"\n"+old+"\n")
			verified := restarted().device(t, "200 verified", "verify", fields{"device": wrong.Device, "otp": app.code()})
			if verified.Identifier != "user@example.com" || verified.DeviceID != enrolled.DeviceID {
				t.Errorf("verified as %s", verified)
			}
			c := restarted()
			if c.device(t, "200", "inspect", fields{"device": wrong.Device}).Primary {
				t.Error("a device of the old key is said to be under the new one")
			}
			if !c.device(t, "200", "inspect", fields{"device": verified.Device}).Primary {
				t.Error("the new version of a device is not under the new key")
			}
			// An older version is resealed, which is not worth more than before.
			resealed := c.device(t, "200", "reseal", fields{"devices": []string{wrong.Device, verified.Device}}).Devices

			replaceFile(t, file, renewed)
			c = restarted()
			c.device(t, "400 INVALID_DEVICE", "verify", fields{"device": wrong.Device, "otp": app.codeOf(app.next)})
			used := "200 verified" // without a ledger that outlives the restart, by an older version
			if strings.HasPrefix(url, "redis") {
				used = "409 CODE_ALREADY_USED"
			}
			c.device(t, used, "verify", fields{"device": resealed[0], "otp": app.codeOf(app.next - 1)})
			c.device(t, "409 CODE_ALREADY_USED", "verify", fields{"device": resealed[1], "otp": app.codeOf(app.next - 1)})
			last := restarted().device(t, "200 verified", "verify", fields{"device": resealed[1], "otp": app.code()})
			restarted().device(t, "200 verified", "verify", fields{"device": last.Device, "backup_code": confirmed.BackupCodes[7]})
		})
	}
}

// TestDeviceSurvivesKill kills the process after each answer, and goes on with the oldest version there is: what was
// accepted or counted must be in Redis before anybody hears of it.
func TestDeviceSurvivesKill(t *testing.T) {
	t.Parallel()
	env := []string{keyVariable + "=" + newKey(t), startedRedis(t).variable(), patient, "OTP_THROTTLE_AFTER=1", "OTP_THROTTLE_FACTOR_SECONDS=1800"}
	var p *process
	restarted := func() *client {
		t.Helper()
		if p != nil {
			p.end(t, syscall.SIGKILL)
		}
		p = launch(t, env...)
		return newClient(t, p.addr, nil)
	}
	first, token := restarted().confirmed(t, device.HOTP)
	guessed, _ := newClient(t, p.addr, nil).confirmed(t, device.HOTP)
	disabled, _ := newClient(t, p.addr, nil).confirmed(t, device.HOTP)
	attempt := func(want string, device *answer, body fields) {
		t.Helper()
		body["device"] = device.Device
		restarted().device(t, want, "verify", body)
	}
	for range 12 { // more than the look-ahead
		attempt("200 verified", first, fields{"otp": token.code()})
		attempt("409 CODE_ALREADY_USED", first, fields{"otp": token.codeOf(token.next - 1)})
	}
	attempt("200 verified", first, fields{"backup_code": first.BackupCodes[0]})
	attempt("409 CODE_ALREADY_USED", first, fields{"backup_code": first.BackupCodes[0]})
	attempt("400 INVALID_OTP", first, fields{"otp": token.codeOf(token.next - 2)})

	attempt("400 INVALID_OTP", guessed, fields{"otp": wrongCode})
	attempt("400 INVALID_OTP", guessed, fields{"otp": wrongCode})
	attempt("429 N_FAILED_ATTEMPTS", guessed, fields{"otp": wrongCode})

	restarted().device(t, "200 disabled", "disable", fields{"device": disabled.Device})
	attempt("410 DEVICE_DISABLED", disabled, fields{"backup_code": disabled.BackupCodes[0]})
}

// TestDeviceEvents makes each event of devices and challenges happen, and looks at what is logged and counted.
func TestDeviceEvents(t *testing.T) {
	t.Parallel()
	p := launchBuilt(t, keyVariable+"="+newKey(t), "OTP_API_KEYS=app:0123456789abcdef", "OTP_LOG_LEVEL=debug",
		"OTP_THROTTLE_AFTER=0", "OTP_THROTTLE_FACTOR_SECONDS=1800")
	c := newClient(t, p.addr, nil)
	c.secret = "0123456789abcdef"

	enrolled, app := c.enroll(t, device.HOTP)
	confirmed := c.device(t, "200", "confirm", fields{"device": enrolled.Device, "otp": app.code()})
	verified := c.device(t, "200 verified", "verify", fields{"device": confirmed.Device, "otp": app.code()})
	c.device(t, "409 CODE_ALREADY_USED", "verify", fields{"device": verified.Device, "otp": app.codeOf(app.next - 1)})
	renewed := c.device(t, "200", "backup-codes", fields{"device": verified.Device})
	backup := c.device(t, "200 verified", "verify", fields{"device": renewed.Device, "backup_code": renewed.BackupCodes[9]})
	resynced := c.device(t, "200", "resync", fields{"device": backup.Device, "otp": app.codeOf(500), "next_otp": app.codeOf(501)})
	app.next = 502
	challenge := c.post(t, "200", "/v1/challenges", fields{"identifier": "user@example.com", "purpose": "login", "methods": []string{"pwd"}})
	completed := c.post(t, "200 verified", "/v1/challenges/verify", fields{"challenge": challenge.Challenge, "device": resynced.Device, "otp": app.code()})
	wrong := c.device(t, "400 INVALID_OTP", "verify", fields{"device": completed.Device, "otp": wrongCode})
	c.device(t, "429 N_FAILED_ATTEMPTS", "verify", fields{"device": wrong.Device, "otp": app.codeOf(app.next)})
	c.device(t, "200 disabled", "disable", fields{"device": wrong.Device})

	want := []string{
		"device.enrolled", "device.confirmed", "device.verified", "device.failed", "device.backup_codes_renewed",
		"device.backup_code_used", "device.verified", "device.resynced", "challenge.issued", "device.verified",
		"challenge.completed", "device.failed", "device.locked", "device.disabled",
	}
	eventually(t, "an audit line for each event", func() bool { return len(p.stderr.lines("audit")) >= len(want) })
	var got []string
	for _, line := range p.stderr.lines("audit") {
		event := line["event"].(string)
		got = append(got, event)
		id, purpose := enrolled.DeviceID, ""
		if strings.HasPrefix(event, "challenge.") {
			id, purpose = challenge.ID, "login"
		}
		if line["id"] != id || line["purpose"] != purpose || line["namespace"] != "app" || line["request_id"] == "" ||
			line["identifier_hash"] != p.stderr.lines("audit")[0]["identifier_hash"] || len(line["identifier_hash"].(string)) != 22 {
			t.Errorf("audit line %v", line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %q\nwant   %q", got, want)
	}

	metrics := string(newClient(t, p.admin, nil).get(t, "200", "/metrics").body)
	counted := make(map[string]int)
	for _, event := range want {
		counted[event]++
	}
	for event, n := range counted {
		if line := fmt.Sprintf("\notpd_otp_events_total{event=%q} %d\n", event, n); !strings.Contains(metrics, line) {
			t.Errorf("no metric %s", strings.TrimSpace(line))
		}
	}
	for _, route := range []string{"devices/enroll", "devices/confirm", "devices/verify", "devices/backup-codes", "devices/resync", "devices/disable", "challenges", "challenges/verify"} {
		if line := fmt.Sprintf("\notpd_http_requests_total{route=\"/v1/%s\",status=\"200\"} ", route); !strings.Contains(metrics, line) {
			t.Errorf("no metric %s", strings.TrimSpace(line))
		}
	}

	said := p.stdout.String() + p.stderr.String() + metrics
	for _, secret := range []string{
		enrolled.Secret, enrolled.Device[:40], wrong.Device[20:60], challenge.Challenge[20:60], renewed.BackupCodes[9],
		renewed.BackupCodes[0], "user@example.com", c.secret, app.codeOf(502),
	} {
		if strings.Contains(said, secret) {
			t.Errorf("a log line or a metric holds %q", secret)
		}
	}
}

func TestVariablesOfDevices(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	ring, err := otpcontext.ParseRing([]string{key})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name                  string
		env                   []string
		label                 string
		enrollment, challenge time.Duration
	}{
		{"defaults", nil, "otpd", 24 * time.Hour, 2 * time.Minute},
		{
			"set", []string{"OTP_ISSUER=Söhne & Co", "OTP_ENROLLMENT_SECONDS=60", "OTP_CHALLENGE_SECONDS=3600"},
			"S%C3%B6hne%20%26%20Co", time.Minute, time.Hour,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, launch(t, append(test.env, keyVariable+"="+key)...).addr, nil)
			enrolled, _ := c.enroll(t, device.TOTP)
			if !strings.HasPrefix(enrolled.URI, "otpauth://totp/"+test.label+":user%40example.com?") ||
				!strings.Contains(enrolled.URI, "&issuer="+test.label+"&") {
				t.Errorf("URI %s, want the issuer %s in it", enrolled.URI, test.label)
			}
			d, err := device.Describe(otpcontext.NewSealer(ring), enrolled.Device)
			if got := d.EnrollmentEndsAt.Sub(d.CreatedAt); err != nil || got != test.enrollment {
				t.Errorf("the device may be confirmed for %v, want %v: %v", got, test.enrollment, err)
			}
			before := time.Now()
			issued := c.post(t, "200", "/v1/challenges", fields{"identifier": "user@example.com"})
			after := time.Now()
			if issued.ExpiresAt.Before(before.Add(test.challenge-time.Second)) || issued.ExpiresAt.After(after.Add(test.challenge)) {
				t.Errorf("the challenge of %v expires at %v, want %v later", before, issued.ExpiresAt, test.challenge)
			}
			other := c.device(t, "200", "enroll", fields{"identifier": "user@example.com", "issuer": "Another"})
			if !strings.HasPrefix(other.URI, "otpauth://totp/Another:") {
				t.Errorf("URI %s, want the issuer of the request", other.URI)
			}
		})
	}
}

// TestChallengeExpires waits for the shortest one to.
func TestChallengeExpires(t *testing.T) {
	t.Parallel()
	c := newClient(t, launch(t, keyVariable+"="+newKey(t), "OTP_CHALLENGE_SECONDS=1", "OTP_THROTTLE_FACTOR_SECONDS=0").addr, nil)
	confirmed, token := c.confirmed(t, device.HOTP)
	issued := c.post(t, "200", "/v1/challenges", fields{"identifier": "user@example.com"})
	request := fields{"challenge": issued.Challenge, "device": confirmed.Device, "otp": wrongCode}
	eventually(t, "the end of a challenge", func() bool {
		return c.post(t, "", "/v1/challenges/verify", request).ErrorCode == "CHALLENGE_EXPIRED"
	})
	request["otp"] = token.code()
	c.post(t, "410 CHALLENGE_EXPIRED", "/v1/challenges/verify", request)
}
