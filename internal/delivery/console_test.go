package delivery

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

func newConsole(tb testing.TB) (*ConsoleChannel, *strings.Builder) {
	tb.Helper()
	written := new(strings.Builder)
	return NewConsole(written, mustLoadTemplates(tb, "")), written
}

func TestConsole(t *testing.T) {
	t.Parallel()
	console, written := newConsole(t)
	m := Message{To: "Ann", Code: "123456", SentAt: start, ExpiresAt: start.Add(5 * time.Minute), Locale: "de"}
	if err := console.Check(m); err != nil {
		t.Error(err)
	}
	if err := console.Deliver(t.Context(), m); err != nil {
		t.Error(err)
	}
	if got := written.String(); !strings.HasPrefix(got, "to Ann: 123456 ist Ihr Code.") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
	m.Template = "unknown"
	if _, ok := errors.AsType[*otp.FieldError](console.Check(m)); !ok {
		t.Error("any template will do")
	}
	if failure, ok := errors.AsType[*Failure](console.Deliver(t.Context(), m)); !ok || !failure.Permanent {
		t.Error("it was written without words")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("123456 does not fit") }

func TestConsoleThatTakesNothing(t *testing.T) {
	t.Parallel()
	console := NewConsole(fullDisk{}, mustLoadTemplates(t, ""))
	err := console.Deliver(t.Context(), Message{To: "Ann", Code: "123456"})
	if failure, ok := errors.AsType[*Failure](err); !ok || failure.Permanent || strings.Contains(err.Error(), "123456") {
		t.Errorf("%v", err)
	}
}

func TestPlainRecipients(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]Recipient{
		"User 4711":              {Masked: "U•••1", Counted: "user 4711"},
		"short":                  {Masked: "•••", Counted: "short"},
		"Ann.B+x@Gmail.com":      {Masked: "A•••@gmail.com", Counted: "annb@gmail.com"},
		"+49 151 23456789":       {Masked: "+49•••••••89", Counted: "+4915123456789"},
		strings.Repeat("é", 160): {Masked: "é•••é", Counted: strings.Repeat("é", 160)},
	} {
		want.Address = to
		console, _ := newConsole(t)
		if got, err := console.Recipient(to); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", to, got, err, want)
		}
	}
	for _, to := range []string{"", "a\nb", "a\x00", "a\u009b31m", "a\u202eb", strings.Repeat("a", 321), "\xff"} {
		if _, err := parsePlain(to); err == nil {
			t.Errorf("%q is taken", to)
		}
	}
}
