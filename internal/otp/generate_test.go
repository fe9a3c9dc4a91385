package otp

import (
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
)

func TestGenerateDefaults(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.clock = start.Add(123456789 * time.Nanosecond)
	issued := f.mustGenerate(t, GenerateRequest{})
	now := start.Add(123 * time.Millisecond)
	want := Issued{
		OTP: issued.OTP, Context: issued.Context, ID: issued.ID,
		ExpiresAt: now.Add(300 * time.Second), SessionExpiresAt: now.Add(900 * time.Second), AttemptsRemaining: 3,
	}
	if issued != want {
		t.Errorf("issued %+v\nwant   %+v", issued, want)
	}
	claims := f.claims(t, issued.Context)
	wantClaims := &otpcontext.Claims{
		OTPHash: sha256.Sum256([]byte(issued.OTP)), Timestamp: 1767225600.123, OTPExpiry: 1767225900.123,
		SessionExpiry: 1767226500.123, MaxRetries: 3, ID: issued.ID,
	}
	if !reflect.DeepEqual(claims, wantClaims) {
		t.Errorf("claims %+v\nwant   %+v", claims, wantClaims)
	}
	if again := f.mustGenerate(t, GenerateRequest{}); again.ID == issued.ID || len(issued.ID) != 22 {
		t.Errorf("the ids are %s and %s", issued.ID, again.ID)
	}
}

func TestGenerateTakesTheServicesDefaults(t *testing.T) {
	f := newFixture(t, newMemory(t), func(c *Config) {
		c.Expiry, c.SessionExpiry, c.MaxRetries, c.Length, c.Alphabet = time.Second, time.Minute, 10, 12, Letters
	})
	issued := f.mustGenerate(t, GenerateRequest{})
	if len(issued.OTP) != 12 || strings.Trim(issued.OTP, alphabets[Letters]) != "" || issued.AttemptsRemaining != 10 ||
		!issued.ExpiresAt.Equal(start.Add(time.Second)) || !issued.SessionExpiresAt.Equal(start.Add(time.Minute)) {
		t.Errorf("issued %+v", issued)
	}
	named := f.mustGenerate(t, GenerateRequest{Alphabet: pointer(Numeric), Length: pointer(6)})
	if claims := f.claims(t, named.Context); claims.Alphabet != "" || claims.Length != 0 {
		t.Errorf("the usual alphabet and length are named: %+v", claims)
	}
}

// One expiry that is given moves the default of the other.
func TestExpiries(t *testing.T) {
	tests := []struct {
		name                  string
		code, session         *int
		wantCode, wantSession time.Duration
	}{
		{"neither", nil, nil, 300 * time.Second, 900 * time.Second},
		{"a short code", pointer(60), nil, 60 * time.Second, 900 * time.Second},
		{"a code as long as the session", pointer(900), nil, 900 * time.Second, 900 * time.Second},
		{"a code longer than the session", pointer(1200), nil, 1200 * time.Second, 1200 * time.Second},
		{"a long session", nil, pointer(3600), 300 * time.Second, 3600 * time.Second},
		{"a session shorter than the code", nil, pointer(60), 60 * time.Second, 60 * time.Second},
		{"both", pointer(10), pointer(20), 10 * time.Second, 20 * time.Second},
		{"both, the same", pointer(20), pointer(20), 20 * time.Second, 20 * time.Second},
		{"the least", pointer(1), pointer(1), time.Second, time.Second},
		{"the most", pointer(86400), pointer(86400), 24 * time.Hour, 24 * time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			issued := f.mustGenerate(t, GenerateRequest{ExpirySeconds: test.code, SessionExpirySeconds: test.session})
			code, session := issued.ExpiresAt.Sub(start), issued.SessionExpiresAt.Sub(start)
			if code != test.wantCode || session != test.wantSession {
				t.Errorf("%v and %v, want %v and %v", code, session, test.wantCode, test.wantSession)
			}
		})
	}
}

func TestGenerateBounds(t *testing.T) {
	text := func(n int) *string { return pointer(strings.Repeat("a", n)) }
	metadata := func(n int) jsontext.Value { return jsontext.Value(`"` + *text(n - 2) + `"`) }
	nested := func(n int) jsontext.Value {
		return jsontext.Value(strings.Repeat(`[{"[[":`, n/2) + `"\"[["` + strings.Repeat("}]", n/2))
	}
	tests := []struct {
		name    string
		request GenerateRequest
		field   string // to blame; empty where the request is good
	}{
		{"identifier of 320 bytes", GenerateRequest{Identifier: text(320)}, ""},
		{"identifier of 321 bytes", GenerateRequest{Identifier: text(321)}, "identifier"},
		{"identifier of 321 bytes in fewer characters", GenerateRequest{Identifier: pointer(strings.Repeat("é", 160) + "a")}, "identifier"},
		{"empty identifier", GenerateRequest{Identifier: text(0)}, ""},
		{"identifier with NUL", GenerateRequest{Identifier: pointer("a\x00")}, "identifier"},
		{"identifier with a line break", GenerateRequest{Identifier: pointer("a\nb")}, "identifier"},
		{"identifier with DEL", GenerateRequest{Identifier: pointer("\x7f")}, "identifier"},
		{"identifier not in UTF-8", GenerateRequest{Identifier: pointer("\xff")}, "identifier"},
		{"purpose of 64 bytes", GenerateRequest{Purpose: *text(64)}, ""},
		{"purpose of 65 bytes", GenerateRequest{Purpose: *text(65)}, "purpose"},
		{"purpose with a tab", GenerateRequest{Purpose: "a\tb"}, "purpose"},
		{"purpose not in UTF-8", GenerateRequest{Purpose: "\xff"}, "purpose"},
		{"binding of 1024 bytes", GenerateRequest{Binding: *text(1024)}, ""},
		{"binding of 1025 bytes", GenerateRequest{Binding: *text(1025)}, "binding"},
		{"binding with line breaks", GenerateRequest{Binding: "10 EUR\nto Ann\x00"}, ""},
		{"metadata of 4096 bytes", GenerateRequest{Metadata: metadata(4096)}, ""},
		{"metadata of 4097 bytes", GenerateRequest{Metadata: metadata(4097)}, "metadata"},
		{"metadata of 4096 bytes and white space", GenerateRequest{Metadata: append(metadata(4096), "   \n"...)}, ""},
		{"metadata null", GenerateRequest{Metadata: jsontext.Value(`null`)}, ""},
		{"metadata 64 levels deep", GenerateRequest{Metadata: nested(64)}, ""},
		{"metadata 65 levels deep", GenerateRequest{Metadata: jsontext.Value("[" + string(nested(64)) + "]")}, "metadata"},
		{"wide metadata", GenerateRequest{Metadata: jsontext.Value("[" + strings.Repeat("[],", 500) + "{}]")}, ""},
		{"metadata that is not JSON", GenerateRequest{Metadata: jsontext.Value(`{`)}, "metadata"},
		{"metadata with a name twice", GenerateRequest{Metadata: jsontext.Value(`{"a":1,"a":2}`)}, "metadata"},
		{"metadata not in UTF-8", GenerateRequest{Metadata: jsontext.Value("\"\xff\"")}, "metadata"},
		{"metadata that is empty", GenerateRequest{Metadata: jsontext.Value{}}, "metadata"},
		{"length 5", GenerateRequest{Length: pointer(5)}, "length"},
		{"length 6", GenerateRequest{Length: pointer(6)}, ""},
		{"length 12", GenerateRequest{Length: pointer(12)}, ""},
		{"length 13", GenerateRequest{Length: pointer(13)}, "length"},
		{"length 0", GenerateRequest{Length: pointer(0)}, "length"},
		{"unknown alphabet", GenerateRequest{Alphabet: pointer("hex")}, "alphabet"},
		{"alphabet in another case", GenerateRequest{Alphabet: pointer("Numeric")}, "alphabet"},
		{"max_retries -1", GenerateRequest{MaxRetries: pointer(-1)}, "max_retries"},
		{"max_retries 0", GenerateRequest{MaxRetries: pointer(0)}, ""},
		{"max_retries 10", GenerateRequest{MaxRetries: pointer(10)}, ""},
		{"max_retries 11", GenerateRequest{MaxRetries: pointer(11)}, "max_retries"},
		{"expiry 0", GenerateRequest{ExpirySeconds: pointer(0)}, "expiry_seconds"},
		{"expiry -1", GenerateRequest{ExpirySeconds: pointer(-1)}, "expiry_seconds"},
		{"expiry a second too long", GenerateRequest{ExpirySeconds: pointer(86401)}, "expiry_seconds"},
		{"session expiry 0", GenerateRequest{SessionExpirySeconds: pointer(0)}, "session_expiry_seconds"},
		{"session expiry a second too long", GenerateRequest{SessionExpirySeconds: pointer(86401)}, "session_expiry_seconds"},
		{"session a second less than the code", GenerateRequest{ExpirySeconds: pointer(60), SessionExpirySeconds: pointer(59)}, "session_expiry_seconds"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			issued, err := f.Generate(f.caller, test.request)
			bad, isField := errors.AsType[*FieldError](err)
			switch {
			case test.field == "" && err != nil:
				t.Errorf("Generate: %v", err)
			case test.field != "" && (!isField || bad.Field != test.field || bad.Reason == ""):
				t.Errorf("Generate: %v, want one that blames %s", err, test.field)
			case test.field != "" && issued != Issued{}:
				t.Errorf("issued %+v all the same", issued)
			}
			if events := f.eventNames(); test.field != "" && events != nil {
				t.Errorf("events %v, want none", events)
			}
		})
	}
}

func TestGeneratedContextHoldsWhatItMay(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller.Namespace = strings.Repeat("n", otpcontext.MaxNamespace)
	const page = "https://example.com/"
	delivery := jsontext.Value(`{"a":"` + strings.Repeat("a", otpcontext.MaxDelivery-8) + `"}`)
	issued, _, err := f.GenerateFor(f.caller, GenerateRequest{
		Identifier: pointer(strings.Repeat(`"`, otpcontext.MaxIdentifier)),
		Metadata:   jsontext.Value(`"` + strings.Repeat("a", otpcontext.MaxMetadata-2) + `"`),
		Purpose:    strings.Repeat(`"`, otpcontext.MaxPurpose), Binding: "x", Alphabet: pointer(Alphanumeric), Length: pointer(12),
		SourceURL: page + strings.Repeat("a", otpcontext.MaxSourceURL-len(page)),
	}, delivery)
	if err != nil || len(issued.Context) > otpcontext.MaxToken {
		t.Fatalf("%d characters, %v", len(issued.Context), err)
	}
	f.claims(t, issued.Context)
	f.clock = start.Add(time.Minute)
	renewed, err := f.resend(issued.Context)
	if err != nil || len(renewed.Context) > otpcontext.MaxToken {
		t.Fatalf("renewed: %d characters, %v", len(renewed.Context), err)
	}
}

func TestDefaultContextIsUnder500Characters(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.clock = start.Add(123 * time.Millisecond)
	issued := f.mustGenerate(t, GenerateRequest{Identifier: pointer("somebody@example.invalid")})
	if len(issued.Context) >= 500 {
		t.Errorf("%d characters", len(issued.Context))
	}
}

// A decoy is told from another context by nothing but that no code verifies it.
func TestDecoy(t *testing.T) {
	for _, l := range ledgers {
		t.Run(l.name, func(t *testing.T) {
			f := newFixture(t, l.open(t))
			request := GenerateRequest{Identifier: pointer("Ann"), Alphabet: pointer(Letters), Length: pointer(8)}
			plain := f.mustGenerate(t, request)
			request.Decoy = true
			decoy := f.mustGenerate(t, request)
			sameShape := func(plain, decoy Issued) {
				t.Helper()
				if len(decoy.OTP) != len(plain.OTP) || len(decoy.Context) != len(plain.Context) || len(decoy.ID) != len(plain.ID) {
					t.Errorf("%+v and\n%+v differ in length", decoy, plain)
				}
				decoy.OTP, decoy.Context, decoy.ID = plain.OTP, plain.Context, plain.ID
				if decoy != plain {
					t.Errorf("%+v and\n%+v differ", decoy, plain)
				}
				if strings.Trim(decoy.OTP, alphabets[Letters]) != "" {
					t.Errorf("the code is %q", decoy.OTP)
				}
			}
			sameShape(plain, decoy)
			if claims := f.claims(t, decoy.Context); codeMatches(claims.OTPHash, decoy.OTP) {
				t.Error("the decoy's hash is that of its code")
			}

			_, err := f.try(decoy.Context, decoy.OTP)
			wrongDecoy, ok := errors.AsType[*WrongCodeError](err)
			if !ok {
				t.Fatalf("a decoy's own code: %v", err)
			}
			wrong := f.mustBeWrong(t, plain.Context)
			if wrongDecoy.AttemptsRemaining != wrong.AttemptsRemaining || len(wrongDecoy.Context) != len(wrong.Context) {
				t.Errorf("%+v and\n%+v differ", wrongDecoy, wrong)
			}

			f.clock = start.Add(time.Minute)
			plain, err = f.resend(wrong.Context)
			decoy, decoyErr := f.resend(wrongDecoy.Context)
			if err != nil || decoyErr != nil {
				t.Fatal(err, decoyErr)
			}
			sameShape(plain, decoy)
			_, err = f.try(decoy.Context, decoy.OTP)
			if _, ok := errors.AsType[*WrongCodeError](err); !ok {
				t.Errorf("a resent decoy's own code: %v", err)
			}
		})
	}
}

// Not even the code whose hash it holds verifies a decoy.
func TestDecoyWithAHashThatMatches(t *testing.T) {
	f := newFixture(t, newMemory(t))
	issued := f.mustGenerate(t, GenerateRequest{})
	decoy := f.reseal(t, issued.Context, func(c *otpcontext.Claims) { c.Decoy = true })
	_, err := f.try(decoy, issued.OTP)
	if _, ok := errors.AsType[*WrongCodeError](err); !ok {
		t.Errorf("Verify: %v", err)
	}
}
