package httpapi

import "net/http"

// healthz says that the process is up.
func (a *API) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, statusAnswer("ok"))
}

// readyz says whether requests should be sent here.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) {
	err := errShuttingDown
	if !a.draining.Load() {
		err = a.service.Ready(r.Context())
	}
	if err != nil {
		a.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, statusAnswer("ready"))
}
