package device

import (
	"encoding/base32"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/otpd/otpd/internal/otp"
)

// How far from the expected one a code may be.
const (
	Skew            = 1                               // steps, either way; RFC 6238 §5.2
	maxDrift        = 10                              // steps that a clock may be off, either way; RFC 6238 §6
	LookAhead       = 10                              // counters; RFC 4226 §7.4
	resyncLookAhead = 1000                            // counters, where two codes in a row are right; RFC 4226 §7.4
	maxCounter      = 1<<53 - 1 - resyncLookAhead - 2 // so that Redis reckons with it exactly
)

var secretEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// proof is a typed code as d judges it.
type proof struct {
	Proof
	drift int // that a right code shows
}

// step returns the number of the TOTP step at a time, RFC 6238 §4.2.
func (d *state) step(now time.Time) int64 { return now.Unix() / int64(d.period) }

// prove judges a typed code.
func (d *state) prove(typed string, now time.Time) proof {
	code, codes := otp.Canonical(typed), d.codes()
	p := proof{drift: d.drift}
	// All are tried, so that the time does not tell a right code while the ledger has the device locked.
	for _, number := range d.expected(now) {
		if codes.match(number, code) && !p.Right {
			p.Right, p.Number = true, number
		}
	}
	d.learn(&p, now)
	return p
}

// expected returns the steps or counters whose codes are good, the likeliest first, and then the one that was
// accepted last, which the ledger tells from a wrong one.
func (d *state) expected(now time.Time) []int64 {
	likeliest, first, last := d.window(now)
	numbers := make([]int64, 0, LookAhead+2)
	add := func(number int64) {
		if number >= d.next {
			numbers = append(numbers, number)
		}
	}
	add(likeliest)
	for number := first; number <= last; number++ {
		if number != likeliest {
			add(number)
		}
	}
	if used := d.next - 1; first <= used && used <= last {
		numbers = append(numbers, used)
	}
	return numbers
}

// window returns which step or counter is likeliest, and the first and the last that a code may be of.
func (d *state) window(now time.Time) (likeliest, first, last int64) {
	if d.kind == HOTP {
		return d.next, max(d.next-1, 0), min(d.next+LookAhead, maxCounter-1)
	}
	likeliest = d.step(now) + int64(d.drift)
	first, last = likeliest-Skew, likeliest+Skew
	// The time between reading a code and its arrival changes more than a clock does: what a code was late by is not
	// to be missed by the next.
	switch {
	case d.drift > 0:
		first--
	case d.drift < 0:
		last++
	}
	return likeliest, first, last
}

// proveBoth judges two codes in a row, over as wide a range as RFC 4226 §7.4 has it for a resynchronization. The
// proof is for the second.
func (d *state) proveBoth(typed, typedNext string, now time.Time) proof {
	code, next, codes := otp.Canonical(typed), otp.Canonical(typedNext), d.codes()
	p := proof{drift: d.drift}
	first, last := d.next, min(d.next+resyncLookAhead, maxCounter-2)
	if d.kind == TOTP {
		first, last = d.step(now)-maxDrift, d.step(now)+maxDrift-1
	}
	for number := last; number >= first; number-- {
		if codes.match(number, code) && codes.match(number+1, next) {
			p.Right, p.Number = true, number+1
		}
	}
	d.learn(&p, now)
	return p
}

// learn takes from a right TOTP code how far the device's clock is ahead.
func (d *state) learn(p *proof, now time.Time) {
	if d.kind == TOTP && p.Right {
		p.drift = int(max(-maxDrift, min(p.Number-d.step(now), maxDrift)))
	}
}

// parseSecret reads a secret in base32, as people copy it: in any case, with spaces or hyphens, with or without
// padding.
func parseSecret(text string) ([]byte, error) {
	folded := strings.TrimRight(strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(text)), "=")
	secret, err := secretEncoding.DecodeString(folded)
	notASCII := func(r rune) bool { return r > unicode.MaxASCII } // some have an upper case that is
	if err != nil || strings.ContainsFunc(text, notASCII) || secretEncoding.EncodeToString(secret) != folded {
		return nil, &otp.FieldError{Field: "secret", Reason: "must be base32"}
	}
	return secret, checkSecret(secret)
}

// Bounds on the bytes of a secret. RFC 4226 R6 wants 16 at least; so many that are in use have 10, as the first
// authenticator apps made them, that to refuse these would lose users.
const (
	minSecret = 10
	maxSecret = 64
)

func checkSecret(secret []byte) error {
	if len(secret) < minSecret || len(secret) > maxSecret {
		return &otp.FieldError{Field: "secret", Reason: fmt.Sprintf("must be %d to %d bytes once decoded", minSecret, maxSecret)}
	}
	return nil
}
