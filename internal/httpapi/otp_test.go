package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
)

func TestGenerateAnswersACodeAndItsContext(t *testing.T) {
	for name, test := range map[string]struct {
		request  fields
		length   int
		alphabet string
		attempts int
		expires  time.Duration
		session  time.Duration
	}{
		"the defaults":              {fields{}, 6, "0123456789", 3, expiry, sessionExpiry},
		"nothing but nulls":         {fields{"identifier": nil, "metadata": nil}, 6, "0123456789", 3, expiry, sessionExpiry},
		"letters":                   {fields{"alphabet": "letters", "length": 12}, 12, "BCDFGHJKLMNPQRSTVWXZ", 3, expiry, sessionExpiry},
		"letters and digits":        {fields{"alphabet": "alphanumeric", "length": 8}, 8, "23456789ABCDEFGHJKLMNPQRSTUVWXYZ", 3, expiry, sessionExpiry},
		"no wrong code":             {fields{"max_retries": 0}, 6, "0123456789", 0, expiry, sessionExpiry},
		"a short session":           {fields{"session_expiry_seconds": 60}, 6, "0123456789", 3, time.Minute, time.Minute},
		"a long code":               {fields{"expiry_seconds": 3600}, 6, "0123456789", 3, time.Hour, time.Hour},
		"a code as its session":     {fields{"expiry_seconds": 60, "session_expiry_seconds": 60}, 6, "0123456789", 3, time.Minute, time.Minute},
		"a decoy looks like a code": {fields{"decoy": true}, 6, "0123456789", 3, expiry, sessionExpiry},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			a := s.generate(t, test.request)
			if otp := a.text("otp"); len(otp) != test.length || strings.Trim(otp, test.alphabet) != "" {
				t.Errorf("otp is %q", otp)
			}
			if got := a.number(t, "attempts_remaining"); got != test.attempts {
				t.Errorf("attempts_remaining is %d, want %d", got, test.attempts)
			}
			for field, after := range map[string]time.Duration{"expires_at": test.expires, "session_expires_at": test.session} {
				if want := s.now.Add(after).Format(time.RFC3339Nano); a.text(field) != want {
					t.Errorf("%s is %s, want %s", field, a.text(field), want)
				}
			}
		})
	}
}

func TestTimesHaveMilliseconds(t *testing.T) {
	s := newServer(t, options{})
	s.now = s.now.Add(123456789 * time.Nanosecond)
	issued := s.generate(t, fields{})
	if got, want := issued.text("expires_at"), "2026-07-01T12:05:00.123Z"; got != want {
		t.Errorf("expires_at is %s, want %s", got, want)
	}
	verified := s.verify(t, issued.text("otp"), issued.text("context"))
	for _, field := range []string{"issued_at", "verified_at"} {
		if got, want := verified.text(field), "2026-07-01T12:00:00.123Z"; got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
}

func TestDefaultContextIsShort(t *testing.T) {
	issued := newServer(t, options{}).generate(t, fields{"identifier": "someone.else@example.com"})
	if n := len(issued.text("context")); n >= 500 {
		t.Errorf("the context has %d characters, want fewer than 500", n)
	}
}

func TestVerifyReturnsWhatWasGiven(t *testing.T) {
	s := newServer(t, options{})
	const metadata = `{"n":1.10,"big":123456789012345678901234567890,"list":[null,"é"]}`
	issued := s.post(t, "/v1/otp/generate", `{"identifier":"ada@example.com","metadata":`+metadata+`,"purpose":"login"}`)
	s.now = s.now.Add(time.Minute)
	a := s.post(t, "/v1/otp/verify", fields{
		"otp": issued.text("otp"), "context": issued.text("context"), "purpose": "login",
	}.String())
	a.is(t, 200, "")
	want := `{"status":"verified","id":"` + issued.text("id") + `","identifier":"ada@example.com","metadata":` + metadata +
		`,"purpose":"login","retry_count":0,"issued_at":"2026-07-01T12:00:00Z","verified_at":"2026-07-01T12:01:00Z"}`
	if a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
}

func TestVerifyReturnsNullForWhatWasNotGiven(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{})
	a := s.verify(t, issued.text("otp"), issued.text("context"))
	a.is(t, 200, "")
	if !strings.Contains(a.body, `"identifier":null,"metadata":null,"purpose":""`) {
		t.Errorf("got %s", a.body)
	}
}

func TestVerifyForgivesHowACodeIsTyped(t *testing.T) {
	for name, typed := range map[string]func(string) string{
		"spaces":     func(code string) string { return " " + code[:3] + " " + code[3:] + "\t\n" },
		"hyphens":    func(code string) string { return code[:2] + "-" + code[2:4] + "-" + code[4:] },
		"lower case": strings.ToLower,
		"at most 128 bytes": func(code string) string {
			return strings.Repeat(" ", 128-len(code)) + code
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			issued := s.generate(t, fields{"alphabet": "letters"})
			s.verify(t, typed(issued.text("otp")), issued.text("context")).is(t, 200, "")
		})
	}
}

func TestWrongCodesAreCountedDown(t *testing.T) {
	for name, l := range map[string]func(testing.TB) options{
		"memory ledger": func(tb testing.TB) options { return options{ledger: memoryLedger(tb, 10)} },
		"no ledger":     func(testing.TB) options { return options{ledger: ledger.None{}} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, l(t))
			issued := s.generate(t, fields{})
			context := issued.text("context")
			for _, text := range []string{
				"Invalid OTP. Attempts remaining: 2", "Invalid OTP. Attempts remaining: 1", "Invalid OTP. Attempts remaining: 0",
			} {
				a := s.verify(t, wrongCode(issued.text("otp")), context)
				a.is(t, 400, "INVALID_OTP")
				if a.text("error") != text || !strings.HasSuffix(text, string('0'+rune(a.number(t, "attempts_remaining")))) {
					t.Errorf("got %s, want %q", a.body, text)
				}
				context = a.text("context")
			}
			s.verify(t, issued.text("otp"), context).is(t, 429, "MAX_RETRIES_EXCEEDED")
			s.verify(t, wrongCode(issued.text("otp")), context).is(t, 429, "MAX_RETRIES_EXCEEDED")
		})
	}
}

func TestRightCodeAfterWrongOnes(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{})
	wrong := s.verify(t, wrongCode(issued.text("otp")), issued.text("context"))
	a := s.verify(t, issued.text("otp"), wrong.text("context"))
	a.is(t, 200, "")
	if a.number(t, "retry_count") != 1 {
		t.Errorf("retry_count is %d, want 1", a.number(t, "retry_count"))
	}
}

func TestOldContextGivesNoAttemptBack(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{})
	for range maxRetries {
		s.verify(t, wrongCode(issued.text("otp")), issued.text("context")).is(t, 400, "INVALID_OTP")
	}
	s.verify(t, issued.text("otp"), issued.text("context")).is(t, 429, "MAX_RETRIES_EXCEEDED")
}

func TestVerifyWithoutRetries(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"max_retries": 0})
	s.verify(t, issued.text("otp"), issued.text("context")).is(t, 429, "MAX_RETRIES_EXCEEDED")
}

func TestDecoyNeverVerifies(t *testing.T) {
	s := newServer(t, options{})
	decoy := s.generate(t, fields{"identifier": "ada@example.com", "decoy": true})
	genuine := s.generate(t, fields{"identifier": "ada@example.com", "decoy": false})
	if len(decoy.text("context")) != len(genuine.text("context")) {
		t.Errorf("the decoy's context has %d characters, a real one %d", len(decoy.text("context")), len(genuine.text("context")))
	}
	a := s.verify(t, decoy.text("otp"), decoy.text("context"))
	a.is(t, 400, "INVALID_OTP")
	if a.number(t, "attempts_remaining") != 2 {
		t.Errorf("got %s, want 2 attempts remaining", a.body)
	}
}

func TestVerifyPresentsWhatWasSealed(t *testing.T) {
	sealed := fields{"identifier": "ada@example.com", "purpose": "payment", "binding": "10 EUR to Bob"}
	all := fields{"identifier": "ada@example.com", "purpose": "payment", "binding": "10 EUR to Bob"}
	for name, test := range map[string]struct {
		sealed, presented fields
		matches           bool
	}{
		"all of it":                 {sealed, all, true},
		"all but the identifier":    {sealed, fields{"purpose": "payment", "binding": "10 EUR to Bob"}, true},
		"a null identifier":         {sealed, all.with("identifier", nil), true},
		"another identifier":        {sealed, all.with("identifier", "Ada@example.com"), false},
		"no purpose":                {sealed, all.with("purpose", ""), false},
		"another purpose":           {sealed, all.with("purpose", "login"), false},
		"no binding":                {sealed, all.with("binding", ""), false},
		"another binding":           {sealed, all.with("binding", "10 EUR to Bob "), false},
		"an identifier for nobody":  {fields{}, fields{"identifier": ""}, false},
		"a purpose for nothing":     {fields{}, fields{"purpose": "login"}, false},
		"a binding to nothing":      {fields{}, fields{"binding": "10 EUR"}, false},
		"empty strings for nothing": {fields{}, fields{"purpose": "", "binding": ""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			issued := s.generate(t, test.sealed)
			request := test.presented.with("otp", issued.text("otp")).with("context", issued.text("context"))
			a := s.post(t, "/v1/otp/verify", request.String())
			if test.matches {
				a.is(t, 200, "")
				return
			}
			a.is(t, 400, "CONTEXT_MISMATCH")
			if got := s.inspect(t, issued.text("context")).number(t, "attempts_remaining"); got != maxRetries {
				t.Errorf("a mismatch left %d attempts, want %d", got, maxRetries)
			}
		})
	}
}

// refusals are the states of a verification and what each operation says of them: where it is over, a
// resend is told so, and not to wait for the cooldown.
var refusals = map[string]struct {
	options func(testing.TB) options
	arrange func(t *testing.T, s *server, issued answer)
	verify  string // error code; empty for a success
	resend  string
	revoke  string
	state   string
}{
	"active": {
		arrange: func(*testing.T, *server, answer) {},
		resend:  "COOLDOWN_DURATION_PENDING", state: "active",
	},
	"last moment of the cooldown": {
		arrange: func(_ *testing.T, s *server, _ answer) { s.now = s.now.Add(cooldown - time.Millisecond) },
		resend:  "COOLDOWN_DURATION_PENDING", state: "active",
	},
	"cooldown over": {
		arrange: func(_ *testing.T, s *server, _ answer) { s.now = s.now.Add(cooldown) },
		state:   "active",
	},
	"last moment of the code": {
		arrange: func(_ *testing.T, s *server, _ answer) { s.now = s.now.Add(expiry) },
		state:   "active",
	},
	"code expired": {
		arrange: func(_ *testing.T, s *server, _ answer) { s.now = s.now.Add(expiry + time.Millisecond) },
		verify:  "OTP_EXPIRED", state: "otp_expired",
	},
	"last moment of the session": {
		arrange: func(_ *testing.T, s *server, _ answer) { s.now = s.now.Add(sessionExpiry) },
		verify:  "OTP_EXPIRED", state: "otp_expired",
	},
	"session expired": {
		arrange: func(_ *testing.T, s *server, _ answer) { s.now = s.now.Add(sessionExpiry + time.Millisecond) },
		verify:  "SESSION_EXPIRED", resend: "SESSION_EXPIRED", state: "session_expired",
	},
	"used": {
		arrange: func(t *testing.T, s *server, issued answer) {
			s.verify(t, issued.text("otp"), issued.text("context")).is(t, 200, "")
		},
		verify: "OTP_ALREADY_USED", resend: "OTP_ALREADY_USED", state: "used",
	},
	"revoked": {
		arrange: func(t *testing.T, s *server, issued answer) {
			s.revoke(t, issued.text("context")).is(t, 200, "")
		},
		verify: "CONTEXT_REVOKED", resend: "CONTEXT_REVOKED", state: "revoked",
	},
	"superseded": {
		arrange: func(t *testing.T, s *server, issued answer) {
			s.now = s.now.Add(cooldown)
			s.resend(t, issued.text("context")).is(t, 200, "")
		},
		verify: "CONTEXT_SUPERSEDED", resend: "CONTEXT_SUPERSEDED", state: "superseded",
	},
	"exhausted": {
		arrange: func(t *testing.T, s *server, issued answer) {
			for range maxRetries {
				s.verify(t, wrongCode(issued.text("otp")), issued.text("context")).is(t, 400, "INVALID_OTP")
			}
		},
		verify: "MAX_RETRIES_EXCEEDED", resend: "MAX_RETRIES_EXCEEDED", state: "exhausted",
	},
	"no ledger": {
		options: func(testing.TB) options { return options{ledger: ledger.None{}} },
		arrange: func(t *testing.T, s *server, issued answer) {
			s.verify(t, issued.text("otp"), issued.text("context")).is(t, 200, "")
			s.now = s.now.Add(cooldown)
		},
		revoke: "LEDGER_DISABLED", state: "active",
	},
	"ledger that does not answer": {
		options: func(testing.TB) options { return options{ledger: brokenLedger{err: errLedger}} },
		arrange: func(_ *testing.T, s *server, _ answer) { s.now = s.now.Add(cooldown) },
		verify:  "LEDGER_UNAVAILABLE", resend: "LEDGER_UNAVAILABLE", revoke: "LEDGER_UNAVAILABLE",
	},
	"ledger that is full": {
		options: func(tb testing.TB) options { return options{ledger: memoryLedger(tb, 1)} },
		arrange: func(t *testing.T, s *server, _ answer) {
			s.revoke(t, s.generate(t, fields{}).text("context")).is(t, 200, "")
			s.now = s.now.Add(cooldown)
		},
		verify: "LEDGER_UNAVAILABLE", resend: "LEDGER_UNAVAILABLE", revoke: "LEDGER_UNAVAILABLE", state: "active",
	},
}

// statuses are section 6 of the design, for the codes of these operations.
var statuses = map[string]int{
	"": 200, "OTP_ALREADY_USED": 409, "CONTEXT_SUPERSEDED": 409, "LEDGER_DISABLED": 409, "OTP_EXPIRED": 410,
	"SESSION_EXPIRED": 410, "CONTEXT_REVOKED": 410, "MAX_RETRIES_EXCEEDED": 429, "MAX_RESENDS_EXCEEDED": 429,
	"COOLDOWN_DURATION_PENDING": 429, "LEDGER_UNAVAILABLE": 503,
	"INVALID_OTP": 400, "DEVICE_NOT_CONFIRMED": 409, "DEVICE_ALREADY_CONFIRMED": 409, "DEVICE_SUPERSEDED": 409, "CODE_ALREADY_USED": 409,
	"ENROLLMENT_EXPIRED": 410, "DEVICE_DISABLED": 410, "N_FAILED_ATTEMPTS": 429,
}

func TestEachStateIsRefusedAlike(t *testing.T) {
	for name, test := range refusals {
		for operation, code := range map[string]string{
			"verify": test.verify, "resend": test.resend, "revoke": test.revoke, "inspect": "",
		} {
			t.Run(name+"/"+operation, func(t *testing.T) {
				var o options
				if test.options != nil {
					o = test.options(t)
				}
				s := newServer(t, o)
				issued := s.generate(t, fields{})
				test.arrange(t, s, issued)
				request := fields{"context": issued.text("context")}
				switch {
				case operation == "verify":
					request["otp"] = issued.text("otp")
				case operation == "inspect" && test.state == "":
					code = "LEDGER_UNAVAILABLE"
				}
				a := s.post(t, "/v1/otp/"+operation, request.String())
				a.is(t, statuses[code], code)
				if operation == "inspect" && a.text("state") != test.state {
					t.Errorf("state is %q, want %q", a.text("state"), test.state)
				}
			})
		}
	}
}

func TestResendSaysHowLongToWait(t *testing.T) {
	for after, seconds := range map[time.Duration]int{0: 30, 500 * time.Millisecond: 30, time.Second: 29, cooldown - time.Millisecond: 1} {
		s := newServer(t, options{})
		issued := s.generate(t, fields{})
		s.now = s.now.Add(after)
		a := s.resend(t, issued.text("context"))
		a.is(t, 429, "COOLDOWN_DURATION_PENDING")
		if got := a.number(t, "retry_after_seconds"); got != seconds {
			t.Errorf("after %v: retry_after_seconds is %d, want %d", after, got, seconds)
		}
	}
}

func TestResendKeepsTheVerification(t *testing.T) {
	s := newServer(t, options{})
	first := s.post(t, "/v1/otp/generate", `{"identifier":"ada","metadata":{"n":1.50},"purpose":"login","length":9,"alphabet":"letters","expiry_seconds":100}`)
	wrong := s.verifyFor(t, "login", "wrong", first.text("context"))
	wrong.is(t, 400, "INVALID_OTP")
	s.now = s.now.Add(time.Minute)
	second := s.resend(t, wrong.text("context"))
	second.is(t, 200, "")
	for _, field := range []string{"id", "session_expires_at"} {
		if first.text(field) != second.text(field) {
			t.Errorf("%s is %s, was %s", field, second.text(field), first.text(field))
		}
	}
	if got, want := second.text("expires_at"), s.now.Add(100*time.Second).Format(time.RFC3339Nano); got != want {
		t.Errorf("expires_at is %s, want %s", got, want)
	}
	if otp := second.text("otp"); len(otp) != 9 || strings.Trim(otp, "BCDFGHJKLMNPQRSTVWXZ") != "" || otp == first.text("otp") {
		t.Errorf("the new code is %q after %q", otp, first.text("otp"))
	}
	if got := second.number(t, "attempts_remaining"); got != 2 {
		t.Errorf("attempts_remaining is %d, want 2", got)
	}
	inspected := s.inspect(t, second.text("context"))
	if inspected.number(t, "resends") != 1 || inspected.text("purpose") != "login" {
		t.Errorf("inspect says %s", inspected.body)
	}
	verified := s.verifyFor(t, "login", second.text("otp"), second.text("context"))
	verified.is(t, 200, "")
	if !strings.Contains(verified.body, `"metadata":{"n":1.50}`) || verified.number(t, "retry_count") != 1 {
		t.Errorf("verify says %s", verified.body)
	}
}

func (s *server) verifyFor(tb testing.TB, purpose, otp, context string) answer {
	tb.Helper()
	return s.post(tb, "/v1/otp/verify", fields{"otp": otp, "context": context, "purpose": purpose}.String())
}

func TestResendDoesNotOutliveTheSession(t *testing.T) {
	s := newServer(t, options{})
	first := s.generate(t, fields{})
	s.now = s.now.Add(sessionExpiry - time.Minute)
	second := s.resend(t, first.text("context"))
	if second.text("expires_at") != first.text("session_expires_at") {
		t.Errorf("expires_at is %s, want the end of the session, %s", second.text("expires_at"), first.text("session_expires_at"))
	}
}

func TestResendsAreLimited(t *testing.T) {
	s := newServer(t, options{})
	context := s.generate(t, fields{}).text("context")
	for range maxResends {
		s.now = s.now.Add(cooldown)
		a := s.resend(t, context)
		a.is(t, 200, "")
		context = a.text("context")
	}
	s.now = s.now.Add(cooldown)
	s.resend(t, context).is(t, 429, "MAX_RESENDS_EXCEEDED")
}

func TestResendChecksThePurposeIfGiven(t *testing.T) {
	for purpose, code := range map[string]string{"": "", "login": "", "payment": "CONTEXT_MISMATCH"} {
		s := newServer(t, options{})
		issued := s.generate(t, fields{"purpose": "login"})
		s.now = s.now.Add(cooldown)
		a := s.post(t, "/v1/otp/resend", fields{"context": issued.text("context"), "purpose": purpose}.String())
		if a.code() != code {
			t.Errorf("purpose %q: got %d %s, want %q", purpose, a.status, a.body, code)
		}
	}
}

func TestInspectShowsNoSecret(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"identifier": "ada@example.com", "metadata": fields{"cart": "c-4711"}, "purpose": "login"})
	a := s.inspect(t, issued.text("context"))
	want := `{"id":"` + issued.text("id") + `","purpose":"login","state":"active","attempts_remaining":3,` +
		`"expires_at":"2026-07-01T12:05:00Z","session_expires_at":"2026-07-01T12:15:00Z","resends":0}`
	if a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
}

func TestMissingFieldsAreNamed(t *testing.T) {
	for name, test := range map[string]struct{ path, body, want string }{
		"verify without anything":   {"/v1/otp/verify", `{}`, `["otp","context"]`},
		"verify with empty strings": {"/v1/otp/verify", `{"otp":"","context":""}`, `["otp","context"]`},
		"verify without otp":        {"/v1/otp/verify", `{"context":"x"}`, `["otp"]`},
		"verify without context":    {"/v1/otp/verify", `{"otp":"1"}`, `["context"]`},
		"send":                      {"/v1/otp/send", `{}`, `["channel","to"]`},
		"send to nobody":            {"/v1/otp/send", `{"channel":"email","to":"","fallback":["sms"]}`, `["to"]`},
		"send over nothing":         {"/v1/otp/send", `{"channel":"","to":"ada@example.com"}`, `["channel"]`},
		"refresh":                   {"/v1/tokens/refresh", `{}`, `["refresh_token"]`},
		"refresh an empty string":   {"/v1/tokens/refresh", `{"refresh_token":""}`, `["refresh_token"]`},
		"introspect":                {"/v1/tokens/introspect", `{}`, `["token"]`},
		"log out":                   {"/v1/tokens/revoke", `{"token":""}`, `["token"]`},
		"resend":                    {"/v1/otp/resend", `{"purpose":"login"}`, `["context"]`},
		"revoke":                    {"/v1/otp/revoke", `{}`, `["context"]`},
		"inspect":                   {"/v1/otp/inspect", `{"context":""}`, `["context"]`},
		"unlock":                    {"/v1/identifiers/unlock", `{}`, `["identifier"]`},
		"unlock an empty string":    {"/v1/identifiers/unlock", `{"identifier":""}`, `["identifier"]`},
		"enroll":                    {"/v1/devices/enroll", `{"issuer":"Shop"}`, `["identifier"]`},
		"enroll an empty string":    {"/v1/devices/enroll", `{"identifier":""}`, `["identifier"]`},
		"confirm":                   {"/v1/devices/confirm", `{}`, `["device","otp"]`},
		"confirm without otp":       {"/v1/devices/confirm", `{"device":"x","otp":""}`, `["otp"]`},
		"confirm without device":    {"/v1/devices/confirm", `{"device":"","otp":"1"}`, `["device"]`},
		"device":                    {"/v1/devices/verify", `{}`, `["device","otp"]`},
		"device and empty codes":    {"/v1/devices/verify", `{"device":"x","otp":"","backup_code":""}`, `["otp"]`},
		"code without device":       {"/v1/devices/verify", `{"otp":"1"}`, `["device"]`},
		"backup code alone":         {"/v1/devices/verify", `{"backup_code":"1"}`, `["device"]`},
		"match":                     {"/v1/devices/match", `{}`, `["devices","otp"]`},
		"match with no devices":     {"/v1/devices/match", `{"devices":[],"otp":"1"}`, `["devices"]`},
		"match without otp":         {"/v1/devices/match", `{"devices":["x"]}`, `["otp"]`},
		"inspect a device":          {"/v1/devices/inspect", `{"device":""}`, `["device"]`},
		"backup codes":              {"/v1/devices/backup-codes", `{}`, `["device"]`},
		"unlock a device":           {"/v1/devices/unlock", `{}`, `["device"]`},
		"resync":                    {"/v1/devices/resync", `{}`, `["device","otp","next_otp"]`},
		"resync without the second": {"/v1/devices/resync", `{"device":"x","otp":"1","next_otp":""}`, `["next_otp"]`},
		"reseal":                    {"/v1/devices/reseal", `{}`, `["devices"]`},
		"reseal no devices":         {"/v1/devices/reseal", `{"devices":[]}`, `["devices"]`},
		"disable":                   {"/v1/devices/disable", `{}`, `["device"]`},
		"challenge":                 {"/v1/challenges", `{"purpose":"login"}`, `["identifier"]`},
		"complete":                  {"/v1/challenges/verify", `{}`, `["challenge","device","otp"]`},
		"complete with what":        {"/v1/challenges/verify", `{"challenge":"x","otp":"1"}`, `["device"]`},
		"complete without a code":   {"/v1/challenges/verify", `{"challenge":"x","context":"y"}`, `["otp"]`},
		"complete nothing":          {"/v1/challenges/verify", `{"device":"x","backup_code":"1"}`, `["challenge"]`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newServer(t, options{}).post(t, test.path, test.body)
			a.is(t, 400, "MISSING_FIELDS")
			if !strings.Contains(a.body, `"fields":`+test.want) {
				t.Errorf("got %s, want the fields %s", a.body, test.want)
			}
		})
	}
}
