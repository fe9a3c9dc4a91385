package httpapi

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// errNull is wrapped by the error of [unmarshalStrictly] for a null where a value is needed.
var errNull = errors.New("null is not a value")

var strictly = json.JoinOptions(
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
			return errNull
		}
		return errors.ErrUnsupported
	})
}

// unmarshalStrictly decodes data into the struct that v points to: one JSON value with nothing after it,
// in UTF-8, names matched case by case, none unknown, none twice, and no null where the Go type is not a
// pointer to a string or a raw value.
// Members that data lacks keep what v held. The error is a [*json.SemanticError] or a
// [*jsontext.SyntacticError].
func unmarshalStrictly(data []byte, v any) error {
	return json.Unmarshal(data, v, strictly)
}
