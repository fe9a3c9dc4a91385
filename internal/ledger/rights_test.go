package ledger

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// documentedRights returns the command that makes a user for otpd, as the page on the ledger has it.
func documentedRights(t testing.TB) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/ledger.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := bytes.Cut(page, []byte("<!-- ACL -->\n```\n"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	if !found || !bytes.HasPrefix(line, []byte("ACL SETUSER ")) {
		t.Fatalf("the page has %q", line)
	}
	return strings.Fields(strings.Replace(string(line), "PASSWORD", "password", 1))
}

// Every operation, and the undoing of each, needs the rights that the page names, and no others; but for those that
// only a cluster asks for.
func TestDocumentedRights(t *testing.T) {
	s := startServer(t)
	rights := documentedRights(t)
	s.do(t, rights...)
	address := url.URL{Scheme: "redis", User: url.UserPassword("otpd", "password"), Host: s.addr}
	r := openRedis(t, address.String(), calmly, someThrottle)
	v := newVerification()
	for _, op := range []operation{wrong, resend, withdraw, resend, state, right.of(1), revoke, unlock} {
		if got, err := op.do(r, v); err != nil {
			t.Errorf("%+v = %v, %v", op, got, err)
		}
	}
	r.undoCommand(t, newCommand(v))
	claim(t, r, newVerification(), Outcome{Verdict: Admitted})()
	lost := newVerification()
	c := newCommand(lost)
	if _, err := r.run(context.Background(), refreshLua, c, false); err != nil {
		t.Error(err)
	}
	done(t, r, lost, refresh, Superseded)
	r.undoCommand(t, c)
	done(t, r, lost, refresh, Admitted)

	for _, op := range []deviceOp{code(1), wrongCode, backup(1), renew, forgive, look, disable} {
		if got, err := op.do(r, newID()); err != nil {
			t.Errorf("%+v = %v, %v", op, got, err)
		}
	}
	device := newID()
	used := code(1).command(r, device)
	code(1).send(t, r, used)
	r.undoCommand(t, used)

	key := newID()
	spend(t, r, key, 0, 0, anHour)()
	spend(t, r, key, 0, 0, anHour)
	spend(t, r, key, time.Hour, 0, anHour) // and the one before is trimmed
	r.undoCommand(t, newSpendCommand(key, now, []Window{anHour}))
	reserve(t, r, key, "own", "own")
	settle(t, r, key, "own", "answer")
	settle(t, r, key, "answer", "")
	reservation := newReceiptCommand(key, receiptFor, now, "own")
	reserve(t, r, key, "own", "own")
	r.undoCommand(t, reservation)
	if err := r.Ping(context.Background()); err != nil {
		t.Errorf("Ping: %v", err)
	}

	for _, right := range rights {
		command, isCommand := strings.CutPrefix(right, "+")
		if isCommand && !slices.Contains([]string{"cluster|slots", "cluster|shards"}, command) && s.info("cmdstat_"+command) == "" {
			t.Errorf("nothing asks for %s", command)
		}
	}
}
