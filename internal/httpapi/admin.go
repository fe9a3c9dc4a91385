package httpapi

import (
	"net/http"
	"net/http/pprof"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// AdminConfig is what [API.Admin] serves.
type AdminConfig struct {
	Metrics   http.Handler // at /metrics
	Pprof     bool         // whether to serve net/http/pprof too
	GuardHost bool         // answer only requests for a loopback host
}

// Admin returns the handler of the listener for operators.
func (a *API) Admin(cfg AdminConfig) http.Handler {
	r := chi.NewRouter()
	r.Use(identifyRequest, a.recoverPanic)
	if cfg.GuardHost {
		r.Use(a.guardHost)
	}
	r.Use(middleware.GetHead)
	r.NotFound(a.notFound)
	r.MethodNotAllowed(a.methodNotAllowed)
	r.Get("/metrics", cfg.Metrics.ServeHTTP)
	if cfg.Pprof {
		r.Get("/debug/pprof/", pprof.Index)
		r.Get("/debug/pprof/{profile}", pprof.Index)
		r.Get("/debug/pprof/profile", pprof.Profile)
		r.Get("/debug/pprof/symbol", pprof.Symbol)
		r.Get("/debug/pprof/trace", pprof.Trace)
	}
	return r
}
