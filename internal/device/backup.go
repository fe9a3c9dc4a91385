package device

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/otpd/otpd/internal/otp"
)

const (
	backupCodes      = 10 // of a set
	backupCodeLength = 10 // characters of the alphanumeric alphabet, 50 bits
	backupCodeGroup  = 5  // characters between hyphens
)

// newBackupCodes gives d a new set, and returns it as people read it. The caller must have entered the hasher.
func (d *state) newBackupCodes() []string {
	d.salt = make([]byte, 16)
	rand.Read(d.salt)
	d.hashes, d.used = nil, 0
	var shown []string
	for range backupCodes {
		code := otp.NewCode(otp.Alphanumeric, backupCodeLength)
		d.hashes = append(d.hashes, hashBackupCode([]byte(code), d.salt))
		shown = append(shown, code[:backupCodeGroup]+"-"+code[backupCodeGroup:])
	}
	return shown
}

// proveBackupCode judges a typed backup code. The caller must have entered the hasher.
func (d *state) proveBackupCode(typed string) proof {
	p := proof{drift: d.drift}
	p.Backup = true
	hash := hashBackupCode(otp.Canonical(typed), d.salt)
	for i := range d.hashes {
		if subtle.ConstantTimeCompare(d.hashes[i], hash) == 1 {
			p.Right, p.Number = true, int64(i)
		}
	}
	return p
}

// hashBackupCode is Argon2id, RFC 9106, with 19 MiB, two passes and one lane. All codes of a set have one salt, so
// that to check one takes one hash.
func hashBackupCode(code, salt []byte) []byte {
	return argon2.IDKey(code, salt, 2, 19<<10, 1, 16)
}

// Bounds on a hasher. Each hash takes 19 MiB while it is computed.
const (
	maxHashing   = 2               // requests that hash at once, or one with one processor
	maxWaiting   = 64              // requests that wait for their turn
	maxHashDelay = 3 * time.Second // that one waits
)

// hasher bounds how many requests hash backup codes at once: a flood of them must not take all memory.
type hasher struct {
	turns   chan struct{}
	waiting atomic.Int64
}

func newHasher() *hasher {
	return &hasher{turns: make(chan struct{}, min(maxHashing, runtime.GOMAXPROCS(0)))}
}

// enter waits for a turn, which leave ends. The error is [ErrOverloaded].
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-h.turns }
	select {
	case h.turns <- struct{}{}:
		return leave, nil
	default:
	}
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > maxWaiting {
		return nil, ErrOverloaded
	}
	timeout := time.NewTimer(maxHashDelay)
	defer timeout.Stop()
	select {
	case h.turns <- struct{}{}:
		return leave, nil
	case <-timeout.C:
	case <-ctx.Done():
	}
	return nil, ErrOverloaded
}

// Renewed is a device with a new set of backup codes.
type Renewed struct {
	Device      string
	DeviceID    string
	BackupCodes []string // shown once
}

// RenewBackupCodes replaces the backup codes of a confirmed device. With a ledger, all older versions are dead
// from then on; but an older version can ask for a new set in its turn, so that a lost answer loses nothing.
func (s *Service) RenewBackupCodes(ctx context.Context, caller otp.Caller, token string) (Renewed, error) {
	now := s.cfg.Now()
	d, err := s.open(token, caller)
	if err != nil {
		return Renewed{}, err
	}
	if err := d.unconfirmed(now); err != nil {
		return Renewed{}, err
	}
	leave, err := s.hasher.enter(ctx)
	if err != nil {
		return Renewed{}, err
	}
	defer leave()
	standing, err := s.cfg.Ledger.RenewDevice(ctx, d.version(now.Add(rememberDevice), now))
	if err := d.absorb(standing, err, now); err != nil {
		return Renewed{}, err
	}
	return s.renew(d, EventBackupCodesRenewed, caller, now)
}

// renew gives d a new set of backup codes and seals it.
func (s *Service) renew(d *state, event string, caller otp.Caller, now time.Time) (Renewed, error) {
	shown := d.newBackupCodes()
	token, err := s.seal(d, now)
	if err == nil {
		s.record(event, d, caller, now)
	}
	return Renewed{token, d.id, shown}, err
}
