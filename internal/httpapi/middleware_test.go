package httpapi_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/otpd/otpd/internal/httpapi"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

const (
	shopSecret  = "0123456789abcdef"
	shopSecret2 = "0123456789ABCDEF"
	bankSecret  = "fedcba9876543210"
)

var twoKeys = []string{"shop:" + shopSecret, "shop:" + shopSecret2, "bank:" + bankSecret}

var postPaths = []string{
	"/v1/otp/generate", "/v1/otp/send", "/v1/otp/verify", "/v1/otp/resend", "/v1/otp/revoke", "/v1/otp/inspect", "/v1/identifiers/unlock",
	"/v1/devices/enroll", "/v1/devices/confirm", "/v1/devices/verify", "/v1/devices/match", "/v1/devices/inspect",
	"/v1/devices/backup-codes", "/v1/devices/resync", "/v1/devices/unlock", "/v1/devices/reseal", "/v1/devices/disable",
	"/v1/challenges", "/v1/challenges/verify", "/v1/tokens/refresh", "/v1/tokens/introspect", "/v1/tokens/revoke",
}

var getPaths = []string{"/.well-known/jwks.json", "/openapi.yaml", "/openapi.json", "/healthz", "/readyz"}

func TestAuthorization(t *testing.T) {
	for name, test := range map[string]struct {
		header string
		ok     bool
	}{
		"a key":                    {"Bearer " + shopSecret, true},
		"the other key of a name":  {"Bearer " + shopSecret2, true},
		"another name's key":       {"Bearer " + bankSecret, true},
		"lower-case scheme":        {"bearer " + shopSecret, true},
		"upper-case scheme":        {"BEARER " + shopSecret, true},
		"no header":                {"", false},
		"no secret":                {"Bearer", false},
		"an empty secret":          {"Bearer ", false},
		"another secret":           {"Bearer 0123456789abcdeg", false},
		"a secret in another case": {"Bearer " + strings.ToUpper(bankSecret), false},
		"part of a secret":         {"Bearer " + shopSecret[:15], false},
		"more than a secret":       {"Bearer " + shopSecret + "0", false},
		"a name with its secret":   {"Bearer shop:" + shopSecret, false},
		"another scheme":           {"Basic " + shopSecret, false},
		"no scheme":                {shopSecret, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{keys: twoKeys})
			for _, path := range postPaths {
				r := s.request(http.MethodPost, path, "{}")
				if test.header != "" {
					r.Header.Set("Authorization", test.header)
				}
				a := s.send(t, r)
				if refused := a.status == http.StatusUnauthorized; refused == test.ok {
					t.Errorf("%s: got %d %s", path, a.status, a.body)
				}
				if !test.ok && a.code() != "UNAUTHORIZED" {
					t.Errorf("%s: got %d %s", path, a.status, a.body)
				}
			}
		})
	}
}

func TestAuthorizationIsAskedForBeforeTheBodyIsRead(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	r := s.request(http.MethodPost, "/v1/otp/generate", strings.Repeat("x", 20000))
	r.Header.Set("Content-Type", "text/plain")
	s.send(t, r).is(t, 401, "UNAUTHORIZED")
}

func TestServiceRoutesNeedNoKey(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	for _, path := range getPaths {
		s.get(t, path).is(t, 200, "")
	}
}

func TestContextsBelongToTheirNamespace(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	issued := s.generate(t, fields{})

	s.bearer = bankSecret
	a := s.verify(t, issued.text("otp"), issued.text("context"))
	a.is(t, 400, "INVALID_CONTEXT")
	for _, operation := range []string{"resend", "revoke", "inspect"} {
		b := s.post(t, "/v1/otp/"+operation, fields{"context": issued.text("context")}.String())
		if b.body != a.body {
			t.Errorf("%s: got %s, want %s", operation, b.body, a.body)
		}
	}

	s.bearer = shopSecret2
	s.stillGood(t, issued)
}

func TestSecretsOfANameShareTheThrottle(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	s.fail(t, ada, throttle.After+1)
	s.bearer = shopSecret2
	if !s.isLocked(t, ada) {
		t.Error("the other secret of the same name gets around the lock")
	}
	s.unlock(t, ada).is(t, 200, "")
	s.bearer = shopSecret
	if s.isLocked(t, ada) {
		t.Error("the other secret of the same name did not unlock")
	}
}

func TestContextWithoutNamespaceIsAnyKeys(t *testing.T) {
	anonymous := newServer(t, options{})
	for _, secret := range []string{shopSecret, bankSecret} {
		s := newServer(t, options{keys: twoKeys})
		s.bearer = secret
		s.stillGood(t, anonymous.generate(t, fields{}))
	}
}

func TestContextWithNamespaceIsNotForServicesWithoutKeys(t *testing.T) {
	s := newServer(t, options{keys: twoKeys})
	s.bearer = shopSecret
	issued := s.generate(t, fields{})
	newServer(t, options{}).inspect(t, issued.text("context")).is(t, 400, "INVALID_CONTEXT")
}

func TestHostGuard(t *testing.T) {
	for host, ok := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LocalHost": true, "127.0.0.1": true, "127.0.0.1:8080": true,
		"127.255.255.254": true, "[::1]": true, "[::1]:8080": true, "[::ffff:127.0.0.1]": true,
		"":                         false,
		":8080":                    false,
		"localhost.":               false,
		"localhost.:8080":          false,
		"localhost.evil.example":   false,
		"evil.localhost":           false,
		"evil.example":             false,
		"evil.example:80":          false,
		"127.0.0.1.evil.example":   false,
		"127.0.0.1.":               false,
		"127.1":                    false,
		"0x7f.0.0.1":               false,
		"2130706433":               false,
		"128.0.0.1":                false,
		"0.0.0.0":                  false,
		"[::]":                     false,
		"[::2]:8080":               false,
		"10.0.0.1":                 false,
		"localhost@evil.example":   false,
		"localhost:80@evil":        false,
		"evil.example:localhost":   false,
		"localhost,evil.example":   false,
		"127.0.0.1,evil.example":   false,
		"xn--localhost-k4a":        false,
		"localhost\u2024":          false,
		"ｌｏｃａｌｈｏｓｔ":                false,
		"localhost:8080:8080":      false,
		"[localhost].evil.example": false,
	} {
		t.Run(host, func(t *testing.T) {
			s := newServer(t, options{guardHost: true})
			for _, r := range []*http.Request{
				s.request(http.MethodPost, "/v1/otp/generate", "{}"),
				s.request(http.MethodGet, "/healthz", ""),
			} {
				r.Host = host
				a := s.send(t, r)
				if ok {
					a.is(t, 200, "")
				} else {
					a.is(t, 403, "FORBIDDEN_HOST")
				}
			}
			r := s.request(http.MethodDelete, "/nowhere", "")
			r.Host = host
			if a := s.send(t, r); (a.status == http.StatusForbidden) == ok {
				t.Errorf("unknown path: got %d %s", a.status, a.body)
			}
		})
	}
}

func TestWithoutHostGuardAnyHostIsServed(t *testing.T) {
	s := newServer(t, options{})
	r := s.request(http.MethodPost, "/v1/otp/generate", "{}")
	r.Host = "otpd.example"
	s.send(t, r).is(t, 200, "")
}

func TestRequestIDIsKeptOrReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		id   string
		kept bool
	}{
		"one character":            {"a", true},
		"every character":          {"ABCXYZ.abcxyz_0123456789-", true},
		"64 characters":            {strings.Repeat("x", 64), true},
		"65 characters":            {strings.Repeat("x", 65), false},
		"empty":                    {"", false},
		"space":                    {"a b", false},
		"quote":                    {`a"b`, false},
		"line break":               {"a\nb", false},
		"slash":                    {"a/b", false},
		"letter outside ASCII":     {"é", false},
		"byte that is not UTF-8":   {"\xff", false},
		"colon, as in a log field": {"a:b", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{})
			for _, path := range []string{"/healthz", "/nowhere"} { // a success and an error
				r := s.request(http.MethodGet, path, "")
				r.Header.Set("X-Request-Id", test.id)
				got := s.send(t, r).header.Get("X-Request-Id")
				if (got == test.id) != test.kept {
					t.Errorf("%q became %q", test.id, got)
				}
			}
		})
	}
}

func TestReplacedRequestIDsDiffer(t *testing.T) {
	s := newServer(t, options{})
	seen := make(map[string]bool)
	for range 10 {
		r := s.request(http.MethodGet, "/healthz", "")
		r.Header.Del("X-Request-Id")
		id := s.send(t, r).header.Get("X-Request-Id")
		if seen[id] {
			t.Errorf("%q twice", id)
		}
		seen[id] = true
	}
}

func TestMethods(t *testing.T) {
	for _, method := range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, http.MethodConnect, "BREW",
	} {
		t.Run(method, func(t *testing.T) {
			s := newServer(t, options{})
			for _, path := range postPaths {
				if a := s.send(t, s.request(method, path, "{}")); method != http.MethodPost {
					a.is(t, 405, "METHOD_NOT_ALLOWED")
					if got := a.header.Get("Allow"); got != "POST" {
						t.Errorf("%s: Allow is %q", path, got)
					}
				}
			}
			for _, path := range getPaths {
				a := s.send(t, s.request(method, path, ""))
				if method == http.MethodGet || method == http.MethodHead {
					a.is(t, 200, a.code())
					continue
				}
				a.is(t, 405, "METHOD_NOT_ALLOWED")
				if got := a.header.Get("Allow"); got != "GET, HEAD" {
					t.Errorf("%s: Allow is %q", path, got)
				}
			}
			s.send(t, s.request(method, "/nowhere", "")).is(t, 404, "NOT_FOUND")
		})
	}
}

var hostilePaths = []string{
	"/", "/v1", "/v1/otp", "/v1/otp/", "/v1/otp/verify/", "//v1/otp/verify", "/v1//otp/verify", "/V1/otp/verify",
	"/v1/otp/../otp/verify", "/v1/otp/verify;x", "/v1/otp/verify%2f", "/v1/otp/%76erify/", "/%00", "/metrics", "/debug/pprof/",
	"/v1/otp/ver\x00ify", "/\xff\xfe", "/" + strings.Repeat("a/", 1000), "*", "/v1/identifiers", "/v1/identifiers/ada@example.com",
	"/openapi.yaml/", "/v1/otp/{}", "/v1/otp/*", "/v1/otp/123456",
	"/v1/devices", "/v1/devices/", "/v1/devices/verify/", "/v1/devices/backup_codes", "/v1/devices/" + secret, "/v1/challenges/", "/v1/challenges/issue",
	"/v1/otp/send/", "/v1/tokens", "/v1/tokens/", "/v1/tokens/refresh/", "/v1/tokens/issue", "/.well-known", "/.well-known/", "/.well-known/jwks.json/", "/jwks.json",
}

func TestUnknownPaths(t *testing.T) {
	s := newServer(t, options{})
	for _, path := range hostilePaths {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := s.request(method, "/", "{}")
			r.URL = &url.URL{Path: path}
			a := s.send(t, r)
			a.is(t, 404, "NOT_FOUND")
		}
	}
}

func TestPanicIsToldToNobody(t *testing.T) {
	const secret = "code 271828 of ada@example.com"
	for name, value := range map[string]any{
		"a string":   secret,
		"an error":   errors.New(secret),
		"any struct": struct{ otp string }{secret},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{ledger: brokenLedger{panic: value}, logLevel: slog.LevelDebug})
			issued := s.generate(t, fields{"identifier": "ada@example.com"})
			a := s.verify(t, issued.text("otp"), issued.text("context"))
			a.is(t, 500, "INTERNAL_ERROR")
			if a.body != `{"error":"Internal error.","error_code":"INTERNAL_ERROR","request_id":"`+requestID+`"}` {
				t.Errorf("got %s", a.body)
			}
			for _, leak := range []string{"271828", "ada@example.com", issued.text("otp"), issued.text("context")} {
				if strings.Contains(s.log.String(), leak) {
					t.Errorf("the log has %s:\n%s", leak, s.log.String())
				}
			}
			if !strings.Contains(s.log.String(), `"msg":"panic"`) {
				t.Errorf("the log does not tell of the panic:\n%s", s.log.String())
			}
			s.get(t, "/healthz").is(t, 200, "")
		})
	}
}

func TestPanicToAbortIsPassedOn(t *testing.T) {
	s := newServer(t, options{ledger: brokenLedger{panic: http.ErrAbortHandler}})
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("http.ErrAbortHandler did not reach net/http")
		}
	}()
	s.get(t, "/readyz")
}

func TestLogsHoldNoSecret(t *testing.T) {
	s := newServer(t, options{keys: twoKeys, ledger: brokenLedger{err: errLedger}, logLevel: slog.LevelDebug})
	s.bearer = shopSecret
	issued := s.generate(t, fields{"identifier": "ada@example.com", "metadata": "cart-4711", "binding": "10 EUR"})
	s.post(t, "/v1/otp/verify", fields{"otp": issued.text("otp"), "context": issued.text("context"), "binding": "10 EUR"}.String()).
		is(t, 503, "LEDGER_UNAVAILABLE")
	s.get(t, "/v1/otp/"+issued.text("otp")).is(t, 404, "NOT_FOUND")
	for _, leak := range []string{"ada@example.com", "cart-4711", "10 EUR", shopSecret, issued.text("otp"), issued.text("context")} {
		if strings.Contains(s.log.String(), leak) {
			t.Errorf("the log has %s:\n%s", leak, s.log.String())
		}
	}
	if n := strings.Count(s.log.String(), `"msg":"request"`); n != 3 {
		t.Errorf("the log has %d requests, want 3:\n%s", n, s.log.String())
	}
}

func TestLogsHoldNoSecretOfDevices(t *testing.T) {
	for name, l := range map[string]ledgerOfAll{
		"memory":  nil,
		"no":      ledger.None{Throttle: throttle},
		"broken":  brokenLedger{err: errLedger},
		"a panic": brokenLedger{panic: secret},
	} {
		t.Run(name+" ledger", func(t *testing.T) {
			s := newServer(t, options{keys: twoKeys, ledger: l, logLevel: slog.LevelDebug})
			s.bearer = shopSecret
			enrolled := s.enroll(t, fields{"identifier": ada, "secret": secret, "name": "phone-4711"})
			challenge := s.challenge(t, fields{"identifier": ada, "metadata": "cart-4711"})
			leaks := []string{ada, secret, "phone-4711", "cart-4711", shopSecret, s.code(t), codeOf(t, secret, s.step()+1), "22222-22222"}
			answers := []answer{enrolled, challenge}
			device := enrolled.text("device")
			for _, operation := range append(deviceOperations[2:3:3], deviceOperations...) { // confirm comes first
				a := operation.do(t, s, device)
				answers = append(answers, a)
				if a.text("device") != "" {
					device = a.text("device")
				}
			}
			s.complete(t, fields{"challenge": challenge.text("challenge"), "device": device, "otp": s.code(t)})
			s.get(t, "/v1/devices/"+secret)
			for _, a := range answers {
				for _, field := range []string{"device", "uri", "qr_svg", "qr_png", "challenge"} {
					if text := a.text(field); text != "" {
						leaks = append(leaks, text)
					}
				}
				if a.fields["backup_codes"] != nil {
					for _, code := range a.list(t, "backup_codes") {
						leaks = append(leaks, code, strings.ReplaceAll(code, "-", ""))
					}
				}
			}
			told := fmt.Sprintf("%s\n%+v", s.log.String(), s.events)
			for _, leak := range leaks {
				if strings.Contains(told, leak) {
					t.Errorf("the log or the audit log has %s:\n%s", leak, told)
				}
			}
			if !strings.Contains(told, `"route":"/v1/devices/enroll"`) || !strings.Contains(told, "device.enrolled") {
				t.Errorf("nothing is logged:\n%s", told)
			}
		})
	}
}

func TestLedgerErrorIsLoggedNotAnswered(t *testing.T) {
	s := newServer(t, options{ledger: brokenLedger{err: errLedger}})
	a := s.get(t, "/readyz")
	a.is(t, 503, "LEDGER_UNAVAILABLE")
	if strings.Contains(a.body, errLedger.Error()) {
		t.Errorf("the answer quotes the ledger: %s", a.body)
	}
	if !strings.Contains(s.log.String(), errLedger.Error()) || !strings.Contains(s.log.String(), requestID) {
		t.Errorf("the log does not say why: %s", s.log.String())
	}
}

func TestDraining(t *testing.T) {
	s := newServer(t, options{})
	s.get(t, "/readyz").is(t, 200, "")
	noError(t, s.api.Drain(t.Context()))
	s.get(t, "/readyz").is(t, 503, "SHUTTING_DOWN")
	s.get(t, "/healthz").is(t, 200, "")
	issued := s.generate(t, fields{}) // what is under way is answered
	s.stillGood(t, issued)
	if got := issued.header.Get("Connection"); got != "close" {
		t.Errorf("Connection is %q, want close: the next request would meet a closed connection", got)
	}
}

// routeLabels returns the values of the label route of a metric, each once.
func (s *server) routeLabels(tb testing.TB, metric string) []string {
	tb.Helper()
	families, err := s.registry.Gather()
	noError(tb, err)
	var routes []string
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			routes = append(routes, label(m, "route"))
		}
	}
	slices.Sort(routes)
	return slices.Compact(routes)
}

func label(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// count returns how many requests of a route got a status.
func (s *server) count(tb testing.TB, route, status string) int {
	tb.Helper()
	families, err := s.registry.Gather()
	noError(tb, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "otpd_http_requests_total" && label(m, "route") == route && label(m, "status") == status {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

func TestMetricsNameRoutesByPattern(t *testing.T) {
	s := newServer(t, options{})
	s.generate(t, fields{})
	s.generate(t, fields{})
	s.post(t, "/v1/otp/verify", "{}").is(t, 400, "MISSING_FIELDS")
	s.get(t, "/v1/otp/resend").is(t, 405, "METHOD_NOT_ALLOWED")
	s.inspectDevice(t, s.imported(t)).is(t, 200, "")
	s.complete(t, fields{}).is(t, 400, "MISSING_FIELDS")
	s.send(t, s.request("BREW", "/v1/otp/resend", "")).is(t, 405, "METHOD_NOT_ALLOWED")
	for _, path := range hostilePaths {
		r := s.request(http.MethodGet, "/", "")
		r.URL = &url.URL{Path: path}
		s.send(t, r)
	}
	for _, want := range []struct {
		route, status string
		count         int
	}{
		{"/v1/otp/generate", "200", 2}, {"/v1/otp/verify", "400", 1}, {"/v1/devices/inspect", "200", 1},
		{"/v1/challenges/verify", "400", 1}, {"unmatched", "404", len(hostilePaths)}, {"/v1/otp/resend", "405", 2},
	} {
		if got := s.count(t, want.route, want.status); got != want.count {
			t.Errorf("%s %s was counted %d times, want %d", want.route, want.status, got, want.count)
		}
	}
	allowed := append([]string{"unmatched"}, append(postPaths, getPaths...)...)
	for _, metric := range []string{"otpd_http_requests_total", "otpd_http_request_duration_seconds"} {
		for _, route := range s.routeLabels(t, metric) {
			if !slices.Contains(allowed, route) {
				t.Errorf("%s has the route %q", metric, route)
			}
		}
	}
}

func TestMetricsCountPanics(t *testing.T) {
	s := newServer(t, options{ledger: brokenLedger{panic: "x"}})
	s.get(t, "/readyz").is(t, 500, "INTERNAL_ERROR")
	if got := s.count(t, "/readyz", "500"); got != 1 {
		t.Errorf("the panic was counted %d times, want once", got)
	}
}

func TestCallerIsToldToTheAuditLog(t *testing.T) {
	for name, test := range map[string]struct{ ip, userAgent, wantIP, wantUserAgent string }{
		"nothing":               {"", "", "", ""},
		"IPv4":                  {"192.0.2.1", "curl/8", "192.0.2.1", "curl/8"},
		"IPv6":                  {"2001:DB8::0:1", "", "2001:db8::1", ""},
		"a zone is dropped":     {"fe80::1%" + strings.Repeat("x", 1000), "", "fe80::1", ""},
		"not an address":        {"ada@example.com", "", "", ""},
		"several addresses":     {"192.0.2.1, 192.0.2.2", "", "", ""},
		"256 bytes":             {"", strings.Repeat("x", 256), "", strings.Repeat("x", 256)},
		"257 bytes are cut off": {"", strings.Repeat("x", 257), "", strings.Repeat("x", 256)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, options{keys: twoKeys})
			s.bearer = bankSecret
			r := s.request(http.MethodPost, "/v1/otp/generate", "{}")
			r.Header.Set("X-Otp-Client-Ip", test.ip)
			r.Header.Set("X-Otp-Client-User-Agent", test.userAgent)
			s.send(t, r).is(t, 200, "")
			want := otp.Caller{Namespace: "bank", RequestID: requestID, IP: test.wantIP, UserAgent: test.wantUserAgent}
			if len(s.events) != 1 || s.events[0].Caller != want {
				t.Errorf("got %+v, want one event by %+v", s.events, want)
			}
		})
	}
}

func TestAnswersAreNotKeptByCaches(t *testing.T) {
	s := newServer(t, options{})
	login := s.login(t, fields{"identifier": ada})
	for _, a := range []answer{
		s.generate(t, fields{}), s.post(t, "/v1/otp/verify", "{}"), s.get(t, "/healthz"), s.sendCode(t, mail), login,
		s.introspect(t, login.text("access_token")), s.refresh(t, login.text("refresh_token")), s.logout(t, login.text("access_token")),
	} {
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("got the headers %v", a.header)
		}
	}
}

func TestBadKeys(t *testing.T) {
	for name, entries := range map[string][]string{
		"none":              {},
		"no colon":          {"shop0123456789abcdef"},
		"no name":           {":" + shopSecret},
		"a long name":       {strings.Repeat("x", 65) + ":" + shopSecret},
		"a name with space": {"my shop:" + shopSecret},
		"a short secret":    {"shop:0123456789abcde"},
		"a space within":    {"shop:01234567 89abcdef"},
		"not ASCII":         {"shop:0123456789abcdéf"},
		"a secret twice":    {"shop:" + shopSecret, "bank:" + shopSecret},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := httpapi.ParseKeys(entries)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, entry := range entries {
				if _, secret, _ := strings.Cut(entry, ":"); secret != "" && strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes the secret: %v", err)
				}
			}
		})
	}
}

func TestKeysAreReplacedAtOnce(t *testing.T) {
	before, err := httpapi.ParseKeys([]string{"shop:" + shopSecret})
	noError(t, err)
	after, err := httpapi.ParseKeys([]string{"shop:" + bankSecret})
	noError(t, err)
	keys := new(httpapi.Keys)
	keys.Use(before)
	s := newServer(t, options{liveKeys: keys})
	for _, step := range []struct {
		secret string
		status int
	}{{shopSecret, 200}, {bankSecret, 401}} {
		s.bearer = step.secret
		if a := s.post(t, "/v1/otp/generate", "{}"); a.status != step.status {
			t.Errorf("before: got %d %s", a.status, a.body)
		}
	}
	keys.Use(after)
	for _, step := range []struct {
		secret string
		status int
	}{{shopSecret, 401}, {bankSecret, 200}} {
		s.bearer = step.secret
		if a := s.post(t, "/v1/otp/generate", "{}"); a.status != step.status {
			t.Errorf("after: got %d %s", a.status, a.body)
		}
	}
}
