// Package httpapi is otpd's HTTP/JSON interface: routes, the JSON types of requests and answers,
// authentication, and the one table that maps errors to statuses and codes. It trusts nothing in a
// request; every answer that is not a success is JSON with an error_code.
package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/otpd/otpd/internal/challenge"
	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
	"github.com/otpd/otpd/internal/token"
)

// Config is what an [API] is made of. Every field is needed but Keys and GuardHost.
type Config struct {
	Service    *otp.Service
	Devices    *device.Service
	Challenges *challenge.Service
	Delivery   *delivery.Service
	Tokens     *token.Service
	Keys       *Keys // who may call; nil for anyone who can reach the listener
	GuardHost  bool  // answer only requests for a loopback host
	Log        *slog.Logger
	Metrics    prometheus.Registerer
	Contract   []byte // openapi.yaml
}

// API serves the routes of openapi.yaml.
type API struct {
	http.Handler
	service    *otp.Service
	devices    *device.Service
	challenges *challenge.Service
	delivery   *delivery.Service
	tokens     *token.Service
	keys       *Keys
	log        *slog.Logger
	metrics    *metrics
	draining   atomic.Bool
	active     atomic.Pointer[atomic.Int64] // how many requests of post are under way
}

// New returns an API. It panics if cfg.Metrics has the API's collectors already.
func New(cfg Config) *API {
	a := &API{
		service: cfg.Service, devices: cfg.Devices, challenges: cfg.Challenges,
		delivery: cfg.Delivery, tokens: cfg.Tokens, keys: cfg.Keys, log: cfg.Log, metrics: newMetrics(cfg.Metrics),
	}
	r := chi.NewRouter()
	r.Use(identifyRequest, a.instrument, a.recoverPanic)
	if cfg.GuardHost {
		r.Use(a.guardHost)
	}
	r.Use(middleware.GetHead)
	r.NotFound(a.notFound)
	r.MethodNotAllowed(a.methodNotAllowed)

	r.Post("/v1/otp/generate", post(a, a.generate))
	r.Post("/v1/otp/send", post(a, a.send))
	r.Post("/v1/otp/verify", post(a, a.verify))
	r.Post("/v1/otp/resend", post(a, a.resend))
	r.Post("/v1/otp/revoke", post(a, a.revoke))
	r.Post("/v1/otp/inspect", post(a, a.inspect))
	r.Post("/v1/identifiers/unlock", post(a, a.unlock))
	r.Post("/v1/devices/enroll", post(a, a.enroll))
	r.Post("/v1/devices/confirm", post(a, a.confirm))
	r.Post("/v1/devices/verify", post(a, a.verifyDevice))
	r.Post("/v1/devices/match", post(a, a.match))
	r.Post("/v1/devices/inspect", post(a, a.inspectDevice))
	r.Post("/v1/devices/backup-codes", post(a, a.renewBackupCodes))
	r.Post("/v1/devices/resync", post(a, a.resync))
	r.Post("/v1/devices/unlock", post(a, a.unlockDevice))
	r.Post("/v1/devices/reseal", postUpTo(maxResealBody, a, a.reseal))
	r.Post("/v1/devices/disable", post(a, a.disable))
	r.Post("/v1/challenges", post(a, a.issueChallenge))
	r.Post("/v1/challenges/verify", post(a, a.completeChallenge))
	r.Post("/v1/tokens/refresh", post(a, a.refresh))
	r.Post("/v1/tokens/introspect", post(a, a.introspect))
	r.Post("/v1/tokens/revoke", post(a, a.revokeToken))
	r.Get("/.well-known/jwks.json", a.jwks)
	r.Get("/openapi.yaml", contractYAML(cfg.Contract))
	r.Get("/openapi.json", contractJSON(cfg.Contract))
	r.Get("/healthz", a.healthz)
	r.Get("/readyz", a.readyz)

	a.active.Store(new(atomic.Int64))
	a.Handler = r
	return a
}

// Drain makes the API say that it is not ready, from now on, and waits until the requests that are under
// way are answered, or for the error of ctx. Those that still come are answered, and not waited for.
func (a *API) Drain(ctx context.Context) error {
	a.draining.Store(true)
	before := a.active.Swap(new(atomic.Int64))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for before.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (a *API) notFound(w http.ResponseWriter, _ *http.Request) { a.fail(w, errNotFound) }

// methodNotAllowed also gets requests for no path at all: chi looks none up for a method it does not know.
func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	path := cmp.Or(r.URL.RawPath, r.URL.Path) // as chi routes
	routes := chi.RouteContext(r.Context()).Routes
	for method, allow := range map[string]string{http.MethodGet: "GET, HEAD", http.MethodPost: "POST"} {
		if pattern := routes.Find(chi.NewRouteContext(), method, path); pattern != "" {
			chi.RouteContext(r.Context()).RoutePatterns = []string{pattern} // which the metrics name
			w.Header().Set("Allow", allow)
			a.fail(w, errMethodNotAllowed)
			return
		}
	}
	a.notFound(w, r)
}
