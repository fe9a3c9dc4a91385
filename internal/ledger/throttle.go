package ledger

import "time"

// Throttle slows down guesses at one subject, over all its verifications. It counts the wrong codes
// since the last right one.
type Throttle struct {
	After  int           // wrong codes that are free, from 0
	Factor time.Duration // wrong code After+n locks the subject for Factor·2^n; 0 for no throttle
	Max    time.Duration // the longest lock before code 100
}

const (
	severeAfter = 100            // from this wrong code on, unless it is free,
	severeLock  = 24 * time.Hour // each locks for so long
	forgetAfter = 7 * 24 * time.Hour
)

// lock returns how long wrong code number n locks its subject.
func (t Throttle) lock(n int) time.Duration {
	switch {
	case n <= t.After, t.Factor == 0:
		return 0
	case n >= severeAfter:
		return severeLock
	}
	lock := t.Factor
	for range n - t.After {
		if lock *= 2; lock >= t.Max {
			return t.Max
		}
	}
	return lock
}

// counts reports whether wrong codes for v are counted against its subject.
func (t Throttle) counts(v Verification) bool { return t.Factor > 0 && v.Subject != "" }
