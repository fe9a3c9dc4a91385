package delivery

import (
	"errors"
	"sync/atomic"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/otp"
)

// Bounds on the time that all deliveries of a request may take.
const (
	MinTimeout = time.Millisecond
	MaxTimeout = 8 * time.Second
)

// maxUnderWay is how many deliveries of one channel may be under way, so that a peer that stalls holds no more.
const maxUnderWay = 64

// Config is what a [Service] is made of. Every field but SMSBudget, Audit, Observe and Now is needed.
type Config struct {
	Sealer  *otpcontext.Sealer
	Ledger  Ledger
	Codes   *otp.Service
	Timeout time.Duration // of all deliveries of a request, MinTimeout to MaxTimeout

	SMSBudget int // messages an hour of one namespace to numbers with one calling code; 0 for no bound

	Audit   func(otp.Event)                                            // is told of each event before its answer leaves; nil for nobody
	Observe func(channel string, took time.Duration, failure *Failure) // is told of each delivery but decoys'; nil for nobody
	Now     func() time.Time                                           // nil for time.Now
}

// Service issues codes and sends them. It is safe for concurrent use.
type Service struct {
	cfg      Config
	channels atomic.Pointer[map[string]Channel]
	lanes    map[string]*lane
}

// lane is the traffic on one channel.
type lane struct {
	slots chan struct{}
	pace  pace
}

// New returns a service without channels, or an error that says what cfg lacks.
func New(cfg Config) (*Service, error) {
	if cfg.Sealer == nil || cfg.Ledger == nil || cfg.Codes == nil ||
		cfg.Timeout < MinTimeout || cfg.Timeout > MaxTimeout || cfg.SMSBudget < 0 {
		return nil, errors.New("delivery: Sealer, Ledger, Codes, Timeout or SMSBudget is missing or out of bounds")
	}
	if cfg.Audit == nil {
		cfg.Audit = func(otp.Event) {}
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, time.Duration, *Failure) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{cfg: cfg, lanes: make(map[string]*lane)}
	for _, name := range []string{Email, SMS, Webhook, Console} {
		s.lanes[name] = &lane{slots: make(chan struct{}, maxUnderWay)}
	}
	s.Use(nil)
	return s, nil
}

// Use makes s deliver over these channels, by their names, from now on.
func (s *Service) Use(channels map[string]Channel) { s.channels.Store(&channels) }
