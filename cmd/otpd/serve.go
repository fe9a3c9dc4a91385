package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/otpd/otpd/internal/delivery"
	"github.com/otpd/otpd/internal/httpapi"
)

// serve serves what cfg describes until ctx ends, and then answers the requests under way. It calls
// ready when requests are answered. What is delivered on the console goes to stdout.
func serve(ctx context.Context, cfg config, stdout, stderr io.Writer, ready func(net.Addr)) error {
	log := newLogger(cfg, stderr)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // for good: it would end the process, even while that ends by itself
	a, err := assemble(cfg, log, stdout, stderr)
	if err != nil {
		return err
	}
	defer a.close()
	listeners, err := a.listen(cfg)
	if err != nil {
		return err
	}
	a.warn(cfg)
	debug.FreeOSMemory() // what starting took and serving does not need
	log.Info("listening", "addr", addrOf(listeners.api), "admin_addr", addrOf(listeners.admin), "version", version,
		"ledger", a.ledger, "api_keys", a.keys != nil, "tls", a.cert != nil)
	ready(listeners.api.Addr())
	return a.serve(ctx, cfg, listeners, hangup)
}

// recommendedExpiry is the longest life of a code that NIST SP 800-63B §3.1.3.2 allows.
const recommendedExpiry = 10 * time.Minute

// warn logs what works and may not be meant.
func (a *app) warn(cfg config) {
	for _, name := range unknownVariables() {
		a.log.Warn("not a variable of otpd, and ignored", "name", name)
	}
	if cfg.ExpirySeconds.seconds() > recommendedExpiry {
		a.log.Warn("codes live longer than the 10 minutes of NIST SP 800-63B", "OTP_EXPIRY_SECONDS", int(cfg.ExpirySeconds))
	}
	if cfg.ThrottleFactorSeconds == 0 {
		a.log.Warn("no throttle: nothing limits guesses at the codes of a device, nor those over several verifications", "OTP_THROTTLE_FACTOR_SECONDS", 0)
	}
	if cfg.DeliveryConsole {
		a.log.Warn("codes are written to standard output for whoever asks for the channel console", "OTP_DELIVERY_CONSOLE", true)
	}
	if len(a.channels.tooLong) > 0 {
		a.log.Warn("templates that make more than one SMS, which is refused", "templates", a.channels.tooLong)
	}
	if _, sends := a.channels.byName[delivery.SMS]; sends && cfg.SMSBudget == 0 {
		a.log.Warn("no budget: nothing limits how many SMS are sent, but for each recipient", "OTP_SMS_BUDGET", 0)
	}
	if a.ledger == "none" && len(a.channels.byName) > 0 {
		a.log.Warn("no ledger: nothing limits how many codes a recipient is sent, and Idempotency-Key is refused")
	}
	if a.ledger == "none" && a.jwtKeys != nil {
		a.log.Warn("no ledger: a refresh token works as often as it is sent until it expires, and a logout ends nothing")
	}
	if a.ledger == "none" {
		a.log.Warn("no ledger: a code works as often as it is sent until it expires, and whoever keeps an old context has its attempts and resends again, without end")
	}
}

// addrOf returns the address of a listener, empty for none.
func addrOf(listener net.Listener) string {
	if listener == nil {
		return ""
	}
	return listener.Addr().String()
}

func newLogger(cfg config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked with the configuration
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// listeners are the sockets of the API and, unless there is none, of the operators.
type listeners struct{ api, admin net.Listener }

func (a *app) listen(cfg config) (l listeners, err error) {
	if l.api, err = listen(cfg.ListenAddr, a.cert); err != nil {
		return l, complain("OTP_LISTEN_ADDR", "cannot be used: "+err.Error())
	}
	if cfg.AdminAddr == "" {
		return l, nil
	}
	if l.admin, err = listen(cfg.AdminAddr, nil); err != nil {
		_ = l.api.Close()
		return l, complain("OTP_ADMIN_ADDR", "cannot be used: "+err.Error())
	}
	return l, nil
}

// serve answers requests until ctx ends. An error means that some of those under way were cut off, or
// that a listener failed.
func (a *app) serve(ctx context.Context, cfg config, l listeners, hangup <-chan os.Signal) error {
	ctx, stop := context.WithCancelCause(ctx)
	servers := []*http.Server{a.start(l.api, a.api, stop)}
	if l.admin != nil {
		servers = append(servers, a.start(l.admin, a.api.Admin(httpapi.AdminConfig{
			Metrics:   promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}),
			Pprof:     cfg.Pprof,
			GuardHost: isLoopback(cfg.AdminAddr),
		}), stop))
	}
	var reloading sync.WaitGroup
	reloading.Go(func() { reloadUntil(ctx, a.log, a.reloads, hangup) })

	<-ctx.Done()
	reloading.Wait()
	a.log.Info("shutting down")
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return cmp.Or(err, a.shutDown(cfg.ShutdownTimeout, servers))
}

var errCutOff = errors.New("requests were cut off after OTP_SHUTDOWN_TIMEOUT")

// shutDown answers what is under way, with the listeners still open for whoever asks whether the service
// is ready, and then closes all connections, those on which no request has come at once.
// Then it takes its leave of the mail server, and sends the events that are left.
func (a *app) shutDown(timeout time.Duration, servers []*http.Server) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if a.api.Drain(ctx) != nil {
		err = errCutOff
	}
	flush, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	for _, server := range servers {
		_ = server.Shutdown(flush)
		_ = server.Close()
	}
	a.channels.close()
	if a.events != nil {
		a.events.Close(ctx)
	}
	return err
}

// flushTimeout is how long answers that have been written may take to leave.
const flushTimeout = time.Second

// start serves handler on listener in the background. Should that fail, it stops with the reason.
func (a *app) start(listener net.Listener, handler http.Handler, stop context.CancelCauseFunc) *http.Server {
	server := newServer(handler)
	server.ErrorLog = slog.NewLogLogger(a.log.Handler(), slog.LevelWarn)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			stop(err)
		}
	}()
	return server
}
