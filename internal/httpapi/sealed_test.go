package httpapi_test

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fernet/fernet-go"

	"github.com/otpd/otpd/internal/device"
)

// What is all that is ever said of a device or challenge that is none.
const (
	badDeviceBody    = `{"error":"Invalid device.","error_code":"INVALID_DEVICE","request_id":"` + requestID + `"}`
	badChallengeBody = `{"error":"Invalid challenge.","error_code":"INVALID_CHALLENGE","request_id":"` + requestID + `"}`
)

// subkey returns the key of a kind of token, as the design has it: HKDF-SHA256 with the kind as info.
func subkey(tb testing.TB, key, kind string) string {
	tb.Helper()
	raw, err := base64.URLEncoding.DecodeString(key)
	noError(tb, err)
	derived, err := hkdf.Key(sha256.New, raw, nil, kind, 32)
	noError(tb, err)
	return base64.URLEncoding.EncodeToString(derived)
}

// unseal returns what is in a token under key.
func unseal(tb testing.TB, key, token string) []byte {
	tb.Helper()
	k, err := fernet.DecodeKey(key)
	noError(tb, err)
	payload := fernet.VerifyAndDecrypt([]byte(token), 0, []*fernet.Key{k})
	if payload == nil {
		tb.Fatalf("the key does not open %s", token)
	}
	return payload
}

// sealedKind is a kind of token and where it is sent.
type sealedKind struct {
	info string
	body string // of the answer to a bad one
	// make returns a good token, longer with n.
	make func(tb testing.TB, s *server, n int) string
	// send sends a token with a code that is right.
	send func(tb testing.TB, s *server, token string) answer
}

var sealedKinds = []sealedKind{
	{
		"device", badDeviceBody,
		func(tb testing.TB, s *server, n int) string {
			return s.imported(tb, func(r *device.Imported) { r.Identifier = strings.Repeat("x", n+1) })
		},
		func(tb testing.TB, s *server, token string) answer { return s.verifyDevice(tb, token, s.code(tb)) },
	},
	{
		"challenge", badChallengeBody,
		func(tb testing.TB, s *server, n int) string {
			return s.challenge(tb, fields{"identifier": ada, "metadata": strings.Repeat("x", n)}).text("challenge")
		},
		func(tb testing.TB, s *server, token string) answer {
			return s.complete(tb, fields{"challenge": token, "device": s.imported(tb), "otp": s.code(tb)})
		},
	},
	{
		"refresh", badRefreshBody,
		func(tb testing.TB, s *server, n int) string {
			return s.login(tb, fields{"identifier": strings.Repeat("x", n+1)}).text("refresh_token")
		},
		func(tb testing.TB, s *server, token string) answer { return s.refresh(tb, token) },
	},
}

func (k sealedKind) isBad(tb testing.TB, s *server, name, token string) {
	tb.Helper()
	a := k.send(tb, s, token)
	if a.status != http.StatusBadRequest || a.body != k.body {
		tb.Errorf("%s %s, %.300q: got %d %s", k.info, name, token, a.status, a.body)
	}
}

func TestEveryChangeOfASealedTokenIsRefused(t *testing.T) {
	for _, kind := range sealedKinds {
		t.Run(kind.info, func(t *testing.T) {
			s := newServer(t, options{})
			token := kind.make(t, s, 0)
			for _, flipped := range everyFlippedByte(token) {
				kind.isBad(t, s, "flipped", flipped)
			}
			for i := 1; i < len(token); i++ {
				kind.isBad(t, s, "cut", token[:i])
				kind.isBad(t, s, "cut", token[i:])
			}
			kind.send(t, s, token).is(t, 200, "")

			paddings := make(map[int]bool)
			for n := 0; len(paddings) < 3; n += 16 {
				if n > 300 {
					t.Fatalf("only got the paddings %v", paddings)
				}
				token := kind.make(t, s, n)
				if padding := strings.Count(token, "="); !paddings[padding] {
					paddings[padding] = true
					for _, spelling := range otherSpellings(token) {
						kind.isBad(t, s, "re-spelt", spelling)
					}
					kind.send(t, s, token).is(t, 200, "")
				}
			}
		})
	}
}

// badSealed are tokens that no service under signingKey has made, with payload what a good one holds.
func badSealed(tb testing.TB, kind string, payload []byte) map[string]string {
	key := subkey(tb, signingKey, kind)
	all := map[string]string{
		"one character":              "g",
		"not base64":                 "not a token",
		"a NUL":                      "\x00",
		"letters outside ASCII":      "ünïcödé",
		"10 KiB":                     strings.Repeat("A", 10<<10),
		"10 KiB + 1":                 strings.Repeat("A", 10<<10+1),
		"the MAC of no ciphertext":   tokenOf(tb, key, 0x80, nil),
		"the MAC of one byte":        tokenOf(tb, key, 0x80, make([]byte, 1)),
		"the MAC of 17 bytes":        tokenOf(tb, key, 0x80, make([]byte, 17)),
		"the MAC of bad padding":     tokenOf(tb, key, 0x80, make([]byte, 32)),
		"another version":            tokenOf(tb, key, 0x81, make([]byte, 32)),
		"the signing key itself":     seal(tb, signingKey, payload),
		"a foreign key":              seal(tb, foreignKey, payload),
		"a foreign key's subkey":     seal(tb, subkey(tb, foreignKey, kind), payload),
		"another kind's subkey":      seal(tb, subkey(tb, signingKey, map[string]string{"device": "challenge", "challenge": "refresh", "refresh": "device"}[kind]), payload),
		"no kind's subkey":           seal(tb, subkey(tb, signingKey, ""), payload),
		"a receipt's subkey":         seal(tb, subkey(tb, signingKey, "receipt"), payload),
		"sealed nothing":             seal(tb, key, nil),
		"sealed NUL":                 seal(tb, key, []byte{0}),
		"sealed zeros":               seal(tb, key, make([]byte, 200)),
		"sealed ones":                seal(tb, key, slices.Repeat([]byte{1}, 200)),
		"sealed 0xff":                seal(tb, key, slices.Repeat([]byte{0xff}, 200)),
		"sealed text":                seal(tb, key, []byte("not a payload")),
		"sealed claims":              seal(tb, key, claims{}.json()),
		"sealed null":                seal(tb, key, []byte("null")),
		"sealed empty object":        seal(tb, key, []byte("{}")),
		"sealed array":               seal(tb, key, []byte("["+string(payload)+"]")),
		"sealed twice over":          seal(tb, key, slices.Concat(payload, payload)),
		"sealed trailing byte":       seal(tb, key, append(slices.Clone(payload), 'x')),
		"sealed trailing NUL":        seal(tb, key, append(slices.Clone(payload), 0)),
		"sealed token within":        seal(tb, key, []byte(seal(tb, key, payload))),
		"sealed beyond 10 KiB":       seal(tb, key, append(slices.Clone(payload), make([]byte, 8000)...)),
		"sealed deep nesting":        seal(tb, key, []byte(strings.Repeat("[", 7000))),
		"sealed with a leading byte": seal(tb, key, append([]byte{0}, payload...)),
	}
	for i := range payload {
		all[fmt.Sprintf("sealed first %d bytes", i)] = seal(tb, key, payload[:i])
	}
	return all
}

func TestBadSealedTokensAreRefusedAlikeEverywhere(t *testing.T) {
	s := newServer(t, options{})
	device, challenge := s.imported(t), s.challenge(t, fields{"identifier": ada}).text("challenge")
	refresh := s.login(t, fields{"identifier": ada}).text("refresh_token")
	good := map[string]string{"device": device, "challenge": challenge, "refresh": refresh}
	for _, kind := range sealedKinds {
		payload := unseal(t, subkey(t, signingKey, kind.info), good[kind.info])
		for name, token := range badSealed(t, kind.info, payload) {
			kind.isBad(t, s, name, token)
			if kind.info == "refresh" {
				if a, b := s.introspect(t, token), s.logout(t, token); a.body != inactiveBody || b.body != loggedOutBody {
					t.Errorf("%s: got %s and %s", name, a.body, b.body)
				}
			}
			if kind.info != "device" {
				continue
			}
			for _, operation := range deviceOperations {
				want := badDeviceBody
				if operation.name == "match" || operation.name == "reseal" {
					want = strings.TrimSuffix(want, "}") + `,"index":0}`
				}
				if a := operation.do(t, s, token); a.status != http.StatusBadRequest || a.body != want {
					t.Errorf("%s, %s: got %d %s, want %s", operation.name, name, a.status, a.body, want)
				}
			}
		}
	}
	s.complete(t, fields{"challenge": challenge, "device": device, "otp": s.code(t)}).is(t, 200, "")
	s.refresh(t, refresh).is(t, 200, "")
}

func TestNoKindIsTakenForAnother(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{"identifier": ada})
	otp := issued.text("otp")
	login := s.login(t, fields{"identifier": ada})
	tokens := map[string]string{
		"refresh token": login.text("refresh_token"), "access token": login.text("access_token"), "receipt": receipt(t),
		"context": issued.text("context"), "device": s.imported(t), "unconfirmed device": unconfirmed(t, s),
		"challenge": s.challenge(t, fields{"identifier": ada}).text("challenge"),
	}
	for name, token := range tokens {
		if name != "context" {
			for _, operation := range []string{"verify", "resend", "revoke", "inspect"} {
				request := fields{"context": token}
				if operation == "verify" {
					request["otp"] = otp
				}
				if a := s.post(t, "/v1/otp/"+operation, request.String()); a.status != 400 || a.body != badTokenBody {
					t.Errorf("%s as a context, %s: got %d %s", name, operation, a.status, a.body)
				}
			}
			if a := s.complete(t, fields{"challenge": tokens["challenge"], "context": token, "otp": otp}); a.status != 400 || a.body != badTokenBody {
				t.Errorf("%s as a context of a challenge: got %d %s", name, a.status, a.body)
			}
		}
		if !strings.HasSuffix(name, "device") {
			for _, operation := range deviceOperations {
				if a := operation.do(t, s, token); a.status != 400 || a.code() != "INVALID_DEVICE" {
					t.Errorf("%s as a device, %s: got %d %s", name, operation.name, a.status, a.body)
				}
			}
		}
		if !strings.HasSuffix(name, "token") {
			s.isBadRefresh(t, name, token)
			if a := s.introspect(t, token); a.body != inactiveBody {
				t.Errorf("%s as a token: got %s", name, a.body)
			}
		}
		if name != "challenge" {
			for _, request := range []fields{
				{"challenge": token, "device": tokens["device"], "otp": s.code(t)}, {"challenge": token, "context": tokens["context"], "otp": otp},
			} {
				if a := s.complete(t, request); a.status != 400 || a.body != badChallengeBody {
					t.Errorf("%s as a challenge: got %d %s", name, a.status, a.body)
				}
			}
		}
	}
	s.stillGood(t, issued)
	s.refresh(t, login.text("refresh_token")).is(t, 200, "")
	s.complete(t, fields{"challenge": tokens["challenge"], "device": tokens["device"], "otp": s.code(t)}).is(t, 200, "")
}

// receipt returns what is kept of an answer, which nobody gets to see but who looks into the ledger.
func receipt(tb testing.TB) string {
	tb.Helper()
	return seal(tb, subkey(tb, signingKey, "receipt"), []byte(`{"request":"x","sent":{}}`))
}

// Whatever the key has sealed is trusted no more than what comes from outside: there is an answer that the
// contract knows, and no fault.
func TestDevicesWithAnyByteChangedAreNoFault(t *testing.T) {
	s := newServer(t, options{})
	key := subkey(t, signingKey, "device")
	payload := unseal(t, key, s.imported(t))
	for i := range payload {
		for _, b := range []byte{payload[i] ^ 1, payload[i] ^ 0x80, 0, '"', '}', 0x7f, 0xff} {
			changed := slices.Clone(payload)
			changed[i] = b
			token := seal(t, key, changed)
			for _, a := range []answer{s.inspectDevice(t, token), s.verifyDevice(t, token, s.code(t))} {
				if a.status >= 500 {
					t.Errorf("byte %d as %q: got %d %s", i, b, a.status, a.body)
				}
			}
		}
	}
}

// challengeClaims are those of a good challenge, as JSON, changed: nil leaves a member out.
func challengeClaims(changes fields) []byte {
	members := fields{
		"id": strings.Repeat("A", 22), "identifier": ada, "subject": strings.Repeat("A", 22), "issued_at": at * 1000, "expires_at": (at + 120) * 1000,
	}
	for name, value := range changes {
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
	}
	return []byte(members.String())
}

func TestBadChallengesAreRefused(t *testing.T) {
	s := newServer(t, options{})
	key := subkey(t, signingKey, "challenge")
	kind := sealedKinds[1]
	kind.send(t, s, seal(t, key, challengeClaims(nil))).is(t, 200, "")
	for member, values := range map[string][]any{
		"id":         {nil, null, 1, "", "short", strings.Repeat("A", 21), strings.Repeat("A", 23), strings.Repeat("A", 21) + `"`, strings.Repeat("é", 11), strings.Repeat("A", 20) + "}{"},
		"identifier": {nil, null, 1, []int{}, fields{}, ""},
		"methods":    {1, "pwd", fields{}, []int{1}, []string{`"`}, []string{""}, []string{"pwd", "a\nb"}},
		"namespace":  {1, "shop", []int{}},
		"purpose":    {1, []string{}},
		"subject":    {1, []string{}},
		"issued_at":  {"1", 0.5, true, raw("1e308"), raw("9223372036854775808")},
		"expires_at": {"1", 0.5, true, raw("1e308"), raw("9223372036854775808")},
		"extra":      {null, 1},
		"ID":         {"x"},
	} {
		for _, value := range values {
			kind.isBad(t, s, fmt.Sprintf("with %s of %.30v", member, value), seal(t, key, challengeClaims(fields{member: value})))
		}
	}
	good := string(challengeClaims(nil))
	for name, payload := range map[string]string{
		"a member twice":   strings.Replace(good, `{`, `{"purpose":"a","purpose":"a",`, 1),
		"invalid UTF-8":    strings.Replace(good, ada, "\xff", 1),
		"a lone surrogate": strings.Replace(good, ada, `\ud800`, 1),
	} {
		kind.isBad(t, s, name, seal(t, key, []byte(payload)))
	}
}

// refreshClaims are those of a good refresh token, as JSON, changed: nil leaves a member out.
func refreshClaims(changes fields) []byte {
	members := fields{
		"family": strings.Repeat("A", 22), "subject": ada, "auth_time": at, "identifier_hash": strings.Repeat("A", 22),
		"issued_at": at, "expires_at": at + 600, "methods": []string{"otp"},
	}
	for name, value := range changes {
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
	}
	return []byte(members.String())
}

func TestBadRefreshTokensAreRefused(t *testing.T) {
	s := newServer(t, options{})
	key := subkey(t, signingKey, "refresh")
	if !s.isActive(t, seal(t, key, refreshClaims(nil))) {
		t.Fatal("a good refresh token is not active")
	}
	for member, values := range map[string][]any{
		"family":     {nil, null, 1, "", "short", strings.Repeat("A", 21), strings.Repeat("A", 23), strings.Repeat("A", 21) + `"`, strings.Repeat("é", 11)},
		"generation": {"1", -1, 0.5, raw("1e308"), raw("9223372036854775807"), 1 << 31},
		"subject":    {1, []string{}, fields{}},
		"methods":    {1, "pwd", fields{}, []int{1}},
		"namespace":  {1, "shop", []int{}},
		"purpose":    {1, []string{}},
		"issued_at":  {"1", 0.5, true, raw("1e308"), raw("9223372036854775808")},
		"expires_at": {nil, null, "1", 0.5, true, 0, -1, at, raw("1e308"), raw("9223372036854775808")},
		"extra":      {null, 1},
		"Subject":    {"x"},
	} {
		for _, value := range values {
			token := seal(t, key, refreshClaims(fields{member: value}))
			s.isBadRefresh(t, fmt.Sprintf("%s of %.30v", member, value), token)
			if a := s.introspect(t, token); a.body != inactiveBody {
				t.Errorf("%s of %.30v: got %s", member, value, a.body)
			}
		}
	}
	s.refresh(t, seal(t, key, refreshClaims(nil))).is(t, 200, "")
}

// Texts that only a forger writes, who has the key, do not get out of the strings they are in.
func TestIntrospectionOfAnyTextIsJSON(t *testing.T) {
	s := newServer(t, options{})
	key := subkey(t, signingKey, "refresh")
	for _, text := range []string{`"`, `\`, "\x00", "\n", `","active":false,"x":"`, "é", "\u2028", strings.Repeat("x", 5000)} {
		for _, claims := range []fields{{"subject": text}, {"methods": []string{text}}} {
			a := s.introspect(t, seal(t, key, refreshClaims(claims)))
			if !json.Valid([]byte(a.body)) {
				t.Errorf("%v: got %s", claims, a.body)
			}
		}
	}
}

// Times that only a forger writes, who has the key.
func TestChallengesOfAnyTimeAreNoFault(t *testing.T) {
	s := newServer(t, options{})
	key := subkey(t, signingKey, "challenge")
	for _, member := range []string{"issued_at", "expires_at"} {
		for _, value := range []any{nil, 0, -1, raw("9223372036854775807"), raw("-9223372036854775808")} {
			a := sealedKinds[1].send(t, s, seal(t, key, challengeClaims(fields{member: value, "id": strings.Repeat("B", 22)})))
			if a.status >= 500 {
				t.Errorf("%s of %v: got %d %s", member, value, a.status, a.body)
			}
		}
	}
}

func TestBadSealedTokensReachNoLedger(t *testing.T) {
	s := newServer(t, options{ledger: brokenLedger{panic: "asked the ledger"}})
	good := map[string]string{
		"device": s.imported(t), "challenge": s.challenge(t, fields{"identifier": ada}).text("challenge"),
		"refresh": newServer(t, options{}).login(t, fields{"identifier": ada}).text("refresh_token"),
	}
	for _, kind := range sealedKinds {
		for name, token := range badSealed(t, kind.info, unseal(t, subkey(t, signingKey, kind.info), good[kind.info])) {
			kind.isBad(t, s, name, token)
		}
	}
}
