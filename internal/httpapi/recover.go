package httpapi

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
)

// recoverPanic answers a panic with INTERNAL_ERROR. What it logs of the panic's value is its type, and
// its text only where the runtime wrote it: any other text may hold what the request held.
func (a *API) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			value := recover()
			if value == nil {
				return
			}
			if value == http.ErrAbortHandler {
				panic(value)
			}
			text := ""
			if err, ok := value.(runtime.Error); ok {
				text = err.Error()
			}
			a.log.Error("panic", "type", fmt.Sprintf("%T", value), "text", text, "stack", string(debug.Stack()))
			a.fail(w, errPanic)
		}()
		next.ServeHTTP(w, r)
	})
}
