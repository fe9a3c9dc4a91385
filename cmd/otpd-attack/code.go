package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// codes are attacks by the text of a code.
var codes = []attack{
	{"the right code in spellings that count as the same, with spaces and hyphens: right", sameCode},
	{"the right code in digits from outside ASCII: right", lookAlikes},
	{"patterns and lists in place of a code: right", patterns},
	{"several codes in one request, the right one among them", several},
	{"the code that came with a decoy, and every spelling of it: right", decoy},
}

// sameCodes returns spellings that are the code.
func sameCodes(code string) []string {
	return []string{
		code, " " + code, code + " ", code[:3] + " " + code[3:], code[:3] + "-" + code[3:], "-" + code, code + "-",
		strings.Join(strings.Split(code, ""), " "), strings.Join(strings.Split(code, ""), "-"),
		"\t" + code + "\r\n", code[:2] + " - " + code[2:], strings.Repeat(" ", 100) + code, code + "\v\f",
	}
}

// zeros are the digit 0 of other scripts and styles, full-width and Arabic first; 1 to 9 follow each.
const zeros = "０٠۰०০๐߀𝟎𝟘𝟶🯰"

// foreign returns the code in other digits, all of them or one, and with what is no space of ASCII.
func foreign(code string) (all []string) {
	for _, zero := range zeros {
		other := strings.Map(func(digit rune) rune { return zero + digit - '0' }, code)
		one := string([]rune(other)[0]) + code[1:]
		all = append(all, other, one)
	}
	for _, odd := range []string{
		"\u00a0", "\u2007", "\u200b", "\u2060", "\ufeff", "\u00ad", "\u2010", "\u2011", "\u2212", "\u0301", "\u20e3", "\x00", "\x7f",
	} {
		all = append(all, code+odd, odd+code, code[:3]+odd+code[3:])
	}
	return all
}

// noCodes are texts that would match in a language of patterns, or name many codes.
func noCodes(code string) []string {
	return []string{
		"*", "%", "??????", "______", ".*", "[0-9]{6}", `\d{6}`, "------", " ", "0", "000000 OR 1=1", "' OR '1'='1",
		code + code, code + ",", code + "\n" + code, code + ";", "[" + code + "]", `"` + code + `"`, "+" + code, code + ".0",
		"0" + code, code + "0", code[1:], code[:5], "0x" + code, code + "e0", "null", "true", "{}", "$ne",
	}
}

func sameCode(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.begin(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, code := range sameCodes(issued.OTP) {
		calls = append(calls, call{t.main, verify, attempt(issued, code)})
	}
	got, err := volley(ctx, len(calls), calls, right)
	return outcome{tried: len(calls), evaluated: got, least: 1, allowed: ledgered(1)}, err
}

// each tries texts made of the right code, each in a verification of its own.
func each(ctx context.Context, c *client, request fields, texts func(code string) []string) (outcome, error) {
	result := outcome{allowed: always(0)}
	for i := range texts("000000") {
		issuedFor := maps.Clone(request)
		issuedFor["identifier"] = someone()
		issued, err := c.must(ctx, generate, issuedFor)
		if err != nil {
			return result, err
		}
		a, err := c.post(ctx, verify, attempt(issued, texts(issued.OTP)[i]))
		if err != nil {
			return result, err
		}
		result.tried++
		if right(a) {
			result.evaluated++
		}
	}
	return result, nil
}

func lookAlikes(ctx context.Context, t *target) (outcome, error) {
	return each(ctx, t.main, fields{}, foreign)
}

func patterns(ctx context.Context, t *target) (outcome, error) {
	return each(ctx, t.main, fields{}, noCodes)
}

// several sends JSON that a lax decoder takes one code or the other from.
func several(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.begin(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	var calls []call
	for _, form := range []string{
		`{"otp":"%s","otp":"%s","context":"%s"}`, `{"otp":"%s","OTP":"%s","context":"%s"}`,
		`{"otp":"%s","context":"%[3]s"}{"otp":"%[2]s","context":"%[3]s"}`, `[{"otp":"%s","context":"%[3]s"},{"otp":"%[2]s","context":"%[3]s"}]`,
		`{"otp":["%s","%s"],"context":"%s"}`, `{"otp":{"0":"%s","1":"%s"},"context":"%s"}`, `{"otp":"%s","code":"%s","context":"%s"}`,
		`{"otp":"%s","context":"%[3]s","otp":"%[2]s"}`, `{"otp":%s,"otps":[%s],"context":"%s"}`, `{"Otp":"%[2]s","context":"%[3]s"}`,
	} {
		body := fmt.Appendf(nil, form, guesses(1, t.main, issued)[0].code(), issued.OTP, issued.Context)
		calls = append(calls, call{t.main, verify, body})
	}
	got, err := inTurn(ctx, calls, evaluated)
	if err == nil && got == 0 {
		err = t.main.finish(ctx, issued)
	}
	return outcome{tried: len(calls), evaluated: got, allowed: always(0)}, err
}

func decoy(ctx context.Context, t *target) (outcome, error) {
	return each(ctx, t.main, fields{"decoy": true}, sameCodes)
}
