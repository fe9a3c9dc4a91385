// Package ledger remembers what sealed contexts cannot: which verification has succeeded, was revoked
// or got a newer code, and how many wrong codes it has seen. It trusts the service to pass verification
// ids that nobody else can choose and a time that does not jump, and keeps each entry until its
// verification would end by itself.
package ledger

import "time"

// Verification is what an operation needs to know of a context. It is an alias of an unnamed struct,
// and so the same type as the one the domain's own interface names: neither package imports the other.
type Verification = struct {
	ID          string    // of the verification, 22 characters
	Resends     int       // how many codes came before the one in the context
	Attempts    int       // wrong codes the context tells of
	MaxAttempts int       // wrong codes allowed
	Until       time.Time // when the verification ends and may be forgotten
	Now         time.Time
}

// Outcome is what the ledger says of one operation.
type Outcome = struct {
	Verdict  string // one of the constants below
	Attempts int    // wrong codes so far, this one included
}

// Verdicts.
const (
	Admitted   = "admitted"   // go on: the operation counts
	Used       = "used"       // a code of the verification was right before
	Revoked    = "revoked"    // the application withdrew it
	Superseded = "superseded" // a newer code was issued
	Exhausted  = "exhausted"  // no wrong code is left
	Disabled   = "disabled"   // this ledger cannot do it
)
