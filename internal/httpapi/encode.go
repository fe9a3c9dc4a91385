package httpapi

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// answer is the body of an answer, which adds its members to a JSON object. Answers write themselves,
// without reflection, which took a tenth of a request.
type answer interface{ members(o *object) }

// statusAnswer is an answer that says no more than that.
type statusAnswer string

func (a statusAnswer) members(o *object) { o.token("status", string(a)) }

// Header values that never change are shared, not allocated for each answer; nobody writes to them.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
)

// writeJSON sends a with a status.
func writeJSON(w http.ResponseWriter, status int, a answer) {
	o := objects.Get().(*object)
	defer objects.Put(o)
	o.data, o.begun = append(o.data[:0], '{'), 1
	a.members(o)
	o.data = append(o.data, '}')
	header := w.Header()
	header["Content-Type"] = jsonType
	header["Cache-Control"] = noStore
	w.WriteHeader(status)
	_, _ = w.Write(o.data) // what cannot be sent has nobody left to read it
}

// object is a JSON object that is being written.
type object struct {
	data  []byte
	begun int // where its first member begins
}

var objects = sync.Pool{New: func() any { return new(object) }}

// name begins a member. It and all other names need no escape.
func (o *object) name(name string) {
	if len(o.data) > o.begun {
		o.data = append(o.data, ',')
	}
	o.data = append(append(append(o.data, '"'), name...), '"', ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.data, _ = jsontext.AppendQuote(o.data, value) // an error means invalid UTF-8, replaced
}

// token is text for values that need no escape: codes, contexts and ids.
func (o *object) token(name, value string) {
	o.name(name)
	o.data = append(append(append(o.data, '"'), value...), '"')
}

// tokens is a list of what token takes.
func (o *object) tokens(name string, values []string) {
	o.name(name)
	o.data = append(o.data, '[')
	for i, value := range values {
		if i > 0 {
			o.data = append(o.data, ',')
		}
		o.data = append(append(append(o.data, '"'), value...), '"')
	}
	o.data = append(o.data, ']')
}

func (o *object) flag(name string, value bool) {
	o.name(name)
	o.data = strconv.AppendBool(o.data, value)
}

func (o *object) count(name string, value int) {
	o.name(name)
	o.data = strconv.AppendInt(o.data, int64(value), 10)
}

func (o *object) time(name string, value time.Time) {
	o.name(name)
	o.data = append(value.AppendFormat(append(o.data, '"'), time.RFC3339Nano), '"')
}

// timeOrNull adds null for the zero time.
func (o *object) timeOrNull(name string, value time.Time) {
	if value.IsZero() {
		o.raw(name, nil)
		return
	}
	o.time(name, value)
}

// raw adds JSON as it is, and null for none.
func (o *object) raw(name string, value jsontext.Value) {
	o.name(name)
	if value == nil {
		value = jsontext.Value("null")
	}
	o.data = append(o.data, value...)
}
