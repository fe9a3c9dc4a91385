package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const explanation = `The configuration is the default: 3 attempts a verification, 5 resends, a lock from the 21st wrong code
for an identifier and from the 4th for a device, one message a minute to a recipient. Attacks have two API keys and
two replicas to work with, and resend without a cooldown.
  tried      requests that the attacker sent to gain something
  evaluated  answers that gave it: that a code was right or wrong, or what the attack's name says
  allowed    what the design allows with this ledger
`

// attack is one way to get more than the design allows.
type attack struct {
	name  string
	needs need
	run   func(context.Context, *target) (outcome, error)
}

// need is what an attack takes that not every target has.
type need string

const (
	nothing        need = ""
	firstKey       need = "an API key"
	secondKey      need = "a second API key"
	secondReplica  need = "a second replica"
	startedService need = "a service that was started for it"
	startedRedis   need = "a Redis that was started for it"
	cooldown       need = "a second service, with a cooldown"
)

func (t *target) has(n need) bool {
	switch n {
	case firstKey:
		return t.main.secret != ""
	case secondKey:
		return t.other != nil
	case secondReplica:
		return t.replica != nil
	case cooldown:
		return t.main != t.noCooldown
	case startedService:
		return t.rig != nil
	case startedRedis:
		return t.rig != nil && t.rig.redis != nil
	}
	return true
}

// outcome is what an attack got.
type outcome struct {
	tried, evaluated int
	least            int // evaluated if the service works; fewer show nothing
	allowed          limits
	note             string
}

// limits is what the design allows: by its promise, which holds as long as the ledger loses nothing and
// all replicas share it, and by what is documented of each ledger.
type limits struct{ promise, memory, redis, none int }

const unlimited = math.MaxInt

func always(n int) limits { return limits{n, n, n, n} }

// ledgered is the limit that takes a ledger.
func ledgered(n int) limits { return limits{n, n, n, unlimited} }

// shared is the limit that takes a ledger which outlives or joins processes. Without it there are m.
func shared(n, m int) limits { return limits{promise: n, memory: m, redis: n, none: unlimited} }

func (l limits) of(ledger string) int {
	return map[string]int{memory: l.memory, redis: l.redis, none: l.none}[ledger]
}

// skipped is the error of an attack that the target is no target for.
type skipped string

func (s skipped) Error() string { return string(s) }

// row is one line of the table.
type row struct {
	name    string
	outcome outcome
	allowed int
	err     error
}

func (a attack) carryOut(ctx context.Context, t *target) row {
	if !t.has(a.needs) {
		return row{name: a.name, err: skipped("needs " + a.needs)}
	}
	got, err := a.run(ctx, t)
	return row{a.name, got, got.allowed.of(t.ledger), err}
}

const (
	holds      = "holds"
	documented = "documented loss"
	exceeded   = "EXCEEDED"
)

func (r row) verdict() string {
	if reason, ok := errors.AsType[skipped](r.err); ok {
		return "skipped: " + reason.Error()
	}
	switch got := r.outcome.evaluated; {
	case r.err != nil:
		return "FAILED: " + r.err.Error()
	case got > r.allowed:
		return exceeded
	case got < r.outcome.least:
		return fmt.Sprintf("SHOWS NOTHING: a service that works evaluates %d", r.outcome.least)
	case got > r.outcome.allowed.promise:
		return documented
	}
	return holds
}

// held reports whether no row is worse than documented.
func held(rows []row) bool {
	for _, r := range rows {
		_, isSkipped := errors.AsType[skipped](r.err)
		if v := r.verdict(); v != holds && v != documented && !isSkipped {
			return false
		}
	}
	return true
}

// print writes the rows as a table in Markdown, and then what they have to say beyond numbers.
func print(w io.Writer, rows []row) {
	const columns = "| %-*s | %5s | %9s | %8s | %-15s |\n"
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r.name))
	}
	fmt.Fprintf(w, columns, width, "attack", "tried", "evaluated", "allowed", "verdict")
	fmt.Fprintf(w, "|-%s-|------:|----------:|---------:|-----------------|\n", strings.Repeat("-", width))
	for _, r := range rows {
		tried, evaluated, allowed := r.numbers()
		fmt.Fprintf(w, columns, width, r.name, tried, evaluated, allowed, r.verdict())
	}
	for _, r := range rows {
		if r.outcome.note != "" {
			fmt.Fprintf(w, "\n%s: %s\n", r.name, r.outcome.note)
		}
	}
}

// numbers returns the row's as text; an attack that did not come to its end has none.
func (r row) numbers() (tried, evaluated, allowed string) {
	if r.err != nil {
		return "", "", ""
	}
	allowed = "no limit"
	if r.allowed != unlimited {
		allowed = strconv.Itoa(r.allowed)
	}
	return strconv.Itoa(r.outcome.tried), strconv.Itoa(r.outcome.evaluated), allowed
}
