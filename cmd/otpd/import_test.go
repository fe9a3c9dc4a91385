package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fernet/fernet-go"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
)

const (
	hexSecret    = "3132333435363738393031323334353637383930" // of RFC 4226, appendix D
	base32Secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"         // the same
)

// importer runs otpd import in this process.
type importer struct {
	cfg    config
	format string
}

// imported is what an import gave.
type imported struct {
	stdout string
	report []string // lines of stderr, and the error
	err    error
}

func newImporter(tb testing.TB, format string) *importer {
	return &importer{cfg: config{SigningKey: newKey(tb), TOTPEncryptionKey: newKey(tb)}, format: format}
}

func (i *importer) run(tb testing.TB, input io.Reader, flags ...string) imported {
	tb.Helper()
	job, ok := parseImport(append(flags, i.format, "-"))
	if !ok {
		tb.Fatalf("%q are not arguments of otpd import", flags)
	}
	var stdout, stderr bytes.Buffer
	err := importDevices(tb.Context(), i.cfg, job, input, &stdout, &stderr)
	if err != nil {
		fmt.Fprintln(&stderr, "otpd:", err)
	}
	return imported{stdout.String(), strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n"), err}
}

// describe returns what the tokens of an import say.
func (i *importer) describe(tb testing.TB, stdout string) (all []device.Description) {
	tb.Helper()
	ring, err := i.cfg.ring()
	if err != nil {
		tb.Fatal(err)
	}
	for token := range strings.Lines(stdout) {
		d, err := device.Describe(otpcontext.NewSealer(ring), strings.TrimSuffix(token, "\n"))
		if err != nil {
			tb.Fatalf("%q: %v", token, err)
		}
		all = append(all, d)
	}
	return all
}

// encrypt seals a secret as django-totp does.
func (i *importer) encrypt(tb testing.TB, secret string) string {
	tb.Helper()
	key, err := fernet.DecodeKey(i.cfg.TOTPEncryptionKey)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := fernet.EncryptAndSign([]byte(secret), key)
	if err != nil {
		tb.Fatal(err)
	}
	return string(token)
}

// Headers as PostgreSQL exports the tables, and rows of theirs that are good.
const (
	totpHeader = "id,name,confirmed,key,step,t0,digits,tolerance,drift,last_t,user_id,throttling_failure_count," +
		"throttling_failure_timestamp,created_at,last_used_at,identifier\n"
	totpRow    = "7,phone,t," + hexSecret + ",30,0,6,1,0,-1,3,0,,2026-01-31 23:59:59.25+00,,you@example.com\n"
	hotpHeader = "id,name,confirmed,key,digits,tolerance,counter,user_id,throttling_failure_count," +
		"throttling_failure_timestamp,created_at,last_used_at,identifier\n"
	hotpRow    = "7,token,t," + hexSecret + ",6,5,0,3,0,,2026-01-31 23:59:59.25+00,,you@example.com\n"
	djTOTPHead = "id,secret_key,created_at,user_id,identifier,confirmed\n"
)

func replaced(tb testing.TB, text, old, replacement string) string {
	tb.Helper()
	if strings.Count(text, old) != 1 {
		tb.Fatalf("%q is not once in %q", old, text)
	}
	return strings.Replace(text, old, replacement, 1)
}

func TestImportKeepsWhatTheOtherSystemKnew(t *testing.T) {
	t.Parallel()
	created, used := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC), time.Date(2026, 2, 1, 10, 30, 0, 0, time.UTC)
	step := time.Now().Unix() / 30
	totp := device.Description{
		Type: device.TOTP, Algorithm: "SHA1", Digits: 6, Period: 30, Identifier: "you@example.com", Name: "phone",
		CreatedAt: created, Generation: 1,
	}
	hotp := totp
	hotp.Type, hotp.Period, hotp.Name = device.HOTP, 0, "token"
	with := func(d device.Description, change func(*device.Description)) device.Description {
		change(&d)
		return d
	}
	for _, test := range []struct {
		name, format, input string
		flags               []string
		want                device.Description
		remark              string // on stderr, but for the counts
	}{
		{name: "TOTP that was never used", input: totpHeader + totpRow, want: totp},
		{
			name: "TOTP that was used, by a clock that is ahead",
			input: totpHeader + replaced(t, replaced(t, totpRow, ",0,-1,", fmt.Sprintf(",1,%d,", step+1)), "25+00,,",
				"25+00,2026-02-01 16:00:00+05:30,"),
			want: with(totp, func(d *device.Description) { d.Next, d.Drift, d.LastUsedAt = step+2, 1, used }),
		},
		{
			name:  "clock that is as far behind as can be",
			input: totpHeader + replaced(t, totpRow, ",0,-1,", ",-10,-1,"),
			want:  with(totp, func(d *device.Description) { d.Drift = -10 }),
		},
		{
			name:  "eight digits every minute",
			input: totpHeader + replaced(t, totpRow, ",30,0,6,", ",60,0,8,"),
			want:  with(totp, func(d *device.Description) { d.Period, d.Digits = 60, 8 }),
		},
		{
			name:  "wrong codes",
			input: totpHeader + replaced(t, totpRow, ",3,0,,", ",3,12,2026-02-01 10:30:00+00,"),
			want:  with(totp, func(d *device.Description) { d.Failures = 12 }),
		},
		{
			name:  "name of its own API key",
			input: totpHeader + totpRow, flags: []string{"-namespace", "app-1"},
			want: with(totp, func(d *device.Description) { d.Namespace = "app-1" }),
		},
		{name: "upper-case hexadecimal", input: totpHeader + strings.Replace(totpRow, hexSecret, strings.ToUpper(hexSecret), 1), want: totp},
		{
			name:   "more tolerance than otpd has",
			input:  totpHeader + replaced(t, totpRow, ",6,1,", ",6,2,"),
			want:   totp,
			remark: "line 2: imported, but its tolerance is less: codes may be 1 step off, either way",
		},
		{
			name:   "name of 64 characters that are more bytes",
			input:  totpHeader + replaced(t, totpRow, "phone", "x"+strings.Repeat("é", 63)),
			want:   with(totp, func(d *device.Description) { d.Name = "x" + strings.Repeat("é", 31) }),
			remark: "line 2: imported, but its name is cut to 64 bytes",
		},
		{
			name:  "identifier with a comma, quotes and a line break before it",
			input: totpHeader + replaced(t, replaced(t, totpRow, "you@example.com", `"you, ""the one"""`), "phone", `"my phone"`),
			want:  with(totp, func(d *device.Description) { d.Identifier, d.Name = `you, "the one"`, "my phone" }),
		},
		{name: "byte order mark", input: "\ufeff" + totpHeader + totpRow, want: totp},
		{name: "carriage returns", input: strings.ReplaceAll(totpHeader+totpRow, "\n", "\r\n"), want: totp},
		{name: "no line break at the end", input: totpHeader + strings.TrimSuffix(totpRow, "\n"), want: totp},
		{name: "as SQLite writes it", input: totpHeader + replaced(t, strings.Replace(totpRow, ",t,", ",1,", 1), ".25+00", ".250000"), want: totp},
		{name: "as Python writes it", input: totpHeader + replaced(t, strings.Replace(totpRow, ",t,", ",True,", 1), ".25+00", ".250000+00:00"), want: totp},
		{name: "as JSON has times", input: totpHeader + replaced(t, totpRow, "2026-01-31 23:59:59.25+00", "2026-01-31T23:59:59.250Z"), want: totp},
		{
			name:  "columns that matter and no others, in another order",
			input: "identifier,last_t,drift,digits,t0,step,key,confirmed\nyou@example.com,-1,0,6,0,30," + hexSecret + ",true\n",
			want:  with(totp, func(d *device.Description) { d.Name, d.CreatedAt = "", time.Time{} }),
		},
		{name: "HOTP that was never used", input: hotpHeader + hotpRow, want: hotp},
		{
			name:  "HOTP that was used",
			input: hotpHeader + replaced(t, hotpRow, ",6,5,0,", ",8,10,12345,"),
			want:  with(hotp, func(d *device.Description) { d.Digits, d.Next = 8, 12345 }),
		},
		{
			name:   "more tolerance than the look-ahead",
			input:  hotpHeader + replaced(t, hotpRow, ",6,5,0,", ",6,11,0,"),
			want:   hotp,
			remark: "line 2: imported, but its tolerance is less: 10 codes may be skipped",
		},
		{
			name: "django-totp", format: "django-totp",
			input: djTOTPHead + "1,SECRET,2026-01-31 23:59:59.25+00,3,you@example.com,t\n",
			want:  with(totp, func(d *device.Description) { d.Name = "" }),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i := newImporter(t, "django-otp")
			if test.format != "" {
				i.format = test.format
			}
			got := i.run(t, strings.NewReader(strings.Replace(test.input, "SECRET", i.encrypt(t, base32Secret), 1)), test.flags...)
			want := "otpd: 1 rows: 1 imported, 0 not imported"
			if test.remark != "" {
				want = test.remark + "\n" + want
			}
			if report := strings.Join(got.report, "\n"); got.err != nil || report != want {
				t.Fatalf("reported %q, %v; want %q", report, got.err, want)
			}
			d := i.describe(t, got.stdout)
			if len(d) != 1 {
				t.Fatalf("%d devices, want 1", len(d))
			}
			if test.want.CreatedAt.IsZero() {
				if age := time.Since(d[0].CreatedAt); age < 0 || age > time.Hour {
					t.Errorf("created at %v, want now", d[0].CreatedAt)
				}
				d[0].CreatedAt = time.Time{}
			}
			test.want.ID = d[0].ID
			if d[0] != test.want {
				t.Errorf("imported %+v\nwant     %+v", d[0], test.want)
			}
		})
	}
}

// importFaults are what can be wrong with a row: what to replace in a good one, and what is then said.
var importFaults = []struct{ name, format, old, replacement, says string }{
	{"not confirmed", "totp", ",t,", ",f,", "it is not confirmed; let its user enroll anew"},
	{"confirmed or not is left open", "totp", ",t,", ",,", "confirmed is neither true nor false"},
	{"key is not hexadecimal", "totp", hexSecret, hexSecret[:39] + "g", "key is not hexadecimal"},
	{"key of half a byte", "totp", hexSecret, hexSecret[:39], "key is not hexadecimal"},
	{"no key", "totp", hexSecret, "", "key must be 10 to 64 bytes"},
	{"key too short", "totp", hexSecret, hexSecret[:18], "key must be 10 to 64 bytes"},
	{"another time to count from", "totp", ",30,0,", ",30,15,", "t0 must be 0: the device counts its steps from another time than 1970"},
	{"seven digits", "totp", ",0,6,", ",0,7,", "digits must be 6 or 8"},
	{"no digits", "totp", ",0,6,", ",0,,", "digits is not a whole number"},
	{"digits and more", "totp", ",0,6,", ",0,6.0,", "digits is not a whole number"},
	{"step too short", "totp", ",30,0,", ",14,0,", "step must be 15 to 60"},
	{"step too long", "totp", ",30,0,", ",61,0,", "step must be 15 to 60"},
	{"drift too large", "totp", ",0,-1,", ",11,-1,", "drift must be -10 to 10"},
	{"drift too small", "totp", ",0,-1,", ",-11,-1,", "drift must be -10 to 10"},
	{"last_t too small", "totp", ",0,-1,", ",0,-2,", "last_t + 1 must be 0 to "},
	{"last_t in milliseconds", "totp", ",0,-1,", ",0,59840771000,", "last_t + 1 must not lie in the future"},
	{"last_t beyond all numbers", "totp", ",0,-1,", ",0,9223372036854775807,", "last_t + 1 must be 0 to "},
	{"counter below 0", "hotp", ",6,5,0,", ",6,5,-1,", "counter must be 0 to "},
	{"counter beyond all numbers", "hotp", ",6,5,0,", ",6,5,9223372036854775807,", "counter must be 0 to "},
	{"no counter", "hotp", ",6,5,0,", ",6,5,,", "counter is not a whole number"},
	{"failures below 0", "totp", ",3,0,,", ",3,-1,,", "throttling_failure_count must be 0 to "},
	{"failures beyond what django-otp counts", "totp", ",3,0,,", ",3,2147483648,,", "throttling_failure_count must be 0 to "},
	{"no identifier", "totp", "you@example.com", "", "identifier must not be empty"},
	{"identifier too long", "totp", "you@example.com", strings.Repeat("x", 321), "identifier must be at most 320 bytes"},
	{"identifier in Latin-1", "totp", "you@example.com", "y\xf6u@example.com", "identifier must be UTF-8"},
	{"name with a control character", "totp", "phone", "pho\tne", "name must not contain control characters"},
	{"time of another form", "totp", "2026-01-31 23:59:59.25+00", "31.1.2026", "created_at is not a time such as 2026-01-31 23:59:59+00"},
	{"time before there were devices", "totp", "2026-01-31 23:59:59.25+00", "0001-01-02 00:00:00", "created_at must lie between 1970 and 2200"},
	{"time after the last one", "totp", "2026-01-31 23:59:59.25+00", "2201-01-01 00:00:00", "created_at must lie between 1970 and 2200"},
	{"column too few", "totp", "you@example.com", "\\", "wrong number of fields"},
	{"column too many", "totp", "you@example.com", "you@example.com,", "wrong number of fields"},
	{"quote in the middle", "totp", "phone", `pho"ne`, `bare " in non-quoted-field`},
	{"quote that is not closed right", "totp", "phone", `"pho"ne`, `extraneous or missing " in quoted-field`},
	{"encrypted under another key", "django-totp", "SECRET", "OTHER", "secret_key does not open with the key in TOTP_ENCRYPTION_KEY"},
	{"not encrypted", "django-totp", "SECRET", base32Secret, "secret_key does not open with the key in TOTP_ENCRYPTION_KEY"},
	{"something else encrypted", "django-totp", "SECRET", "NOT BASE32", "what is in secret_key must be base32"},
	{"too little encrypted", "django-totp", "SECRET", "SHORT", "what is in secret_key must be 10 to 64 bytes"},
	{"without backup codes", "django-totp", ",t\n", ",f\n", "it is not confirmed; let its user enroll anew"},
}

// TestImportSaysWhyARowIsNot puts a bad row between two good ones, which must be imported all the same.
func TestImportSaysWhyARowIsNot(t *testing.T) {
	t.Parallel()
	for _, test := range importFaults {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i := newImporter(t, "django-otp")
			header, good := totpHeader, totpRow
			switch test.format {
			case "hotp":
				header, good = hotpHeader, hotpRow
			case "django-totp":
				i.format, header, good = test.format, djTOTPHead, "1,SECRET,2026-01-31 23:59:59.25+00,3,you@example.com,t\n"
			}
			bad := strings.ReplaceAll(replaced(t, good, test.old, test.replacement), ",\\", "")
			hidden := []string{hexSecret[:18], base32Secret[:16], newImporter(t, "").encrypt(t, base32Secret)}
			input := strings.NewReplacer("SECRET", i.encrypt(t, base32Secret), "OTHER", hidden[2],
				"NOT BASE32", i.encrypt(t, "not base32: 1890"), "SHORT", i.encrypt(t, base32Secret[:8])).Replace(header + good + bad + good)
			got := i.run(t, strings.NewReader(input))
			if got.err == nil || len(got.report) != 2 || !strings.HasPrefix(got.report[0], "line 3: not imported: "+test.says) ||
				got.report[1] != "otpd: 3 rows: 2 imported, 1 not imported" {
				t.Errorf("reported %q, want that line 3 is not imported: %s", got.report, test.says)
			}
			for _, secret := range hidden {
				if strings.Contains(strings.Join(got.report, "\n"), secret) {
					t.Errorf("the report quotes a secret: %q", got.report)
				}
			}
			if d := i.describe(t, got.stdout); len(d) != 2 {
				t.Errorf("%d devices, want 2", len(d))
			}
		})
	}
}

func TestImportRefusesAHeader(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, format, header, says string }{
		{"of nothing", "django-otp", "", "there is no header: EOF"},
		{"that is missing", "django-otp", totpRow, "there is no column step or counter; the first line must name the columns, separated by commas"},
		{"with semicolons", "django-otp", strings.ReplaceAll(totpHeader, ",", ";"), "there is no column step or counter;"},
		{"in UTF-16", "django-otp", "\xff\xfek\x00e\x00y\x00", "there is no column step or counter;"},
		{"that says not who it is", "django-otp", replaced(t, totpHeader, ",identifier", ""), "there is no column identifier;"},
		{"without drift", "django-otp", replaced(t, totpHeader, "drift,", ""), "there is no column drift;"},
		{"without confirmed", "django-totp", replaced(t, djTOTPHead, ",confirmed", ""), "there is no column confirmed;"},
		{"of the other system", "django-totp", totpHeader, "there is no column secret_key;"},
		{"with a name twice", "django-otp", replaced(t, totpHeader, ",identifier", ",identifier,key"), "column 17 has the name of column 4"},
		{"with a name of nobody's", "django-otp", replaced(t, totpHeader, ",identifier", ",identifier,"+hexSecret), "column 17 has a name that is not known"},
		{"of both tables", "django-otp", replaced(t, totpHeader, ",identifier", ",identifier,counter"), "there are columns of two tables, step and counter;"},
		{"with a quote that is not closed", "django-otp", `"` + totpHeader, "there is no header: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			i := newImporter(t, test.format)
			got := i.run(t, strings.NewReader(test.header+totpRow))
			if test.header == "" {
				got = i.run(t, strings.NewReader(""))
			}
			if got.err == nil || got.stdout != "" || len(got.report) != 1 || !strings.HasPrefix(got.report[0], "otpd: "+test.says) {
				t.Errorf("reported %q, want %q", got.report, test.says)
			}
			if !strings.HasSuffix(got.report[0], "; before that, 0 rows: 0 imported, 0 not imported") {
				t.Errorf("reported %q without the counts", got.report)
			}
			if strings.Contains(got.report[0], hexSecret) {
				t.Errorf("the report quotes the secret: %q", got.report)
			}
		})
	}
}

func TestImportOfNoRows(t *testing.T) {
	t.Parallel()
	got := newImporter(t, "django-otp").run(t, strings.NewReader(totpHeader))
	if got.err != nil || got.stdout != "" || got.report[0] != "otpd: 0 rows: 0 imported, 0 not imported" {
		t.Errorf("%+v", got)
	}
}

// Line numbers are those that an editor shows, also after rows of several lines.
func TestImportCountsLines(t *testing.T) {
	t.Parallel()
	bad := replaced(t, totpRow, ",t,", ",f,")
	input := totpHeader + replaced(t, bad, "phone", "\"pho\nne\"") + "\n" + bad + replaced(t, totpRow, "phone", "\"my\n\"phone") + totpRow + bad
	got := newImporter(t, "django-otp").run(t, strings.NewReader(input))
	want := []string{
		"line 2: not imported: it is not confirmed; let its user enroll anew",
		"line 5: not imported: it is not confirmed; let its user enroll anew",
		`lines 6 to 7: not imported: extraneous or missing " in quoted-field`,
		"line 9: not imported: it is not confirmed; let its user enroll anew",
		"otpd: 5 rows: 1 imported, 4 not imported",
	}
	if strings.Join(got.report, "\n") != strings.Join(want, "\n") {
		t.Errorf("reported\n%s\nwant\n%s", strings.Join(got.report, "\n"), strings.Join(want, "\n"))
	}
}

// endless reads as a header and then rows without end, as far as a test that does not fail can tell.
type endless struct {
	rest string
	row  string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 64<<20 {
		return 0, io.EOF
	}
	if e.rest == "" {
		e.rest = e.row
	}
	n := copy(p, e.rest)
	e.rest, e.read = e.rest[n:], e.read+n
	return n, nil
}

// firstLine takes a line, and then fails.
type firstLine struct{ bytes.Buffer }

var errEnough = errors.New("enough")

func (f *firstLine) Write(p []byte) (int, error) {
	if strings.Contains(f.String(), "\n") {
		return 0, errEnough
	}
	return f.Buffer.Write(p)
}

func TestImportStreams(t *testing.T) {
	t.Parallel()
	i := newImporter(t, "django-otp")
	job, _ := parseImport([]string{"django-otp", "-"})
	t.Run("a file without end gives devices", func(t *testing.T) {
		input, stdout := &endless{rest: totpHeader, row: totpRow}, new(firstLine)
		err := importDevices(t.Context(), i.cfg, job, input, stdout, io.Discard)
		if !errors.Is(err, errEnough) || len(i.describe(t, stdout.String()[:strings.Index(stdout.String(), "\n")+1])) != 1 {
			t.Errorf("%v, and %q is written", err, stdout.String())
		}
	})
	t.Run("a quote without end takes no memory", func(t *testing.T) {
		input := &endless{rest: totpHeader + totpRow + `"`, row: totpRow}
		got := i.run(t, input)
		if len(i.describe(t, got.stdout)) != 1 || got.err == nil ||
			got.report[0] != "otpd: after line 2: a row has more than 1 MiB; perhaps a quote is not closed; before that, 1 rows: 1 imported, 0 not imported" {
			t.Errorf("reported %q", got.report)
		}
		if input.read > 4<<20 {
			t.Errorf("%d bytes were read", input.read)
		}
	})
	t.Run("an interrupt ends it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var stderr bytes.Buffer
		err := importDevices(ctx, i.cfg, job, &endless{rest: totpHeader, row: totpRow}, io.Discard, &stderr)
		if err == nil || err.Error() != "interrupted; before that, 0 rows: 0 imported, 0 not imported" || stderr.Len() > 0 {
			t.Errorf("%v, and %q", err, stderr.String())
		}
	})
	t.Run("a file that cannot be read to its end", func(t *testing.T) {
		for _, test := range []struct{ rows, says string }{
			{totpRow, "after line 2: input/output error; before that, 1 rows: 1 imported, 0 not imported"},
			{totpRow + "too few\n", "after line 3: input/output error; before that, 2 rows: 1 imported, 1 not imported"},
		} {
			got := i.run(t, io.MultiReader(strings.NewReader(totpHeader+test.rows+totpRow[:20]), failing{}))
			if got.err == nil || got.report[len(got.report)-1] != "otpd: "+test.says || len(i.describe(t, got.stdout)) != 1 {
				t.Errorf("reported %q, want %q", got.report, test.says)
			}
		}
	})
	t.Run("a file may be longer than a row", func(t *testing.T) {
		rows := maxRow/len(totpRow) + 100
		got := i.run(t, strings.NewReader(totpHeader+strings.Repeat(totpRow, rows)))
		if want := fmt.Sprintf("otpd: %d rows: %d imported, 0 not imported", rows, rows); got.err != nil || got.report[0] != want {
			t.Errorf("reported %q, want %q", got.report, want)
		}
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("input/output error") }

// TestImportReportsNoSecret puts a secret into each place of a good row, as a mixed-up export would, and looks for it
// in the report.
func TestImportReportsNoSecret(t *testing.T) {
	t.Parallel()
	i := newImporter(t, "django-otp")
	for _, table := range []struct{ header, row string }{{totpHeader, totpRow}, {hotpHeader, hotpRow}} {
		for place, column := range strings.Split(strings.TrimSpace(table.header), ",") {
			for _, secret := range []string{hexSecret, base32Secret, strings.Repeat("7", 18), "3132333435363738", "AA==", "\"" + hexSecret} {
				fields := strings.Split(strings.TrimSpace(table.row), ",")
				fields[place] = secret
				got := i.run(t, strings.NewReader(table.header+strings.Join(fields, ",")+"\n"))
				if report := strings.Join(got.report, "\n"); strings.Contains(report, strings.Trim(secret, "\"")) {
					t.Errorf("with a secret as %s: %q", column, report)
				}
				if column == "digits" && got.err == nil {
					t.Error("a secret is a number of digits")
				}
			}
		}
	}
}

func TestEachImportedDeviceIsOneOfItsOwn(t *testing.T) {
	t.Parallel()
	i := newImporter(t, "django-otp")
	d := i.describe(t, i.run(t, strings.NewReader(totpHeader+totpRow+totpRow)).stdout)
	if len(d) != 2 || d[0].ID == d[1].ID {
		t.Errorf("imported %+v", d)
	}
}
