package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/otpd/otpd/internal/challenge"
	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

var (
	errUnauthorized         = errors.New("httpapi: no valid API key")
	errForbiddenHost        = errors.New("httpapi: host is not loopback")
	errNotFound             = errors.New("httpapi: no such route")
	errMethodNotAllowed     = errors.New("httpapi: no such method")
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
	{otp.ErrContextMismatch, failure{400, "CONTEXT_MISMATCH", "The context or device is for another identifier, purpose or binding."}},
	{otp.ErrOTPExpired, failure{410, "OTP_EXPIRED", "The code has expired. A resend gives a new one."}},
	{otp.ErrSessionExpired, failure{410, "SESSION_EXPIRED", "The verification has expired. Generate a new code."}},
	{otp.ErrMaxRetriesExceeded, failure{429, "MAX_RETRIES_EXCEEDED", "No attempt is left. Generate a new code."}},
	{otp.ErrAlreadyUsed, failure{409, "OTP_ALREADY_USED", "The verification has succeeded before. Generate a new code."}},
	{otp.ErrContextSuperseded, failure{409, "CONTEXT_SUPERSEDED", "A newer code was sent. Use its context."}},
	{otp.ErrContextRevoked, failure{410, "CONTEXT_REVOKED", "The verification was revoked. Generate a new code."}},
	{otp.ErrMaxResendsExceeded, failure{429, "MAX_RESENDS_EXCEEDED", "No resend is left. Generate a new code."}},
	{otp.ErrLedgerDisabled, failure{409, "LEDGER_DISABLED", "This needs a ledger, and OTP_LEDGER_URL is none:."}},
	{otp.ErrLedgerUnavailable, failure{503, "LEDGER_UNAVAILABLE", "The ledger does not answer. Nothing was verified or sent; send the same request again."}},
	{device.ErrNotConfirmed, failure{409, "DEVICE_NOT_CONFIRMED", "The device is not confirmed. Confirm it with a code first."}},
	{device.ErrAlreadyConfirmed, failure{409, "DEVICE_ALREADY_CONFIRMED", "The device was confirmed before. Use the version that came with its backup codes, or enroll a new device."}},
	{device.ErrEnrollmentExpired, failure{410, "ENROLLMENT_EXPIRED", "The device was not confirmed in time. Enroll a new one."}},
	{device.ErrDisabled, failure{410, "DEVICE_DISABLED", "The device was disabled. Enroll a new one."}},
	{device.ErrSuperseded, failure{409, "DEVICE_SUPERSEDED", "The device has newer backup codes. Use the version that came with them."}},
	{device.ErrCodeAlreadyUsed, failure{409, "CODE_ALREADY_USED", "The code was used before. Wait for the next one, or use another backup code."}},
	{device.ErrOverloaded, failure{503, "OVERLOADED", "Too many requests with backup codes at once. Nothing was verified; send the same request again."}},
	{challenge.ErrInvalid, failure{400, "INVALID_CHALLENGE", "Invalid challenge."}},
	{challenge.ErrExpired, failure{410, "CHALLENGE_EXPIRED", "The challenge has expired. Begin the login again."}},
	{challenge.ErrAlreadyUsed, failure{409, "CHALLENGE_ALREADY_USED", "The challenge was completed before, or another attempt at it is under way."}},
	{delivery.ErrNotConfigured, failure{400, "CHANNEL_NOT_CONFIGURED", "This service is not set up to send over that channel."}},
	{delivery.ErrKeyReused, failure{422, "IDEMPOTENCY_KEY_REUSED", "The Idempotency-Key was used for another request in the last ten minutes."}},
	{delivery.ErrKeyInUse, failure{409, "IDEMPOTENCY_KEY_IN_USE", "A request with this Idempotency-Key is under way. Send it again when that is over."}},
	{delivery.ErrOverloaded, failure{503, "OVERLOADED", "Too many deliveries over this channel are under way. Nothing was sent; send the same request again."}},
	{token.ErrDisabled, failure{409, "TOKENS_DISABLED", "This needs OTP_JWT_PRIVATE_KEY_FILE. Nothing was verified."}},
	{token.ErrInvalid, failure{400, "INVALID_REFRESH_TOKEN", "Invalid refresh token. Log in again."}},
	{token.ErrReused, failure{409, "REFRESH_TOKEN_REUSED", "The refresh token was used before, and so all tokens of its login have ended. Log in again."}},
	{errUnauthorized, failure{401, "UNAUTHORIZED", "An API key is needed: Authorization: Bearer SECRET."}},
	{errForbiddenHost, failure{403, "FORBIDDEN_HOST", "Without API keys, only requests to localhost or a loopback address are answered."}},
	{errNotFound, failure{404, "NOT_FOUND", "No such path."}},
	{errMethodNotAllowed, failure{405, "METHOD_NOT_ALLOWED", "The path does not take this method."}},
	{errUnsupportedMediaType, failure{415, "UNSUPPORTED_MEDIA_TYPE", "The request needs Content-Type: application/json."}},
	{errShuttingDown, failure{503, "SHUTTING_DOWN", "The service is shutting down."}},
}

// bodyTooLargeError names the limit in bytes.
type bodyTooLargeError struct{ limit int64 }

func (*bodyTooLargeError) Error() string { return "httpapi: body too large" }

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
	Device            string
	Devices           []string
	Index             *int // of an invalid device
}

func (a *errorAnswer) members(o *object) {
	o.text("error", a.Error)
	o.token("error_code", a.ErrorCode)
	o.token("request_id", a.RequestID)
	if a.Field != "" {
		o.text("field", a.Field)
	}
	if a.Fields != nil {
		o.tokens("fields", a.Fields)
	}
	if a.Context != "" {
		o.token("context", a.Context)
		o.count("attempts_remaining", a.AttemptsRemaining)
	}
	if a.RetryAfterSeconds > 0 {
		o.count("retry_after_seconds", a.RetryAfterSeconds)
	}
	if a.Device != "" {
		o.token("device", a.Device)
	}
	if a.Devices != nil {
		o.tokens("devices", a.Devices)
	}
	if a.Index != nil {
		o.count("index", *a.Index)
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
	if wrong, ok := errors.AsType[*device.WrongCodeError](err); ok {
		return http.StatusBadRequest, errorAnswer{
			Error: "Invalid OTP.", ErrorCode: "INVALID_OTP", Device: wrong.Device, Devices: wrong.Devices,
			RetryAfterSeconds: seconds(wrong.RetryAfter),
		}
	}
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f.status, errorAnswer{Error: f.text, ErrorCode: f.code}
		}
	}
	if errors.Is(err, device.ErrInvalid) {
		return describeInvalidDevice(err)
	}
	if large, ok := errors.AsType[*bodyTooLargeError](err); ok {
		return http.StatusRequestEntityTooLarge, errorAnswer{
			Error: fmt.Sprintf("The body must be at most %d bytes.", large.limit), ErrorCode: "BODY_TOO_LARGE",
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
		return describeWait("COOLDOWN_DURATION_PENDING", "A new code can be sent in %d %s.", cooldown.RetryAfter)
	}
	if limit, ok := errors.AsType[*delivery.LimitError](err); ok {
		return describeWait("SEND_LIMIT_EXCEEDED", "Too many messages. The next can be sent in %d %s.", limit.RetryAfter)
	}
	if failed, ok := errors.AsType[*delivery.Failure](err); ok {
		return describeFailure(failed)
	}
	if throttled, ok := errors.AsType[*otp.ThrottledError](err); ok {
		return describeWait("N_FAILED_ATTEMPTS", "Too many wrong codes. Try again in %d %s.", throttled.RetryAfter)
	}
	return http.StatusInternalServerError, errorAnswer{Error: "Internal error.", ErrorCode: "INTERNAL_ERROR"}
}

func describeFailure(failed *delivery.Failure) (int, errorAnswer) {
	answer := errorAnswer{Error: "The code could not be delivered: " + failed.Reason + ".", ErrorCode: "DELIVERY_FAILED"}
	if failed.Permanent {
		answer.ErrorCode = "UNDELIVERABLE"
		return http.StatusUnprocessableEntity, answer
	}
	return http.StatusBadGateway, answer
}

func describeInvalidDevice(err error) (int, errorAnswer) {
	answer := errorAnswer{Error: "Invalid device.", ErrorCode: "INVALID_DEVICE"}
	if one, ok := errors.AsType[*device.InvalidError](err); ok {
		answer.Index = &one.Index
	}
	return http.StatusBadRequest, answer
}

func describeWait(code, text string, wait time.Duration) (int, errorAnswer) {
	whole, unit := seconds(wait), "seconds"
	if whole == 1 {
		unit = "second"
	}
	return http.StatusTooManyRequests, errorAnswer{
		Error: fmt.Sprintf(text, whole, unit), ErrorCode: code, RetryAfterSeconds: whole,
	}
}

// seconds rounds up, so that whoever waits as long has waited long enough.
func seconds(wait time.Duration) int { return int(math.Ceil(wait.Seconds())) }

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
	case status == http.StatusTooManyRequests && answer.RetryAfterSeconds > 0:
		header.Set("Retry-After", strconv.Itoa(answer.RetryAfterSeconds))
	}
	if status >= http.StatusInternalServerError && answer.ErrorCode != "SHUTTING_DOWN" && answer.ErrorCode != "OVERLOADED" {
		a.log.Error("request failed", "error", err, "error_code", answer.ErrorCode, "request_id", answer.RequestID)
	}
	writeJSON(w, status, &answer)
}
