package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guardHost refuses requests for a host that is not loopback. A web page can make its own name resolve
// to 127.0.0.1 and so reach a service that listens there; the name in the request gives it away.
func (a *API) guardHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			a.fail(w, errForbiddenHost)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether hostport, with or without a port, is localhost or a loopback address.
func isLoopback(hostport string) bool {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil { // there is no port
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if strings.Trim(port, "0123456789") != "" {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
