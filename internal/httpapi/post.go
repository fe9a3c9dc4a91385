package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/otp"
)

// deliveryTime is more than a request that delivers takes: the time for that, and some operations of a slow ledger.
const deliveryTime = delivery.MaxTimeout + 20*time.Second

// post owns all that the POST routes share: who calls, decoding the request, encoding the answer or
// the error. What is left to op is to translate Q into a call of the domain, and its result into A.
func post[Q any, A answer](a *API, op func(context.Context, otp.Caller, Q) (A, error)) http.HandlerFunc {
	return postUpTo(maxBody, a, op)
}

// postUpTo is post with another limit to the body, in bytes.
func postUpTo[Q any, A answer](limit int64, a *API, op func(context.Context, otp.Caller, Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		active := a.active.Load()
		active.Add(1)
		defer active.Add(-1)
		if a.draining.Load() {
			w.Header().Set("Connection", "close") // the next request is for another process
		}
		var request Q
		caller, err := a.caller(w, r)
		if err == nil {
			err = decode(w, r, limit, &request)
		}
		if keyed, ok := any(&request).(interface{ takeKey(*http.Request) error }); ok && err == nil {
			err = keyed.takeKey(r)
			// The server's limit began with the request, whose body may have been slow.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(deliveryTime))
		}
		if err != nil {
			a.fail(w, err)
			return
		}
		answer, err := op(r.Context(), caller, request)
		if err != nil {
			a.fail(w, err)
			return
		}
		writeJSON(w, http.StatusOK, answer)
	}
}
