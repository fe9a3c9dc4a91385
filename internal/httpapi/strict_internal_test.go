package httpapi

import (
	"errors"
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// target has a field of every type that otpd decodes.
type target struct {
	Text     string         `json:"text"`
	Flag     bool           `json:"flag"`
	Number   float64        `json:"number"`
	Count    int            `json:"count"`
	MaybeInt *int           `json:"maybe_int"`
	Maybe    *string        `json:"maybe"`
	Raw      jsontext.Value `json:"raw"`
}

func TestUnmarshalStrictly(t *testing.T) {
	seven, empty := 7, ""
	for in, want := range map[string]target{
		`{}`:                          {},
		" {\n}\t":                     {},
		`{"text":"\u00e9"}`:           {Text: "é"},
		`{"flag":true}`:               {Flag: true},
		`{"number":1.5e3}`:            {Number: 1500},
		`{"count":-7}`:                {Count: -7},
		`{"maybe_int":7}`:             {MaybeInt: &seven},
		`{"maybe":null}`:              {},
		`{"maybe":""}`:                {Maybe: &empty},
		`{"raw":null}`:                {Raw: jsontext.Value(`null`)},
		`{"raw":[1.0,{"a":null}]}`:    {Raw: jsontext.Value(`[1.0,{"a":null}]`)},
		`{"count":1,"text":"\"{}[]"}`: {Count: 1, Text: `"{}[]`},
	} {
		var got target
		if err := unmarshalStrictly([]byte(in), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
}

func TestUnmarshalStrictlyKeepsWhatIsNotGiven(t *testing.T) {
	got := target{Text: "before", Count: 3}
	if err := unmarshalStrictly([]byte(`{"count":4}`), &got); err != nil || got.Text != "before" || got.Count != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUnmarshalStrictlyRefuses(t *testing.T) {
	tests := []struct {
		name, in string
		is       error // nil where no more is promised than an error
	}{
		{"nothing", ``, nil},
		{"white space", ` `, nil},
		{"not JSON", `text=1`, nil},
		{"two values", `{}{}`, nil},
		{"something after the value", `{} x`, nil},
		{"a value cut short", `{"text":"a"`, nil},
		{"a trailing comma", `{"count":1,}`, nil},
		{"a comment", `{/**/}`, nil},
		{"single quotes", `{'text':'a'}`, nil},
		{"an array", `[]`, nil},
		{"a string", `"text"`, nil},
		{"a byte order mark", "\ufeff{}", nil},
		{"an unknown name", `{"other":1}`, json.ErrUnknownName},
		{"a name in another case", `{"Text":"a"}`, json.ErrUnknownName},
		{"a name twice", `{"text":"a","text":"a"}`, jsontext.ErrDuplicateName},
		{"a name twice, once escaped", `{"text":"a","\u0074ext":"a"}`, jsontext.ErrDuplicateName},
		{"a name twice inside a raw value", `{"raw":{"a":1,"a":1}}`, jsontext.ErrDuplicateName},
		{"invalid UTF-8", "{\"text\":\"\xff\"}", nil},
		{"invalid UTF-8 in a raw value", "{\"raw\":\"\xff\"}", nil},
		{"a lone surrogate", `{"text":"\ud800"}`, nil},
		{"a control character", "{\"text\":\"\n\"}", nil},
		{"a null string", `{"text":null}`, errNull},
		{"a null bool", `{"flag":null}`, errNull},
		{"a null number", `{"number":null}`, errNull},
		{"a null count", `{"count":null}`, errNull},
		{"a null for a pointer to a count", `{"maybe_int":null}`, errNull},
		{"a number for a string", `{"text":1}`, nil},
		{"a string for a count", `{"count":"1"}`, nil},
		{"a fraction for a count", `{"count":1.5}`, nil},
		{"an exponent for a count", `{"count":1e2}`, nil},
		{"a count beyond an int", `{"count":9223372036854775808}`, nil},
		{"a number beyond a float", `{"number":1e400}`, nil},
		{"NaN", `{"number":NaN}`, nil},
		{"a string for a bool", `{"flag":"true"}`, nil},
		{"a number for a bool", `{"flag":1}`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := unmarshalStrictly([]byte(test.in), new(target))
			semantic, syntactic := new(json.SemanticError), new(jsontext.SyntacticError)
			if err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("%v, want %v", err, test.is)
			}
			if !errors.As(err, &semantic) && !errors.As(err, &syntactic) {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}
