package delivery

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// always answers one command in one way on every connection, and the rest as usual.
func always(command, reply string) func(int, string) string {
	return func(_ int, c string) string {
		if c == command {
			return reply
		}
		return "usual"
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		command, reply string
		permanent      bool
		reason         string
	}{
		{"CONNECT", "554 5.7.1 go away, 123456", false, "the connection (554 5.7.1)"},
		{"CONNECT", "421 busy", false, "the connection (421)"},
		{"EHLO", "550 no", false, "the greeting (550)"},
		{"MAIL", "550 5.7.1 not you", false, "the sender (550 5.7.1)"},
		{"MAIL", "451 later", false, "the sender (451)"},
		{"RCPT", "550 5.1.1 no user@example.com here", true, "the recipient (550 5.1.1)"},
		{"RCPT", "550-5.1.1 nobody\r\n550 5.1.1 here", true, "the recipient (550 5.1.1)"},
		{"RCPT", "550 no such user", true, "the recipient (550)"},
		{"RCPT", "550 5.1.1", true, "the recipient (550 5.1.1)"},
		{"RCPT", "550 5.1.11111 x", true, "the recipient (550)"},
		{"RCPT", "553 not allowed", true, "the recipient (553)"},
		{"RCPT", "501 5.1.3 bad syntax", true, "the recipient (501 5.1.3)"},
		{"RCPT", "552 5.2.2 full", true, "the recipient (552 5.2.2)"},
		{"RCPT", "554 5.7.1 relay access denied", false, "the recipient (554 5.7.1)"},
		{"RCPT", "530 authenticate", false, "the recipient (530)"},
		{"RCPT", "503 bad sequence", false, "the recipient (503)"},
		{"RCPT", "450 4.2.0 greylisted", false, "the recipient (450 4.2.0)"},
		{"RCPT", "452 4.1.1 5.1.1", false, "the recipient (452 4.1.1)"},
		{"DATA", "554 no", true, "the message (554)"},
		{"DATA", "451 4.3.0 later", false, "the message (451 4.3.0)"},
		{"DOT", "550 5.1.1 no such user", true, "the message (550 5.1.1)"},
		{"DOT", "554 5.7.1 spam: 123456", false, "the message (554 5.7.1)"},
		{"DOT", "552 5.3.4 too big", false, "the message (552 5.3.4)"},
		{"DOT", "550 5.6.0 odd", false, "the message (550 5.6.0)"},
		{"DOT", "451 later", false, "the message (451)"},
	} {
		s := newScript(t, nil, always(test.command, test.reply))
		want := Failure{Permanent: test.permanent, Reason: "the mail server refused " + test.reason}
		c := newEmail(t, s.url(), nil)
		if failure := deliver(t, c, mailMessage("", time.Minute)); failure == nil || *failure != want {
			t.Errorf("%s %s: %+v", test.command, test.reply, failure)
		}
	}
}

func TestRefusalLeavesTheConnection(t *testing.T) {
	t.Parallel()
	for command, reply := range map[string]string{"MAIL": "451 later", "RCPT": "450 4.2.0 greylisted", "DATA": "451 later", "DOT": "451 later"} {
		var refused atomic.Bool
		s := newScript(t, nil, func(_ int, c string) string {
			if c == command && !refused.Swap(true) {
				return reply
			}
			return "usual"
		})
		c := newEmail(t, s.url(), nil)
		if failure := deliver(t, c, mailMessage("", time.Minute)); failure == nil || failure.Permanent {
			t.Errorf("%s: %v", command, failure)
		}
		if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil {
			t.Errorf("%s, then: %v", command, failure)
		}
		s.await("RSET")
		if before := s.await("DOT"); slices.Contains(before, "CONNECT") {
			t.Errorf("%s: a new connection: %q", command, before)
		}
	}
}

func TestStallEndsWithTheContext(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "127.0.0.1")
	late := Failure{Reason: "the mail server did not answer in time"}
	for _, test := range []struct {
		scheme, command string
		want            Failure
	}{
		{"smtps", "CONNECT", late}, // in the handshake of TLS
		{"smtp", "CONNECT", late},
		{"smtp", "EHLO", late},
		{"smtp", "STARTTLS", late},
		{"smtp", "HANDSHAKE", late},
		{"smtp", "AUTH", late},
		{"smtp", "MAIL", late},
		{"smtp", "RCPT", late},
		{"smtp", "DATA", late},
		{"smtp", "DOT", Failure{Unknown: true, Reason: late.Reason}},
		{"smtp", "RSET", Failure{Permanent: true, Reason: "the mail server refused the recipient (550)"}},
	} {
		s := newScript(t, a.serverConfig(), func(_ int, command string) string {
			switch {
			case command == test.command:
				return ""
			case command == "RCPT" && test.command == "RSET":
				return "550 no"
			}
			return "usual"
		})
		ctx, cancel := context.WithCancel(t.Context())
		c := newEmail(t, test.scheme+"://user:secret@"+s.addr, a.roots)
		result := make(chan error, 1)
		go func() { result <- c.Deliver(ctx, mailMessage("", time.Minute)) }()
		s.await(test.command)
		cancel()
		expect(t, result, test.want)
		if n := len(c.kept.sessions); n > 0 {
			t.Errorf("%s: the connection is kept", test.command)
		}
	}
}

// expect waits for a failure.
func expect(t *testing.T, result <-chan error, want Failure) {
	t.Helper()
	select {
	case err := <-result:
		if failure, ok := errors.AsType[*Failure](err); !ok || *failure != want {
			t.Errorf("%v, want %v", err, want.Reason)
		}
	case <-time.After(guard):
		t.Fatal("no end")
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	s := newScript(t, nil, always("MAIL", ""))
	c := newEmail(t, s.url(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- c.Deliver(ctx, mailMessage("", time.Minute)) }()
	expect(t, result, Failure{Reason: "the mail server did not answer in time"})
}

func TestPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	l := listen(t)
	begun, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		for _, reply := range []string{"220 hello", "250 hello", "250 fine", "250 fine", "354 go on"} {
			_, _ = io.WriteString(conn, reply+"\r\n")
			_, _ = conn.Read(make([]byte, 1024))
		}
		close(begun)
		<-end
	}()
	server, err := parseSMTPURL("smtp://" + l.Addr().String() + "?tls=none")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := server.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.conn.Close()
	result := make(chan error, 1)
	box := mailbox{"user", "example.com"}
	go func() { result <- s.send(ctx, envelope{box, box, make([]byte, 32<<20)}) }() // more than any buffer takes
	<-begun
	cancel()
	expect(t, result, Failure{Reason: "the mail server did not answer in time"})
	if !s.spent || !s.committed {
		t.Error("the connection seems to be of further use")
	}
}

func TestLostConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"MAIL", "RCPT", "DATA"} {
		for _, reply := range []string{"-", "421 closing", "421 closing and hang up", "garbage"} {
			s := newScript(t, nil, secondTime(command, reply))
			c := newEmail(t, s.url(), nil)
			for range 2 {
				if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil {
					t.Errorf("%s %s: %v", command, reply, failure)
				}
			}
			s.await("DOT")
			if before := s.await("DOT"); !slices.Contains(before, "CONNECT") {
				t.Errorf("%s %s: %q", command, reply, before)
			}
		}
	}
}

// secondTime answers a command in one way when it comes for the second time on the first connection.
func secondTime(command, reply string) func(int, string) string {
	var times atomic.Int32
	return func(n int, c string) string {
		if n == 1 && c == command && times.Add(1) == 2 {
			return reply
		}
		return "usual"
	}
}

func TestLostConnectionIsReplacedOnce(t *testing.T) {
	t.Parallel()
	var messages atomic.Int32
	s := newScript(t, nil, func(_ int, c string) string {
		if c == "MAIL" && messages.Add(1) > 1 {
			return "-"
		}
		return "usual"
	})
	c := newEmail(t, s.url(), nil)
	if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil {
		t.Fatal(failure)
	}
	failure := deliver(t, c, mailMessage("", time.Minute))
	if failure == nil || *failure != (Failure{Reason: "the connection to the mail server failed"}) || messages.Load() != 3 {
		t.Errorf("%v after %d messages", failure, messages.Load())
	}
}

func TestMessageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for command, reply := range map[string]string{
		"DATA": "354 go on" + hangingUp, // in the middle of the message
		"DOT":  "-",                     // when it may have been taken
	} {
		s := newScript(t, nil, secondTime(command, reply))
		c := newEmail(t, s.url(), nil)
		if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil {
			t.Fatal(failure)
		}
		failure := deliver(t, c, mailMessage("", time.Minute))
		want := Failure{Unknown: true, Reason: "the connection to the mail server failed"}
		if failure == nil || *failure != want {
			t.Errorf("%s: %+v", command, failure)
		}
		s.await("END")
		if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil {
			t.Errorf("%s, then: %v", command, failure)
		}
		if before := s.await("DOT"); strings.Join(before, " ") != "CONNECT EHLO MAIL RCPT DATA" {
			t.Errorf("%s: %q", command, before)
		}
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"} {
		for _, reply := range []string{"garbage", " ", "\x00\xff", "99x", "999 x", "333 x"} {
			s := newScript(t, nil, always(command, reply))
			want := Failure{Unknown: command == "DOT", Reason: "the connection to the mail server failed"}
			if command == "EHLO" && !strings.HasSuffix(reply, " x") {
				want.Reason = "the mail server refused the greeting (502)" // of HELO, which is tried then
			}
			failure := deliver(t, newEmail(t, s.url(), nil), mailMessage("", time.Minute))
			if failure == nil || *failure != want {
				t.Errorf("%s %q: %v", command, reply, failure)
			}
		}
	}
}

func TestEndlessReplies(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"220 xxxx", "220-xxxx\r\n"} {
		l := listen(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			for err == nil {
				_, err = io.WriteString(conn, strings.Repeat(part, 1000))
			}
		}()
		c := newEmail(t, "smtp://"+l.Addr().String()+"?tls=none", nil)
		failure := deliver(t, c, mailMessage("", time.Minute))
		if failure == nil || *failure != (Failure{Reason: "the connection to the mail server failed"}) {
			t.Errorf("%q: %v", part, failure)
		}
		<-done
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l := listen(t)
	_ = l.Close()
	c := newEmail(t, "smtp://"+l.Addr().String()+"?tls=none", nil)
	failure := deliver(t, c, mailMessage("", time.Minute))
	if failure == nil || *failure != (Failure{Reason: "the connection to the mail server failed"}) {
		t.Error(failure)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	s := newScript(t, nil, always("", ""))
	c := newEmail(t, s.url(), nil)
	c.kept.idle = time.Millisecond
	for range 2 {
		if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil {
			t.Fatal(failure)
		}
		s.await("DOT")
		s.await("QUIT")
	}
	c.kept.idle = time.Hour
	if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil {
		t.Fatal(failure)
	}
	s.await("DOT")
	c.Close()
	s.await("QUIT")
	if failure := deliver(t, c, mailMessage("", time.Minute)); failure != nil { // which had been under way
		t.Fatal(failure)
	}
	s.await("QUIT")
	c.kept.expire(new(session)) // as when it is taken at the moment
}

func TestDeliveriesWaitForOneAnother(t *testing.T) {
	t.Parallel()
	s := newScript(t, nil, always("DOT", ""))
	c := newEmail(t, s.url(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error)
	for range maxSessions {
		go func() { result <- c.Deliver(ctx, mailMessage("", time.Minute)) }()
	}
	for range maxSessions {
		s.await("DOT")
	}
	short, end := context.WithCancel(t.Context())
	go func() { result <- c.Deliver(short, mailMessage("", time.Minute)) }()
	end()
	expect(t, result, Failure{Reason: "the mail server did not answer in time"})
	cancel()
	for range maxSessions {
		expect(t, result, Failure{Unknown: true, Reason: "the mail server did not answer in time"})
	}
	for len(s.calls) > 0 {
		if call := <-s.calls; call == "CONNECT" {
			t.Error("one connection too many")
		}
	}
}
