package httpapi

import (
	"bytes"
	"net/http"

	"github.com/go-json-experiment/json"
)

// Header values that never change are shared, not allocated for each answer; nobody writes to them.
var (
	jsonType = []string{"application/json"}
	noStore  = []string{"no-store"}
)

// writeJSON sends answer, which must marshal: the types of this package do.
func writeJSON(w http.ResponseWriter, status int, answer any) {
	body := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(body)
	body.Reset()
	if err := json.MarshalWrite(body, answer); err != nil {
		panic(err)
	}
	header := w.Header()
	header["Content-Type"] = jsonType
	header["Cache-Control"] = noStore
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // what cannot be sent has nobody left to read it
}
