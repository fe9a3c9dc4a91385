package delivery

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// gatewayJSON returns a file with these members.
func gatewayJSON(tb testing.TB, members map[string]any) []byte {
	tb.Helper()
	data, err := json.Marshal(members)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func mustParseGateway(tb testing.TB, members map[string]any) *Gateway {
	tb.Helper()
	g, err := ParseGateway(gatewayJSON(tb, members))
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// The example in the comment on ParseGateway is one.
func TestGatewayAsDocumented(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("gateway.go")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile(`(?s)//\t\{\n.*?\n//\t\}\n`).FindString(string(source))
	example = strings.ReplaceAll(example, "//\t", "")
	if !strings.Contains(example, "https://sms.example.com/v1/messages") {
		t.Fatalf("no example: %q", example)
	}
	says := make(chan string, 1)
	server := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		want := `{"to": "+4915123456789", "text": "Your \"code\"\nis 123456", "reference": "AAECAwQFBgcICQoLDA0ODw"}`
		if err != nil || r.Method != http.MethodPost || r.RequestURI != "/v1/messages" || string(body) != want ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer SECRET" {
			t.Errorf("got %s %s %v %s: %v", r.Method, r.RequestURI, r.Header, body, err)
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, <-says)
	})
	g, err := ParseGateway([]byte(strings.Replace(example, "https://sms.example.com", server, 1)))
	if err != nil {
		t.Fatal(err)
	}
	says <- `{"status": "queued"}`
	if err := g.Send(peerContext(t, longEnough), textMessage(), "Your \"code\"\nis 123456"); err != nil {
		t.Error(err)
	}
	says <- `{"status": "rejected"}`
	err = g.Send(peerContext(t, longEnough), textMessage(), "Your \"code\"\nis 123456")
	mustFail(t, err, false, "the SMS gateway answered 202, and not what means success")
}

// attacks are texts that would end or change what they are put into, if they could.
var attacks = []string{
	`","to":"+12025550123`, `\`, `\"`, `\u0022}`, "line\nbreak\r\n\r\nPOST /", "a&to=%2B12025550123", "100%", "%26", "+ +", "#", "?a=b",
	"../../admin", "//evil.example/", "@evil.example", "{{code}}", "{{to}}{{id}}", "<x>&amp;'", "\u2028", "字😀\u202e", "\x00\x1f\x7f", "$1 ${to}", "",
}

func TestGatewayEscapes(t *testing.T) {
	t.Parallel()
	type request struct {
		uri, path, body string
		query           url.Values
	}
	got := make(chan request, 1)
	server := newPeerServer(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- request{r.RequestURI, r.URL.Path, string(body), r.URL.Query()}
	})
	kind := func(media string) map[string]string { return map[string]string{"Content-Type": media} }
	inJSON := mustParseGateway(t, map[string]any{
		"url": server + "/json", "headers": kind("application/json; charset=UTF-8"),
		"body": `{"message":{"a":"<{{text}}>","to":["{{to}}",{{to_digits}}]},"id":"{{id}}","code":"{{code}}"}`,
	})
	inForm := mustParseGateway(t, map[string]any{
		"url": server + "/form", "method": "PUT", "headers": kind("application/x-www-form-urlencoded"),
		"body": "a={{text}}&to={{to}}&digits={{to_digits}}&id={{id}}&code={{code}}",
	})
	plain := mustParseGateway(t, map[string]any{
		"url": server + "/plain/{{to}}", "headers": kind("text/plain;charset=utf-8"), "body": "{{text}}",
	})
	inURL := mustParseGateway(t, map[string]any{
		"url": server + "/{{to}}/{{text}}/end?a={{text}}&to={{to}}&digits={{to_digits}}&id={{id}}&code={{code}}", "method": "GET",
	})
	m := textMessage()
	send := func(g *Gateway, text string) request {
		t.Helper()
		if err := g.Send(peerContext(t, longEnough), m, text); err != nil {
			t.Fatal(err)
		}
		return <-got
	}
	form := func(text string) url.Values {
		return url.Values{"a": {text}, "to": {m.To}, "digits": {m.To[1:]}, "id": {m.ID}, "code": {m.Code}}
	}
	for _, attack := range attacks {
		text := attack + m.Code
		var decoded, want any
		if err := json.Unmarshal([]byte(send(inJSON, text).body), &decoded); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want = map[string]any{
			"message": map[string]any{"a": "<" + text + ">", "to": []any{m.To, 4915123456789.0}}, "id": m.ID, "code": m.Code,
		}
		if !reflect.DeepEqual(decoded, want) {
			t.Errorf("%q in JSON is %v", text, decoded)
		}
		values, err := url.ParseQuery(send(inForm, text).body)
		if err != nil || !reflect.DeepEqual(values, form(text)) {
			t.Errorf("%q in a form is %v: %v", text, values, err)
		}
		if r := send(plain, text); r.body != text || r.uri != "/plain/%2B4915123456789" {
			t.Errorf("%q as it is is %q at %s", text, r.body, r.uri)
		}
		r := send(inURL, text)
		if r.path != "/"+m.To+"/"+text+"/end" || !reflect.DeepEqual(r.query, form(text)) || strings.Count(r.uri, "/") != 3 {
			t.Errorf("%q in an URL is %s", text, r.uri)
		}
	}
}

func TestGatewayDefaults(t *testing.T) {
	t.Parallel()
	server := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.ContentLength != 0 || r.Header.Get("User-Agent") != "otpd" || r.Header.Get("Content-Type") != "" {
			t.Errorf("got %s %v, %d bytes", r.Method, r.Header, r.ContentLength)
		}
		w.WriteHeader(299)
	})
	g := mustParseGateway(t, map[string]any{"url": server + "?to={{to}}&text={{text}}", "headers": nil, "permanent": nil})
	if err := g.Send(peerContext(t, longEnough), textMessage(), "123456"); err != nil {
		t.Error(err)
	}
}

func TestGatewayJudges(t *testing.T) {
	t.Parallel()
	type rule = map[string]any
	const answered, not, refused = "the SMS gateway answered ", ", and not what means success", "the SMS gateway refused the message "
	for _, test := range []struct {
		name               string
		success, permanent any
		status             int
		body               string
		isPermanent        bool
		reason             string // empty for success
	}{
		{"any 2xx", nil, nil, 204, "", false, ""},
		{"no 2xx", nil, nil, 400, "", false, answered + "400"},
		{"a redirect", nil, nil, 302, "", false, answered + "302"},
		{"too many", nil, nil, 429, "", false, answered + "429"},
		{"down", nil, nil, 503, "OK", false, answered + "503"},
		{"a listed status", rule{"status": []int{200, 202}}, nil, 202, "", false, ""},
		{"another status", rule{"status": []int{200, 202}}, nil, 201, "", false, answered + "201"},
		{"the right words", rule{"body_matches": "^OK"}, nil, 200, "OK: 1 sent", false, ""},
		{"other words", rule{"body_matches": "^OK"}, nil, 200, "ERR +4915123456789", false, answered + "200" + not},
		{"the right words, too late", rule{"body_matches": "OK"}, nil, 200, strings.Repeat(" ", maxAnswer) + "OK", false, answered + "200" + not},
		{"the right words with another status", rule{"body_matches": "^OK"}, nil, 400, "OK", false, answered + "400"},
		{"both", rule{"status": []int{200}, "body_matches": "OK"}, nil, 200, "OK", false, ""},
		{"one of both", rule{"status": []int{200}, "body_matches": "OK"}, nil, 201, "OK", false, answered + "201"},
		{"permanent by status", nil, rule{"status": []int{400, 422}}, 422, "", true, refused + "(422)"},
		{"not permanent by status", nil, rule{"status": []int{400, 422}}, 409, "", false, answered + "409"},
		{"permanent by words", rule{"body_matches": "^OK"}, rule{"body_matches": "invalid|blocked"}, 200, "ERR blocked", true, refused + "(200)"},
		{"permanent by both", nil, rule{"status": []int{400}, "body_matches": "blocked"}, 400, "blocked", true, refused + "(400)"},
		{"permanent by one of both", nil, rule{"status": []int{400}, "body_matches": "blocked"}, 403, "blocked", false, answered + "403"},
		{"success before permanent", nil, rule{"body_matches": "."}, 200, "x", false, ""},
		{"garbage", rule{"body_matches": "OK"}, nil, 200, "\x00\xff\xfe", false, answered + "200" + not},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newPeerServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			members := map[string]any{"url": server + "?{{text}}"}
			if test.success != nil {
				members["success"] = test.success
			}
			if test.permanent != nil {
				members["permanent"] = test.permanent
			}
			err := mustParseGateway(t, members).Send(peerContext(t, longEnough), textMessage(), "123456")
			if test.reason != "" {
				mustFail(t, err, test.isPermanent, test.reason)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGatewayInTrouble(t *testing.T) {
	t.Parallel()
	var strayed atomic.Int32
	elsewhere := newPeerServer(t, func(http.ResponseWriter, *http.Request) { strayed.Add(1) })
	redirect := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) })
	for _, method := range []string{"POST", "GET"} {
		for _, test := range []struct {
			url    string
			limit  time.Duration
			reason string
		}{
			{newPeerServer(t, stall(t)), 50 * time.Millisecond, "the SMS gateway did not answer in time"},
			{newPeerServer(t, breakOff), longEnough, "the SMS gateway broke the connection off"},
			{unusedURL(t), longEnough, "the SMS gateway cannot be reached"},
			{redirect, longEnough, "the SMS gateway answered 302"},
		} {
			g := mustParseGateway(t, map[string]any{
				"url": test.url + "?{{text}}", "method": method, "headers": map[string]string{"Authorization": "Bearer x"},
			})
			mustFail(t, g.Send(peerContext(t, test.limit), textMessage(), "123456"), false, test.reason)
		}
	}
	if strayed.Load() != 0 {
		t.Error("followed a redirect")
	}
}

func TestBadGateways(t *testing.T) {
	t.Parallel()
	const good = "https://sms.example.com/{{text}}"
	type file = map[string]any
	header := func(name, value string) file { return file{"url": good, "headers": map[string]string{name: value}} }
	body := func(media, text string) file {
		return file{"url": good, "headers": map[string]string{"Content-Type": media}, "body": text}
	}
	for name, test := range map[string]struct {
		file  file
		where string
	}{
		"no URL":                      {file{}, "url"},
		"an empty URL":                {file{"url": ""}, "url"},
		"http":                        {file{"url": "http://sms.example.com/"}, "url"},
		"a password in the URL":       {file{"url": "https://user:hunter2@sms.example.com/"}, "url"},
		"a fragment":                  {file{"url": good + "#hunter2"}, "url"},
		"an unknown place in the URL": {file{"url": good + "{{hunter2}}"}, "url"},
		"a place of Go's templates":   {file{"url": good + "{{.To}}"}, "url"},
		"a place as the host":         {file{"url": "https://{{to_digits}}/"}, "url"},
		"a place in the host":         {file{"url": "https://x{{id}}.example.com/"}, "url"},
		"a place as the port":         {file{"url": "https://sms.example.com:{{code}}/"}, "url"},
		"a place as the user":         {file{"url": "https://{{code}}@sms.example.com/"}, "url"},
		"a place as all of it":        {file{"url": "{{text}}"}, "url"},
		"a method in small letters":   {file{"url": good, "method": "post"}, "method"},
		"an empty method":             {file{"url": good, "method": ""}, "method"},
		"another method":              {file{"url": good, "method": "DELETE"}, "method"},
		"a method with a line break":  {file{"url": good, "method": "GET /hunter2 HTTP/1.1\r\nX:"}, "method"},
		"a header's line break":       {header("X-Key", "hunter2\r\nX-Other: y"), "headers"},
		"a header's line feed":        {header("X-Key", "hunter2\n"), "headers"},
		"a header's null":             {header("X-Key", "hunter2\x00"), "headers"},
		"a header's letters":          {header("X-Key", "hunter2é"), "headers"},
		"a header's space":            {header("X-Key", " hunter2"), "headers"},
		"an empty header":             {header("X-Key", ""), "headers"},
		"a place in a header":         {header("X-Key", "hunter2{{id}}"), "headers"},
		"a header's name":             {header("X Key", "hunter2"), "headers"},
		"a header's name, injected":   {header("X-Key: x\r\nY", "hunter2"), "headers"},
		"no name of a header":         {header("", "hunter2"), "headers"},
		"another host":                {header("host", "hunter2"), "headers"},
		"another length":              {header("Content-length", "1"), "headers"},
		"chunks":                      {header("Transfer-Encoding", "chunked"), "headers"},
		"one key for all":             {header("idempotency-key", "hunter2"), "headers"},
		"a header twice":              {file{"url": good, "headers": map[string]string{"X-Key": "hunter2", "x-key": "b"}}, "headers"},
		"a body with GET":             {file{"url": good, "method": "GET", "body": "hunter2"}, "body"},
		"a body of no type":           {file{"url": good, "body": "{{text}}"}, "headers"},
		"a body of a bad type":        {body("text/", "{{text}}"), "headers"},
		"a body in another charset":   {body("text/plain; charset=iso-8859-1", "{{text}}"), "headers"},
		"a body of an unknown type":   {body("text/xml", "<to>{{to}}</to>"), "headers"},
		"an unknown place":            {body("text/plain", "hunter2 {{identifier}}"), "body"},
		"half a place":                {body("text/plain", "hunter2 {{text}"), "body"},
		"no JSON":                     {body("application/json", "to={{to}}"), "body"},
		"JSON with places unquoted":   {body("application/json", `{"text": {{text}}}`), "body"},
		"JSON with a number":          {body("application/json", `{"text": {{code}}}`), "body"},
		"JSON with a place escaped":   {body("application/json", `{"text": "\{{text}}"}`), "body"},
		"JSON and more":               {body("application/json", `{"text": "{{text}}"} hunter2`), "body"},
		"a status out of bounds":      {file{"url": good, "success": file{"status": []int{200, 2000}}}, "success.status"},
		"success by a redirect":       {file{"url": good, "success": file{"status": []int{302}}}, "success.status"},
		"no status":                   {file{"url": good, "success": file{"status": []int{}}}, "success.status"},
		"no regular expression":       {file{"url": good, "success": file{"body_matches": "hunter2("}}, "success.body_matches"},
		"looking ahead":               {file{"url": good, "success": file{"body_matches": "(?=hunter2)"}}, "success.body_matches"},
		"always permanent":            {file{"url": good, "permanent": file{}}, "permanent"},
		"permanent out of bounds":     {file{"url": good, "permanent": file{"status": []int{100}}}, "permanent.status"},
		"permanent, no expression":    {file{"url": good, "permanent": file{"body_matches": "*"}}, "permanent.body_matches"},
		"an unknown member":           {file{"url": good, "timeout": 5}, "/timeout"},
		"an unknown member inside":    {file{"url": good, "success": file{"code": 200}}, "/success/code"},
		"a member in capitals":        {file{"URL": good}, "/URL"},
		"a number as a header":        {file{"url": good, "headers": file{"X-Key": 123456}}, "/headers/X-Key"},
		"a list as a body":            {file{"url": good, "body": []string{"hunter2"}}, "/body"},
		"a status in quotes":          {file{"url": good, "success": file{"status": []string{"200"}}}, "/success/status/0"},
	} {
		_, err := ParseGateway(gatewayJSON(t, test.file))
		if err == nil || !strings.HasPrefix(err.Error(), "holds no SMS gateway: "+test.where+" ") ||
			strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "123456") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, data := range []string{
		"", "null", "[]", `"https://sms.example.com/"`, "{", `{"url": "https://sms.example.com/"} {}`, "{\"url\": \"hunter2\xff\"}",
		`{"url": "https://sms.example.com/", "url": "https://evil.example/"}`, "url: hunter2",
	} {
		if g, err := ParseGateway([]byte(data)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %+v, %v", data, g, err)
		}
	}
}

func TestGatewayIsAProvider(t *testing.T) {
	t.Parallel()
	texts := make(chan string, 1)
	server := newPeerServer(t, func(_ http.ResponseWriter, r *http.Request) { texts <- r.URL.Query().Get("text") })
	g := mustParseGateway(t, map[string]any{"url": server + "?text={{text}}"})
	c, err := NewSMS(SMSConfig{Templates: mustLoadTemplates(t, ""), Provider: g, WebOTPOrigin: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	m := textMessage()
	m.Template = ""
	if err := c.Deliver(peerContext(t, longEnough), m); err != nil {
		t.Fatal(err)
	}
	if text := <-texts; !strings.HasPrefix(text, "123456 is your code.") || !strings.HasSuffix(text, "\n@example.com #123456") {
		t.Errorf("got %q", text)
	}
}
