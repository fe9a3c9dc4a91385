package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
)

// row is one row of another system's table. Reading a value that is not of the right form sets its fault. No fault
// quotes a value: where columns are mixed up, any may be a secret.
type row struct {
	columns map[string]int // by name
	fields  []string
	line    int
	fault   error // the first one
}

func (r *row) fail(format string, args ...any) {
	if r.fault == nil {
		r.fault = fmt.Errorf(format, args...)
	}
}

func (r *row) has(column string) bool {
	_, ok := r.columns[column]
	return ok
}

// text returns the value of a column, empty if there is none.
func (r *row) text(column string) string {
	if i, ok := r.columns[column]; ok {
		return r.fields[i]
	}
	return ""
}

// whole returns the number in a column, byDefault if there is no such column.
func (r *row) whole(column string, byDefault int) int {
	if !r.has(column) {
		return byDefault
	}
	n, err := strconv.Atoi(r.text(column))
	if err != nil {
		r.fail("%s is not a whole number", column)
	}
	return n
}

// yes reads a boolean as PostgreSQL (t, f), SQLite and MySQL (1, 0) and Python write it.
func (r *row) yes(column string) bool {
	switch strings.ToLower(r.text(column)) {
	case "t", "true", "1":
		return true
	case "f", "false", "0":
		return false
	}
	r.fail("%s is neither true nor false", column)
	return false
}

// timeLayouts are how databases and Python write a time. Without an offset it is in UTC: so Django stores it in
// databases that know no other.
var timeLayouts = []string{
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05",
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05",
}

// time returns the time in a column, the zero time if it is empty or there is no such column.
func (r *row) time(column string) time.Time {
	text := r.text(column)
	if text == "" {
		return time.Time{}
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	r.fail("%s is not a time such as 2026-01-31 23:59:59+00", column)
	return time.Time{}
}

// table is a table of another system, with the columns that it has there and one that says who it is.
type table struct {
	required []string // the first is in no other table
	optional []string
	bounds   map[string]string // the column that each field of a device comes from, if its name is another
	convert  func(r *row, keys *otpcontext.ForeignKeys) (device.Imported, []string)
}

// readHeader returns which of some tables a header is of, and where each column is. It names a column that it does
// not know by its place: if there is no header, that is somebody's data.
func readHeader(header []string, tables []table) (found table, columns map[string]int, err error) {
	columns = make(map[string]int)
	for i, name := range slices.Backward(header) {
		columns[name] = i
	}
	var marks, marked []string
	for _, t := range tables {
		mark := t.required[0]
		marks = append(marks, mark)
		if _, ok := columns[mark]; ok {
			found, marked = t, append(marked, mark)
		}
	}
	switch {
	case marked == nil:
		return found, nil, noColumn(strings.Join(marks, " or "))
	case len(marked) > 1:
		return found, nil, fmt.Errorf("there are columns of two tables, %s; export each by itself", strings.Join(marked, " and "))
	}
	for _, name := range found.required {
		if _, ok := columns[name]; !ok {
			return found, nil, noColumn(name)
		}
	}
	for i, name := range header {
		if first := columns[name]; first != i {
			return found, nil, fmt.Errorf("column %d has the name of column %d", i+1, first+1)
		}
		if !slices.Contains(found.required, name) && !slices.Contains(found.optional, name) {
			return found, nil, fmt.Errorf("column %d has a name that is not known; leave it out if it does not matter", i+1)
		}
	}
	return found, columns, nil
}

func noColumn(name string) error {
	return fmt.Errorf("there is no column %s; the first line must name the columns, separated by commas", name)
}
