package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/otpd/otpd/internal/ledger"
)

// without returns the body of an answer with the members that differ from time to time named, not shown.
func (a answer) without(names ...string) string {
	body := a.body
	for _, name := range names {
		if text := a.text(name); text != "" {
			body = strings.Replace(body, `"`+text+`"`, "…", 1)
		}
	}
	return body
}

func TestEnrollAnswersAllThatAnAppNeeds(t *testing.T) {
	s := newServer(t, options{})
	for name, test := range map[string]struct {
		request fields
		label   string
		params  url.Values
	}{
		"the defaults": {
			fields{"identifier": ada, "secret": secret}, "/Shop:" + ada,
			url.Values{"secret": {secret}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}},
		},
		"everything": {
			fields{
				"type": "totp", "identifier": "Ada & Bob", "issuer": "Ä/B", "name": "Phone", "digits": 8, "period": 60, "algorithm": "SHA512",
				"secret": "jbsw y3dp-ehpk 3pxp ====",
			}, "/Ä/B:Ada & Bob",
			url.Values{"secret": {"JBSWY3DPEHPK3PXP"}, "issuer": {"Ä/B"}, "algorithm": {"SHA512"}, "digits": {"8"}, "period": {"60"}},
		},
		"a counter": {
			fields{"type": "hotp", "identifier": ada, "secret": secret}, "/Shop:" + ada,
			url.Values{"secret": {secret}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "counter": {"0"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := s.enroll(t, test.request)
			uri, err := url.Parse(a.text("uri"))
			noError(t, err)
			if uri.Path != test.label || uri.Query().Encode() != test.params.Encode() || strings.Contains(a.text("uri"), "+") {
				t.Errorf("uri is %s, want %s with %v", a.text("uri"), test.label, test.params)
			}
			if a.text("secret") != test.params.Get("secret") {
				t.Errorf("secret is %s, want %s", a.text("secret"), test.params.Get("secret"))
			}
			if want := s.now.Add(enrollment).Format(time.RFC3339Nano); a.text("expires_at") != want {
				t.Errorf("expires_at is %s, want %s", a.text("expires_at"), want)
			}
			if !strings.Contains(a.text("qr_svg"), "<title>") {
				t.Errorf("qr_svg is %.200s", a.text("qr_svg"))
			}
			picture, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a.text("qr_png"), "data:image/png;base64,"))
			if err != nil || !strings.HasPrefix(string(picture), "\x89PNG\r\n") {
				t.Errorf("qr_png is %.100s", a.text("qr_png"))
			}
		})
	}
}

func TestNewSecretsDiffer(t *testing.T) {
	s := newServer(t, options{})
	for algorithm, length := range map[string]int{"SHA1": 32, "SHA256": 52, "SHA512": 103} {
		one, other := s.enroll(t, fields{"identifier": ada, "algorithm": algorithm}), s.enroll(t, fields{"identifier": ada, "algorithm": algorithm})
		if one.text("secret") == other.text("secret") || one.text("device_id") == other.text("device_id") {
			t.Errorf("%s: %s and %s are the same device", algorithm, one.body, other.body)
		}
		if len(one.text("secret")) != length {
			t.Errorf("%s: the secret has %d characters, want %d", algorithm, len(one.text("secret")), length)
		}
	}
}

// The life of a device, with every answer in full.
func TestAnswersAboutDevices(t *testing.T) {
	s := newServer(t, options{})
	check := func(a answer, want string, differing ...string) {
		t.Helper()
		a.is(t, 200, "")
		if got := a.without(differing...); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	enrolled := s.enroll(t, fields{"identifier": `"ada"`, "name": "é<>", "secret": secret})
	id := enrolled.text("device_id")
	check(s.inspectDevice(t, enrolled.text("device")), `{"device_id":"`+id+`","type":"totp","name":"é<>","identifier":"\"ada\"","confirmed":false,`+
		`"created_at":"2026-07-01T12:00:00Z","last_used_at":null,"failures":0,"locked_until":null,"backup_codes_remaining":0,"drift":0,"sealed_with_primary_key":true}`)

	confirmed := s.device(t, "confirm", fields{"device": enrolled.text("device"), "otp": codeOf(t, secret, s.step()-1)})
	codes := confirmed.list(t, "backup_codes")
	check(confirmed, `{"device":…,"device_id":"`+id+`","backup_codes":["`+strings.Join(codes, `","`)+`"]}`, "device")
	if len(codes) != 10 || len(slices.Compact(slices.Sorted(slices.Values(codes)))) != 10 {
		t.Errorf("the backup codes are %v, want ten", codes)
	}

	s.now = s.now.Add(1500 * time.Millisecond)
	verified := s.verifyDevice(t, confirmed.text("device"), " "+s.code(t)[:3]+"-"+s.code(t)[3:]+"\n")
	check(verified, fmt.Sprintf(`{"status":"verified","device":…,"device_id":"%s","identifier":"\"ada\"","method":"totp","step":%d,"backup_codes_remaining":10}`,
		id, s.step()), "device")

	typed := " " + strings.ToLower(strings.Replace(codes[7], "-", " ", 1))
	backup := s.verifyBackup(t, verified.text("device"), typed)
	check(backup, `{"status":"verified","device":…,"device_id":"`+id+`","identifier":"\"ada\"","method":"backup_code","backup_codes_remaining":9}`, "device")
	s.verifyBackup(t, backup.text("device"), codes[7]).is(t, 409, "CODE_ALREADY_USED")
	wrong := s.verifyBackup(t, backup.text("device"), "22222-22222")
	wrong.is(t, 400, "INVALID_OTP")
	check(s.inspectDevice(t, wrong.text("device")), `{"device_id":"`+id+`","type":"totp","name":"é<>","identifier":"\"ada\"","confirmed":true,`+
		`"created_at":"2026-07-01T12:00:00Z","last_used_at":"2026-07-01T12:00:01Z","failures":1,"locked_until":null,"backup_codes_remaining":9,"drift":0,"sealed_with_primary_key":true}`)

	resynced := s.device(t, "resync", fields{
		"device": wrong.text("device"), "otp": codeOf(t, secret, s.step()+8), "next_otp": codeOf(t, secret, s.step()+9),
	})
	check(resynced, `{"device":…,"device_id":"`+id+`"}`, "device")
	if a := s.inspectDevice(t, resynced.text("device")); a.number(t, "drift") != 9 || a.number(t, "failures") != 0 {
		t.Errorf("after resync inspect says %s", a.body)
	}

	renewed := s.device(t, "backup-codes", fields{"device": resynced.text("device")})
	check(renewed, `{"device":…,"device_id":"`+id+`","backup_codes":["`+strings.Join(renewed.list(t, "backup_codes"), `","`)+`"]}`, "device")
	s.verifyBackup(t, renewed.text("device"), codes[0]).is(t, 400, "INVALID_OTP")
	s.verifyBackup(t, renewed.text("device"), renewed.list(t, "backup_codes")[0]).is(t, 200, "")

	check(s.device(t, "disable", fields{"device": renewed.text("device")}), `{"status":"disabled","device_id":"`+id+`"}`)
	check(s.device(t, "disable", fields{"device": enrolled.text("device")}), `{"status":"disabled","device_id":"`+id+`"}`)
}

// list returns a field that must be a list of strings.
func (a answer) list(tb testing.TB, field string) []string {
	tb.Helper()
	var list []string
	elements, ok := a.fields[field].([]any)
	for _, element := range elements {
		text, isText := element.(string)
		ok = ok && isText
		list = append(list, text)
	}
	if !ok {
		tb.Fatalf("no list %s in %s", field, a.body)
	}
	return list
}

func TestCounterIsNamed(t *testing.T) {
	s := newServer(t, options{})
	a := s.verifyDevice(t, s.imported(t, asHOTP), codeOf(t, secret, 7))
	a.is(t, 200, "")
	if a.text("method") != "hotp" || a.number(t, "counter") != 7 || a.fields["step"] != nil {
		t.Errorf("got %s", a.body)
	}
}

// deviceOperations are what can be done with a single device, each with codes that are right.
var deviceOperations = []struct {
	name string
	do   func(tb testing.TB, s *server, device string) answer
}{
	{"inspect", func(tb testing.TB, s *server, device string) answer { return s.inspectDevice(tb, device) }},
	{"reseal", func(tb testing.TB, s *server, device string) answer {
		return s.device(tb, "reseal", fields{"devices": []string{device}})
	}},
	{"confirm", func(tb testing.TB, s *server, device string) answer {
		return s.device(tb, "confirm", fields{"device": device, "otp": s.code(tb)})
	}},
	{"verify", func(tb testing.TB, s *server, device string) answer { return s.verifyDevice(tb, device, s.code(tb)) }},
	{"verify a backup code", func(tb testing.TB, s *server, device string) answer {
		return s.verifyBackup(tb, device, "22222-22222") // the only one that is wrong
	}},
	{"match", func(tb testing.TB, s *server, device string) answer {
		return s.device(tb, "match", fields{"devices": []string{device}, "otp": s.code(tb)})
	}},
	{"challenge", func(tb testing.TB, s *server, device string) answer {
		challenge := s.challenge(tb, fields{"identifier": ada}).text("challenge")
		return s.complete(tb, fields{"challenge": challenge, "device": device, "otp": s.code(tb)})
	}},
	{"resync", func(tb testing.TB, s *server, device string) answer {
		return s.device(tb, "resync", fields{"device": device, "otp": s.code(tb), "next_otp": codeOf(tb, secret, s.step()+1)})
	}},
	{"unlock", func(tb testing.TB, s *server, device string) answer {
		return s.device(tb, "unlock", fields{"device": device})
	}},
	{"backup-codes", func(tb testing.TB, s *server, device string) answer {
		return s.device(tb, "backup-codes", fields{"device": device})
	}},
	{"disable", func(tb testing.TB, s *server, device string) answer {
		return s.device(tb, "disable", fields{"device": device})
	}},
}

// verifying are the operations that judge a code of a confirmed device.
var verifying = []string{"verify", "verify a backup code", "match", "challenge"}

// deviceStates are the states of a device and which operations each refuses, by error code.
var deviceStates = map[string]struct {
	options func(testing.TB) options
	arrange func(t *testing.T, s *server) string
	refused map[string][]string
	shared  bool // whether one device serves all operations, for what it takes to make
}{
	"unconfirmed": {
		arrange: unconfirmed,
		refused: map[string][]string{"DEVICE_NOT_CONFIRMED": append(slices.Clip(verifying), "backup-codes")},
	},
	"last moment of the enrollment": {
		arrange: func(t *testing.T, s *server) string {
			s.now = time.Unix(at, 0).UTC()
			device := unconfirmed(t, s)
			s.now = s.now.Add(enrollment)
			return device
		},
		refused: map[string][]string{"DEVICE_NOT_CONFIRMED": append(slices.Clip(verifying), "backup-codes")},
	},
	"enrollment over": {
		arrange: func(t *testing.T, s *server) string {
			s.now = time.Unix(at, 0).UTC()
			device := unconfirmed(t, s)
			s.now = s.now.Add(enrollment + time.Millisecond)
			return device
		},
		refused: map[string][]string{"ENROLLMENT_EXPIRED": append(slices.Clip(verifying), "confirm", "resync", "backup-codes")},
	},
	"confirmed": {
		arrange: func(t *testing.T, s *server) string { return s.imported(t) },
		refused: map[string][]string{"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "INVALID_OTP": {"verify a backup code"}},
	},
	"confirmed in another version": {
		arrange: func(t *testing.T, s *server) string {
			device := unconfirmed(t, s)
			s.device(t, "confirm", fields{"device": device, "otp": codeOf(t, secret, s.step()-1)}).is(t, 200, "")
			return device
		},
		shared: true,
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"inspect", "confirm", "resync"}, "DEVICE_NOT_CONFIRMED": append(slices.Clip(verifying), "backup-codes"),
		},
	},
	"locked": {
		arrange: func(t *testing.T, s *server) string { return locked(t, s, s.imported(t)) },
		refused: map[string][]string{"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "N_FAILED_ATTEMPTS": append(slices.Clip(verifying), "resync")},
	},
	"locked in another version": {
		arrange: func(t *testing.T, s *server) string {
			device := s.imported(t)
			locked(t, s, device)
			return device
		},
		refused: map[string][]string{"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "N_FAILED_ATTEMPTS": append(slices.Clip(verifying), "resync")},
	},
	"locked and unconfirmed": {
		arrange: func(t *testing.T, s *server) string {
			device := unconfirmed(t, s)
			for range 4 {
				s.device(t, "confirm", fields{"device": device, "otp": "wrong"}).is(t, 400, "INVALID_OTP")
			}
			return device
		},
		refused: map[string][]string{
			"N_FAILED_ATTEMPTS": {"confirm", "resync"}, "DEVICE_NOT_CONFIRMED": append(slices.Clip(verifying), "backup-codes"),
		},
	},
	"unlocked": {
		arrange: func(t *testing.T, s *server) string {
			a := s.device(t, "unlock", fields{"device": locked(t, s, s.imported(t))})
			a.is(t, 200, "")
			return a.text("device")
		},
		refused: map[string][]string{"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "INVALID_OTP": {"verify a backup code"}},
	},
	"disabled": {
		arrange: func(t *testing.T, s *server) string {
			device := s.imported(t)
			s.device(t, "disable", fields{"device": device}).is(t, 200, "")
			return device
		},
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "DEVICE_DISABLED": append(slices.Clip(verifying), "inspect", "resync", "unlock", "backup-codes"),
		},
	},
	"disabled and unconfirmed": {
		arrange: func(t *testing.T, s *server) string {
			device := unconfirmed(t, s)
			s.device(t, "disable", fields{"device": device}).is(t, 200, "")
			return device
		},
		refused: map[string][]string{
			"DEVICE_DISABLED": {"inspect", "confirm", "resync", "unlock"}, "DEVICE_NOT_CONFIRMED": append(slices.Clip(verifying), "backup-codes"),
		},
	},
	"superseded": {
		arrange: func(t *testing.T, s *server) string {
			device := s.imported(t)
			s.device(t, "backup-codes", fields{"device": device}).is(t, 200, "")
			return device
		},
		shared: true,
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "DEVICE_SUPERSEDED": {"verify a backup code"},
			"CODE_ALREADY_USED": {"match", "challenge"}, // by verify
		},
	},
	"used code": {
		arrange: func(t *testing.T, s *server) string {
			a := s.verifyDevice(t, s.imported(t), s.code(t))
			a.is(t, 200, "")
			return a.text("device")
		},
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "INVALID_OTP": {"verify a backup code"}, "CODE_ALREADY_USED": {"verify", "match", "challenge"},
		},
	},
	"code used by another version": {
		arrange: func(t *testing.T, s *server) string {
			device := s.imported(t)
			s.verifyDevice(t, device, s.code(t)).is(t, 200, "")
			return device
		},
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "INVALID_OTP": {"verify a backup code"}, "CODE_ALREADY_USED": {"verify", "match", "challenge"},
		},
	},
	"code used by a resync": {
		arrange: func(t *testing.T, s *server) string {
			a := s.device(t, "resync", fields{"device": unconfirmed(t, s), "otp": codeOf(t, secret, s.step()-1), "next_otp": s.code(t)})
			a.is(t, 200, "")
			return a.text("device")
		},
		refused: map[string][]string{"CODE_ALREADY_USED": {"confirm"}, "DEVICE_NOT_CONFIRMED": append(slices.Clip(verifying), "backup-codes")},
	},
	"next code used": {
		arrange: func(t *testing.T, s *server) string {
			a := s.verifyDevice(t, s.imported(t), codeOf(t, secret, s.step()+1))
			a.is(t, 200, "")
			return a.text("device")
		},
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "INVALID_OTP": verifying, "CODE_ALREADY_USED": {"resync"},
		},
	},
	"no ledger": {
		options: func(testing.TB) options { return options{ledger: ledger.None{Throttle: throttle}} },
		arrange: func(t *testing.T, s *server) string { return s.imported(t) },
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "INVALID_OTP": {"verify a backup code"}, "LEDGER_DISABLED": {"disable"},
		},
	},
	"ledger that does not answer": {
		options: func(testing.TB) options { return options{ledger: brokenLedger{err: errLedger}} },
		arrange: func(t *testing.T, s *server) string { return s.imported(t) },
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"confirm"},
			"LEDGER_UNAVAILABLE":       append(slices.Clip(verifying), "inspect", "resync", "unlock", "backup-codes", "disable"),
		},
	},
	"ledger that does not answer, and unconfirmed": {
		options: func(testing.TB) options { return options{ledger: brokenLedger{err: errLedger}} },
		arrange: unconfirmed,
		refused: map[string][]string{
			"DEVICE_NOT_CONFIRMED": {"verify", "verify a backup code", "match", "backup-codes"},
			"LEDGER_UNAVAILABLE":   {"inspect", "confirm", "challenge", "resync", "unlock", "disable"},
		},
	},
	"ledger that is full": {
		options: func(tb testing.TB) options { return options{ledger: memoryLedger(tb, 1)} },
		arrange: func(t *testing.T, s *server) string {
			s.device(t, "disable", fields{"device": s.imported(t)})
			return s.imported(t)
		},
		refused: map[string][]string{
			"DEVICE_ALREADY_CONFIRMED": {"confirm"}, "LEDGER_UNAVAILABLE": append(slices.Clip(verifying), "resync", "unlock", "backup-codes", "disable"),
		},
	},
}

func unconfirmed(t *testing.T, s *server) string {
	return s.enroll(t, fields{"identifier": ada, "secret": secret}).text("device")
}

// locked returns a device that four wrong codes have locked for a second.
func locked(tb testing.TB, s *server, device string) string {
	tb.Helper()
	for range 4 {
		a := s.verifyDevice(tb, device, "wrong")
		a.is(tb, 400, "INVALID_OTP")
		device = a.text("device")
	}
	return device
}

func TestEachStateOfADeviceIsRefusedAlike(t *testing.T) {
	for name, test := range deviceStates {
		t.Run(name, func(t *testing.T) {
			var o options
			if test.options != nil {
				o = test.options(t)
			}
			s := newServer(t, o)
			var device string
			for _, operation := range deviceOperations {
				if device == "" || !test.shared {
					device = test.arrange(t, s)
				}
				a := operation.do(t, s, device)
				code := ""
				for refusal, operations := range test.refused {
					if slices.Contains(operations, operation.name) {
						code = refusal
					}
				}
				if a.status != statuses[code] || a.code() != code {
					t.Errorf("%s: got %d %s, want %d %s", operation.name, a.status, a.body, statuses[code], code)
				}
				if a.status == 503 && a.header.Get("Retry-After") != "1" {
					t.Errorf("%s: Retry-After: %q", operation.name, a.header.Get("Retry-After"))
				}
			}
		})
	}
}

func TestWrongCodesGiveANewVersionThatTellsOfThem(t *testing.T) {
	for name, l := range map[string]func(testing.TB) ledgerOfAll{
		"memory ledger": func(tb testing.TB) ledgerOfAll { return memoryLedger(tb, 100) },
		"no ledger":     func(testing.TB) ledgerOfAll { return ledger.None{Throttle: throttle} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{ledger: l(t)})
			challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
			current := s.imported(t)
			for i, attempt := range []func() answer{
				func() answer { return s.verifyDevice(t, current, "wrong") },
				func() answer { return s.verifyBackup(t, current, "22222-22222") },
				func() answer {
					return s.device(t, "resync", fields{"device": current, "otp": s.code(t), "next_otp": s.code(t)})
				},
				func() answer {
					return s.complete(t, fields{"challenge": challenge, "device": current, "otp": "wrong"})
				},
			} {
				wrong := attempt()
				wrong.is(t, 400, "INVALID_OTP")
				failures, lock := i+1, ""
				if name == "no ledger" { // which knows nothing but the version that was sent
					failures = 1
				}
				if failures == 4 {
					lock = `"retry_after_seconds":1,`
				}
				want := `{"error":"Invalid OTP.","error_code":"INVALID_OTP","request_id":"` + requestID + `",` + lock + `"device":…}`
				if got := wrong.without("device"); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if got := s.inspectDevice(t, wrong.text("device")).number(t, "failures"); got != failures {
					t.Errorf("attempt %d: the new version tells of %d wrong codes, want %d", i, got, failures)
				}
			}
		})
	}
}

func TestWrongCodeForConfirm(t *testing.T) {
	s := newServer(t, options{})
	wrong := s.device(t, "confirm", fields{"device": unconfirmed(t, s), "otp": "wrong"})
	wrong.is(t, 400, "INVALID_OTP")
	if a := s.inspectDevice(t, wrong.text("device")); a.number(t, "failures") != 1 || a.fields["confirmed"] != false {
		t.Errorf("inspect says %s", a.body)
	}
	s.device(t, "confirm", fields{"device": wrong.text("device"), "otp": s.code(t)}).is(t, 200, "")
}

func TestUnlockedDeviceCountsAnew(t *testing.T) {
	s := newServer(t, options{})
	old := locked(t, s, s.imported(t))
	a := s.device(t, "unlock", fields{"device": old})
	a.is(t, 200, "")
	id := s.inspectDevice(t, old).text("device_id")
	if got, want := a.without("device"), `{"status":"unlocked","device":…,"device_id":"`+id+`"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.verifyDevice(t, old, s.code(t)).is(t, 429, "N_FAILED_ATTEMPTS") // it says so itself
	if inspected := s.inspectDevice(t, a.text("device")); inspected.number(t, "failures") != 0 || inspected.fields["locked_until"] != nil {
		t.Errorf("inspect says %s", inspected.body)
	}
	device := a.text("device")
	for failures := 1; failures <= 4; failures++ {
		wrong := s.verifyDevice(t, device, "wrong")
		wrong.is(t, 400, "INVALID_OTP")
		if seconds, locks := wrong.fields["retry_after_seconds"]; locks != (failures == 4) || locks && seconds != 1.0 {
			t.Errorf("wrong code %d: got %s", failures, wrong.body)
		}
		device = wrong.text("device")
	}
	s.verifyDevice(t, device, s.code(t)).is(t, 429, "N_FAILED_ATTEMPTS")
	s.device(t, "unlock", fields{"device": s.imported(t)}).is(t, 200, "") // that nothing is locked is no error
}

// Each hash of a backup code takes 19 MiB: of a flood, most is refused, and the rest judged.
func TestFloodOfBackupCodesIsRefused(t *testing.T) {
	s := newServer(t, options{})
	answers := make([]answer, 200)
	var flood sync.WaitGroup
	for i := range answers {
		device := s.imported(t)
		r := s.request(http.MethodPost, "/v1/devices/verify", fields{"device": device, "backup_code": "22222-22222"}.String())
		flood.Go(func() { answers[i] = s.serve(r) })
	}
	flood.Wait()
	count, sent := make(map[string]int), s.request(http.MethodPost, "/v1/devices/verify", "")
	sent.Body = nil
	for _, a := range answers {
		noError(t, json.Unmarshal([]byte(a.body), &a.fields))
		checkContract(t, sent, a)
		count[a.code()]++
		if a.code() == "OVERLOADED" && (a.status != 503 || a.header.Get("Retry-After") != "1") {
			t.Errorf("got %d %v %s", a.status, a.header, a.body)
		}
	}
	if count["OVERLOADED"] == 0 || count["INVALID_OTP"] == 0 || count["OVERLOADED"]+count["INVALID_OTP"] != len(answers) {
		t.Errorf("got %v, want some of each", count)
	}
	if strings.Contains(s.log.String(), "OVERLOADED") {
		t.Errorf("a flood fills the log: %.1000s", s.log.String())
	}
	s.verifyDevice(t, s.imported(t), s.code(t)).is(t, 200, "") // takes no hash
}

func TestVerifyDeviceOfAnIdentifier(t *testing.T) {
	s := newServer(t, options{})
	device := s.imported(t)
	for _, identifier := range []string{"", "Ada@example.com", ada + " ", canary + strings.Repeat("x", 5000)} {
		for _, field := range []string{"otp", "backup_code"} {
			a := s.device(t, "verify", fields{"device": device, "identifier": identifier, field: s.code(t)})
			a.is(t, 400, "CONTEXT_MISMATCH")
			quotesNothing(t, a)
		}
	}
	if a := s.inspectDevice(t, device); a.number(t, "failures") != 0 {
		t.Errorf("a mismatch counted: %s", a.body)
	}
	s.device(t, "verify", fields{"device": device, "identifier": ada, "otp": s.code(t)}).is(t, 200, "")
}

func TestLockedDeviceSaysHowLongToWait(t *testing.T) {
	s := newServer(t, options{})
	device := s.imported(t)
	for _, seconds := range []int{1, 2, 4, 8, 16} {
		failures := 1
		if seconds == 1 {
			failures = 4
		}
		for range failures {
			wrong := s.verifyDevice(t, device, "wrong")
			wrong.is(t, 400, "INVALID_OTP")
			device = wrong.text("device")
			if wait, locks := wrong.fields["retry_after_seconds"]; locks && wait != float64(seconds) || wrong.header.Get("Retry-After") != "" {
				t.Errorf("got %s, Retry-After: %q, want %d seconds if any", wrong.body, wrong.header.Get("Retry-After"), seconds)
			}
		}
		for _, code := range []string{s.code(t), "wrong"} {
			a := s.verifyDevice(t, device, code)
			a.is(t, 429, "N_FAILED_ATTEMPTS")
			unit := map[bool]string{true: "second", false: "seconds"}[seconds == 1]
			want := fmt.Sprintf(`{"error":"Too many wrong codes. Try again in %d %s.","error_code":"N_FAILED_ATTEMPTS","request_id":"%s","retry_after_seconds":%[1]d}`,
				seconds, unit, requestID)
			if a.body != want || a.header.Get("Retry-After") != fmt.Sprint(seconds) {
				t.Errorf("got %s, Retry-After: %s, want %s", a.body, a.header.Get("Retry-After"), want)
			}
		}
		until := s.now.Add(time.Duration(seconds) * time.Second)
		if a := s.inspectDevice(t, device); a.text("locked_until") != until.Format(time.RFC3339Nano) {
			t.Errorf("inspect says %s, want locked_until %v", a.body, until)
		}
		s.now = until
		if a := s.inspectDevice(t, device); a.fields["locked_until"] != nil {
			t.Errorf("after the lock inspect says %s", a.body)
		}
	}
	verified := s.verifyDevice(t, device, s.code(t))
	verified.is(t, 200, "")
	if a := s.inspectDevice(t, verified.text("device")); a.number(t, "failures") != 0 || a.fields["locked_until"] != nil {
		t.Errorf("a right code left %s", a.body)
	}
}

// bounds are values of the fields of the requests, and whether they are in their bounds.
var bounds = map[string]map[string]struct{ good, bad []any }{
	"/v1/devices/enroll": {
		"type": {good: []any{"totp", "hotp", ""}, bad: []any{"TOTP", "totp ", "motp", canary}},
		"identifier": {
			good: []any{"x", long(320), strings.Repeat("é", 160), `"quoted\"`, "a:b", "\u0080\u2028", " "},
			bad:  []any{long(321), strings.Repeat("é", 160) + "x", "\x00" + canary, canary + "\n", "a\tb", "\x7f", "\x1f"},
		},
		"issuer": {
			good: []any{"x", long(64), strings.Repeat("é", 32), "A & B", "/?#%", " "},
			bad:  []any{"", ":", canary + ":", long(65), strings.Repeat("é", 32) + "x", "\x00", "a\nb", "\x7f"},
		},
		"name": {
			good: []any{"", "x", long(64), strings.Repeat("é", 32), "Ada's: phone"},
			bad:  []any{long(65), strings.Repeat("é", 32) + "x", canary + "\x00", "a\r\nb", "\x7f"},
		},
		"digits":    {good: []any{6, 8}, bad: []any{7, 0, -6, 5, 9, 10, 6.5, raw("6.0"), raw("1e308"), raw("9223372036854775808")}},
		"period":    {good: []any{15, 30, 60}, bad: []any{14, 61, 0, -30, 29.5, 1 << 31, raw("1e308"), raw("-1e308"), raw("9223372036854775808")}},
		"algorithm": {good: []any{"SHA1", "SHA256", "SHA512"}, bad: []any{"", "sha1", "SHA-1", "SHA384", "MD5", canary}},
		"secret": {
			good: []any{
				strings.Repeat("A", 16), strings.Repeat("A", 103), strings.Repeat("a", 26), "JBSW Y3DP-EHPK 3PXP", secret + "====",
				"MFRGGZDFMZTWQ2LKNM======", " JBSWY3DPEHPK3PXP ", strings.Repeat("A -", 103),
			},
			bad: []any{
				"", "A", strings.Repeat("A", 15), strings.Repeat("A", 104), strings.Repeat("A", 1000), strings.Repeat("A", 17), strings.Repeat("A", 25) + "B",
				strings.Repeat("A", 15) + "0", strings.Repeat("A", 15) + "1", strings.Repeat("A", 15) + "8", canary, "=" + strings.Repeat("A", 16),
				strings.Repeat("A", 8) + "=" + strings.Repeat("A", 8), strings.Repeat("A", 16) + "\n", strings.Repeat("A", 15) + "é", strings.Repeat("ſ", 16),
				strings.Repeat("ı", 16), "====", "    ", "----",
			},
		},
	},
	"/v1/challenges": {
		"identifier": {
			good: []any{"x", long(320), strings.Repeat("é", 160), `"quoted\"`, "\u0080\u2028"},
			bad:  []any{long(321), strings.Repeat("é", 160) + "x", "\x00" + canary, canary + "\n", "\x7f"},
		},
		"purpose": {
			good: []any{"", long(64), "Überweisung"},
			bad:  []any{long(65), strings.Repeat("é", 32) + "x", canary + "\x00", "a\r\nb", "\x7f"},
		},
		"metadata": {
			good: []any{long(4094), raw(`"` + long(4094) + `"` + strings.Repeat(" ", 1000)), strings.Repeat("é", 2047), nested(64), false, 0, "", raw("1e300"), null},
			bad:  []any{long(4095), strings.Repeat("é", 2047) + "x", nested(65)},
		},
		"methods": {
			good: []any{[]string{}, []string{"pwd"}, []string{"a", "b", "c", "d", "e", "f", "g", "h"}, []string{strings.Repeat("x", 32), "A-Za-z0-9._-"}, []string{"pwd", "pwd"}},
			bad: []any{
				[]string{""}, []string{strings.Repeat("x", 33)}, []string{"pwd", "a b"}, []string{`"`}, []string{canary + "\n"}, []string{"é"}, []string{"pwd\x00"},
				[]string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}, []string{"a,b"},
			},
		},
	},
	"/v1/devices/verify":  {"otp": {good: typedCodes, bad: []any{long(129)}}, "backup_code": {good: typedCodes, bad: []any{long(129)}}},
	"/v1/devices/confirm": {"otp": {good: typedCodes, bad: []any{long(129)}}},
	"/v1/devices/match":   {"otp": {good: typedCodes, bad: []any{long(129)}}},
	"/v1/devices/resync": {
		"otp": {good: typedCodes, bad: []any{long(129)}}, "next_otp": {good: typedCodes, bad: []any{long(129)}},
	},
	"/v1/challenges/verify": {"otp": {good: typedCodes, bad: []any{long(129)}}, "backup_code": {good: typedCodes, bad: []any{long(129)}}},
}

// typedCodes are wrong, and may be sent.
var typedCodes = []any{"1", " ", "-", long(128), "\x00", "\u2028é", `"\`, strings.Repeat("é", 64)}

func long(n int) string { return strings.Repeat("x", n-len(canary)) + canary }

func TestBoundsOfDevicesAndChallenges(t *testing.T) {
	for path, ofPath := range bounds {
		for field, test := range ofPath {
			t.Run(path+"/"+field, func(t *testing.T) {
				s := newServer(t, options{})
				p := s.sample(t, path)
				send := func(value any) answer {
					request := p.with(field, value)
					if field == "backup_code" {
						delete(request, "otp")
					}
					return s.post(t, path, request.String())
				}
				for _, value := range test.bad {
					a := send(value)
					if a.status != 400 || a.code() != "INVALID_REQUEST" || a.text("field") != field {
						t.Errorf("%.40v: got %d %.300s", value, a.status, a.body)
					}
					quotesNothing(t, a)
				}
				s.untouched(t, p)
				for _, value := range test.good {
					p = s.sample(t, path) // lest wrong codes lock it
					if a := send(value); a.status != 200 && a.code() != "INVALID_OTP" {
						t.Errorf("%.40v: got %d %.300s", value, a.status, a.body)
					}
				}
			})
		}
	}
}

// The contract promises nothing that is refused.
func TestContractHasTheBoundsOfDevicesAndChallenges(t *testing.T) {
	tested := 0
	requestFields(t, func(path, field string, schema *openapi3.Schema) {
		for _, value := range bounds[path][field].bad {
			if text, ok := value.(string); field == "metadata" || field == "secret" || ok && strings.ContainsRune(text, 'é') {
				continue // bytes and base32 are in the description
			}
			if value == raw("6.0") {
				continue // the same number to a schema
			}
			tested++
			var decoded map[string]any
			noError(t, json.Unmarshal([]byte(fields{"v": value}.String()), &decoded))
			if err := schema.VisitJSON(decoded["v"], openapi3.EnableJSONSchema2020()); err == nil {
				t.Errorf("%s: %s may be %.40v", path, field, value)
			}
		}
	})
	if tested < 50 {
		t.Errorf("tested only %d values", tested)
	}
}

func TestExactlyOneCode(t *testing.T) {
	s := newServer(t, options{})
	device := s.imported(t)
	issued := s.generate(t, fields{"identifier": ada})
	context := issued.text("context")
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
	for name, test := range map[string]struct {
		path    string
		request fields
		field   string // to blame; empty if the request is taken
	}{
		"a device, a code":                  {"/v1/devices/verify", fields{"device": device, "otp": "1"}, ""},
		"a device, a code, an empty backup": {"/v1/devices/verify", fields{"device": device, "otp": "1", "backup_code": ""}, ""},
		"a device, a backup code":           {"/v1/devices/verify", fields{"device": device, "backup_code": "1", "otp": ""}, ""},
		"a device, both codes":              {"/v1/devices/verify", fields{"device": device, "otp": "1", "backup_code": "1"}, "backup_code"},
		"a login by device and code":        {"/v1/challenges/verify", fields{"device": device, "otp": "1", "context": "", "backup_code": ""}, ""},
		"a login by device and backup":      {"/v1/challenges/verify", fields{"device": device, "backup_code": "1", "context": "", "otp": ""}, ""},
		"a login by context":                {"/v1/challenges/verify", fields{"context": context, "otp": "1", "device": "", "backup_code": ""}, ""},
		"a login by both codes":             {"/v1/challenges/verify", fields{"device": device, "otp": "1", "backup_code": "1"}, "backup_code"},
		"a login by context and both codes": {"/v1/challenges/verify", fields{"context": context, "otp": "1", "backup_code": "1"}, "backup_code"},
		"a login by device and context":     {"/v1/challenges/verify", fields{"device": device, "context": context, "otp": "1"}, "context"},
		"a login by both, and a backup":     {"/v1/challenges/verify", fields{"device": device, "context": context, "backup_code": "1"}, "context"},
		"a login by context, its binding":   {"/v1/challenges/verify", fields{"context": context, "otp": "1", "binding": "x"}, ""},
		"a login by device, a binding":      {"/v1/challenges/verify", fields{"device": device, "otp": "1", "binding": "x"}, "binding"},
		"a login by device, no binding":     {"/v1/challenges/verify", fields{"device": device, "otp": "1", "binding": ""}, ""},
		"a login by context and backup":     {"/v1/challenges/verify", fields{"context": context, "backup_code": "1"}, "backup_code"},
	} {
		t.Run(name, func(t *testing.T) {
			s.now = s.now.Add(time.Minute)
			request := test.request
			if test.path == "/v1/challenges/verify" {
				challenge = s.challenge(t, fields{"identifier": ada}).text("challenge")
				request = request.with("challenge", challenge)
			}
			a := s.post(t, test.path, request.String())
			schema := loadContract(t).Paths.Value(test.path).Post.RequestBody.Value.Content["application/json"].Schema.Value
			var decoded any
			noError(t, json.Unmarshal([]byte(request.String()), &decoded))
			err := schema.VisitJSON(decoded, openapi3.EnableJSONSchema2020())
			if test.field == "" {
				if a.code() == "INVALID_REQUEST" || err != nil {
					t.Errorf("got %d %s; the contract says %v", a.status, a.body, err)
				}
				return
			}
			a.is(t, 400, "INVALID_REQUEST")
			if a.text("field") != test.field || err == nil {
				t.Errorf("got %s, want the field %s; the contract says %v", a.body, test.field, err)
			}
		})
	}
}
