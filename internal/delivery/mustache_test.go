package delivery

import (
	"strings"
	"testing"
)

func TestMustache(t *testing.T) {
	t.Parallel()
	values := map[string]string{"code": "12", "app": `<b>"Shop" & 'Co'`, "link": "javascript:alert(1)"}
	for text, want := range map[string]string{
		"":                      "",
		"no tag, { or }":        "no tag, { or }",
		"{{code}}":              "12",
		"a {{code}} b {{code}}": "a 12 b 12",
		"[{{none}}]":            "[]",
		"{{app}}":               `<b>"Shop" & 'Co'`,
		"{{#app}}x{{/app}}":     "x",
		"{{^app}}x{{/app}}":     "",
		"{{#none}}x{{/none}}":   "",
		"{{^none}}x{{/none}}":   "x",
		"{{#app}}{{code}}{{^code}}y{{/code}}{{/app}}z": "12z",
		"{{#app}}{{#app}}x{{/app}}{{/app}}":            "x",
	} {
		m, err := parseMustache(text, false)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := m.fill(values); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		`<p>{{app}}</p>`: `<p>&lt;b&gt;&#34;Shop&#34; &amp; &#39;Co&#39;</p>`,
		`{{app}}`:        `&lt;b&gt;&#34;Shop&#34; &amp; &#39;Co&#39;`,
		`<a href="https://example.com/?c={{code}}&a={{app}}">`: `<a href="https://example.com/?c=12&a=%3Cb%3E%22Shop%22%20%26%20%27Co%27">`,
		`<a href="{{link}}">`:                   `<a href="javascript%3Aalert%281%29">`,
		`<style>a{}</style>{{code}}`:            `<style>a{}</style>12`,
		`<a title="a > b" href="{{link}}">`:     `<a title="a > b" href="javascript%3Aalert%281%29">`,
		`<a title='"' href="{{link}}">`:         `<a title='"' href="javascript%3Aalert%281%29">`,
		`<p>a > "b" it's {{app}}`:               `<p>a > "b" it's &lt;b&gt;&#34;Shop&#34; &amp; &#39;Co&#39;`,
		`<!-- <b it's > -->{{code}}`:            `<!-- <b it's > -->12`,
		`<!--[if mso]><v:rect href="{{link}}">`: `<!--[if mso]><v:rect href="javascript%3Aalert%281%29">`,
	} {
		m, err := parseMustache(text, true)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := m.fill(values); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestBadMustache(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\n{{code":                   "line 2: there is a {{ or }}",
		"a\nb}}":                      "line 2: there is a {{ or }}",
		"{{ code }}":                  "line 1: there is a {{ or }}",
		"{{.Code}}":                   "line 1: there is a {{ or }}",
		"{{#code}}\n":                 "line 2: {{#code}} has no end",
		"{{/code}}":                   "line 1: {{/code}} ends no section",
		"{{#code}}{{#app}}{{/code}}":  "line 1: {{/code}} ends no section",
		"<script>\n{{code}}</script>": "line 2: no value can stand in a script",
		"<STYLE>{{code}}":             "line 1: no value can stand in a style",
		"<p class={{code}}>":          `line 1: a value in a tag must stand between "`,
		`<p a=">" class={{code}}>`:    `line 1: a value in a tag must stand between "`,
		`<p a='"' class={{code}}>`:    `line 1: a value in a tag must stand between "`,
		"<p class='{{code}}'>":        `line 1: a value in a tag must stand between "`,
		`<p {{code}}="x">`:            `line 1: a value in a tag must stand between "`,
	} {
		if _, err := parseMustache(text, true); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
