package delivery

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// The tables of 3GPP TS 23.038 §6.2.1, by code; the gap at 0x1b is the escape.
var (
	gsmTable = [128]rune{
		'@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å',
		'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', 0, 'Æ', 'æ', 'ß', 'É',
		' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/',
		'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?',
		'¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O',
		'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§',
		'¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
		'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
	}
	gsmExtensionTable = map[int]rune{
		0x0a: '\f', 0x14: '^', 0x28: '{', 0x29: '}', 0x2f: '\\', 0x3c: '[', 0x3d: '~', 0x3e: ']', 0x40: '|', 0x65: '€',
	}
)

// fit returns how many of text, one after another, fit into one SMS.
func fit(text string) int {
	n := 0
	for fitsOneSMS(strings.Repeat(text, n+1)) {
		n++
	}
	return n
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for code, r := range gsmTable {
		if n := fit(string(r)); code != 0x1b && n != 160 {
			t.Errorf("%q: %d", r, n)
		}
	}
	for _, r := range gsmExtensionTable {
		if n := fit(string(r)); n != 80 {
			t.Errorf("%q: %d", r, n)
		}
	}
	if n := utf8.RuneCountInString(gsmBasic) + utf8.RuneCountInString(gsmExtended); n != 127+10 {
		t.Errorf("the tables have %d characters", n)
	}
	for text, most := range map[string]int{
		"ç": 70, "`": 70, "’": 70, "\t": 70, "\u00a0": 70, "\x1b": 70, "á": 70, "Ł": 70, "é\u0301": 35, "字": 70, "\u2068": 70, "\uffff": 70,
		"😀": 35, "𠮷": 35, "👩\u200d💻": 14,
		"ab": 80, "a€": 53, "a字": 35, "€字": 35, // an extension is one unit beside what is no septet
	} {
		if n := fit(text); n != most {
			t.Errorf("%q: %d", text, n)
		}
	}
}
