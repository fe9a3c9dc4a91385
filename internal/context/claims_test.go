package otpcontext

import (
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// TestClaimBounds has every bound on a claim at its edge and beyond.
func TestClaimBounds(t *testing.T) {
	quoted := func(n int) string { return `"` + strings.Repeat("a", n) + `"` }
	hash := strings.Repeat("A", 43)
	tests := []struct {
		member string
		good   []string
		bad    []string // the empty string means that the member is missing
	}{
		{
			"identifier",
			[]string{`null`, `""`, quoted(320), `"\u00e9"`, `"é✓"`, `"a\u0001b"`, `"` + strings.Repeat("é", 160) + `"`},
			[]string{"", quoted(321), `1`, `true`, `[]`, `{}`, `"` + strings.Repeat("é", 161) + `"`, "\"\xff\"", `"\ud800"`, "\"a\x01b\""},
		},
		{
			"otp_hash",
			[]string{`"` + strings.Repeat("0f", 32) + `"`, `"` + strings.Repeat("0F", 32) + `"`},
			[]string{"", `""`, `null`, `1`, quoted(63), quoted(65), `"` + strings.Repeat("g", 64) + `"`, `"` + strings.Repeat(" ", 64) + `"`},
		},
		{
			"metadata",
			[]string{`null`, `0`, `false`, `""`, `[]`, `{}`, quoted(4094), `[` + strings.Repeat(" ", 5000) + `]`},
			[]string{"", quoted(4095), `{"a":1,"a":2}`, `NaN`, `Infinity`, `[1,]`, `{"a"}`, `"\ud800"`, `01`, `'a'`},
		},
		{"timestamp", goodTimes, badTimes},
		{"otp_expiry", goodTimes, badTimes},
		{"session_expiry", goodTimes, badTimes},
		{
			"retry_count",
			[]string{`0`, `3`, `4`, `2147483648`},
			append(badCounts, "", `9223372036854775808`),
		},
		{
			"max_retries",
			[]string{`0`, `1000`},
			append(badCounts, "", `1001`, `2147483648`, `9223372036854775808`),
		},
		{
			"id",
			[]string{"", `""`, `"AAECAwQFBgcICQoLDA0ODw"`, `"_-ECAwQFBgcICQoLDA0ODw"`},
			[]string{`null`, `1`, `"AAECAwQFBgcICQoLDA0OD"`, `"AAECAwQFBgcICQoLDA0ODwA"`, `"AAECAwQFBgcICQoLDA0ODx"`,
				`"AAECAwQFBgcICQoLDA0ODw=="`, `"++ECAwQFBgcICQoLDA0ODw"`, `"AAECAwQFBgcICQoLDA0OD\n"`, `"AAECAwQFBgcICQoLDA0ODw\n"`, quoted(21) + ` `},
		},
		{"resends", []string{"", `0`, `5`}, badCounts},
		{"purpose", []string{"", `""`, `"login"`, quoted(64)}, []string{`null`, `1`, `[]`, quoted(65)}},
		{
			"binding",
			[]string{"", `""`, `"` + hash + `"`},
			[]string{`null`, `1`, `"` + hash[1:] + `"`, `"` + hash + `A"`, `"` + hash + `="`, `"` + hash[1:] + `B"`, `"` + hash[1:] + `+"`},
		},
		{"namespace", []string{"", `""`, `"shop"`, quoted(64)}, []string{`null`, `1`, quoted(65)}},
		{"alphabet", []string{"", `""`, `"letters"`}, []string{`null`, `1`, `[]`}},
		{"length", []string{"", `0`, `8`}, badCounts},
		{"decoy", []string{"", `true`}, []string{`null`, `false`, `1`, `"true"`}},
		{"delivery", []string{"", `{}`, `{"a":"` + strings.Repeat("b", 1016) + `"}`}, []string{`null`, `""`, `[]`, `1`, `{"a":"` + strings.Repeat("b", 1017) + `"}`}},
		{"source_url", []string{"", `""`, quoted(1024)}, []string{`null`, `1`, `{}`, quoted(1025)}},
		{"extra", []string{""}, []string{`null`, `1`, `{}`}},
		{"Identifier", []string{""}, []string{`null`, `"a"`}},
		{"identifier ", []string{""}, []string{`null`}},
		{"", []string{""}, []string{`null`}},
	}
	s := newSealer(t, keyA)
	for _, test := range tests {
		for _, value := range test.good {
			if _, err := s.Open(seal(t, foreign().with(test.member, value).json())); err != nil {
				t.Errorf("%s of %.40s: %v", test.member, value, err)
			}
		}
		for _, value := range test.bad {
			if _, err := s.Open(seal(t, foreign().with(test.member, value).json())); err != ErrInvalid {
				t.Errorf("%s of %.40s: %v, want ErrInvalid", test.member, value, err)
			}
		}
	}
}

var (
	goodTimes = []string{`946684800`, `946684800.0`, `7258118400`, `7258118400.0`, `1767225600.123456`, `1.7672256e9`, `17672256E2`}
	badTimes  = []string{
		"", `null`, `"1767225600"`, `true`, `[]`, `946684799`, `946684799.999`, `7258118401`, `7258118400.001`,
		`0`, `-0`, `-1`, `-1767225600`, `1e308`, `1e309`, `-1e309`, `1e-400`, `NaN`, `Infinity`, `-Infinity`, `1767225600.`, `0x6955b900`,
	}
	badCounts = []string{`null`, `-1`, `1.0`, `1.5`, `1e0`, `1e308`, `"1"`, `true`, `[]`, `NaN`, `01`}
)

func TestHashIsReadInEitherCase(t *testing.T) {
	s := newSealer(t, keyA)
	lower := mustOpen(t, s, seal(t, foreign().json()))
	upper := mustOpen(t, s, seal(t, foreign().with("otp_hash", `"`+strings.Repeat("AB", 32)+`"`).json()))
	if !reflect.DeepEqual(upper, lower) || lower.OTPHash[31] != 0xab {
		t.Errorf("in upper case it makes %+v\nin lower case %+v", upper, lower)
	}
}

func TestClaimsRefuseANameTwice(t *testing.T) {
	text := foreign().json()
	for _, member := range []string{`"retry_count": 0`, `"identifier": null`, `"metadata": null`} {
		assertInvalid(t, newSealer(t, keyA), seal(t, "{"+member+", "+text[1:]))
	}
}

func TestClaimsRefuseAnEscapedName(t *testing.T) {
	text := strings.Replace(foreign().json(), `"retry_count"`, `"retry\u005fcount"`, 1)
	assertInvalid(t, newSealer(t, keyA), seal(t, text))
}

func TestSealWritesEightMembersOfTheRightTypesAndNoNeedlessOne(t *testing.T) {
	claims := newClaims()
	claims.Timestamp = 1767225600
	want := `{"identifier":"somebody@example.invalid","otp_hash":"01ab` + strings.Repeat("00", 29) + `ef","metadata":null,` +
		`"timestamp":1767225600.000,"otp_expiry":1767225900.123,"session_expiry":1767226500.123,` +
		`"retry_count":0,"max_retries":3,"id":"AAECAwQFBgcICQoLDA0ODw"}`
	data, err := json.Marshal(claims)
	if err != nil || string(data) != want {
		t.Errorf("the claims are\n%s, %v; want\n%s", data, err, want)
	}
	if sealed := strings.TrimRight(string(claims.marshal(nil)), " "); sealed != want {
		t.Errorf("sealed are\n%s; want\n%s", sealed, want)
	}
}

func TestEveryClaimSurvives(t *testing.T) {
	claims := newClaims()
	identifier := "\"\\/\b\f\n\r\t\x00\x1f\x7f\u2028é✓😀"
	*claims = Claims{
		Identifier: &identifier, OTPHash: claims.OTPHash, Metadata: jsontext.Value(`{"a":[1,null]}`),
		Timestamp: 1767225600.1234567, OTPExpiry: 1767225900.001, SessionExpiry: maxTime, RetryCount: 2, MaxRetries: 1000,
		ID: claims.ID, Resends: 4, Purpose: "pay\"ment", Binding: strings.Repeat("A", 43), Namespace: "shop",
		Alphabet: "letters", Length: 12, Decoy: true, Subject: "DQ4PAAECAwQFBgcICQoLDA",
		Delivery: jsontext.Value(`{"a":["b"]}`), SourceURL: "https://example.com/?a=\"b\"",
	}
	for i := range reflect.TypeFor[Claims]().NumField() {
		if field := reflect.TypeFor[Claims]().Field(i); field.IsExported() && reflect.ValueOf(*claims).Field(i).IsZero() {
			t.Fatalf("%s is zero: the test is wrong", reflect.TypeFor[Claims]().Field(i).Name)
		}
	}
	s := newSealer(t, keyA)
	if got := mustOpen(t, s, mustSeal(t, s, claims)); !reflect.DeepEqual(got, claims) {
		t.Errorf("opened %+v\nsealed %+v", got, claims)
	}
	*claims.Identifier = ""
	if got := mustOpen(t, s, mustSeal(t, s, claims)); got.Identifier == nil {
		t.Error("an empty identifier became none")
	}
	claims.Identifier, claims.Subject = nil, ""
	if got := mustOpen(t, s, mustSeal(t, s, claims)); got.Identifier != nil {
		t.Errorf("no identifier became %q", *got.Identifier)
	}
}

func TestMetadataNumbersSurvive(t *testing.T) {
	s := newSealer(t, keyA)
	for _, number := range []string{
		`1.0`, `1.50`, `1e400`, `-1E-400`, `-0`, `-0.0`, `0`, `12345678901234567890`, `9007199254740993`,
		`0.1000000000000000055511151231257827`, `1E+2`, `1e2`,
	} {
		for _, metadata := range []string{number, `[` + number + `]`, `{"n":` + number + `}`} {
			claims := newClaims()
			claims.Metadata = jsontext.Value(metadata)
			for range 3 { // it is sealed again with each wrong code
				claims = mustOpen(t, s, mustSeal(t, s, claims))
			}
			if string(claims.Metadata) != metadata {
				t.Errorf("%s became %s", metadata, claims.Metadata)
			}
			opened := mustOpen(t, s, seal(t, foreign().with("metadata", " "+metadata+" ").json()))
			if string(opened.Metadata) != metadata {
				t.Errorf("a foreign %s became %s", metadata, opened.Metadata)
			}
		}
	}
}

func TestDefaultTokenIsUnder500Characters(t *testing.T) {
	claims := newClaims()
	if len(*claims.Identifier) != 24 {
		t.Fatal("the identifier is not 24 bytes long: the test is wrong")
	}
	token := mustSeal(t, newSealer(t, keyA), claims)
	if len(token) >= 500 {
		t.Errorf("%d characters", len(token))
	}
	t.Logf("%d characters", len(token))
}

func TestDecoyIsAsLongAsAnyOther(t *testing.T) {
	s := newSealer(t, keyA)
	for n := range 65 { // more than three cipher blocks, which base64 makes one cycle
		claims := newClaims()
		identifier := strings.Repeat("a", n)
		claims.Identifier = &identifier
		plain := mustSeal(t, s, claims)
		claims.Decoy = true
		if decoy := mustSeal(t, s, claims); len(decoy) != len(plain) {
			t.Errorf("with an identifier of %d bytes a decoy has %d characters, another %d", n, len(decoy), len(plain))
		}
	}
}

// TestBoundsKeepTheTokenBelowItsOwn has every field as long as it may be, of characters that take most
// room in JSON.
func TestBoundsKeepTheTokenBelowItsOwn(t *testing.T) {
	claims := newClaims()
	identifier := strings.Repeat("\x01", MaxIdentifier)
	claims.Identifier = &identifier
	claims.Metadata = jsontext.Value(`"` + strings.Repeat("a", MaxMetadata-2) + `"`)
	claims.Purpose = strings.Repeat("\x01", MaxPurpose)
	claims.Namespace = strings.Repeat("\x01", MaxNamespace)
	claims.Binding = strings.Repeat("A", 43)
	claims.Alphabet = "alphanumeric"
	claims.Timestamp, claims.OTPExpiry, claims.SessionExpiry = 1767225600.1234567, 1767225600.1234567, 1767225600.1234567
	claims.RetryCount, claims.MaxRetries, claims.Resends, claims.Length = 1000, 1000, 1000000, 12
	s := newSealer(t, keyA)
	mustOpen(t, s, mustSeal(t, s, claims))

	// A context that otpd delivers has more, and is otpd's own: without control characters in its texts.
	identifier = strings.Repeat(`"`, MaxIdentifier)
	claims.Purpose, claims.Namespace = strings.Repeat(`"`, MaxPurpose), strings.Repeat(`"`, MaxNamespace)
	claims.Delivery = jsontext.Value(`{"a":"` + strings.Repeat("a", MaxDelivery-8) + `"}`)
	claims.SourceURL = strings.Repeat("a", MaxSourceURL)
	mustOpen(t, s, mustSeal(t, s, claims))
}

func TestSealRefusesClaimsBeyondTheBounds(t *testing.T) {
	claims := newClaims()
	claims.Alphabet = strings.Repeat("a", MaxToken)
	if token, err := newSealer(t, keyA).Seal(claims, now); err == nil {
		t.Errorf("Seal made a token of %d characters", len(token))
	}
}

func TestCompactMetadata(t *testing.T) {
	for in, want := range map[string]string{
		" { \"a\" : [ 1 , 2.50 ] } ": `{"a":[1,2.50]}`,
		`"\u0061\/\u00e9"`:           `"a/é"`,
		`"\u0001\n\""`:               `"\u0001\n\""`,
	} {
		if got, err := CompactMetadata(jsontext.Value(in)); err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{``, ` `, `{`, `1 2`, `{"a":1,"a":1}`, "\"\xff\"", `"\udc00"`, `nul`} {
		if got, err := CompactMetadata(jsontext.Value(in)); err == nil {
			t.Errorf("%s became %s, want an error", in, got)
		}
	}
}
