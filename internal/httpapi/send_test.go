package httpapi_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/ledger"
)

func TestSendAnswersAllButTheCode(t *testing.T) {
	s := newServer(t, options{})
	a, m := s.sent(t, mail.with("locale", "de").with("variables", fields{"app": "Shop"}).with("purpose", "login"))
	want := `{"context":…,"id":…,"expires_at":"2026-07-01T12:05:00Z","session_expires_at":"2026-07-01T12:15:00Z",` +
		`"attempts_remaining":3,"channel":"email","to_masked":"a•••@example.com","delivery_id":…}`
	if got := a.without("context", "id", "delivery_id"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if m.To != ada || m.ID != a.text("delivery_id") || m.VerificationID != a.text("id") || m.Purpose != "login" || m.Locale != "de" ||
		m.Variables["app"] != "Shop" || !m.SentAt.Equal(s.now) || !m.ExpiresAt.Equal(s.now.Add(expiry)) {
		t.Errorf("delivered %+v", m)
	}
	if len(m.Code) != 6 || strings.Contains(a.body, m.Code) {
		t.Errorf("the code %s is in %s", m.Code, a.body)
	}
	verified := s.verifyFor(t, "login", m.Code, a.text("context"))
	verified.is(t, 200, "")
	if verified.text("identifier") != ada {
		t.Errorf("got %s", verified.body)
	}
	s.undelivered(t)
}

func TestSendIsForTheAddressUnlessAnIdentifierIsGiven(t *testing.T) {
	for name, test := range map[string]struct {
		request                fields
		to, masked, identifier string
	}{
		"e-mail":             {fields{"channel": "email", "to": " Ada@Example.COM "}, "Ada@example.com", "A•••@example.com", "Ada@example.com"},
		"a short mailbox":    {fields{"channel": "email", "to": "a@example.com"}, "a@example.com", "•••@example.com", "a@example.com"},
		"phone":              {fields{"channel": "sms", "to": "+49 (151) 234-567.89"}, phone, "+49•••••••89", phone},
		"a null identifier":  {mail.with("identifier", nil), ada, "a•••@example.com", ada},
		"an identifier":      {mail.with("identifier", "user-17"), ada, "a•••@example.com", "user-17"},
		"for another person": {mail.with("identifier", bob), ada, "a•••@example.com", bob},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			a := s.sendCode(t, test.request)
			a.is(t, 200, "")
			m := slices.Concat(s.email.take(), s.sms.take())[0]
			if m.To != test.to || a.text("to_masked") != test.masked || a.text("channel") != test.request["channel"] {
				t.Errorf("sent to %s, answered %s", m.To, a.body)
			}
			verified := s.post(t, "/v1/otp/verify", fields{"otp": m.Code, "context": a.text("context"), "identifier": test.identifier}.String())
			verified.is(t, 200, "")
			if verified.text("identifier") != test.identifier {
				t.Errorf("got %s, want the identifier %s", verified.body, test.identifier)
			}
		})
	}
}

func TestSendTakesWhatGenerateTakes(t *testing.T) {
	s := newServer(t, options{})
	a, m := s.sent(t, mail.with("metadata", raw(`{"n":1.10}`)).with("purpose", "pay").with("binding", "10 EUR").with("length", 9).
		with("alphabet", "letters").with("max_retries", 5).with("expiry_seconds", 60).with("session_expiry_seconds", 90))
	if len(m.Code) != 9 || strings.Trim(m.Code, "BCDFGHJKLMNPQRSTVWXZ") != "" {
		t.Errorf("the code is %s", m.Code)
	}
	if a.number(t, "attempts_remaining") != 5 || a.text("expires_at") != "2026-07-01T12:01:00Z" || a.text("session_expires_at") != "2026-07-01T12:01:30Z" {
		t.Errorf("got %s", a.body)
	}
	s.verifyFor(t, "pay", m.Code, a.text("context")).is(t, 400, "CONTEXT_MISMATCH")
	verified := s.post(t, "/v1/otp/verify", fields{"otp": m.Code, "context": a.text("context"), "purpose": "pay", "binding": "10 EUR"}.String())
	verified.is(t, 200, "")
	if !strings.Contains(verified.body, `"metadata":{"n":1.10}`) {
		t.Errorf("got %s", verified.body)
	}
}

// variables returns so many variables with values of n bytes.
func variables(count, n int) fields {
	all := fields{}
	for i := range count {
		all[fmt.Sprintf("v%d", i)] = strings.Repeat("x", n)
	}
	return all
}

func TestBoundsOfSend(t *testing.T) {
	for name, test := range map[string]struct {
		request   fields // beside the channel and address
		field     string
		good, bad []any
	}{
		"channel": {
			field: "channel",
			good:  []any{"email", "console"},
			bad:   []any{canary, "Email", "email ", "push", "email\x00"},
		},
		"mail address": {
			request: fields{"channel": "email"}, field: "to",
			good: []any{
				"a@example.com", "  b@example.com  ", "o'hara+x@example.co.uk", `"a b"@example.org`, "müller@example.net", "d@bücher.example",
				strings.Repeat("x", 64) + "@example.com",
			},
			bad: []any{
				canary, canary + "@", "@example.com", canary + "@example", canary + "@@example.com", canary + " x@example.com",
				canary + "@example.com\r\nBcc: eve@example.com", canary + "@example.com\nRCPT TO:<eve@example.com>", "\r\n" + canary + "@example.com",
				canary + "\x00@example.com", canary + "@example.com\x00", canary + "\t@example.com", canary + "@exa\x7fmple.com", canary + "\u0085@example.com",
				canary + "@example.com\u202e", "Ada <" + canary + "@example.com>", "<" + canary + "@example.com>", canary + "@[127.0.0.1]", canary + "@127.0.0.1",
				canary + "@example.com,eve@example.com", canary + "@example.com;eve@example.com", canary + ".@example.com", canary + "..x@example.com",
				strings.Repeat("x", 65) + "@example.com", canary + "@" + strings.Repeat("x.", 120) + "example", "mailto:" + canary + "@example.com?cc=eve@example.com",
				strings.Repeat("x", 15000) + "@example.com",
			},
		},
		"phone number": {
			request: fields{"channel": "sms"}, field: "to",
			good: []any{phone, "+49 151 23456780", "+1 (202) 555-0123", "+44.7400.123456"},
			bad: []any{
				canary, "+" + canary, "015123456789", "4915123456789", "+49", "+0015123456789", "+49151234567890123456", "+4915123456789;ext=1", phone + "\r\n", phone + "\x00",
				"+999123456789", phone + "," + phone, "tel:" + phone, "+４９15123456789", "+49 151 23456789\n+49 151 23456780", strings.Repeat("+", 15000),
			},
		},
		"any text": {
			request: fields{"channel": "console"}, field: "to",
			good: []any{"x", "user 17", strings.Repeat("é", 160)},
			bad:  []any{strings.Repeat("é", 160) + "x", canary + "\r\n", "\x00", canary + "\x1b[2J", "\x7f"},
		},
		"locale": {
			field: "locale",
			good:  []any{"", "en", "de", "pt-BR", "zh-Hant-TW", "x-klingon", "DE", "tlh"},
			bad:   []any{canary + "_x", "de_DE", "de\r\n", "de\x00", "é", "d", "de-", strings.Repeat("de-", 22) + canary, "../de", "de;q=1"},
		},
		"template": {
			field: "template",
			good:  []any{"", "code"},
			bad:   []any{canary, "Code", "../code", "code.en", "code\x00", "code\r\n", "/etc/passwd", "{{code}}", strings.Repeat("x", 15000)},
		},
		"variables": {
			field: "variables",
			good: []any{
				fields{}, fields{"app": ""}, fields{"app": `<b>"&{{code}}`}, fields{"a": strings.Repeat("é", 100)}, fields{strings.Repeat("a", 32): "x"}, fields{"a_1": "x"},
				variables(10, 20), fields{"null": "null"},
			},
			bad: []any{
				variables(11, 1), variables(10, 100), variables(1, 201), fields{"a": strings.Repeat("é", 100) + "x"},
				fields{"App": canary}, fields{"": canary}, fields{"1a": canary}, fields{"_a": canary}, fields{"a-b": canary}, fields{"a.b": canary}, fields{"é": canary},
				fields{strings.Repeat("a", 33): canary}, fields{canary + "\r\n": "x"}, fields{"a": canary + "\r\nBcc: eve@example.com"}, fields{"a": canary + "\n"},
				fields{"a": canary + "\x00"}, fields{"a": "\x1b[2J" + canary}, fields{"a": "\x7f"}, fields{"a": "\u0085" + canary}, fields{"a": "\u2028" + canary}, fields{"a": "\u2029"},
				fields{"a": "\u202e" + canary}, fields{"a": "\u2066" + canary},
				fields{"code": canary}, fields{"minutes": canary}, fields{"purpose": canary}, fields{"zero": "x"}, fields{"one": "x"}, fields{"two": "x"},
				fields{"few": "x"}, fields{"many": "x"}, fields{"other": "x"},
				fields{"a": nil}, fields{"a": 5281}, fields{"a": true}, fields{"a": []string{canary}}, fields{"a": fields{"b": canary}}, raw(`{"a":"x","b":null}`),
			},
		},
		"fallback": {
			field: "fallback",
			good: []any{
				[]any{}, []any{"console"}, []any{"console", "email", "console"}, []any{fields{"channel": "console"}}, []any{fields{"channel": "console", "to": ""}},
				[]any{fields{"channel": "sms", "to": phone}, "console", fields{"to": "eve", "channel": "console"}},
			},
			bad: []any{
				[]any{"console", "console", "console", "console"}, []any{canary}, []any{""}, []any{"Console"}, []any{"sms"}, []any{"console", "sms"},
				[]any{fields{}}, []any{fields{"to": canary}}, []any{fields{"channel": canary}}, []any{fields{"channel": ""}}, []any{fields{"channel": "sms", "to": canary}},
				[]any{fields{"channel": "email", "to": canary + "@example.com\r\nBcc: eve@example.com"}}, []any{fields{"channel": "console", "to": "a\nb"}},
				[]any{nil}, []any{"console", nil}, []any{nil, "console"}, []any{5281}, []any{true}, []any{[]string{"console"}}, []any{[]any{}},
				[]any{fields{"channel": nil}}, []any{fields{"channel": "console", "to": nil}}, []any{fields{"channel": 5281}}, []any{fields{"channel": "console", "to": 5281}},
				[]any{fields{"channel": []string{"console"}}}, []any{fields{"channel": "console", "to": fields{"a": canary}}},
				[]any{fields{"Channel": "console"}}, []any{fields{"channel": "console", "To": "x"}}, []any{fields{"channel": "console", "x": canary}},
				[]any{fields{"channel": "console", "x": nil}}, []any{fields{"channel": "console", "fallback": []any{"console"}}},
				raw(`[{"channel":"console","channel":"console"}]`), raw(`[{"channel":"console","to":"a","to":"b"}]`), raw(`["console",{"channel":"sms","channel":"sms"}]`),
				[]any{fields{"channel": "console", "to": strings.Repeat("x", 321)}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			post := func(kind string, i int, value any) answer {
				request := fields{"channel": "email"}
				if test.request != nil {
					request = test.request
				}
				if test.field != "to" {
					request = request.with("to", fmt.Sprintf("%s%d@example.com", kind, i))
				}
				return s.sendCode(t, request.with(test.field, value))
			}
			for i, value := range test.good {
				if a := post("good", i, value); a.status != 200 {
					t.Errorf("%.60q: got %d %s", value, a.status, a.body)
				}
			}
			s.email.take()
			s.sms.take()
			s.console.take()
			s.events = nil
			for i, value := range test.bad {
				a := post("bad", i, value)
				if a.status != 400 || a.code() != "INVALID_REQUEST" || a.text("field") != test.field {
					t.Errorf("%.60q: got %d %s", value, a.status, a.body)
				}
				quotesNothing(t, a)
			}
			s.undelivered(t)
			if len(s.events) > 0 {
				t.Errorf("the audit log was told %+v", s.events)
			}
		})
	}
}

func TestWhatAContextKeepsOfASendIsBounded(t *testing.T) {
	s := newServer(t, options{})
	long := func(n int) string { return strings.Repeat("x", 300) + fmt.Sprint(n) }
	a := s.sendCode(t, fields{"channel": "console", "to": long(0), "fallback": []any{
		fields{"channel": "console", "to": long(1)}, fields{"channel": "console", "to": long(2)}, fields{"channel": "console", "to": long(3)},
	}})
	a.is(t, 400, "INVALID_REQUEST")
	s.undelivered(t)
}

// What is wrong within a list or an object is said in the same words as elsewhere.
func TestWhatIsWrongWithinAFieldIsExplained(t *testing.T) {
	s := newServer(t, options{})
	const (
		listed = "The field fallback must be a list of channels, or of objects with channel and to."
		named  = "The field variables must be an object whose values are strings."
	)
	for value, want := range map[raw]string{
		`"fallback":[1]`:                                 listed,
		`"fallback":[null]`:                              listed,
		`"fallback":"sms"`:                               listed,
		`"fallback":[{"x":1}]`:                           listed,
		`"fallback":[{"channel":"sms","to":null}]`:       listed,
		`"fallback":[{"channel":"sms","channel":"sms"}]`: "The field fallback has a name twice.",
		`"fallback":[{"channel":"sms"`:                   "The field fallback is not valid JSON.",
		`"fallback":["sms",`:                             "The field fallback is not valid JSON.",
		`"fallback":[{"channel":'sms'}]`:                 "The field fallback is not valid JSON.",
		`"fallback":null`:                                "The field fallback must not be null.",
		`"variables":[1]`:                                named,
		`"variables":{"a":1}`:                            named,
		`"variables":{"a":null}`:                         named,
		`"variables":{"a":"x","a":"y"}`:                  "The field variables has a name twice.",
		`"variables":{"a":`:                              "The field variables is not valid JSON.",
		`"variables":null`:                               "The field variables must not be null.",
	} {
		a := s.post(t, "/v1/otp/send", `{"channel":"email","to":"`+ada+`",`+string(value)+`}`)
		if a.code() != "INVALID_REQUEST" || a.text("error") != want {
			t.Errorf("%s: got %s, want %s", value, a.body, want)
		}
	}
	s.undelivered(t)
}

func TestChannelThatIsNotSetUp(t *testing.T) {
	s := newServer(t, options{})
	for _, request := range []fields{
		{"channel": "webhook", "to": ada}, mail.with("fallback", []any{"webhook"}), mail.with("fallback", []any{"console", fields{"channel": "webhook", "to": "x"}}),
	} {
		s.sendCode(t, request).is(t, 400, "CHANNEL_NOT_CONFIGURED")
	}
	s.undelivered(t)
	s.sent(t, mail) // nothing was counted
}

var (
	refused = &delivery.Failure{Permanent: true, Reason: "the mail server refused the recipient (550 5.1.1)"}
	busy    = &delivery.Failure{Reason: "the mail server is busy (451 4.3.0)"}
)

func TestWhatIsNotDeliveredIsNotCounted(t *testing.T) {
	for name, test := range map[string]struct {
		failure *delivery.Failure
		status  int
		code    string
		text    string
	}{
		"for good": {refused, 422, "UNDELIVERABLE", "The code could not be delivered: the mail server refused the recipient (550 5.1.1)."},
		"for now":  {busy, 502, "DELIVERY_FAILED", "The code could not be delivered: the mail server is busy (451 4.3.0)."},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			s.email.fail(test.failure)
			for range 3 {
				a := s.sendCode(t, mail)
				a.is(t, test.status, test.code)
				want := `{"error":"` + test.text + `","error_code":"` + test.code + `","request_id":"` + requestID + `"}`
				if a.body != want || a.header.Get("Retry-After") != "" {
					t.Errorf("got  %s\nwant %s", a.body, want)
				}
			}
			s.email.fail(nil)
			s.sent(t, mail)
		})
	}
}

func TestFallbackIsTried(t *testing.T) {
	s := newServer(t, options{})
	request := mail.with("fallback", []any{fields{"channel": "sms", "to": "+49 151 23456789"}, "console"})
	s.email.fail(refused)
	a := s.sendCode(t, request)
	a.is(t, 200, "")
	if a.text("channel") != "sms" || a.text("to_masked") != "+49•••••••89" {
		t.Errorf("got %s", a.body)
	}
	m := s.sms.only(t)
	if m.To != phone || m.ID != a.text("delivery_id") {
		t.Errorf("delivered %+v", m)
	}
	s.verify(t, m.Code, a.text("context")).is(t, 200, "")

	s.sms.fail(busy)
	a = s.sendCode(t, request.with("fallback", []any{fields{"channel": "sms", "to": "+4915123456780"}, "console"}))
	a.is(t, 200, "")
	if m := s.console.only(t); a.text("channel") != "console" || m.To != ada {
		t.Errorf("got %s, delivered to %s", a.body, m.To)
	}

	s.console.fail(busy)
	s.sendCode(t, mail.with("to", bob).with("fallback", []any{"console"})).is(t, 502, "DELIVERY_FAILED") // the last one's
	s.email.fail(nil)
	s.console.fail(nil)
	s.undelivered(t)
	s.sent(t, request) // by mail, where none of it has counted
}

func TestRecipientsAreLimited(t *testing.T) {
	s := newServer(t, options{})
	s.sent(t, mail)
	for _, same := range []string{ada, "ADA@example.com", "ada@EXAMPLE.com", "ada+x@example.com", " ada@example.com"} {
		a := s.sendCode(t, mail.with("to", same).with("identifier", "user-17").with("purpose", "p").with("fallback", []any{"console"}))
		a.is(t, 429, "SEND_LIMIT_EXCEEDED")
		want := `{"error":"Too many messages. The next can be sent in 60 seconds.","error_code":"SEND_LIMIT_EXCEEDED","request_id":"` + requestID + `","retry_after_seconds":60}`
		if a.body != want || a.header.Get("Retry-After") != "60" {
			t.Errorf("%s: got %s, Retry-After: %s", same, a.body, a.header.Get("Retry-After"))
		}
	}
	s.undelivered(t)
	s.sent(t, mail.with("to", bob))
	s.sendCode(t, mail.with("channel", "console")).is(t, 200, "") // a limit of its own
	s.console.take()

	for after, seconds := range map[time.Duration]int{500 * time.Millisecond: 60, time.Second: 59, time.Minute - time.Millisecond: 1} {
		s.now = time.Unix(at, 0).UTC().Add(after)
		if a := s.sendCode(t, mail); a.number(t, "retry_after_seconds") != seconds {
			t.Errorf("after %v: got %s, want %d seconds", after, a.body, seconds)
		}
	}
	for minute := 1; minute <= 4; minute++ {
		s.now = time.Unix(at, 0).UTC().Add(time.Duration(minute) * time.Minute)
		s.sent(t, mail)
	}
	s.now = time.Unix(at, 0).UTC().Add(5 * time.Minute)
	if a := s.sendCode(t, mail); a.number(t, "retry_after_seconds") != 300 {
		t.Errorf("a sixth in ten minutes: got %s", a.body)
	}
	s.now = time.Unix(at, 0).UTC().Add(10 * time.Minute)
	s.sent(t, mail)
}

func TestGmailAddressesThatAreOneAreLimitedAsOne(t *testing.T) {
	s := newServer(t, options{})
	_, m := s.sent(t, mail.with("to", "ada.love+x@gmail.com"))
	if m.To != "ada.love+x@gmail.com" { // for counting only
		t.Errorf("sent to %s", m.To)
	}
	for _, same := range []string{"adalove@gmail.com", "a.d.a.l.o.v.e@googlemail.com"} {
		s.sendCode(t, mail.with("to", same)).is(t, 429, "SEND_LIMIT_EXCEEDED")
	}
	s.sent(t, mail.with("to", "ada.love@example.com"))
	s.sent(t, mail.with("to", "adalove@example.com"))
}

func TestLimitsAreOfOneNamespace(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	for _, secret := range []string{shopSecret, bankSecret} {
		s.bearer = secret
		s.sent(t, mail)
		s.sendCode(t, mail).is(t, 429, "SEND_LIMIT_EXCEEDED")
	}
	s.bearer = shopSecret2
	s.sendCode(t, mail).is(t, 429, "SEND_LIMIT_EXCEEDED")
}

func TestMessagesToOneCallingCodeHaveABudget(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	text := func(number string) answer { return s.sendCode(t, fields{"channel": "sms", "to": number}) }
	for i := range smsBudget {
		text(fmt.Sprintf("+491512345678%d", i)).is(t, 200, "")
	}
	a := text("+4915123456789")
	a.is(t, 429, "SEND_LIMIT_EXCEEDED")
	if a.number(t, "retry_after_seconds") != 3600 {
		t.Errorf("got %s", a.body)
	}
	text("+12025550123").is(t, 200, "")
	s.bearer = bankSecret
	text("+4915123456789").is(t, 200, "")
	s.bearer = shopSecret
	s.now = s.now.Add(time.Hour)
	text("+4915123456789").is(t, 200, "")
}

func TestWithoutALedgerThereAreNoLimits(t *testing.T) {
	s := newServer(t, options{ledger: ledger.None{}})
	for range 25 {
		s.sent(t, mail)
	}
	for range smsBudget + 1 {
		s.sendCode(t, fields{"channel": "sms", "to": phone}).is(t, 200, "")
	}
}

func TestDecoyIsNotSentAndLooksAlike(t *testing.T) {
	s := newServer(t, options{})
	request := mail.with("purpose", "login").with("variables", fields{"app": "Shop"})
	genuine, _ := s.sent(t, request.with("decoy", false)) // whose time the decoys take, too
	decoy := s.sendCode(t, request.with("to", bob).with("decoy", true))
	decoy.is(t, 200, "")
	s.undelivered(t)
	differing := []string{"context", "id", "delivery_id", "to_masked"}
	if decoy.without(differing...) != genuine.without(differing...) || len(decoy.body) != len(genuine.body) {
		t.Errorf("the decoy is answered\n%s, a code\n%s", decoy.body, genuine.body)
	}
	if decoy.text("to_masked") != "b•••@example.com" || len(decoy.text("context")) != len(genuine.text("context")) {
		t.Errorf("got %s", decoy.body)
	}
	if a := s.inspect(t, decoy.text("context")); a.text("state") != "active" || a.number(t, "attempts_remaining") != maxRetries {
		t.Errorf("got %s", a.body)
	}
	for range maxRetries {
		s.verifyFor(t, "login", "000000", decoy.text("context")).is(t, 400, "INVALID_OTP")
	}
	s.verifyFor(t, "login", "000000", decoy.text("context")).is(t, 429, "MAX_RETRIES_EXCEEDED")

	limited := s.sendCode(t, request.with("to", bob).with("decoy", true))
	if a := s.sendCode(t, request); a.body != limited.body || a.code() != "SEND_LIMIT_EXCEEDED" {
		t.Errorf("a decoy is limited by %s, a code by %s", limited.body, a.body)
	}
}

func TestDecoyFailsAsCodesDo(t *testing.T) {
	s := newServer(t, options{})
	s.email.fail(busy)
	genuine := s.sendCode(t, mail)
	decoy := s.sendCode(t, mail.with("decoy", true))
	if genuine.body != decoy.body || decoy.code() != "DELIVERY_FAILED" {
		t.Errorf("a code: %s, a decoy: %s", genuine.body, decoy.body)
	}
}

func TestSentCodesAreTheirNamespaces(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	a, m := s.sent(t, mail)
	s.bearer = bankSecret
	s.verify(t, m.Code, a.text("context")).is(t, 400, "INVALID_CONTEXT")
	s.bearer = shopSecret2
	s.verify(t, m.Code, a.text("context")).is(t, 200, "")
}

// stall makes deliveries by b wait until release is called. Each that begins to wait is told to waiting.
func (b *box) stall(tb testing.TB) (waiting <-chan struct{}, release func()) {
	begun, end := make(chan struct{}, 1000), make(chan struct{})
	release = sync.OnceFunc(func() { close(end) })
	tb.Cleanup(release)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.during = func() {
		begun <- struct{}{}
		<-end
	}
	return begun, release
}

// wait fails the test unless something comes out of c in time.
func wait[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case value := <-c:
		return value
	case <-time.After(30 * time.Second):
		tb.Fatal("waited in vain")
		panic("unreachable")
	}
}

func TestChannelThatStallsIsOverloaded(t *testing.T) {
	const most = 64
	s := newServer(t, options{})
	waiting, release := s.email.stall(t)
	answers := make(chan answer, most)
	for i := range most {
		r := s.request(http.MethodPost, "/v1/otp/send", mail.with("to", fmt.Sprintf("user%d@example.com", i)).String())
		go func() { answers <- s.serve(r) }()
	}
	for range most {
		wait(t, waiting)
	}
	a := s.sendCode(t, mail)
	a.is(t, 503, "OVERLOADED")
	if a.header.Get("Retry-After") != "1" || !strings.Contains(a.text("error"), "Nothing was sent") {
		t.Errorf("got %s, Retry-After: %s", a.body, a.header.Get("Retry-After"))
	}
	s.sendCode(t, mail.with("channel", "console")).is(t, 200, "") // each channel for itself
	s.stillGood(t, s.generate(t, fields{}))
	release()
	for range most {
		if a := wait(t, answers); a.status != http.StatusOK {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
	s.email.take()
	s.sent(t, mail) // the one that was refused has not counted
}

func TestPanicOfAChannelIsToldToNobody(t *testing.T) {
	s := newServer(t, options{logLevel: slog.LevelDebug})
	s.email.during = func() { panic("code 271828 of " + ada) }
	for range 100 { // which is more than may be under way
		s.now = s.now.Add(24 * time.Hour)
		s.sendCode(t, mail).is(t, 500, "INTERNAL_ERROR")
	}
	if log := s.log.String(); strings.Contains(log, "271828") || strings.Contains(log, ada) || !strings.Contains(log, `"msg":"panic"`) {
		t.Errorf("the log is %s", log)
	}
	s.email.during = nil
	s.now = s.now.Add(24 * time.Hour)
	s.sent(t, mail)
}

func TestNothingIsSentWhileTheLedgerIsDown(t *testing.T) {
	l := newUnsteadyLedger(t)
	s := newServer(t, options{ledger: l})
	issued, _ := s.sent(t, mail.with("fallback", []any{"console"}))
	s.now = s.now.Add(cooldown)
	l.breakDown()
	for name, a := range map[string]answer{
		"send":          s.sendCode(t, mail.with("to", bob)),
		"send a decoy":  s.sendCode(t, mail.with("to", bob).with("decoy", true)),
		"send with key": s.keyed(t, "/v1/otp/send", "1", mail.with("to", bob)),
		"resend":        s.resend(t, issued.text("context")),
		"resend, keyed": s.keyed(t, "/v1/otp/resend", "2", fields{"context": issued.text("context")}),
	} {
		if a.status != 503 || a.code() != "LEDGER_UNAVAILABLE" || a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: got %d %s", name, a.status, a.body)
		}
	}
	s.undelivered(t)
	l.recover()
	s.sent(t, mail.with("to", bob))
	s.resend(t, issued.text("context")).is(t, 200, "")
	s.console.only(t)
}
