package httpapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fernet/fernet-go"
)

const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// badTokenBody is all that is ever said of a bad token.
const badTokenBody = `{"error":"Invalid context.","error_code":"INVALID_CONTEXT","request_id":"` + requestID + `"}`

// isBadToken fails the test unless token is refused in the one way, by verify.
func (s *server) isBadToken(tb testing.TB, otp, token string) {
	tb.Helper()
	a := s.verify(tb, otp, token)
	if a.status != http.StatusBadRequest || a.body != badTokenBody {
		tb.Errorf("token %.600q: got %d %s", token, a.status, a.body)
	}
}

func TestEveryFlippedByteIsRefused(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"identifier": "ada@example.com"})
	token := issued.text("context")
	for _, flipped := range everyFlippedByte(token) {
		s.isBadToken(t, issued.text("otp"), flipped)
	}
	s.stillGood(t, issued)
}

func everyFlippedByte(token string) (flipped []string) {
	for i := range token {
		for _, c := range []byte{
			token[i] ^ 1,          // one bit
			token[i] ^ 0x20,       // the other case of a letter
			anotherChar(token[i]), // still base64
		} {
			flipped = append(flipped, token[:i]+string(rune(c))+token[i+1:])
		}
	}
	return flipped
}

func anotherChar(c byte) byte {
	return base64URL[(strings.IndexByte(base64URL, c)+1)%len(base64URL)]
}

func TestEveryTruncationIsRefused(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"identifier": "ada@example.com"})
	token := issued.text("context")
	for i := 1; i < len(token); i++ {
		s.isBadToken(t, issued.text("otp"), token[:i])
		s.isBadToken(t, issued.text("otp"), token[i:])
	}
	s.stillGood(t, issued)
}

// tokensOfEachPadding returns what generate answers with tokens that end in nothing, = and ==.
func (s *server) tokensOfEachPadding(tb testing.TB) map[int]answer {
	tb.Helper()
	all := make(map[int]answer)
	for n := 0; len(all) < 3; n += 16 {
		if n > 320 {
			tb.Fatalf("only got the paddings of %d tokens", len(all))
		}
		issued := s.generate(tb, fields{"identifier": strings.Repeat("x", n)})
		all[strings.Count(issued.text("context"), "=")] = issued
	}
	return all
}

func TestEveryOtherSpellingIsRefused(t *testing.T) {
	s := newServer(t, options{})
	for padding, issued := range s.tokensOfEachPadding(t) {
		t.Run(fmt.Sprintf("padding of %d", padding), func(t *testing.T) {
			for _, spelling := range otherSpellings(issued.text("context")) {
				s.isBadToken(t, issued.text("otp"), spelling)
			}
			s.stillGood(t, issued)
		})
	}
}

// otherSpellings returns what a careless decoder takes for a token.
func otherSpellings(token string) []string {
	data := strings.TrimRight(token, "=")
	padding := len(token) - len(data)
	spellings := []string{
		token + "=", token + "====", token + "!!!!", token + "AAAA", token + "A", token + ".", token + "\x00", token + " ",
		token + "\n", token + "\r\n", "\n" + token, " " + token, "\ufeff" + token, token + token, token + "." + token, token + "," + token,
		token[:100] + "\n" + token[100:], token[:100] + "\r\n" + token[100:], token[:76] + "\r" + token[76:],
		token[:100] + " " + token[100:], token[:100] + "=" + token[100:], token[:100] + "====" + token[100:], token[:100] + "%" + token[100:],
		"\"" + token + "\"", strings.ReplaceAll(token, "A", "%41"), strings.ToLower(token), strings.ToUpper(token),
		data + strings.Repeat("\n=", padding) + "\n", data + strings.Repeat("%3D", padding) + "%",
		base64.StdEncoding.EncodeToString([]byte(token)), hex.EncodeToString([]byte(token)),
	}
	if standard := strings.NewReplacer("-", "+", "_", "/").Replace(token); standard != token {
		spellings = append(spellings, standard)
	}
	if padding > 0 {
		spellings = append(spellings, data, data+"===", token[:len(token)-1])
	}
	for _, c := range base64URL {
		if byte(c) != data[len(data)-1] {
			spellings = append(spellings, data[:len(data)-1]+string(c)+token[len(data):])
		}
	}
	return spellings
}

// tokenOf returns the Fernet token of these parts with a MAC that is right.
func tokenOf(tb testing.TB, encodedKey string, version byte, ciphertext []byte) string {
	tb.Helper()
	key, err := base64.URLEncoding.DecodeString(encodedKey)
	noError(tb, err)
	signed := binary.BigEndian.AppendUint64([]byte{version}, 1782907200)
	signed = append(signed, make([]byte, 16)...) // IV
	signed = append(signed, ciphertext...)
	mac := hmac.New(sha256.New, key[:16])
	mac.Write(signed)
	return base64.URLEncoding.EncodeToString(mac.Sum(signed))
}

// badTokens are kinds of tokens that no service under signingKey has made.
func badTokens(tb testing.TB) map[string]string {
	good := claims{}.json()
	return map[string]string{
		"one character":                 "g",
		"not base64":                    "not a token",
		"a JSON Web Token":              "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
		"a NUL":                         "\x00",
		"letters outside ASCII":         "ünïcödé",
		"10 KiB":                        strings.Repeat("A", 10<<10),
		"10 KiB + 1":                    strings.Repeat("A", 10<<10+1),
		"the MAC of no ciphertext":      tokenOf(tb, signingKey, 0x80, nil),
		"the MAC of one byte":           tokenOf(tb, signingKey, 0x80, make([]byte, 1)),
		"the MAC of 15 bytes":           tokenOf(tb, signingKey, 0x80, make([]byte, 15)),
		"the MAC of 17 bytes":           tokenOf(tb, signingKey, 0x80, make([]byte, 17)),
		"the MAC of bad padding":        tokenOf(tb, signingKey, 0x80, make([]byte, 32)),
		"another version":               tokenOf(tb, signingKey, 0x81, make([]byte, 32)),
		"a foreign key":                 seal(tb, foreignKey, good),
		"sealed nothing":                seal(tb, signingKey, nil),
		"sealed text":                   seal(tb, signingKey, []byte("not JSON")),
		"sealed zeros":                  seal(tb, signingKey, make([]byte, 100)),
		"sealed array":                  seal(tb, signingKey, []byte("["+string(good)+"]")),
		"sealed null":                   seal(tb, signingKey, []byte("null")),
		"sealed string":                 seal(tb, signingKey, []byte(`"x"`)),
		"sealed empty object":           seal(tb, signingKey, []byte("{}")),
		"sealed claims twice":           seal(tb, signingKey, slices.Concat(good, good)),
		"sealed trailing bytes":         seal(tb, signingKey, append(good, "x"...)),
		"sealed trailing NUL":           seal(tb, signingKey, append(good, 0)),
		"sealed claims cut short":       seal(tb, signingKey, good[:len(good)-1]),
		"sealed byte-order mark":        seal(tb, signingKey, append([]byte("\ufeff"), good...)),
		"sealed deep nesting":           seal(tb, signingKey, []byte(strings.Repeat("[", 7000))),
		"sealed token within a token":   seal(tb, signingKey, []byte(seal(tb, signingKey, good))),
		"sealed claims beyond 10 KiB":   seal(tb, signingKey, append(good, strings.Repeat(" ", 477*16-1-len(good))...)),
		"sealed claims of another kind": seal(tb, signingKey, []byte(`{"sub":"ada","exp":1782907200}`)),
	}
}

// claims are changes to a good context's claims: a value of nil leaves the member out.
type claims map[string]any

const sealedCode = "271828"

// at is when the claims say that the code was issued: when the clock of the tests stands still.
var at = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC).Unix()

func (c claims) json() []byte {
	hash := sha256.Sum256([]byte(sealedCode))
	members := fields{
		"identifier": "ada@example.com", "otp_hash": hex.EncodeToString(hash[:]), "metadata": nil, "timestamp": at,
		"otp_expiry": at + 300, "session_expiry": at + 900, "retry_count": 0, "max_retries": 3,
	}
	for name, value := range c {
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
	}
	return []byte(members.String())
}

func (c claims) seal(tb testing.TB) string { return seal(tb, signingKey, c.json()) }

const null = raw("null")

// badClaims are those that make a context invalid.
var badClaims = map[string][]any{
	"identifier":     {nil, 1, true, []int{}, fields{}, strings.Repeat("x", 321)},
	"otp_hash":       {nil, null, 1, "", strings.Repeat("a", 63), strings.Repeat("a", 65), strings.Repeat("g", 64), strings.Repeat("é", 32)},
	"metadata":       {nil, strings.Repeat("x", 4095)},
	"timestamp":      append([]any{at + 61, float64(at) + 60.001}, badTimes...),
	"otp_expiry":     badTimes,
	"session_expiry": badTimes,
	"retry_count":    append([]any{nil}, badCounts...),
	"max_retries":    append([]any{nil, 1001, 1 << 31}, badCounts...),
	"id":             {null, 1, "short", strings.Repeat("A", 21), strings.Repeat("A", 23), strings.Repeat("A", 21) + "B", strings.Repeat("+", 22)},
	"resends":        badCounts,
	"purpose":        {null, 1, strings.Repeat("x", 65)},
	"binding":        {null, 1, "short", strings.Repeat("A", 44), strings.Repeat("A", 42) + "B"},
	"namespace":      {null, 1, "shop", strings.Repeat("x", 65)},
	"alphabet":       {null, 1, "hex", "Numeric"},
	"subject":        {null, 1, "short", strings.Repeat("A", 21) + "B", strings.Repeat("A", 23), "ada@example.com"},
	"length":         append([]any{5, 13}, badCounts...),
	"decoy":          {null, 1, "true", false},
	"extra":          {null, 1, "x"},
	"Identifier":     {"ada@example.com"},
	"RETRY_COUNT":    {0},
}

var badTimes = []any{
	nil, null, -1, 0, 946684799, 7258118401, raw("1e308"), raw("-1e308"), raw("1e309"), raw("1e99999"),
	"1782907200", "NaN", "", true, []int{}, fields{},
}

var badCounts = []any{
	null, -1, 0.5, raw("1e308"), raw("1e309"), raw("9223372036854775808"), raw("-9223372036854775808"), "0", "NaN", true, []int{}, fields{},
}

// spelledClaims are bad claims that no JSON encoder writes.
var spelledClaims = map[string]string{
	"NaN":                   `"retry_count":NaN`,
	"Infinity":              `"retry_count":Infinity`,
	"minus infinity":        `"retry_count":-Infinity`,
	"a leading zero":        `"retry_count":00`,
	"a plus sign":           `"retry_count":+0`,
	"a member twice":        `"retry_count":0,"retry_count":0`,
	"a lone surrogate":      `"retry_count":0,"purpose":"\ud800"`,
	"invalid UTF-8":         "\"retry_count\":0,\"purpose\":\"\xff\"",
	"an escaped name twice": `"retry_count":0,"retry\u005fcount":0`,
	"no value":              `"retry_count":`,
	"a comma too many":      `"retry_count":0,`,
}

// eachBadToken calls do for each bad token that this file knows.
func eachBadToken(tb testing.TB, do func(name, token string)) {
	tb.Helper()
	for name, token := range badTokens(tb) {
		do(name, token)
	}
	for member, values := range badClaims {
		for _, value := range values {
			do(fmt.Sprintf("%s of %.30v", member, value), claims{member: value}.seal(tb))
		}
	}
	for name, text := range spelledClaims {
		payload := strings.Replace(string(claims{}.json()), `"retry_count":0`, text, 1)
		do(name, seal(tb, signingKey, []byte(payload)))
	}
}

func TestBadTokensAreRefusedAlikeEverywhere(t *testing.T) {
	s := newServer(t, options{})
	seen := 0
	eachBadToken(t, func(name, token string) {
		seen++
		for _, operation := range []string{"verify", "resend", "revoke", "inspect"} {
			request := fields{"context": token}
			if operation == "verify" {
				request["otp"] = sealedCode
			}
			a := s.post(t, "/v1/otp/"+operation, request.String())
			if a.status != http.StatusBadRequest || a.body != badTokenBody {
				t.Errorf("%s, %s: got %d %s", name, operation, a.status, a.body)
			}
		}
	})
	if seen < 150 {
		t.Errorf("only %d bad tokens", seen)
	}
	good := claims{}.seal(t)
	a := s.inspect(t, good)
	a.is(t, 200, "")
	if a.number(t, "attempts_remaining") != maxRetries {
		t.Errorf("a bad token counted: %s", a.body)
	}
	s.verify(t, sealedCode, good).is(t, 200, "")
}

func TestForeignContextsAreTakenAtTheirBounds(t *testing.T) {
	hash := sha256.Sum256([]byte(sealedCode))
	for name, test := range map[string]struct {
		claims claims
		code   string
	}{
		"as Python writes it":           {claims{}, ""},
		"fractions of seconds":          {claims{"timestamp": float64(at) + 0.123456, "otp_expiry": float64(at) + 300.5}, ""},
		"times in exponents":            {claims{"session_expiry": raw("1.7829072e9"), "otp_expiry": raw("1.7829072E+9")}, ""},
		"no identifier":                 {claims{"identifier": null}, ""},
		"an identifier of 320 bytes":    {claims{"identifier": strings.Repeat("x", 320)}, ""},
		"metadata of 4096 bytes":        {claims{"metadata": strings.Repeat("x", 4094)}, ""},
		"upper-case hash":               {claims{"otp_hash": strings.ToUpper(hex.EncodeToString(hash[:]))}, ""},
		"a clock a minute ahead":        {claims{"timestamp": at + 60}, ""},
		"issued in 2000":                {claims{"timestamp": 946684800}, ""},
		"a session until 2200":          {claims{"session_expiry": 7258118400}, ""},
		"expired in 2000":               {claims{"session_expiry": 946684800}, "SESSION_EXPIRED"},
		"a code that expired":           {claims{"otp_expiry": at - 1}, "OTP_EXPIRED"},
		"a code beyond its session":     {claims{"otp_expiry": at + 7200, "session_expiry": at - 1}, "SESSION_EXPIRED"},
		"one attempt left":              {claims{"retry_count": 2}, ""},
		"no attempt left":               {claims{"retry_count": 3}, "MAX_RETRIES_EXCEEDED"},
		"more wrong codes than retries": {claims{"retry_count": raw("9223372036854775807")}, "MAX_RETRIES_EXCEEDED"},
		"1000 retries":                  {claims{"max_retries": 1000}, ""},
		"no retries":                    {claims{"max_retries": 0}, "MAX_RETRIES_EXCEEDED"},
		"an id":                         {claims{"id": strings.Repeat("A", 22)}, ""},
		"many resends":                  {claims{"resends": 1 << 40}, ""},
		"a decoy":                       {claims{"decoy": true}, "INVALID_OTP"},
		"a longer code":                 {claims{"length": 12}, ""},
		"another alphabet":              {claims{"alphabet": "letters"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newServer(t, options{}).verify(t, sealedCode, test.claims.seal(t))
			if a.code() != test.code {
				t.Errorf("got %d %s, want %q", a.status, a.body, test.code)
			}
			newServer(t, options{}).inspect(t, test.claims.seal(t)).is(t, 200, "")
		})
	}
}

// The longest token that fits into 10 KiB: tokens grow by whole blocks.
func TestLongestToken(t *testing.T) {
	payload := claims{}.json()
	token := seal(t, signingKey, append(payload, strings.Repeat(" ", 476*16-1-len(payload))...))
	if len(token) <= 10<<10-22 || len(token) > 10<<10 {
		t.Fatalf("the token has %d characters", len(token))
	}
	newServer(t, options{}).verify(t, sealedCode, token).is(t, 200, "")
}

func TestForeignContextKeepsItsIDOverCopiesAndRetries(t *testing.T) {
	s := newServer(t, options{})
	copies := []string{claims{}.seal(t), claims{}.seal(t)}
	id := s.inspect(t, copies[0]).text("id")
	if got := s.inspect(t, copies[1]).text("id"); got != id {
		t.Errorf("a copy has the id %s, want %s", got, id)
	}
	wrong := s.verify(t, wrongCode(sealedCode), copies[0])
	wrong.is(t, 400, "INVALID_OTP")
	if got := s.inspect(t, wrong.text("context")).text("id"); got != id {
		t.Errorf("after a wrong code the id is %s, want %s", got, id)
	}
	if got := s.inspect(t, copies[1]).number(t, "attempts_remaining"); got != 2 {
		t.Errorf("the copy has %d attempts, want 2", got)
	}
	s.verify(t, sealedCode, copies[1]).is(t, 200, "")
	s.verify(t, sealedCode, wrong.text("context")).is(t, 409, "OTP_ALREADY_USED")
}

func TestUpdatedContextIsTheOldOneButForTheCount(t *testing.T) {
	s := newServer(t, options{})
	before := claims{"metadata": raw(`{"n":1.10}`), "purpose": "login", "id": strings.Repeat("A", 22)}
	wrong := s.verifyFor(t, "login", wrongCode(sealedCode), before.seal(t))
	wrong.is(t, 400, "INVALID_OTP")
	key, err := fernet.DecodeKey(signingKey)
	noError(t, err)
	var got, want fields
	noError(t, json.Unmarshal(fernet.VerifyAndDecrypt([]byte(wrong.text("context")), 0, []*fernet.Key{key}), &got))
	before["retry_count"] = 1
	noError(t, json.Unmarshal(before.json(), &want))
	if got.String() != want.String() {
		t.Errorf("the updated context says\n%s, want\n%s", got, want)
	}
}

func TestMaxResendsOfForeignContexts(t *testing.T) {
	s := newServer(t, options{})
	s.now = s.now.Add(cooldown)
	s.resend(t, claims{"resends": maxResends}.seal(t)).is(t, 429, "MAX_RESENDS_EXCEEDED")
	s.resend(t, claims{"resends": maxResends - 1}.seal(t)).is(t, 200, "")
}

func TestBadTokensReachNoLedger(t *testing.T) {
	s := newServer(t, options{ledger: brokenLedger{panic: "asked the ledger"}})
	eachBadToken(t, func(_, token string) { s.isBadToken(t, sealedCode, token) })
}
