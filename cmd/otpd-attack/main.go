// Command otpd-attack tries to get more out of an otpd than its design allows: more guesses, a second
// success, another's verification. It counts by the answers alone, as an attacker would, prints a table
// for each ledger, and ends with status 1 if anything was got that the design does not allow, or if an
// attack did not come to its end.
//
// Use it only against a service of your own: it locks identifiers and devices that it makes up, and spends many
// thousand requests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const usage = `usage: otpd-attack [flags]

Starts otpd, with each ledger, on free ports of 127.0.0.1, and attacks it. With -url, attacks one that
runs. That must have the defaults, but for OTP_RESEND_COOLDOWN_SECONDS=0 and, for attacks on tokens,
OTP_JWT_PRIVATE_KEY_FILE. What it sends is not attacked.

`

// bound is how long all of it may take.
const bound = 5 * time.Minute

// options are the flags.
type options struct {
	binary     string
	ledgers    []string
	urls       []string
	key, other string
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit status: 1 if the design was exceeded or something failed, 2 for a wrong use.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	fmt.Fprint(stdout, explanation)
	status := 0
	for _, ledger := range o.ledgers {
		ok, err := attackLedger(ctx, ledger, o, stdout)
		if err != nil {
			fmt.Fprintln(stderr, "otpd-attack:", err)
		}
		if !ok || err != nil {
			status = 1
		}
	}
	return status
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("otpd-attack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	var ledgers, urls string
	flags.StringVar(&o.binary, "otpd", "", "the `binary` to start; by default it is built")
	flags.StringVar(&ledgers, "ledger", "memory,redis,none", "which ledgers; with -url, the one it `has`")
	flags.StringVar(&urls, "url", "", "attack what runs at this `URL`, or at two, separated by a comma, that are replicas")
	flags.StringVar(&o.key, "key", "", "`secret` of an API key for it")
	flags.StringVar(&o.other, "other-key", "", "`secret` of another, for attacks of one tenant on the other")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.ledgers = strings.Split(ledgers, ",")
	if urls != "" {
		o.urls = strings.Split(urls, ",")
	}
	return o, complain(flags, o.check(flags.NArg()))
}

func (o options) check(rest int) error {
	for _, ledger := range o.ledgers {
		if ledger != memory && ledger != redis && ledger != none {
			return errors.New("-ledger takes memory, redis and none")
		}
	}
	switch {
	case rest > 0:
		return errors.New("there are arguments that are no flags")
	case o.urls != nil && len(o.ledgers) != 1:
		return errors.New("-url needs -ledger with the one that the service has")
	case len(o.urls) > 2:
		return errors.New("-url takes at most two")
	}
	return nil
}

// complain prints err, if it is one, and the usage.
func complain(flags *flag.FlagSet, err error) error {
	if err != nil {
		fmt.Fprintln(flags.Output(), "otpd-attack:", err)
		flags.Usage()
	}
	return err
}

// attackLedger runs all attacks with one ledger and reports whether the design held.
func attackLedger(ctx context.Context, ledger string, o options, stdout io.Writer) (bool, error) {
	t, err := newTarget(ctx, ledger, o)
	if err != nil {
		return false, err
	}
	defer t.close()
	start := time.Now()
	rows := carryOut(ctx, t)
	fmt.Fprintf(stdout, "\n%s: %d attacks in %.1f s\n\n", ledger, len(rows), time.Since(start).Seconds())
	print(stdout, rows)
	return held(rows), nil
}

// carryOut carries out the attacks that make sense with the target's ledger.
func carryOut(ctx context.Context, t *target) (rows []row) {
	var waiting sync.WaitGroup
	first := make([]row, len(patience))
	for i, a := range patience {
		waiting.Go(func() { first[i] = a.carryOut(ctx, t) })
	}
	for _, a := range others {
		rows = append(rows, a.carryOut(ctx, t))
	}
	waiting.Wait() // for the ledger, before it goes
	rows = append(first, rows...)
	if t.ledger == redis {
		for _, a := range slices.Concat(losses, deviceLosses) {
			rows = append(rows, a.carryOut(ctx, t))
		}
	}
	return rows
}

// others are attacks on a ledger that works, beside [patience].
var others = slices.Concat(guessing, flows, resending, tokens, codes, versions, locks, logins, kinds, tenants, purposes,
	identifiers, decoys, sends, undelivered, keyed, issuing, refreshing, forging, restarts, replicas)

// attacks returns all that make sense with a ledger, in the order of the table.
func attacks(ledger string) []attack {
	all := slices.Concat(patience, others)
	if ledger == redis {
		all = slices.Concat(all, losses, deviceLosses)
	}
	return all
}
