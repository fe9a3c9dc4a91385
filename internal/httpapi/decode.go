package httpapi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/otp"
)

const (
	maxBody      = 16 << 10 // bytes, but for reseal
	maxFieldName = 64       // bytes of a field's name that an error repeats

	bodyTimeout = 9 * time.Second // for a body over HTTP/2, below the server's limits
)

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// decode reads the JSON object in the body of r, of at most limit bytes, into the struct that request points
// to. Its errors are fit to be shown.
func decode(w http.ResponseWriter, r *http.Request, limit int64, request any) error {
	if !isJSON(r.Header.Get("Content-Type")) {
		return errUnsupportedMediaType
	}
	body := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(body)
	body.Reset()
	if err := readBody(w, r, limit, body); err != nil {
		w.Header().Set("Connection", "close") // or net/http would wait for the rest of the body
		return err
	}
	if err := json.Unmarshal(body.Bytes(), request, json.RejectUnknownMembers(true)); err != nil {
		return explain(err)
	}
	return refuseNull(body.Bytes(), request)
}

// refuseNull returns an error if JSON that has been decoded into request is null or has a field that must not be:
// json v2 takes it for the zero value.
func refuseNull(body []byte, request any) error {
	if !bytes.Contains(body, []byte("null")) {
		return nil
	}
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if begin, _ := dec.ReadToken(); begin.Kind() != '{' {
		return errNotAnObject
	}
	for dec.PeekKind() == '"' {
		token, _ := dec.ReadToken()
		field := token.String()
		value, _ := dec.ReadValue() // has been decoded before
		switch {
		case field == "metadata", field == "identifier" && mayLackIdentifier(request):
		case value.Kind() == 'n':
			return &otp.FieldError{Field: field, Reason: "must not be null"}
		case (value.Kind() == '[' || value.Kind() == '{') && hasNull(value):
			return &otp.FieldError{Field: field, Reason: shapeOf(field)}
		}
	}
	return nil
}

// mayLackIdentifier reports whether the identifier of a request may be null, for which it is a pointer there.
func mayLackIdentifier(request any) bool {
	field, found := reflect.TypeOf(request).Elem().FieldByName("Identifier")
	return found && field.Type.Kind() == reflect.Pointer
}

// hasNull reports whether a list or an object that has been decoded has a null anywhere in it.
func hasNull(value jsontext.Value) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(value))
	for {
		token, err := dec.ReadToken()
		if err != nil || token.Kind() == 'n' {
			return err == nil
		}
	}
}

func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	return err == nil && media == "application/json" && (!given || strings.EqualFold(charset, "utf-8"))
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64, body *bytes.Buffer) error {
	if r.ContentLength > limit {
		return &bodyTooLargeError{limit}
	}
	if r.ProtoMajor == 2 {
		// When the server's own limits strike, they reset the stream, answer and all.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	}
	_, err := body.ReadFrom(io.LimitReader(r.Body, limit+1))
	switch {
	case int64(body.Len()) > limit:
		return &bodyTooLargeError{limit}
	case errors.Is(err, os.ErrDeadlineExceeded):
		// The time to write began with the time to read, and is over as well.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
		return &otp.FieldError{Reason: "did not arrive in time"}
	case err != nil:
		return &otp.FieldError{Reason: "could not be read"}
	}
	return nil
}

// shapeOf says what a field must be that is more than one value.
func shapeOf(field string) string {
	switch field {
	case "fallback":
		return "must be a list of channels, or of objects with channel and to"
	case "variables":
		return "must be an object whose values are strings"
	}
	return "must be a list of strings"
}

var errNotAnObject = &otp.FieldError{Reason: "must be a JSON object"}

// explain says in words of otpd's own what is wrong with a body: the decoder's may quote it.
func explain(err error) error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		field := topField(semantic.JSONPointer)
		return &otp.FieldError{Field: field, Reason: semanticReason(semantic, field)}
	}
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) {
		return err
	}
	reason := "is not valid JSON"
	if errors.Is(err, jsontext.ErrDuplicateName) {
		reason = "has a name twice"
		if syntactic.JSONPointer.Parent() == "" {
			reason = "is given twice"
		}
	}
	return &otp.FieldError{Field: topField(syntactic.JSONPointer), Reason: reason}
}

func semanticReason(err *json.SemanticError, field string) string {
	switch {
	case errors.Is(err.Err, json.ErrUnknownName) && field == "":
		return "has a field that this request has not"
	case errors.Is(err.Err, json.ErrUnknownName) && field != "fallback":
		return "is not a field of this request"
	case (field == "otp" || field == "next_otp") && err.JSONKind == '0':
		return "must be a string: a number would lose its leading zeros"
	case err.JSONPointer.Parent() != "", field == "fallback", field == "variables":
		return shapeOf(field)
	case err.GoType == nil:
		return errNotAnObject.Reason
	}
	switch err.GoType.Kind() {
	case reflect.String:
		return "must be a string"
	case reflect.Int:
		return "must be a whole number"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Slice:
		return shapeOf(field)
	}
	return errNotAnObject.Reason
}

// topField returns the name of the request's own field that pointer lies in, empty if it lies in none
// or if the name is too long to be repeated.
func topField(pointer jsontext.Pointer) string {
	for name := range pointer.Tokens() {
		if len(name) <= maxFieldName {
			return name
		}
		break
	}
	return ""
}
