package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

const otherSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// withSecret makes a device another one than those with secret.
func withSecret(r *device.Imported) { text := otherSecret; r.Secret = &text }

func (s *server) match(tb testing.TB, otp string, devices ...string) answer {
	tb.Helper()
	return s.device(tb, "match", fields{"devices": devices, "otp": otp})
}

func TestMatchNamesTheDeviceOfTheCode(t *testing.T) {
	s := newServer(t, options{})
	devices := []string{s.imported(t, withSecret), s.imported(t), s.imported(t, withSecret, asHOTP)}
	for index, test := range []struct{ code, method, number string }{
		{codeOf(t, otherSecret, s.step()), "totp", fmt.Sprintf(`"step":%d`, s.step())},
		{s.code(t), "totp", fmt.Sprintf(`"step":%d`, s.step())},
		{codeOf(t, otherSecret, 3), "hotp", `"counter":3`},
	} {
		a := s.match(t, test.code, devices...)
		a.is(t, 200, "")
		id := s.inspectDevice(t, devices[index]).text("device_id")
		want := `{"status":"verified","device":…,"device_id":"` + id + `","identifier":"` + ada + `","method":"` + test.method + `",` + test.number +
			`,"backup_codes_remaining":0,"index":` + fmt.Sprint(index) + `}`
		if got := a.without("device"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for i, device := range devices {
		if a := s.inspectDevice(t, device); a.number(t, "failures") != 0 {
			t.Errorf("a code of another device counted against %d: %s", i, a.body)
		}
	}
}

func TestWrongCodeCountsOnEachDevice(t *testing.T) {
	s := newServer(t, options{})
	devices := []string{s.imported(t), s.imported(t, asHOTP), unconfirmed(t, s)}
	a := s.match(t, "wrong", devices...)
	a.is(t, 400, "INVALID_OTP")
	renewed := a.list(t, "devices")
	want := `{"error":"Invalid OTP.","error_code":"INVALID_OTP","request_id":"` + requestID + `","devices":["` + strings.Join(renewed, `","`) + `"]}`
	if a.body != want || len(renewed) != len(devices) {
		t.Errorf("got %s, want %s", a.body, want)
	}
	for i, failures := range []int{1, 1, 0} { // an unconfirmed one is passed over
		before, after := s.inspectDevice(t, devices[i]), s.inspectDevice(t, renewed[i])
		if before.body != after.body || after.number(t, "failures") != failures {
			t.Errorf("device %d: %s, and its new version %s, want %d failures", i, before.body, after.body, failures)
		}
	}
}

func TestMatchPassesOverDevicesThatCannotBeVerified(t *testing.T) {
	for name, device := range map[string]func(t *testing.T, s *server) string{
		"unconfirmed": unconfirmed,
		"locked":      func(t *testing.T, s *server) string { return locked(t, s, s.imported(t)) },
		"locked in another version": func(t *testing.T, s *server) string {
			device := s.imported(t)
			locked(t, s, device)
			return device
		},
		"disabled": func(t *testing.T, s *server) string {
			device := s.imported(t)
			s.device(t, "disable", fields{"device": device}).is(t, 200, "")
			return device
		},
		"used code": func(t *testing.T, s *server) string {
			device := s.imported(t)
			s.verifyDevice(t, device, s.code(t)).is(t, 200, "")
			return device
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			passed := device(t, s)
			a := s.match(t, s.code(t), passed, s.imported(t))
			a.is(t, 200, "")
			if a.number(t, "index") != 1 {
				t.Errorf("got %s", a.body)
			}
		})
	}
}

func TestMatchOfLockedAndUnconfirmedSaysHowLongToWait(t *testing.T) {
	s := newServer(t, options{})
	s.match(t, s.code(t), unconfirmed(t, s), locked(t, s, s.imported(t))).is(t, 429, "N_FAILED_ATTEMPTS")
	s.match(t, s.code(t), unconfirmed(t, s), unconfirmed(t, s)).is(t, 409, "DEVICE_NOT_CONFIRMED")
}

func TestMatchTakesEachDeviceOnce(t *testing.T) {
	s := newServer(t, options{})
	one, other := s.imported(t), s.imported(t, withSecret)
	versions := []string{one, s.device(t, "reseal", fields{"devices": []string{one}}).list(t, "devices")[0]}
	for _, again := range versions {
		a := s.match(t, s.code(t), one, other, again)
		a.is(t, 400, "INVALID_REQUEST")
		if a.text("field") != "devices" || !strings.Contains(a.text("error"), "twice") {
			t.Errorf("got %s", a.body)
		}
	}
	s.match(t, s.code(t), one, other).is(t, 200, "")
}

// largest is what makes a device as large as any: the longest name and identifier, secret and namespace.
func (s *server) largest(tb testing.TB) string {
	tb.Helper()
	return s.imported(tb, func(r *device.Imported) {
		text := strings.Repeat("A", 103)
		r.Identifier, r.Name, r.Namespace, r.Secret = strings.Repeat("é", 160), strings.Repeat("é", 32), strings.Repeat("n", 64), &text
		r.Next, r.Failures, r.LastUsedAt = s.step()-1, 1<<31-1, s.now
	})
}

func TestListsOfTheLargestDevices(t *testing.T) {
	s := newServer(t, options{keys: []string{strings.Repeat("n", 64) + ":" + shopSecret}})
	s.bearer = shopSecret
	var devices []string
	for range 101 {
		devices = append(devices, s.largest(t))
	}
	// Its backup codes, which take long to hash, are added to one alone.
	renewed := s.device(t, "backup-codes", fields{"device": devices[0]})
	renewed.is(t, 200, "")
	if n := len(renewed.text("device")); n >= 1536 {
		t.Errorf("the largest device has %d characters", n)
	}
	devices[0] = renewed.text("device")
	size := 0
	for range 10 {
		size += len(devices[0]) + len(`"",`)
	}
	if most := maxBody("/v1/devices/match") - len(`{"devices":[],"otp":""}`) - 128; size > most {
		t.Errorf("10 devices take %d bytes, of %d that there are", size, most)
	}
	if size*10 > maxBody("/v1/devices/reseal") {
		t.Errorf("100 devices take %d bytes", size*10)
	}

	s.match(t, "wrong", devices[:10]...).is(t, 400, "INVALID_OTP")
	s.device(t, "reseal", fields{"devices": devices[:100]}).is(t, 200, "")
	for _, a := range []answer{s.match(t, "wrong", devices[:11]...), s.device(t, "reseal", fields{"devices": devices})} {
		a.is(t, 400, "INVALID_REQUEST")
		if a.text("field") != "devices" {
			t.Errorf("got %s", a.body)
		}
	}
	if a := s.match(t, "wrong", make([]string, 11)...); a.text("error") != "The field devices must hold at most 10 devices." {
		t.Errorf("got %s", a.body)
	}
}

func TestResealChangesNothingButTheKey(t *testing.T) {
	s := newServer(t, options{})
	devices := []string{s.imported(t), locked(t, s, s.imported(t, withSecret)), unconfirmed(t, s), s.imported(t, asHOTP)}
	resealed := s.device(t, "reseal", fields{"devices": devices}).list(t, "devices")
	if len(resealed) != len(devices) {
		t.Fatalf("got %d devices, want %d", len(resealed), len(devices))
	}
	for i := range devices {
		if before, after := s.inspectDevice(t, devices[i]), s.inspectDevice(t, resealed[i]); before.body != after.body || devices[i] == resealed[i] {
			t.Errorf("device %d: before %s, after %s", i, before.body, after.body)
		}
	}
	s.verifyDevice(t, resealed[0], s.code(t)).is(t, 200, "")
}

func TestInvalidDeviceOfSeveralIsNamed(t *testing.T) {
	s := newServer(t, options{})
	good := s.imported(t)
	for index, devices := range [][]string{{""}, {good, ""}, {good, s.imported(t), "x", "y"}} {
		for _, a := range []answer{s.match(t, s.code(t), devices...), s.device(t, "reseal", fields{"devices": devices})} {
			want := fmt.Sprintf(`{"error":"Invalid device.","error_code":"INVALID_DEVICE","request_id":"%s","index":%d}`, requestID, index)
			if a.status != 400 || a.body != want {
				t.Errorf("got %d %s, want %s", a.status, a.body, want)
			}
		}
	}
	s.verifyDevice(t, good, s.code(t)).is(t, 200, "")
}

func TestDevicesBelongToTheirNamespace(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	enrolled := s.enroll(t, fields{"identifier": ada, "secret": secret}).text("device")
	ofShop := s.imported(t, func(r *device.Imported) { r.Namespace = "shop" })
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")

	s.bearer = bankSecret
	ofBank := s.challenge(t, fields{"identifier": ada}).text("challenge")
	for _, device := range []string{enrolled, ofShop} {
		for _, operation := range deviceOperations {
			a := operation.do(t, s, device)
			want := badDeviceBody
			if operation.name == "match" || operation.name == "reseal" {
				want = strings.TrimSuffix(want, "}") + `,"index":0}`
			}
			if a.status != 400 || a.body != want {
				t.Errorf("%s: got %d %s, want %s", operation.name, a.status, a.body, want)
			}
		}
	}
	ofAny := s.imported(t)
	if a := s.complete(t, fields{"challenge": challenge, "device": ofAny, "otp": s.code(t)}); a.body != badChallengeBody {
		t.Errorf("got %d %s", a.status, a.body)
	}
	s.complete(t, fields{"challenge": ofBank, "device": ofAny, "otp": s.code(t)}).is(t, 200, "")

	s.bearer = shopSecret2
	if a := s.inspectDevice(t, ofShop); a.number(t, "failures") != 0 {
		t.Errorf("another key has counted: %s", a.body)
	}
	s.complete(t, fields{"challenge": challenge, "device": ofShop, "otp": s.code(t)}).is(t, 200, "")
	s.device(t, "confirm", fields{"device": enrolled, "otp": s.code(t)}).is(t, 200, "")
}

func TestEventsOfDevicesAndChallenges(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	told := func(what string, want ...string) {
		t.Helper()
		var names []string
		for _, e := range s.events {
			names = append(names, e.Name)
			if (e.Caller != otp.Caller{Namespace: "shop", RequestID: requestID}) || len(e.ID) != 22 || len(e.IdentifierHash) != 22 {
				t.Errorf("%s: got %+v", what, e)
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: got the events %v, want %v", what, names, want)
		}
		s.events = nil
	}
	confirmed := s.confirmed(t)
	told("confirm", "device.enrolled", "device.confirmed")
	current := s.verifyDevice(t, confirmed.text("device"), s.code(t)).text("device")
	told("verify", "device.verified")
	s.verifyDevice(t, current, s.code(t)).is(t, 409, "CODE_ALREADY_USED")
	told("a code twice", "device.failed")
	current = s.verifyBackup(t, current, confirmed.list(t, "backup_codes")[0]).text("device")
	told("a backup code", "device.backup_code_used", "device.verified")
	s.inspectDevice(t, current)
	s.device(t, "reseal", fields{"devices": []string{current}})
	told("what counts nothing")
	s.match(t, "wrong", current, s.imported(t)).is(t, 400, "INVALID_OTP")
	told("match", "device.failed", "device.failed")
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
	told("a challenge", "challenge.issued")
	s.complete(t, fields{"challenge": challenge, "device": current, "otp": codeOf(t, secret, s.step()+1)}).is(t, 200, "")
	told("a login", "device.verified", "challenge.completed")
	locked(t, s, current)
	s.verifyDevice(t, current, s.code(t)).is(t, 429, "N_FAILED_ATTEMPTS")
	told("a lock", "device.failed", "device.failed", "device.failed", "device.failed", "device.locked")
	current = s.device(t, "unlock", fields{"device": current}).text("device")
	told("unlock", "device.unlocked")
	s.device(t, "backup-codes", fields{"device": current})
	told("new backup codes", "device.backup_codes_renewed")
	s.device(t, "disable", fields{"device": current})
	told("disable", "device.disabled")
	s.device(t, "resync", fields{"device": s.imported(t), "otp": s.code(t), "next_otp": codeOf(t, secret, s.step()+1)}).is(t, 200, "")
	told("resync", "device.resynced")
}
