package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-chi/chi/v5"
	"go.yaml.in/yaml/v3"

	"github.com/otpd/otpd"
)

// contract is openapi.yaml, loaded once.
var contract = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromData(otpd.OpenAPI)
})

func loadContract(tb testing.TB) *openapi3.T {
	tb.Helper()
	doc, err := contract()
	noError(tb, err)
	return doc
}

// replay returns a copy of r with a body of its own.
func replay(tb testing.TB, r *http.Request) *http.Request {
	tb.Helper()
	body, err := io.ReadAll(r.Body)
	noError(tb, err)
	r.Body = io.NopCloser(bytes.NewReader(body))
	sent := r.Clone(tb.Context())
	sent.Body = io.NopCloser(bytes.NewReader(body))
	return sent
}

// checked remembers the answers that were found right: compiling a schema for each takes long.
var checked sync.Map

// checkContract fails the test unless openapi.yaml allows the answer to the request, and the request
// too if it was not refused for what it is.
func checkContract(tb testing.TB, r *http.Request, a answer) {
	tb.Helper()
	if r.Method == http.MethodHead && a.status == http.StatusOK {
		checkHead(tb, a)
		return
	}
	input := validationInput(tb, r, a)
	checkHeaders(tb, input, a)
	key := checkedKey(r, a)
	if _, seen := checked.Load(key); seen {
		return
	}
	if err := openapi3filter.ValidateResponse(r.Context(), input); err != nil {
		tb.Errorf("%s %s: the contract does not cover the answer %d %s: %v", r.Method, r.URL.Path, a.status, a.body, err)
	}
	if r.Body != nil && isFine(a) {
		if err := openapi3filter.ValidateRequest(r.Context(), input.RequestValidationInput); err != nil {
			tb.Errorf("%s %s: the contract does not cover the request: %v", r.Method, r.URL.Path, err)
		}
	}
	checked.Store(key, true)
}

var goodRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkedKey is the same for all answers that the contract allows or not for the same reason: those that differ in the
// id of the request alone, as long as it has the form that the contract gives it.
func checkedKey(r *http.Request, a answer) string {
	key := fmt.Sprint(r.Method, r.URL.Path, a.status, a.header, a.body)
	if id := a.header.Get("X-Request-Id"); goodRequestID.MatchString(id) {
		key = strings.ReplaceAll(key, id, "ID")
	}
	return key
}

func checkHead(tb testing.TB, a answer) {
	tb.Helper()
	if a.header.Get("Content-Type") == "" || a.header.Get("X-Request-Id") == "" {
		tb.Errorf("HEAD got the headers %v", a.header)
	}
}

// isFine reports whether the answer says that the request itself was as it should be.
func isFine(a answer) bool {
	switch a.status {
	case http.StatusOK, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable:
		return true
	}
	return slices.Contains([]string{"INVALID_OTP", "CHANNEL_NOT_CONFIGURED", "INVALID_REFRESH_TOKEN"}, a.code())
}

// validationInput finds what the contract says of the answer. The answers to paths and methods that it
// does not list are components.
func validationInput(tb testing.TB, r *http.Request, a answer) *openapi3filter.ResponseValidationInput {
	tb.Helper()
	doc := loadContract(tb)
	item := doc.Paths.Value(r.URL.Path)
	operation := new(openapi3.Operation)
	switch {
	case item == nil && a.status == http.StatusForbidden:
		operation.Responses = component(doc, a.status, "ForbiddenHost")
	case item == nil:
		operation.Responses = component(doc, a.status, "NotFound")
	case item.GetOperation(r.Method) != nil:
		operation = item.GetOperation(r.Method)
	case a.status == http.StatusForbidden:
		operation.Responses = component(doc, a.status, "ForbiddenHost")
	default:
		operation.Responses = component(doc, a.status, "MethodNotAllowed")
	}
	if operation.Responses.Status(a.status) == nil {
		tb.Fatalf("%s %s: the contract has no status %d: %s", r.Method, r.URL.Path, a.status, a.body)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r,
			Route:   &routers.Route{Spec: doc, Path: r.URL.Path, PathItem: item, Method: r.Method, Operation: operation},
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
		},
		Status: a.status,
		Header: a.header,
	}
	input.SetBodyBytes([]byte(a.body))
	return input
}

// component returns the response of that name for its status, which the answer must have.
func component(doc *openapi3.T, status int, name string) *openapi3.Responses {
	want := map[string]int{"ForbiddenHost": 403, "NotFound": 404, "MethodNotAllowed": 405}[name]
	if status != want {
		return openapi3.NewResponses()
	}
	return openapi3.NewResponses(openapi3.WithStatus(status, doc.Components.Responses[name]))
}

// checkHeaders is for what a schema cannot say.
func checkHeaders(tb testing.TB, input *openapi3filter.ResponseValidationInput, a answer) {
	tb.Helper()
	declared := input.RequestValidationInput.Route.Operation.Responses.Status(a.status).Value.Headers
	for name := range a.header {
		switch name {
		case "Content-Type", "Content-Length", "Cache-Control", "Connection":
			continue
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(declared)), func(d string) bool { return strings.EqualFold(d, name) }) {
			tb.Errorf("%d %s: the contract does not name the header %s", a.status, a.body, name)
		}
	}
	if a.status == http.StatusOK {
		return
	}
	if a.text("request_id") != a.header.Get("X-Request-Id") {
		tb.Errorf("request_id is %q, X-Request-Id is %q", a.text("request_id"), a.header.Get("X-Request-Id"))
	}
	wait := a.header.Get("Retry-After")
	seconds, given := a.fields["retry_after_seconds"]
	if given && a.code() != "INVALID_OTP" && fmt.Sprint(seconds) != wait {
		tb.Errorf("retry_after_seconds is %v, Retry-After is %q", seconds, wait)
	}
	if a.status == http.StatusTooManyRequests && wait != "" && a.fields["retry_after_seconds"] == nil {
		tb.Errorf("Retry-After without retry_after_seconds: %s", a.body)
	}
}

func TestContractIsValid(t *testing.T) {
	doc := loadContract(t)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("openapi is %s, want 3.1", doc.OpenAPI)
	}
	noError(t, doc.Validate(t.Context()))
}

// operations calls do for each operation of the contract.
func operations(tb testing.TB, do func(path, method string, o *openapi3.Operation)) {
	tb.Helper()
	for path, item := range loadContract(tb).Paths.Map() {
		for method, operation := range item.Operations() {
			do(path, method, operation)
		}
	}
}

func TestContractHasExactlyTheRoutes(t *testing.T) {
	var want, got []string
	operations(t, func(path, method string, _ *openapi3.Operation) { want = append(want, method+" "+path) })
	router := newServer(t, options{}).api.Handler.(chi.Routes)
	noError(t, chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		got = append(got, method+" "+route)
		return nil
	}))
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Errorf("the router has %v\nthe contract has %v", got, want)
	}
}

func TestContractExamplesFitTheirSchemas(t *testing.T) {
	used := make(map[*openapi3.Example]bool)
	check := func(where string, content openapi3.Content) {
		for _, media := range content {
			values := make(map[string]any)
			if media.Example != nil {
				values["example"] = media.Example
			}
			for name, example := range media.Examples {
				used[example.Value] = true
				values[name] = example.Value.Value
			}
			if len(values) == 0 && !strings.Contains(where, "/openapi.") {
				t.Errorf("%s has no example", where)
			}
			for name, value := range values {
				if err := media.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation()); err != nil {
					t.Errorf("%s, example %s: %v", where, name, err)
				}
			}
		}
	}
	operations(t, func(path, method string, o *openapi3.Operation) {
		if o.RequestBody != nil {
			check(method+" "+path, o.RequestBody.Value.Content)
		}
		for status, response := range o.Responses.Map() {
			check(method+" "+path+" "+status, response.Value.Content)
		}
	})
	doc := loadContract(t)
	for name, response := range doc.Components.Responses {
		check(name, response.Value.Content)
	}
	for name, example := range doc.Components.Examples {
		if !used[example.Value] {
			t.Errorf("the example %s is not used", name)
		}
	}
}

// A reader of the contract learns from the statuses which codes to expect: each status names some, and
// each code appears somewhere.
func TestContractNamesEachErrorCodeWithAStatus(t *testing.T) {
	doc := loadContract(t)
	named := make(map[any]bool)
	note := func(where string, response *openapi3.Response) {
		all := response.Content["application/json"].Schema.Value.AllOf
		if len(all) != 2 {
			t.Fatalf("%s does not narrow the schema Error", where)
		}
		for _, code := range all[1].Value.Properties["error_code"].Value.Enum {
			named[code] = true
			if !strings.Contains(*response.Description, "`"+code.(string)+"`") {
				t.Errorf("%s does not describe %s", where, code)
			}
		}
	}
	operations(t, func(path, method string, o *openapi3.Operation) {
		for status, response := range o.Responses.Map() {
			if status != "200" {
				note(method+" "+path+" "+status, response.Value)
			}
		}
	})
	for name, response := range doc.Components.Responses {
		note(name, response.Value)
	}
	for _, code := range doc.Components.Schemas["ErrorCode"].Value.Enum {
		if !named[code] {
			t.Errorf("no status carries %s", code)
		}
	}
}

func TestContractIsServed(t *testing.T) {
	s := newServer(t, options{})
	asYAML := s.get(t, "/openapi.yaml")
	asYAML.is(t, 200, "")
	if asYAML.body != string(otpd.OpenAPI) {
		t.Error("/openapi.yaml is not openapi.yaml")
	}
	asJSON := s.get(t, "/openapi.json")
	asJSON.is(t, 200, "")
	var fromYAML, fromJSON any
	noError(t, yaml.Unmarshal([]byte(asYAML.body), &fromYAML))
	noError(t, json.Unmarshal([]byte(asJSON.body), &fromJSON))
	viaJSON, err := json.Marshal(fromYAML)
	noError(t, err)
	noError(t, json.Unmarshal(viaJSON, &fromYAML))
	if !reflect.DeepEqual(fromYAML, fromJSON) {
		t.Error("/openapi.json does not say what /openapi.yaml says")
	}
}
