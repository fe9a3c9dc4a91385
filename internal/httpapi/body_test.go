package httpapi_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// canary is in values that are refused; no error may repeat it.
const canary = "canary-5281"

// quotesNothing fails the test if an error repeats a value of the request.
func quotesNothing(tb testing.TB, a answer) {
	tb.Helper()
	if strings.Contains(a.body, canary) {
		tb.Errorf("the error quotes the value: %s", a.body)
	}
}

func TestBodiesThatAreNoRequest(t *testing.T) {
	for name, test := range map[string]struct{ body, field string }{
		"empty":                          {"", ""},
		"white space":                    {" \r\n\t", ""},
		"a word":                         {canary, ""},
		"a form":                         {"otp=" + canary, ""},
		"cut short":                      {`{"purpose":"` + canary, "purpose"},
		"a comma too many":               {`{"purpose":"` + canary + `",}`, ""},
		"no quotes around a name":        {`{purpose:"` + canary + `"}`, ""},
		"single quotes":                  {`{'purpose':'` + canary + `'}`, ""},
		"a comment":                      {`{/*` + canary + `*/}`, ""},
		"a byte-order mark":              {"\ufeff{}", ""},
		"two values":                     {`{}{"purpose":"` + canary + `"}`, ""},
		"two values on two lines":        {"{}\n{}", ""},
		"trailing bytes":                 {`{}` + canary, ""},
		"a trailing NUL":                 {"{}\x00", ""},
		"a trailing bracket":             {`{}}`, ""},
		"an array":                       {`[]`, ""},
		"an array of a request":          {`[{"purpose":"` + canary + `"}]`, ""},
		"null":                           {`null`, ""},
		"null after white space":         {" \n null ", ""},
		"true":                           {`true`, ""},
		"a number":                       {`5281`, ""},
		"a string":                       {`"` + canary + `"`, ""},
		"deep arrays":                    {strings.Repeat("[", 16000), ""},
		"deep objects":                   {strings.Repeat(`{"a":`, 3000), "a"},
		"deep metadata":                  {`{"identifier":"x","metadata":` + strings.Repeat("[", 8000) + strings.Repeat("]", 8000) + `}`, "metadata"},
		"an unknown field":               {`{"canary":"` + canary + `"}`, "canary"},
		"an unknown field of null":       {`{"canary":null}`, "canary"},
		"an unknown field, name of 64":   {`{"` + strings.Repeat("x", 64) + `":1}`, strings.Repeat("x", 64)},
		"an unknown field, name of 65":   {`{"` + strings.Repeat("x", 65) + `":1}`, ""},
		"an unknown field, empty name":   {`{"":1}`, ""},
		"a field with a NUL in its name": {`{"purpose\u0000":"x"}`, "purpose\x00"},
		"invalid UTF-8":                  {"{\"purpose\":\"" + canary + "\xff\"}", "purpose"},
		"overlong UTF-8":                 {"{\"purpose\":\"\xc0\xaf\"}", "purpose"},
		"UTF-8 of a surrogate":           {"{\"purpose\":\"\xed\xa0\x80\"}", "purpose"},
		"invalid UTF-8 in a name":        {"{\"purpose\xff\":\"x\"}", ""},
		"a lone high surrogate":          {`{"purpose":"\ud800"}`, "purpose"},
		"a lone low surrogate":           {`{"purpose":"\udc00"}`, "purpose"},
		"swapped surrogates":             {`{"purpose":"\udc00\ud800"}`, "purpose"},
		"UTF-16":                         {"{\x00}\x00", ""},
		"a raw line break in a string":   {"{\"purpose\":\"a\nb\"}", "purpose"},
		"NaN":                            {`{"length":NaN}`, "length"},
		"Infinity":                       {`{"length":Infinity}`, "length"},
		"a leading zero":                 {`{"length":06}`, ""},
		"a hexadecimal number":           {`{"length":0x6}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			for _, path := range postPaths {
				if path == "/v1/otp/send" && test.field == "metadata" {
					continue // it asks for what is missing first
				}
				a := s.post(t, path, test.body)
				a.is(t, 400, "INVALID_REQUEST")
				quotesNothing(t, a)
				// The fields of generate are unknown elsewhere, and named for it.
				if path == "/v1/otp/generate" && a.text("field") != test.field {
					t.Errorf("got %s, want field %q", a.body, test.field)
				}
			}
		})
	}
}

// requestFields calls do for each field of each request, as the contract has them.
func requestFields(tb testing.TB, do func(path, field string, schema *openapi3.Schema)) {
	tb.Helper()
	operations(tb, func(path, _ string, o *openapi3.Operation) {
		if o.RequestBody == nil {
			return
		}
		for field, schema := range o.RequestBody.Value.Content["application/json"].Schema.Value.Properties {
			do(path, field, schema.Value)
		}
	})
}

// raw is JSON as it is.
type raw string

func (r raw) MarshalJSON() ([]byte, error) { return []byte(r), nil }

func TestFieldsOfAWrongType(t *testing.T) {
	values := map[string]raw{
		"null": "null", "string": `"` + canary + `"`, "integer": "528100", "number": "0.5281",
		"boolean": "true", "array": `["` + canary + `"]`, "object": `{"a":"` + canary + `"}`,
	}
	tested := 0
	requestFields(t, func(path, field string, schema *openapi3.Schema) {
		for kind, value := range values {
			if schema.Type.Includes(kind) || kind == "integer" && schema.Type.Includes("number") {
				continue
			}
			tested++
			t.Run(path+"/"+field+"/"+kind, func(t *testing.T) {
				s := newServer(t, options{})
				p := s.sample(t, path)
				a := s.post(t, path, p.with(field, value).String())
				quotesNothing(t, a)
				s.untouched(t, p)
				a.is(t, 400, "INVALID_REQUEST")
				if a.text("field") != field {
					t.Errorf("got %s, want the field %s", a.body, field)
				}
			})
		}
	})
	if tested < 350 {
		t.Errorf("tested %d combinations: the contract was not understood", tested)
	}
}

func TestFieldsThatMayBeNull(t *testing.T) {
	var nullable []string
	requestFields(t, func(path, field string, schema *openapi3.Schema) {
		if !schema.Type.Includes("null") {
			return
		}
		nullable = append(nullable, path+" "+field)
		s := newServer(t, options{})
		s.post(t, path, s.sample(t, path).with(field, nil).String()).is(t, 200, "")
	})
	slices.Sort(nullable)
	want := []string{"/v1/challenges metadata", "/v1/devices/verify identifier", "/v1/otp/generate identifier", "/v1/otp/generate metadata", "/v1/otp/send identifier", "/v1/otp/send metadata", "/v1/otp/verify identifier"}
	if !slices.Equal(nullable, want) {
		t.Errorf("null is allowed for %v, want %v", nullable, want)
	}
}

func TestFieldsNeedTheirExactName(t *testing.T) {
	requestFields(t, func(path, field string, _ *openapi3.Schema) {
		for _, other := range []string{
			strings.ToUpper(field), strings.ToUpper(field[:1]) + field[1:], field + " ", " " + field, strings.ReplaceAll(field+"_", "_", "-"),
		} {
			s := newServer(t, options{})
			p := s.sample(t, path)
			a := s.post(t, path, p.with(other, "x").String())
			a.is(t, 400, "INVALID_REQUEST")
			if a.text("field") != other {
				t.Errorf("%s: got %s, want the field %q", path, a.body, other)
			}
			s.untouched(t, p)
		}
	})
}

func TestFieldsAreNotGivenTwice(t *testing.T) {
	requestFields(t, func(path, field string, schema *openapi3.Schema) {
		value := map[string]string{"integer": "6", "boolean": "true", "array": `["x"]`, "object": `{"x":"x"}`}[(*schema.Type)[0]]
		if value == "" {
			value = `"x"`
		}
		body := fmt.Sprintf(`{%[1]q:%[2]s,%[1]q:%[2]s}`, field, value)
		if field == "alphabet" {
			body = `{"alphabet":"letters","alphabet":"letters"}`
		}
		s := newServer(t, options{})
		a := s.post(t, path, body)
		a.is(t, 400, "INVALID_REQUEST")
		if a.text("field") != field || !strings.Contains(a.text("error"), "twice") {
			t.Errorf("%s: got %s, want the field %s", path, a.body, field)
		}
	})
	a := newServer(t, options{}).post(t, "/v1/otp/generate", `{"metadata":{"a":{"b":1,"b":1}}}`)
	a.is(t, 400, "INVALID_REQUEST")
	if a.text("field") != "metadata" {
		t.Errorf("within metadata: got %s", a.body)
	}
}

func TestOTPAsANumberIsExplained(t *testing.T) {
	explained := 0
	requestFields(t, func(path, field string, _ *openapi3.Schema) {
		if field != "otp" && field != "next_otp" {
			return
		}
		explained++
		s := newServer(t, options{})
		p := s.sample(t, path)
		a := s.post(t, path, p.with(field, raw("528152")).String())
		a.is(t, 400, "INVALID_REQUEST")
		if a.text("field") != field || !strings.Contains(a.text("error"), "leading zeros") || strings.Contains(a.body, "528152") {
			t.Errorf("%s: got %s", path, a.body)
		}
		s.untouched(t, p)
	})
	if explained != 7 {
		t.Errorf("found %d codes in the requests, want 7", explained)
	}
}

func TestListsHoldStringsOnly(t *testing.T) {
	s := newServer(t, options{})
	for path, field := range map[string]string{
		"/v1/devices/match": "devices", "/v1/devices/reseal": "devices", "/v1/challenges": "methods",
	} {
		p := s.sample(t, path)
		for _, element := range []raw{"null", "5281", "0.5281", "true", `["` + canary + `"]`, `{"a":"` + canary + `"}`, "[]", "{}"} {
			for _, list := range []raw{"[" + element + "]", `["x",` + element + "]", "[" + element + `,"x"]`} {
				a := s.post(t, path, p.with(field, list).String())
				quotesNothing(t, a)
				want := "The field " + field + " must be a list of strings."
				if a.code() != "INVALID_REQUEST" || a.text("field") != field || a.text("error") != want {
					t.Errorf("%s, %s: got %d %s, want %s", path, list, a.status, a.body, want)
				}
			}
		}
		s.untouched(t, p)
	}
}

// A null that is the caller's own, or that comes before one that must not be, changes nothing.
func TestNullsWithinMetadataAreKept(t *testing.T) {
	s := newServer(t, options{})
	const metadata = `[null,{"a":null,"null":[null]}]`
	for _, path := range []string{"/v1/otp/generate", "/v1/challenges"} {
		body := `{"identifier":"null","metadata":` + metadata
		s.post(t, path, body+`}`).is(t, 200, "")
		a := s.post(t, path, body+`,"purpose":null}`)
		a.is(t, 400, "INVALID_REQUEST")
		if a.text("field") != "purpose" {
			t.Errorf("got %s", a.body)
		}
	}
	challenge := s.post(t, "/v1/challenges", `{"identifier":"`+ada+`","metadata":`+metadata+`}`)
	a := s.complete(t, fields{"challenge": challenge.text("challenge"), "device": s.imported(t), "otp": s.code(t)})
	a.is(t, 200, "")
	if !strings.Contains(a.body, `"metadata":`+metadata) {
		t.Errorf("got %s", a.body)
	}
}

func nested(levels int) raw {
	return raw(strings.Repeat("[", levels) + strings.Repeat("]", levels))
}

func TestBoundsOfGenerateAndSend(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n-len(canary)) + canary }
	for field, test := range map[string]struct{ good, bad []any }{
		"identifier": {
			good: []any{"", "x", text(320), strings.Repeat("é", 160), `"quoted\"`, "\u0080\u2028"},
			bad:  []any{text(321), strings.Repeat("é", 160) + "x", "\x00" + canary, canary + "\n", "a\tb", "\x7f", "\x1f"},
		},
		"purpose": {
			good: []any{"", text(64), "Überweisung"},
			bad:  []any{text(65), strings.Repeat("é", 32) + "x", canary + "\x00", "a\r\nb", "\x7f"},
		},
		"binding": {
			good: []any{"", text(1024), "10 EUR\nto Bob\x00"},
			bad:  []any{text(1025)},
		},
		"metadata": {
			good: []any{
				text(4094), raw(`"` + text(4094) + `"` + strings.Repeat(" ", 1000)), strings.Repeat("é", 2047), nested(64), false, 0, "", raw("1e300"),
				raw(`{"a":"\u0000"}`), raw(`"` + strings.Repeat("[", 100) + `\"{{{"`),
			},
			bad: []any{text(4095), strings.Repeat("é", 2047) + "x", nested(65), raw(`[` + strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64) + `]`)},
		},
		"length":                 {good: []any{6, 12}, bad: []any{5, 13, 0, -6, 6.5, raw("6.0"), raw("6e0"), raw("1e308"), 1 << 31, raw("9223372036854775808")}},
		"alphabet":               {good: []any{"numeric", "alphanumeric", "letters"}, bad: []any{"Numeric", "hex", canary, "numeric "}},
		"max_retries":            {good: []any{0, 10}, bad: []any{-1, 11, 1 << 31, raw("1e308"), raw("-1e308"), 0.5}},
		"expiry_seconds":         {good: []any{1, 86400}, bad: []any{0, 86401, -1, 1 << 31, raw("1e308"), 1.5}},
		"session_expiry_seconds": {good: []any{1, 86400}, bad: []any{0, 86401, -1, 1 << 31, raw("1e308"), 1.5}},
		"source_url": {
			good: []any{"", "http://a", "HTTPS://example.com:8443/%0d%0a?q=%00#f", "https://[::1]/", "https://example.com/" + strings.Repeat("x", 1004)},
			bad: []any{
				"example.com/" + canary, "/" + canary, "//example.com/" + canary, "https:" + canary, "https://", "https:///" + canary, "https://:80", "ftp://" + canary,
				"javascript:alert(" + canary + ")", "data:text/html," + canary, "https://" + canary + "@example.com", "https://exa mple.com", "https://example.com/\r\n" + canary,
				"https://example.com/\x00", "https://example.com/%zz", " https://example.com", "https://example.com/" + strings.Repeat("x", 1005),
			},
		},
	} {
		t.Run(field, func(t *testing.T) {
			s := newServer(t, options{})
			for path, request := range map[string]fields{"/v1/otp/generate": {}, "/v1/otp/send": {"channel": "console"}} {
				post := func(i int, value any) answer {
					if request["channel"] != nil {
						request["to"] = fmt.Sprintf("user %d", i) // or the recipient's limit would be what is met
					}
					return s.post(t, path, request.with(field, value).String())
				}
				for i, value := range test.good {
					if a := post(i, value); a.status != 200 {
						t.Errorf("%s, %.40v: got %d %s", path, value, a.status, a.body)
					}
				}
				s.console.take()
				for i, value := range test.bad {
					a := post(i, value)
					if a.status != 400 || a.code() != "INVALID_REQUEST" || a.text("field") != field {
						t.Errorf("%s, %.40v: got %d %s", path, value, a.status, a.body)
					}
					quotesNothing(t, a)
				}
				s.undelivered(t)
			}
		})
	}
}

func TestLargestContextIsStillOne(t *testing.T) {
	s := newServer(t, options{})
	issued := s.post(t, "/v1/otp/generate", fields{
		"identifier": strings.Repeat(`"`, 320), "purpose": strings.Repeat(`\`, 64), "metadata": strings.Repeat("x", 4094),
		"binding": strings.Repeat("x", 1024), "alphabet": "alphanumeric", "length": 12, "decoy": true,
	}.String())
	issued.is(t, 200, "")
	s.inspect(t, issued.text("context")).is(t, 200, "")
}

func TestSessionIsNotShorterThanTheCode(t *testing.T) {
	s := newServer(t, options{})
	a := s.post(t, "/v1/otp/generate", `{"expiry_seconds":61,"session_expiry_seconds":60}`)
	a.is(t, 400, "INVALID_REQUEST")
	if a.text("field") != "session_expiry_seconds" {
		t.Errorf("got %s", a.body)
	}
	s.generate(t, fields{"expiry_seconds": 60, "session_expiry_seconds": 60})
}

func TestBoundsOfVerify(t *testing.T) {
	s := newServer(t, options{})
	issued := s.generate(t, fields{})
	a := s.verify(t, strings.Repeat("x", 129-len(canary))+canary, issued.text("context"))
	a.is(t, 400, "INVALID_REQUEST")
	if a.text("field") != "otp" {
		t.Errorf("got %s, want the field otp", a.body)
	}
	quotesNothing(t, a)
	s.stillGood(t, issued)
	s.verify(t, strings.Repeat("x", 128), s.generate(t, fields{}).text("context")).is(t, 400, "INVALID_OTP")
}

func TestLongCriteriaAreAMismatch(t *testing.T) {
	s := newServer(t, options{})
	p := s.sample(t, "/v1/otp/verify")
	for _, field := range []string{"identifier", "purpose", "binding"} {
		a := s.post(t, "/v1/otp/verify", p.with(field, canary+strings.Repeat("x", 5000)).String())
		a.is(t, 400, "CONTEXT_MISMATCH")
		quotesNothing(t, a)
	}
	s.untouched(t, p)
}

// maxBody returns the bytes that a path's body may have.
func maxBody(path string) int {
	if path == "/v1/devices/reseal" {
		return 256 << 10
	}
	return 16 << 10
}

func TestLongestBody(t *testing.T) {
	for name, test := range map[string]struct {
		more   int  // bytes than allowed
		length bool // whether Content-Length says so
		code   string
	}{
		"exactly":              {0, true, ""},
		"exactly, chunked":     {0, false, ""},
		"one byte more":        {1, true, "BODY_TOO_LARGE"},
		"one more, chunked":    {1, false, "BODY_TOO_LARGE"},
		"a megabyte":           {1 << 20, true, "BODY_TOO_LARGE"},
		"a megabyte, chunked":  {1 << 20, false, "BODY_TOO_LARGE"},
		"white space included": {-1, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			for _, path := range postPaths {
				p := s.sample(t, path)
				s.now = s.now.Add(cooldown)
				body := p.String()
				r := s.request(http.MethodPost, path, body+strings.Repeat(" ", maxBody(path)+test.more-len(body)))
				if !test.length {
					r.ContentLength = -1
				}
				a := s.send(t, r)
				if a.code() != test.code {
					t.Errorf("%s: got %d %s", path, a.status, a.body)
				}
				if test.code != "" {
					a.is(t, 413, test.code)
					if want := fmt.Sprintf("The body must be at most %d bytes.", maxBody(path)); a.text("error") != want {
						t.Errorf("%s: got %s, want %s", path, a.body, want)
					}
					s.untouched(t, p)
				}
			}
		})
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestEndlessBodyIsNotReadOn(t *testing.T) {
	s := newServer(t, options{})
	for _, path := range postPaths {
		body := new(endless)
		r := s.request(http.MethodPost, path, "")
		r.Body, r.ContentLength = io.NopCloser(body), -1
		s.sendUnread(t, r).is(t, 413, "BODY_TOO_LARGE")
		if body.read > 4*maxBody(path) {
			t.Errorf("%s: read %d bytes of it", path, body.read)
		}
	}
}

func TestBodyThatSaysItIsTooLongIsNotReadAtAll(t *testing.T) {
	s := newServer(t, options{})
	for _, path := range postPaths {
		body := new(endless)
		r := s.request(http.MethodPost, path, "")
		r.Body, r.ContentLength = io.NopCloser(body), int64(maxBody(path)+1)
		s.sendUnread(t, r).is(t, 413, "BODY_TOO_LARGE")
		if body.read > 0 {
			t.Errorf("%s: read %d bytes of it", path, body.read)
		}
	}
}

// failing is a body that ends with an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestBodyThatBreaksOff(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		text string
	}{
		"too slow":     {os.ErrDeadlineExceeded, "The body did not arrive in time."},
		"cut":          {io.ErrUnexpectedEOF, "The body could not be read."},
		"other reason": {errors.New(canary), "The body could not be read."},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			r := s.request(http.MethodPost, "/v1/otp/verify", "")
			r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(`{"otp":"`), failing{test.err})), -1
			a := s.sendUnread(t, r)
			a.is(t, 400, "INVALID_REQUEST")
			if a.text("error") != test.text {
				t.Errorf("got %s, want %s", a.body, test.text)
			}
			if a.header.Get("Connection") != "close" {
				t.Error("the connection is kept")
			}
		})
	}
}

func TestContentType(t *testing.T) {
	for contentType, ok := range map[string]bool{
		"application/json":                        true,
		"Application/JSON":                        true,
		"application/json; charset=utf-8":         true,
		"application/json;charset=UTF-8":          true,
		`application/json; charset="utf-8"`:       true,
		"":                                        false,
		"text/plain":                              false,
		"text/plain; application/json":            false,
		"application/x-www-form-urlencoded":       false,
		"multipart/form-data; boundary=x":         false,
		"application/jsonp":                       false,
		"application/json, text/plain":            false,
		"application/problem+json":                false,
		"application/json; charset=utf-16":        false,
		"application/json; charset":               false,
		"application/json; charset=a; charset=b":  false,
		"text/json":                               false,
		"application":                             false,
		"application/json\x00":                    false,
		"application/merge-patch+json; " + canary: false,
	} {
		t.Run(contentType, func(t *testing.T) {
			s := newServer(t, options{})
			for _, path := range postPaths {
				p := s.sample(t, path)
				r := s.request(http.MethodPost, path, p.String())
				r.Header.Set("Content-Type", contentType)
				if contentType == "" {
					r.Header.Del("Content-Type")
				}
				a := s.send(t, r)
				if ok {
					if a.code() == "UNSUPPORTED_MEDIA_TYPE" {
						t.Errorf("%s: got %d %s", path, a.status, a.body)
					}
					continue
				}
				a.is(t, 415, "UNSUPPORTED_MEDIA_TYPE")
				quotesNothing(t, a)
				s.untouched(t, p)
			}
		})
	}
}
