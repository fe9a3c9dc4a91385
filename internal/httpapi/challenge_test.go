package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
)

func TestChallengeIsIssued(t *testing.T) {
	s := newServer(t, options{})
	s.now = s.now.Add(123456789 * time.Nanosecond)
	one, other := s.challenge(t, fields{"identifier": ada}), s.challenge(t, fields{"identifier": ada})
	if one.text("expires_at") != "2026-07-01T12:02:00.123Z" || one.text("id") == other.text("id") {
		t.Errorf("got %s and %s", one.body, other.body)
	}
}

func TestChallengeReturnsWhatWasGiven(t *testing.T) {
	const metadata = `{"n":1.10,"big":123456789012345678901234567890,"list":[null,"é"]}`
	for name, test := range map[string]struct {
		request string // beside the identifier
		want    string // of the answer, from metadata on to methods
	}{
		"nothing":         {``, `"metadata":null,"purpose":"","methods":["otp"]`},
		"everything":      {`,"metadata":` + metadata + `,"purpose":"login","methods":["pwd"]`, `"metadata":` + metadata + `,"purpose":"login","methods":["pwd","otp","mfa"]`},
		"a second device": {`,"methods":["hwk"]`, `"metadata":null,"purpose":"","methods":["hwk","otp"]`},
		"a code before":   {`,"methods":["otp","sms"]`, `"metadata":null,"purpose":"","methods":["otp","sms"]`},
		"names in order":  {`,"methods":["rba","pin","mfa"]`, `"metadata":null,"purpose":"","methods":["rba","pin","mfa","otp"]`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			for _, with := range []string{"device", "context"} {
				issued := s.post(t, "/v1/challenges", `{"identifier":"ada@example.com"`+test.request+`}`)
				issued.is(t, 200, "")
				want := `{"status":"verified","id":"` + issued.text("id") + `","identifier":"` + ada + `",` + test.want
				request := fields{"challenge": issued.text("challenge")}
				if with == "device" {
					request = request.with("device", s.imported(t)).with("otp", s.code(t))
				} else {
					generate := fields{"identifier": ada}
					if strings.Contains(test.request, "purpose") {
						generate["purpose"] = "login"
					}
					generated := s.generate(t, generate)
					request = request.with("context", generated.text("context")).with("otp", generated.text("otp"))
				}
				a := s.complete(t, request)
				a.is(t, 200, "")
				if with == "device" {
					want += `,"device":…,"device_id":"` + a.text("device_id") + `","method":"totp",` +
						fmt.Sprintf(`"step":%d,"backup_codes_remaining":0`, s.step())
				}
				if got := a.without("device"); got != want+"}" {
					t.Errorf("got  %s\nwant %s}", got, want)
				}
			}
		})
	}
}

func TestChallengeIsCompletedByABackupCode(t *testing.T) {
	s := newServer(t, options{})
	confirmed := s.confirmed(t)
	code := confirmed.list(t, "backup_codes")[9]
	first, second := s.challenge(t, fields{"identifier": ada}), s.challenge(t, fields{"identifier": ada})
	a := s.complete(t, fields{"challenge": first.text("challenge"), "device": confirmed.text("device"), "backup_code": strings.ToLower(code)})
	a.is(t, 200, "")
	if a.text("method") != "backup_code" || a.number(t, "backup_codes_remaining") != 9 || a.text("device_id") != confirmed.text("device_id") {
		t.Errorf("got %s", a.body)
	}
	for _, device := range []string{confirmed.text("device"), a.text("device")} {
		s.complete(t, fields{"challenge": second.text("challenge"), "device": device, "backup_code": code}).is(t, 409, "CODE_ALREADY_USED")
	}
}

func TestChallengeIsForOneIdentifierAndPurpose(t *testing.T) {
	for name, test := range map[string]struct {
		challenge, generate fields
		matches             bool
	}{
		"the same":              {fields{"identifier": ada, "purpose": "login"}, fields{"identifier": ada, "purpose": "login"}, true},
		"no purpose":            {fields{"identifier": ada}, fields{"identifier": ada, "purpose": ""}, true},
		"another identifier":    {fields{"identifier": ada}, fields{"identifier": "bob@example.com"}, false},
		"another case":          {fields{"identifier": ada}, fields{"identifier": "Ada@example.com"}, false},
		"a code for nobody":     {fields{"identifier": ada}, fields{}, false},
		"another purpose":       {fields{"identifier": ada, "purpose": "login"}, fields{"identifier": ada, "purpose": "payment"}, false},
		"a purpose for nothing": {fields{"identifier": ada}, fields{"identifier": ada, "purpose": "login"}, false},
		"a code for nothing":    {fields{"identifier": ada, "purpose": "login"}, fields{"identifier": ada}, false},
		"a binding":             {fields{"identifier": ada}, fields{"identifier": ada, "binding": "10 EUR"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			challenge := s.challenge(t, test.challenge).text("challenge")
			issued := s.generate(t, test.generate)
			a := s.complete(t, fields{"challenge": challenge, "context": issued.text("context"), "otp": issued.text("otp")})
			if test.matches {
				a.is(t, 200, "")
				return
			}
			a.is(t, 400, "CONTEXT_MISMATCH")
			if got := s.inspect(t, issued.text("context")); got.number(t, "attempts_remaining") != maxRetries || got.text("state") != "active" {
				t.Errorf("a mismatch left %s", got.body)
			}
			s.complete(t, fields{"challenge": challenge, "device": s.imported(t), "otp": s.code(t)}).is(t, 200, "")
		})
	}
}

func TestChallengeIsCompletedByAContextWithItsBinding(t *testing.T) {
	s := newServer(t, options{})
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
	issued := s.generate(t, fields{"identifier": ada, "binding": "10 EUR"})
	request := fields{"challenge": challenge, "context": issued.text("context"), "otp": issued.text("otp")}
	s.complete(t, request.with("binding", "11 EUR")).is(t, 400, "CONTEXT_MISMATCH")
	s.complete(t, request.with("binding", "10 EUR")).is(t, 200, "")
}

func TestChallengeTakesNoDeviceOfAnotherIdentifier(t *testing.T) {
	s := newServer(t, options{})
	device := s.imported(t)
	for _, identifier := range []string{"bob@example.com", "Ada@example.com", ada + " "} {
		challenge := s.challenge(t, fields{"identifier": identifier}).text("challenge")
		for _, code := range []string{s.code(t), "wrong"} {
			s.complete(t, fields{"challenge": challenge, "device": device, "otp": code}).is(t, 400, "CONTEXT_MISMATCH")
			s.complete(t, fields{"challenge": challenge, "device": device, "backup_code": code}).is(t, 400, "CONTEXT_MISMATCH")
		}
	}
	if a := s.inspectDevice(t, device); a.number(t, "failures") != 0 {
		t.Errorf("a mismatch counted: %s", a.body)
	}
	s.verifyDevice(t, device, s.code(t)).is(t, 200, "")
}

func TestChallengeExpires(t *testing.T) {
	s := newServer(t, options{})
	for after, code := range map[time.Duration]string{challengeExpiry: "", challengeExpiry + time.Millisecond: "CHALLENGE_EXPIRED"} {
		s.now = time.Unix(at, 0).UTC()
		challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
		device := s.imported(t)
		s.now = s.now.Add(after)
		a := s.complete(t, fields{"challenge": challenge, "device": device, "otp": s.code(t)})
		if a.code() != code {
			t.Errorf("after %v: got %d %s, want %q", after, a.status, a.body, code)
		}
		if code != "" {
			a.is(t, 410, code)
			s.verifyDevice(t, device, s.code(t)).is(t, 200, "") // the code was not used
		}
	}
}

func TestChallengeIsCompletedOnce(t *testing.T) {
	s := newServer(t, options{})
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
	device, issued := s.imported(t), s.generate(t, fields{"identifier": ada})
	s.complete(t, fields{"challenge": challenge, "device": device, "otp": s.code(t)}).is(t, 200, "")
	next := codeOf(t, secret, s.step()+1)
	for _, request := range []fields{
		{"device": device, "otp": next}, {"device": device, "otp": "wrong"}, {"device": device, "backup_code": "wrong"}, {"device": "x", "otp": "1"},
		{"context": issued.text("context"), "otp": issued.text("otp")},
	} {
		s.complete(t, request.with("challenge", challenge)).is(t, 409, "CHALLENGE_ALREADY_USED")
	}
	s.verifyDevice(t, device, next).is(t, 200, "") // a used challenge consumed nothing
	s.stillGood(t, issued)
}

func TestChallengeIsCompletedAgainWithoutALedger(t *testing.T) {
	s := newServer(t, options{ledger: ledger.None{Throttle: throttle}})
	request := fields{"challenge": s.challenge(t, fields{"identifier": ada}).text("challenge"), "device": s.imported(t), "otp": s.code(t)}
	for range 2 {
		s.complete(t, request).is(t, 200, "")
	}
}

func TestWrongCodesLeaveAChallengeAsItWas(t *testing.T) {
	s := newServer(t, options{})
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
	issued := s.generate(t, fields{"identifier": ada})
	context := issued.text("context")
	for remaining := 2; remaining >= 0; remaining-- {
		a := s.complete(t, fields{"challenge": challenge, "context": context, "otp": wrongCode(issued.text("otp"))})
		a.is(t, 400, "INVALID_OTP")
		if a.number(t, "attempts_remaining") != remaining || a.text("error") != fmt.Sprintf("Invalid OTP. Attempts remaining: %d", remaining) {
			t.Errorf("got %s, want %d attempts", a.body, remaining)
		}
		context = a.text("context")
	}
	s.complete(t, fields{"challenge": challenge, "context": context, "otp": issued.text("otp")}).is(t, 429, "MAX_RETRIES_EXCEEDED")
	locked(t, s, s.imported(t))
	s.complete(t, fields{"challenge": challenge, "device": s.imported(t), "otp": s.code(t)}).is(t, 200, "")
}

// What a challenge says of each state of a context is what verify says.
func TestChallengeRefusesContextsAsVerifyDoes(t *testing.T) {
	for name, test := range refusals {
		if test.verify == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var o options
			if test.options != nil {
				o = test.options(t)
			}
			s := newServer(t, o)
			issued := s.generate(t, fields{"identifier": ada})
			test.arrange(t, s, issued)
			challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
			a := s.complete(t, fields{"challenge": challenge, "context": issued.text("context"), "otp": issued.text("otp")})
			a.is(t, statuses[test.verify], test.verify)
		})
	}
}

func TestChallengeTellsOfTheIdentifiersThrottle(t *testing.T) {
	s := newServer(t, options{})
	s.fail(t, ada, throttle.After+1)
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
	issued := s.generate(t, fields{"identifier": ada})
	a := s.complete(t, fields{"challenge": challenge, "context": issued.text("context"), "otp": issued.text("otp")})
	a.is(t, 429, "N_FAILED_ATTEMPTS")
	if a.number(t, "retry_after_seconds") != 2 {
		t.Errorf("got %s", a.body)
	}
	s.complete(t, fields{"challenge": challenge, "device": s.imported(t), "otp": s.code(t)}).is(t, 200, "")
}

func TestNothingOfDevicesIsLostWhileTheLedgerIsDown(t *testing.T) {
	l := newUnsteadyLedger(t)
	s := newServer(t, options{ledger: l})
	confirmed := s.confirmed(t)
	device, codes := confirmed.text("device"), confirmed.list(t, "backup_codes")
	issued := s.generate(t, fields{"identifier": ada})
	challenge := s.challenge(t, fields{"identifier": ada}).text("challenge")
	before := s.inspectDevice(t, device).body

	l.breakDown()
	s.events = nil
	next := codeOf(t, secret, s.step()+1)
	for name, a := range map[string]answer{
		"verify":              s.verifyDevice(t, device, s.code(t)),
		"verify a wrong code": s.verifyDevice(t, device, "wrong"),
		"a backup code":       s.verifyBackup(t, device, codes[0]),
		"match":               s.match(t, s.code(t), device),
		"inspect":             s.inspectDevice(t, device),
		"backup-codes":        s.device(t, "backup-codes", fields{"device": device}),
		"unlock":              s.device(t, "unlock", fields{"device": device}),
		"resync":              s.device(t, "resync", fields{"device": device, "otp": s.code(t), "next_otp": next}),
		"disable":             s.device(t, "disable", fields{"device": device}),
		"confirm":             s.device(t, "confirm", fields{"device": s.enroll(t, fields{"identifier": ada, "secret": secret}).text("device"), "otp": s.code(t)}),
		"challenge, device":   s.complete(t, fields{"challenge": challenge, "device": device, "otp": s.code(t)}),
		"challenge, context":  s.complete(t, fields{"challenge": challenge, "context": issued.text("context"), "otp": issued.text("otp")}),
	} {
		want := `{"error":"The ledger does not answer. Nothing was verified or sent; send the same request again.","error_code":"LEDGER_UNAVAILABLE","request_id":"` + requestID + `"}`
		if a.status != 503 || a.body != want || a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: got %d %s, Retry-After: %q", name, a.status, a.body, a.header.Get("Retry-After"))
		}
	}
	s.device(t, "reseal", fields{"devices": []string{device}}).is(t, 200, "")
	s.challenge(t, fields{"identifier": ada})
	for _, e := range s.events {
		if e.Name != "device.enrolled" && e.Name != "challenge.issued" {
			t.Errorf("the audit log was told %+v of what did not happen", e)
		}
	}

	l.recover()
	if after := s.inspectDevice(t, device).body; after != before {
		t.Errorf("got %s, want %s", after, before)
	}
	verified := s.verifyBackup(t, device, codes[0])
	verified.is(t, 200, "")
	s.complete(t, fields{"challenge": challenge, "device": device, "otp": s.code(t)}).is(t, 200, "")
	s.stillGood(t, issued)
}
