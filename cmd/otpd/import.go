package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/httpapi"
	"github.com/otpd/otpd/internal/otp"
)

// importJob is what the arguments of otpd import ask for.
type importJob struct {
	namespace *string // nil for none
	system    foreignSystem
	file      string // - for standard input
}

// parseImport reads the arguments of otpd import, and reports whether they are of its form.
func parseImport(args []string) (job importJob, ok bool) {
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("namespace", "", func(name string) error {
		job.namespace = &name
		return nil
	})
	if flags.Parse(args) != nil || flags.NArg() != 2 {
		return job, false
	}
	job.system, ok = foreignSystems[flags.Arg(0)]
	job.file = flags.Arg(1)
	return job, ok
}

// importDevices makes devices of another system's rows in CSV. To stdout it writes their tokens, one a line in the
// order of the rows, and nothing else; to stderr what has become of the rows that gave none, or lost something. Its
// error, or the last line on stderr, says how many there were of each.
func importDevices(ctx context.Context, cfg config, job importJob, stdin io.Reader, stdout, stderr io.Writer) error {
	run := &importRun{tables: job.system.tables, log: stderr, now: time.Now()}
	if job.namespace != nil {
		if run.namespace = *job.namespace; !httpapi.IsKeyName(run.namespace) {
			return errors.New("-namespace is not the name of an API key: 1 to 64 of A-Z a-z 0-9 . _ -")
		}
	}
	ring, err := cfg.ring()
	if err != nil {
		return err
	}
	run.sealer = otpcontext.NewSealer(ring)
	if job.system.encrypted {
		if run.keys, err = cfg.foreignKeys(); err != nil {
			return err
		}
	}
	if job.file != "-" {
		file, err := os.Open(job.file)
		if err != nil {
			return err
		}
		defer file.Close()
		stdin = file
	}
	tokens := bufio.NewWriter(stdout)
	err = run.all(ctx, stdin, tokens)
	if flushed := tokens.Flush(); flushed != nil {
		return fmt.Errorf("the devices cannot be written: %w", flushed)
	}
	counts := fmt.Sprintf("%d rows: %d imported, %d not imported", run.imported+run.failed, run.imported, run.failed)
	switch {
	case err != nil:
		return fmt.Errorf("%w; before that, %s", err, counts)
	case run.failed > 0:
		return errors.New(counts)
	}
	fmt.Fprintln(stderr, "otpd:", counts)
	return nil
}

// importRun is an import under way.
type importRun struct {
	tables    []table
	namespace string // empty for any
	sealer    *otpcontext.Sealer
	keys      *otpcontext.ForeignKeys // nil if the system encrypts nothing
	now       time.Time
	log       io.Writer

	imported, failed int // rows
}

// all imports every row. An error means that what follows was not read.
func (i *importRun) all(ctx context.Context, input io.Reader, tokens io.Writer) error {
	bounded := &boundedReader{reader: withoutBOM(input), left: maxRow}
	rows := csv.NewReader(bounded)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return fmt.Errorf("there is no header: %w", err)
	}
	table, columns, err := readHeader(header, i.tables)
	if err != nil {
		return err
	}
	line := 1
	for ctx.Err() == nil {
		bounded.left = maxRow
		fields, err := rows.Read()
		if err == io.EOF {
			return nil
		}
		if bad, ok := errors.AsType[*csv.ParseError](err); ok {
			i.reject(bad.StartLine, bad.Line, bad.Err)
			line = bad.Line
			continue
		}
		if err != nil {
			return fmt.Errorf("after line %d: %w", line, err)
		}
		line, _ = rows.FieldPos(0)
		token, err := i.convert(table, &row{columns: columns, fields: fields, line: line})
		if err != nil {
			i.reject(line, line, err)
			continue
		}
		if _, err := fmt.Fprintln(tokens, token); err != nil {
			return err
		}
		i.imported++
	}
	return errors.New("interrupted")
}

// convert returns the token of a row's device. The error says what is wrong with the row, and quotes none of it.
func (i *importRun) convert(t table, r *row) (string, error) {
	d, remarks := t.convert(r, i.keys)
	if r.fault != nil {
		return "", r.fault
	}
	d.Namespace = i.namespace
	token, err := device.Import(i.sealer, d, i.now)
	if field, ok := errors.AsType[*otp.FieldError](err); ok {
		return "", fmt.Errorf("%s %s", cmp.Or(t.bounds[field.Field], field.Field), field.Reason)
	}
	if err == nil {
		for _, remark := range remarks {
			fmt.Fprintf(i.log, "line %d: imported, but %s\n", r.line, remark)
		}
	}
	return token, err
}

// reject reports the row on some lines of the file as not imported.
func (i *importRun) reject(first, last int, reason error) {
	i.failed++
	where := fmt.Sprintf("line %d", first)
	if last > first {
		where = fmt.Sprintf("lines %d to %d", first, last)
	}
	fmt.Fprintf(i.log, "%s: not imported: %v\n", where, reason)
}

// maxRow is how many bytes of a row are read. A quote that is not closed makes the rest of a file one row.
const maxRow = 1 << 20

// boundedReader fails once as many bytes as are left have been read.
type boundedReader struct {
	reader io.Reader
	left   int
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("a row has more than 1 MiB; perhaps a quote is not closed")
	}
	n, err := b.reader.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// withoutBOM leaves out the byte order mark that some programs put before UTF-8.
func withoutBOM(input io.Reader) io.Reader {
	buffered := bufio.NewReader(input)
	if mark, _ := buffered.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = buffered.Discard(len(mark))
	}
	return buffered
}
