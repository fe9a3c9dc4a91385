package device

import (
	"encoding/base32"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

func TestEnrollDefaults(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller.Namespace = "shop"
	enrolled, err := f.Enroll(f.caller, EnrollRequest{Identifier: ann})
	if err != nil {
		t.Fatal(err)
	}
	description, err := Describe(f.sealer, enrolled.Device)
	if err != nil {
		t.Fatal(err)
	}
	want := Description{
		ID: enrolled.DeviceID, Type: TOTP, Algorithm: "SHA1", Digits: 6, Period: 30, Identifier: ann, Namespace: "shop",
		CreatedAt: start, EnrollmentEndsAt: start.Add(24 * time.Hour),
	}
	if description != want {
		t.Errorf("%+v\nwant %+v", description, want)
	}
	if len(enrolled.DeviceID) != 22 || !enrolled.ExpiresAt.Equal(start.Add(24*time.Hour)) {
		t.Errorf("id %q, to be confirmed until %s", enrolled.DeviceID, enrolled.ExpiresAt)
	}
	if want := "otpauth://totp/otpd:ann%40example.invalid?secret=" + enrolled.Secret +
		"&issuer=otpd&algorithm=SHA1&digits=6&period=30"; enrolled.URI != want {
		t.Errorf("%s\nwant %s", enrolled.URI, want)
	}
}

// A new secret has as many bytes as the hash gives, and no other device has it.
func TestNewSecrets(t *testing.T) {
	f := newFixture(t, newMemory(t))
	seen := make(map[string]bool)
	for _, kind := range []string{TOTP, HOTP} {
		for algorithm, size := range map[string]int{"SHA1": 20, "SHA256": 32, "SHA512": 64} {
			for range 2 {
				enrolled, err := f.Enroll(f.caller, EnrollRequest{Type: kind, Identifier: ann, Algorithm: &algorithm})
				if err != nil {
					t.Fatal(err)
				}
				if secret := scan(t, enrolled.URI).secret; len(secret) != size || seen[string(secret)] || seen[enrolled.DeviceID] ||
					string(f.state(t, enrolled.Device).secret) != string(secret) {
					t.Errorf("%s, %s: a secret of %d bytes, want %d", kind, algorithm, len(secret), size)
				} else {
					seen[string(secret)], seen[enrolled.DeviceID] = true, true
				}
			}
		}
	}
}

// Secrets are imported as people have them.
func TestSecretsToImport(t *testing.T) {
	const secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // 20 bytes
	of := func(size int) string { return base32.StdEncoding.EncodeToString(make([]byte, size)) }
	for name, test := range map[string]struct {
		secret string
		ok     bool
	}{
		"as it is shown":             {secret, true},
		"in lower case":              {strings.ToLower(secret), true},
		"in groups":                  {"gezd gnbv gy3t qojq gezd gnbv gy3t qojq", true},
		"with hyphens":               {"GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ", true},
		"of 10 bytes":                {of(10), true},
		"of 16 bytes, padded":        {of(16), true},
		"of 64 bytes, padded":        {of(64), true},
		"of 16 bytes, not padded":    {strings.TrimRight(of(16), "="), true},
		"empty":                      {"", false},
		"of 9 bytes":                 {of(9), false},
		"of 65 bytes":                {of(65), false},
		"hexadecimal":                {"3132333435363738393031323334353637383930", false},
		"with a character of none":   {secret[:31] + "1", false},
		"with a letter alike":        {secret[:31] + "\u017f", false}, // a long s
		"with stray bits":            {"GEZDGNBVGY3TQOJQGEZDGNBVGZ", false},
		"with a lone last character": {secret + "A", false},
		"padded in the middle":       {secret[:16] + "====" + secret[16:], false},
		"with a line break":          {secret[:16] + "\n" + secret[16:], false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			enrolled, err := f.Enroll(f.caller, EnrollRequest{Identifier: ann, Secret: &test.secret})
			bad, refused := errors.AsType[*otp.FieldError](err)
			switch {
			case test.ok && err != nil, !test.ok && (!refused || bad.Field != "secret"):
				t.Fatalf("%v", err)
			case !test.ok && test.secret != "" && strings.Contains(err.Error(), test.secret):
				t.Errorf("the error tells the secret: %v", err)
			case !test.ok:
				return
			}
			want := strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "=", "").Replace(test.secret))
			if enrolled.Secret != want || !strings.Contains(enrolled.URI, "secret="+want+"&") {
				t.Errorf("it came back as %s in %s", enrolled.Secret, enrolled.URI)
			}
		})
	}
}

func TestEnrollBounds(t *testing.T) {
	long := strings.Repeat("a", 321)
	for name, test := range map[string]struct {
		request EnrollRequest
		field   string // that is to blame; empty for none
	}{
		"no identifier":                {EnrollRequest{}, "identifier"},
		"the longest identifier":       {EnrollRequest{Identifier: long[:320]}, ""},
		"too long an identifier":       {EnrollRequest{Identifier: long}, "identifier"},
		"an identifier with a tab":     {EnrollRequest{Identifier: "a\tb"}, "identifier"},
		"an identifier not of UTF-8":   {EnrollRequest{Identifier: "a\xff"}, "identifier"},
		"the longest name":             {EnrollRequest{Identifier: ann, Name: long[:64]}, ""},
		"too long a name":              {EnrollRequest{Identifier: ann, Name: long[:65]}, "name"},
		"a name with a line break":     {EnrollRequest{Identifier: ann, Name: "a\nb"}, "name"},
		"the longest issuer":           {EnrollRequest{Identifier: ann, Issuer: pointer(long[:64])}, ""},
		"too long an issuer":           {EnrollRequest{Identifier: ann, Issuer: pointer(long[:65])}, "issuer"},
		"an empty issuer":              {EnrollRequest{Identifier: ann, Issuer: pointer("")}, "issuer"},
		"an issuer with a colon":       {EnrollRequest{Identifier: ann, Issuer: pointer("a:b")}, "issuer"},
		"an issuer with a line break":  {EnrollRequest{Identifier: ann, Issuer: pointer("a\nb")}, "issuer"},
		"a type":                       {EnrollRequest{Identifier: ann, Type: HOTP}, ""},
		"another type":                 {EnrollRequest{Identifier: ann, Type: "TOTP"}, "type"},
		"six digits":                   {EnrollRequest{Identifier: ann, Digits: pointer(6)}, ""},
		"eight digits":                 {EnrollRequest{Identifier: ann, Digits: pointer(8)}, ""},
		"seven digits":                 {EnrollRequest{Identifier: ann, Digits: pointer(7)}, "digits"},
		"no digits":                    {EnrollRequest{Identifier: ann, Digits: pointer(0)}, "digits"},
		"the shortest period":          {EnrollRequest{Identifier: ann, Period: pointer(15)}, ""},
		"the longest period":           {EnrollRequest{Identifier: ann, Period: pointer(60)}, ""},
		"too short a period":           {EnrollRequest{Identifier: ann, Period: pointer(14)}, "period"},
		"too long a period":            {EnrollRequest{Identifier: ann, Period: pointer(61)}, "period"},
		"no period":                    {EnrollRequest{Identifier: ann, Period: pointer(0)}, "period"},
		"a period that HOTP could not": {EnrollRequest{Identifier: ann, Type: HOTP, Period: pointer(0)}, "period"},
		"an algorithm":                 {EnrollRequest{Identifier: ann, Algorithm: pointer("SHA512")}, ""},
		"another algorithm":            {EnrollRequest{Identifier: ann, Algorithm: pointer("sha1")}, "algorithm"},
		"an empty algorithm":           {EnrollRequest{Identifier: ann, Algorithm: pointer("")}, "algorithm"},
	} {
		f := newFixture(t, newMemory(t))
		enrolled, err := f.Enroll(f.caller, test.request)
		bad, refused := errors.AsType[*otp.FieldError](err)
		if refused != (test.field != "") || refused && bad.Field != test.field || !refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if refused && enrolled != (Enrolled{}) {
			t.Errorf("%s: refused, and enrolled %+v", name, enrolled)
		}
		if refused {
			f.wantEvents(t, name)
		}
	}
}

// An app that decodes what is percent-encoded, and nothing else, sees what was enrolled, in the label and in the
// parameter.
func TestURI(t *testing.T) {
	for name, test := range map[string]struct{ issuer, identifier, label, parameter string }{
		"plain":           {"Shop", "ann", "Shop:ann", "Shop"},
		"spaces":          {"My Shop", "Ann Lee", "My%20Shop:Ann%20Lee", "My%20Shop"},
		"an address":      {"Shop", "ann+otp@example.invalid", "Shop:ann%2Botp%40example.invalid", "Shop"},
		"a colon":         {"Shop", "realm:ann", "Shop:realm%3Aann", "Shop"},
		"reserved ones":   {"A&B=C?D#E/F", "/?#[]@!$&'()*+,;=", "A%26B%3DC%3FD%23E%2FF:%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D", "A%26B%3DC%3FD%23E%2FF"},
		"unreserved ones": {"a-z_A.Z~0", "a-z_A.Z~9", "a-z_A.Z~0:a-z_A.Z~9", "a-z_A.Z~0"},
		"percent signs":   {"100%", "%41", "100%25:%2541", "100%25"},
		"quotes":          {`"Shop" 'n' <more>`, `O'Neil "Ann"`, "%22Shop%22%20%27n%27%20%3Cmore%3E:O%27Neil%20%22Ann%22", "%22Shop%22%20%27n%27%20%3Cmore%3E"},
		"a backslash":     {`a\b`, `c\d`, "a%5Cb:c%5Cd", "a%5Cb"},
		"other scripts":   {"Café", "安娜", "Caf%C3%A9:%E5%AE%89%E5%A8%9C", "Caf%C3%A9"},
		"beyond the BMP":  {"🔑", "ann 🗝", "%F0%9F%94%91:ann%20%F0%9F%97%9D", "%F0%9F%94%91"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			enrolled, _ := f.mustEnroll(t, EnrollRequest{Issuer: &test.issuer, Identifier: test.identifier})
			want := "otpauth://totp/" + test.label + "?secret=" + enrolled.Secret + "&issuer=" + test.parameter +
				"&algorithm=SHA1&digits=6&period=30"
			if enrolled.URI != want {
				t.Errorf("%s\nwant %s", enrolled.URI, want)
			}
			u, err := url.Parse(enrolled.URI)
			if err != nil {
				t.Fatal(err)
			}
			if u.Path != "/"+test.issuer+":"+test.identifier || u.Query().Get("issuer") != test.issuer {
				t.Errorf("it reads as %q and %q", u.Path, u.Query().Get("issuer"))
			}
		})
	}
}

func TestURIOfAllKinds(t *testing.T) {
	f := newFixture(t, newMemory(t))
	for name, test := range map[string]struct {
		request EnrollRequest
		begin   string
		end     string
	}{
		"TOTP": {EnrollRequest{Digits: pointer(8), Period: pointer(45), Algorithm: pointer("SHA256")}, "otpauth://totp/", "&algorithm=SHA256&digits=8&period=45"},
		"HOTP": {EnrollRequest{Type: HOTP, Period: pointer(45)}, "otpauth://hotp/", "&algorithm=SHA1&digits=6&counter=0"},
	} {
		enrolled, _ := f.mustEnroll(t, test.request)
		if !strings.HasPrefix(enrolled.URI, test.begin) || !strings.HasSuffix(enrolled.URI, test.end) {
			t.Errorf("%s: %s", name, enrolled.URI)
		}
	}
}
