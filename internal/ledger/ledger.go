// Package ledger remembers what sealed contexts cannot: which verification has succeeded, was revoked
// or got a newer code, how many wrong codes it has seen, and how many whom it is for; what holds for the devices and
// the refresh tokens that callers keep; how often somebody was written to of late, and what a request was answered
// that may come again. It trusts the service to pass ids, subjects and keys that nobody else can choose and a time
// that does not jump, and keeps each entry until it would end by itself.
package ledger

import "time"

// Verification is what an operation needs to know of a context. It is an alias of an unnamed struct,
// and so the same type as the one the domain's own interface names: neither package imports the other.
type Verification = struct {
	ID          string    // of the verification, 22 characters
	Subject     string    // whom it is for, as 22 characters, the same for all contexts of an ID; empty for nobody
	Resends     int       // how many codes came before the one in the context
	Attempts    int       // wrong codes the context tells of
	MaxAttempts int       // wrong codes allowed
	IssuedAt    time.Time // when the code in the context was issued
	Until       time.Time // when the verification ends and may be forgotten
	Now         time.Time
}

// Outcome is what the ledger says of one operation.
type Outcome = struct {
	Verdict    string        // one of the constants below
	Attempts   int           // wrong codes so far, this one included
	RetryAfter time.Duration // how long it stays throttled or cooling; 0 for other verdicts
}

// Verdicts.
const (
	Admitted   = "admitted"   // go on: the operation counts
	Used       = "used"       // a code of the verification was right before
	Revoked    = "revoked"    // the application withdrew it
	Superseded = "superseded" // a newer code was issued
	Throttled  = "throttled"  // too many wrong codes for one subject
	Exhausted  = "exhausted"  // no wrong code is left
	Cooling    = "cooling"    // the last code is too young for a resend
	Disabled   = "disabled"   // this ledger cannot do it
)

// grace is how long an entry stays after its end, lest a clock that is set back revive a used code.
const grace = time.Minute

// most bounds what a context tells of, which a forger of contexts could put higher.
const most = 1 << 30

// tag returns what the entries of one operation have in common, and with them those of one subject.
func tag(v Verification) string {
	if v.Subject != "" {
		return v.Subject
	}
	return v.ID
}
