package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/otp"
)

var (
	errUnauthorized         = errors.New("httpapi: no valid API key")
	errForbiddenHost        = errors.New("httpapi: host is not loopback")
	errNotFound             = errors.New("httpapi: no such route")
	errMethodNotAllowed     = errors.New("httpapi: no such method")
	errBodyTooLarge         = errors.New("httpapi: body too large")
	errUnsupportedMediaType = errors.New("httpapi: body is not JSON by its type")
	errShuttingDown         = errors.New("httpapi: shutting down")
	errPanic                = errors.New("httpapi: panic")
)

// failure is how an error is told.
type failure struct {
	status int
	code   string
	text   string
}

// failures is the one table from errors that carry nothing to what is told of them.
var failures = []struct {
	err error
	failure
}{
	{otp.ErrInvalidContext, failure{400, "INVALID_CONTEXT", "Invalid context."}},
	{otp.ErrContextMismatch, failure{400, "CONTEXT_MISMATCH", "The context was issued for another identifier, purpose or binding."}},
	{otp.ErrOTPExpired, failure{410, "OTP_EXPIRED", "The code has expired. A resend gives a new one."}},
	{otp.ErrSessionExpired, failure{410, "SESSION_EXPIRED", "The verification has expired. Generate a new code."}},
	{otp.ErrMaxRetriesExceeded, failure{429, "MAX_RETRIES_EXCEEDED", "No attempt is left. Generate a new code."}},
	{otp.ErrAlreadyUsed, failure{409, "OTP_ALREADY_USED", "The verification has succeeded before. Generate a new code."}},
	{otp.ErrContextSuperseded, failure{409, "CONTEXT_SUPERSEDED", "A newer code was sent. Use its context."}},
	{otp.ErrContextRevoked, failure{410, "CONTEXT_REVOKED", "The verification was revoked. Generate a new code."}},
	{otp.ErrMaxResendsExceeded, failure{429, "MAX_RESENDS_EXCEEDED", "No resend is left. Generate a new code."}},
	{otp.ErrLedgerDisabled, failure{409, "LEDGER_DISABLED", "This needs a ledger, and OTP_LEDGER_URL is none:."}},
	{otp.ErrLedgerUnavailable, failure{503, "LEDGER_UNAVAILABLE", "The ledger does not answer. Nothing was verified; try again with the same context."}},
	{errUnauthorized, failure{401, "UNAUTHORIZED", "An API key is needed: Authorization: Bearer SECRET."}},
	{errForbiddenHost, failure{403, "FORBIDDEN_HOST", "Without API keys, only requests to localhost or a loopback address are answered."}},
	{errNotFound, failure{404, "NOT_FOUND", "No such path."}},
	{errMethodNotAllowed, failure{405, "METHOD_NOT_ALLOWED", "The path does not take this method."}},
	{errBodyTooLarge, failure{413, "BODY_TOO_LARGE", fmt.Sprintf("The body must be at most %d bytes.", maxBody)}},
	{errUnsupportedMediaType, failure{415, "UNSUPPORTED_MEDIA_TYPE", "The request needs Content-Type: application/json."}},
	{errShuttingDown, failure{503, "SHUTTING_DOWN", "The service is shutting down."}},
}

// missingFieldsError names the fields that a request lacks.
type missingFieldsError struct{ fields []string }

func (*missingFieldsError) Error() string { return "httpapi: missing fields" }

// require returns a [*missingFieldsError] if a field, given as its name and then its value, is empty.
func require(namesAndValues ...string) error {
	var missing []string
	for i := 0; i < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] == "" {
			missing = append(missing, namesAndValues[i])
		}
	}
	if missing == nil {
		return nil
	}
	return &missingFieldsError{missing}
}

// errorAnswer is the body of every answer that is not a success.
type errorAnswer struct {
	Error             string
	ErrorCode         string
	RequestID         string
	Field             string
	Fields            []string
	Context           string
	AttemptsRemaining int
	RetryAfterSeconds int
}

func (a *errorAnswer) members(o *object) {
	o.text("error", a.Error)
	o.token("error_code", a.ErrorCode)
	o.token("request_id", a.RequestID)
	if a.Field != "" {
		o.text("field", a.Field)
	}
	if a.Fields != nil {
		o.raw("fields", jsontext.Value(`["`+strings.Join(a.Fields, `","`)+`"]`))
	}
	if a.Context != "" {
		o.token("context", a.Context)
		o.count("attempts_remaining", a.AttemptsRemaining)
	}
	if a.RetryAfterSeconds > 0 {
		o.count("retry_after_seconds", a.RetryAfterSeconds)
	}
}

// describe puts err into an answer and its status.
func describe(err error) (int, errorAnswer) {
	if wrong, ok := errors.AsType[*otp.WrongCodeError](err); ok {
		return http.StatusBadRequest, errorAnswer{
			Error:     "Invalid OTP. Attempts remaining: " + strconv.Itoa(wrong.AttemptsRemaining),
			ErrorCode: "INVALID_OTP", Context: wrong.Context, AttemptsRemaining: wrong.AttemptsRemaining,
		}
	}
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.status, errorAnswer{Error: f.text, ErrorCode: f.code}
		}
	}
	if missing, ok := errors.AsType[*missingFieldsError](err); ok {
		return http.StatusBadRequest, errorAnswer{
			Error: "Fields are missing or empty.", ErrorCode: "MISSING_FIELDS", Fields: missing.fields,
		}
	}
	if bad, ok := errors.AsType[*otp.FieldError](err); ok {
		subject := "The body"
		if bad.Field != "" {
			subject = "The field " + bad.Field
		}
		return http.StatusBadRequest, errorAnswer{
			Error: subject + " " + bad.Reason + ".", ErrorCode: "INVALID_REQUEST", Field: bad.Field,
		}
	}
	if cooldown, ok := errors.AsType[*otp.CooldownError](err); ok {
		return describeWait("COOLDOWN_DURATION_PENDING", "A new code can be sent in %d seconds.", cooldown.RetryAfter)
	}
	if throttled, ok := errors.AsType[*otp.ThrottledError](err); ok {
		return describeWait("N_FAILED_ATTEMPTS", "Too many wrong codes. Try again in %d seconds.", throttled.RetryAfter)
	}
	return http.StatusInternalServerError, errorAnswer{Error: "Internal error.", ErrorCode: "INTERNAL_ERROR"}
}

func describeWait(code, text string, wait time.Duration) (int, errorAnswer) {
	seconds := int(math.Ceil(wait.Seconds()))
	return http.StatusTooManyRequests, errorAnswer{
		Error: fmt.Sprintf(text, seconds), ErrorCode: code, RetryAfterSeconds: seconds,
	}
}

// fail answers with err.
func (a *API) fail(w http.ResponseWriter, err error) {
	status, answer := describe(err)
	header := w.Header()
	answer.RequestID = header.Get(requestIDHeader)
	switch {
	case status == http.StatusUnauthorized:
		header.Set("WWW-Authenticate", "Bearer")
	case status == http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	case answer.RetryAfterSeconds > 0:
		header.Set("Retry-After", strconv.Itoa(answer.RetryAfterSeconds))
	}
	if status >= http.StatusInternalServerError && !errors.Is(err, errShuttingDown) {
		a.log.Error("request failed", "error", err, "error_code", answer.ErrorCode, "request_id", answer.RequestID)
	}
	writeJSON(w, status, &answer)
}
