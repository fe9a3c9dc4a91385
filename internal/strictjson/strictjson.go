// Package strictjson decodes JSON the one way otpd accepts it: exactly one value, UTF-8 throughout,
// member names matched case by case, none unknown, none twice, and no null where the Go type is not
// a pointer to a string or a raw value. It decodes request bodies; contexts have a decoder of their own.
package strictjson

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrNull is wrapped by the error of [Unmarshal] for a null where a value is needed.
var ErrNull = errors.New("null is not a value")

var options = json.JoinOptions(
	json.RejectUnknownMembers(true),
	json.WithUnmarshalers(json.JoinUnmarshalers(
		notNull[string](), notNull[bool](), notNull[float64](), notNull[int](), notNull[*int](),
	)),
)

// notNull refuses a null for T, which json v2 would take for the zero value, and leaves all else to
// the default.
func notNull[T any]() *json.Unmarshalers {
	return json.UnmarshalFromFunc(func(dec *jsontext.Decoder, _ *T) error {
		if dec.PeekKind() == 'n' {
			return ErrNull
		}
		return errors.ErrUnsupported
	})
}

// Unmarshal decodes data, one JSON value with nothing after it, into the struct that v points to.
// Members that data lacks keep what v held. The error is a [*json.SemanticError] or a
// [*jsontext.SyntacticError].
func Unmarshal(data []byte, v any) error {
	return json.Unmarshal(data, v, options)
}
