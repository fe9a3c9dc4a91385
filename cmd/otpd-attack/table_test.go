package main

import (
	"encoding/base64"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ledger  string
		outcome outcome
		err     error
		want    string
		held    bool
	}{
		"as promised":              {memory, outcome{evaluated: 3, least: 3, allowed: ledgered(3)}, nil, holds, true},
		"one more than promised":   {memory, outcome{evaluated: 4, least: 3, allowed: ledgered(3)}, nil, exceeded, false},
		"fewer than there must be": {redis, outcome{evaluated: 2, least: 3, allowed: ledgered(3)}, nil, "SHOWS NOTHING: a service that works evaluates 3", false},
		"lost with the process":    {memory, outcome{evaluated: 6, allowed: shared(3, 6)}, nil, documented, true},
		"more than is lost":        {memory, outcome{evaluated: 7, allowed: shared(3, 6)}, nil, exceeded, false},
		"lost where it is shared":  {redis, outcome{evaluated: 4, allowed: shared(3, 6)}, nil, exceeded, false},
		"lost without a ledger":    {none, outcome{evaluated: 10000, allowed: ledgered(3)}, nil, documented, true},
		"needs no ledger":          {none, outcome{evaluated: 1, allowed: always(0)}, nil, exceeded, false},
		"lost by the server":       {redis, outcome{evaluated: 1, allowed: limits{redis: 1}}, nil, documented, true},
		"skipped":                  {memory, outcome{}, skipped("no time"), "skipped: no time", true},
		"failed":                   {memory, outcome{allowed: always(0)}, errors.New("no way"), "FAILED: no way", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := row{"attack", test.outcome, test.outcome.allowed.of(test.ledger), test.err}
			if got := r.verdict(); got != test.want || held([]row{r}) != test.held {
				t.Errorf("%q, held %v, want %q, %v", got, held([]row{r}), test.want, test.held)
			}
		})
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	print(&out, []row{
		{"a guess", outcome{tried: 10, evaluated: 3, note: "fast"}, 3, nil},
		{"a töken", outcome{}, 0, skipped("why")},
		{"rollback", outcome{tried: 7, evaluated: 7}, unlimited, nil},
	})
	const want = `| attack   | tried | evaluated |  allowed | verdict         |
|----------|------:|----------:|---------:|-----------------|
| a guess  |    10 |         3 |        3 | documented loss |
| a töken  |       |           |          | skipped: why    |
| rollback |     7 |         7 | no limit | documented loss |

a guess: fast
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
}

func TestThrottleAllows(t *testing.T) {
	t.Parallel()
	for elapsed, want := range map[time.Duration]int{
		0:                 21,
		2*time.Second - 1: 21,
		2 * time.Second:   22,
		6*time.Second - 1: 22,
		6 * time.Second:   23, // 2 + 4
		14 * time.Second:  24, // + 8
		bound:             28, // and so on, + 128
	} {
		if got := throttleAllows(elapsed); got != want {
			t.Errorf("in %v %d, want %d", elapsed, got, want)
		}
	}
}

func TestDeviceAllows(t *testing.T) {
	t.Parallel()
	for elapsed, want := range map[time.Duration]int{
		0:                 4,
		time.Second - 1:   4,
		time.Second:       5,
		3*time.Second - 1: 5,
		3 * time.Second:   6, // 1 + 2
		7 * time.Second:   7, // + 4
	} {
		if got := deviceAllows(elapsed); got != want {
			t.Errorf("in %v %d, want %d", elapsed, got, want)
		}
	}
}

func TestSendsAllowed(t *testing.T) {
	t.Parallel()
	for elapsed, want := range map[time.Duration]int{
		0: 1, time.Minute - 1: 1, time.Minute: 2, 2*time.Minute - 1: 2, 4 * time.Minute: 5, bound: 5,
	} {
		if got := sendsAllowed(elapsed); got != want {
			t.Errorf("in %v %d, want %d", elapsed, got, want)
		}
	}
}

// RFC 4226, appendix D.
func TestDeviceCodes(t *testing.T) {
	t.Parallel()
	d := device{secret: brokenSecret, base: 1}
	for n, want := range map[int]string{-1: "755224", 0: "287082", 8: "520489"} {
		if got := d.code(n); got != want {
			t.Errorf("code(%d) = %s, want %s", n, got, want)
		}
		if slices.Contains(d.wrongCodes(500_000), want) {
			t.Errorf("%s is among the wrong codes", want)
		}
	}
}

func TestTableIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n| attack ")
	var documented []string
	for row := range strings.Lines(table) {
		if row == "\n" {
			break
		}
		if name, isRow := strings.CutPrefix(row, "| "); isRow && len(strings.Split(row, " | ")) == 5 {
			documented = append(documented, strings.TrimSpace(strings.Split(name, " | ")[0]))
		}
	}
	var names []string
	for _, a := range attacks(redis) {
		names = append(names, a.name)
	}
	if !slices.Equal(documented, names) {
		for i := range max(len(documented), len(names)) {
			if i >= len(documented) || i >= len(names) || documented[i] != names[i] {
				t.Fatalf("row %d of %d in SECURITY.md, of %d attacks, is another", i, len(documented), len(names))
			}
		}
	}
}

func TestSpellings(t *testing.T) {
	t.Parallel()
	raw := []byte("\xfb\xff\xbe and what is in a context, of 59 bytes at the very least")
	for _, raw := range [][]byte{raw, raw[:len(raw)-1], raw[:len(raw)-2]} {
		token := base64.URLEncoding.EncodeToString(raw)
		lax := 0
		for _, text := range spellings(token) {
			if text == token {
				t.Errorf("%d bytes: the token itself is among its spellings", len(raw))
			}
			if decoded, err := base64.URLEncoding.DecodeString(text); err == nil && string(decoded) == string(raw) {
				lax++
			}
		}
		// Go's decoder skips line breaks and ignores the bits that are left over.
		if least := len(spellings(token)) / 50; lax < least {
			t.Errorf("%d bytes: of %d spellings only %d are such to a lax decoder, want %d", len(raw), len(spellings(token)), lax, least)
		}
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	all := foreign("123456")
	if !slices.Equal(all, foreign("123456")) {
		t.Error("not the same twice, in the same order")
	}
	for _, text := range []string{"１２３４５６", "١٢٣٤٥٦", "۱۲۳۴۵۶", "١23456", "𝟏𝟐𝟑𝟒𝟓𝟔", "123456\u200b", "123\u00a0456"} {
		if !slices.Contains(all, text) {
			t.Errorf("%q is not tried", text)
		}
	}
	if slices.Contains(all, "123456") {
		t.Error("the code itself is among them")
	}
}
