package delivery

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"strings"
)

// mustache is a text with places for values, in a subset of Mustache (https://mustache.github.io): {{name}} is a value,
// and what stands between {{#name}} and {{/name}} is left out unless there is one, between {{^name}} and {{/name}} if
// there is. Go's own templates call methods by name, for which the linker would keep every method of the program: it
// would be twice the size.
type mustache []piece

type piece struct {
	text   string // as it is, if name is empty
	name   string
	escape func(string) string // of a value
	inner  mustache            // of a section
	unless bool                // the section is for no value
}

var (
	mustacheTag  = regexp.MustCompile(`\{\{([#^/]?)([a-z][a-z0-9_]*)\}\}`)
	mustacheOpen = regexp.MustCompile(`\{\{|\}\}`)
)

// parseMustache reads a text. In HTML, values are escaped as where they stand takes it. The error names the line.
func parseMustache(text string, isHTML bool) (mustache, error) {
	type section struct {
		piece
		outer mustache
	}
	var pieces mustache
	var open []section
	end := 0
	for _, at := range append(mustacheTag.FindAllStringSubmatchIndex(text, -1), []int{len(text), len(text), 0, 0, 0, 0}) {
		if stray := mustacheOpen.FindStringIndex(text[end:at[0]]); stray != nil {
			return nil, onLine(text[:end+stray[0]], "there is a {{ or }} that is of no tag")
		}
		pieces = append(pieces, piece{text: text[end:at[0]]})
		before, sigil, name := text[:at[0]], text[at[2]:at[3]], text[at[4]:at[5]]
		end = at[1]
		switch {
		case at[0] == len(text):
		case sigil == "":
			escape, err := escapeAfter(before, isHTML)
			if err != nil {
				return nil, onLine(before, err.Error())
			}
			pieces = append(pieces, piece{name: name, escape: escape})
		case sigil == "/" && (len(open) == 0 || open[len(open)-1].name != name):
			return nil, onLine(before, "{{/"+name+"}} ends no section")
		case sigil == "/":
			last := open[len(open)-1]
			open = open[:len(open)-1]
			last.inner = pieces
			pieces = append(last.outer, last.piece)
		default:
			open = append(open, section{piece{name: name, unless: sigil == "^"}, pieces})
			pieces = nil
		}
	}
	if len(open) > 0 {
		return nil, onLine(text, "{{#"+open[0].name+"}} has no end")
	}
	return pieces, nil
}

func onLine(before, what string) error {
	return fmt.Errorf("line %d: %s", 1+strings.Count(before, "\n"), what)
}

// escapeAfter returns how a value is escaped that follows a part of a text. In HTML, a value between quotes in a tag
// is percent-encoded, so that it can be a part of a link and never a link of its own.
func escapeAfter(before string, isHTML bool) (func(string) string, error) {
	if !isHTML {
		return func(value string) string { return value }, nil
	}
	lower := strings.ToLower(before)
	for _, element := range []string{"script", "style"} {
		if strings.LastIndex(lower, "<"+element) > strings.LastIndex(lower, "</"+element) {
			return nil, errors.New("no value can stand in a " + element)
		}
	}
	inTag, quote := endOf(before)
	switch {
	case !inTag:
		return html.EscapeString, nil
	case quote != '"':
		return nil, errors.New(`a value in a tag must stand between "`)
	}
	return percentEscape, nil
}

// endOf reports whether a part of HTML ends in a tag, and there between which quotes, 0 for none.
func endOf(part string) (inTag bool, quote byte) {
	for len(part) > 0 {
		c := part[0]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case inTag && (c == '"' || c == '\''):
			quote = c
		case inTag:
			inTag = c != '>'
		case strings.HasPrefix(part, "<!--") && !strings.HasPrefix(part, "<!--["): // the latter is a tag to some
			_, part, _ = strings.Cut(part, "-->")
			continue
		default:
			inTag = c == '<'
		}
		part = part[1:]
	}
	return inTag, quote
}

// fill returns the text with all values in their places. A name that has none has an empty one.
func (m mustache) fill(values map[string]string) string {
	var b strings.Builder
	m.write(&b, values)
	return b.String()
}

func (m mustache) write(b *strings.Builder, values map[string]string) {
	for _, p := range m {
		switch value := values[p.name]; {
		case p.name == "":
			b.WriteString(p.text)
		case p.escape != nil:
			b.WriteString(p.escape(value))
		case p.unless == (value == ""):
			p.inner.write(b, values)
		}
	}
}
