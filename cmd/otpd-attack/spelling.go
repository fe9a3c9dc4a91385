package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tokens are attacks by the text of a context.
var tokens = []attack{
	{"the right code with respelt contexts, before and after success", nothing, respelt},
	{"the right code with contexts that have one character changed", nothing, changed},
	{"a context after success, its characters as JSON escapes: right", nothing, escaped},
}

const urlSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// spellings returns texts that a lax decoder takes for the token.
func spellings(token string) []string {
	body := strings.TrimRight(token, "=")
	padding := token[len(body):]
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(token)
	all := []string{
		standard, strings.ReplaceAll(token, "-", "+"), strings.ReplaceAll(token, "_", "/"),
		strings.TrimRight(standard, "="),
		body, body + "=", body + "==", body + "===", token + "=", token + "==",
		body + strings.ReplaceAll(padding, "=", "%3D"), body + strings.ReplaceAll(padding, "=", "%3d"),
		token + "A", token + "AAAA", token + "====", token + token, token + ".", token + "," + token,
		token + "#", token + "?", token + "&", token + `\`, token + "\x00", "\x00" + token, token + "é", "\ufeff" + token,
		`"` + token + `"`, "'" + token + "'", "=" + token, "A" + token, "Bearer " + token,
		base64.StdEncoding.EncodeToString([]byte(token)), base64.URLEncoding.EncodeToString([]byte(token)),
		strings.ToUpper(token), strings.ToLower(token),
	}
	for _, space := range []string{" ", "\t", "\n", "\r", "\r\n", "\v", "\f", "\u0085", "\u00a0", "\u200b", "\u2028"} {
		all = append(all, token+space, space+token, body+space+padding, insert(token, 1, space),
			insert(token, 4, space), insert(token, 64, space), insert(token, 76, space), insert(token, len(token)/2, space))
	}
	for _, odd := range []string{"=", "-", "!", ".", "*", "==", "%0A", "%20"} {
		all = append(all, insert(token, 4, odd), insert(token, len(token)/2, odd))
	}
	// The last character before the padding has bits that decode to nothing.
	for _, last := range urlSafe {
		all = append(all, body[:len(body)-1]+string(last)+padding, body[:len(body)-1]+string(last))
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(text string) bool { return text == token })
}

func insert(token string, at int, text string) string {
	at = min(at, len(token))
	return token[:at] + text + token[at:]
}

// issuePadded has a code issued whose context ends in padding and has the characters that base64 has two
// of: so that it has all the spellings there are. How long a context is depends on the identifier.
func issuePadded(ctx context.Context, c *client, padding int) (issued answer, err error) {
	_, err = padded(padding, func(text string) (string, error) {
		issued, err = c.issue(ctx, someone()+text)
		return issued.Context, err
	})
	return issued, err
}

// padded returns a token that ends in padding and has the characters that base64 has two of, from what issues
// tokens whose length depends on a text.
func padded(padding int, issue func(text string) (string, error)) (string, error) {
	for tried := range 1000 {
		token, err := issue(strings.Repeat("m", tried%64))
		if err != nil {
			return "", err
		}
		body := strings.TrimRight(token, "=")
		if len(token)-len(body) == padding && strings.Contains(body, "-") && strings.Contains(body, "_") {
			return token, nil
		}
	}
	return "", fmt.Errorf("no token has %d characters of padding", padding)
}

// withTokens returns the right code with each of the tokens.
func withTokens(c *client, issued answer, tokens []string) (calls []call) {
	for _, token := range tokens {
		calls = append(calls, call{c, verify, fields{"otp": issued.OTP, "context": token}})
	}
	return calls
}

func respelt(ctx context.Context, t *target) (outcome, error) {
	result := outcome{allowed: always(0)}
	for _, padding := range []int{1, 2} {
		issued, err := issuePadded(ctx, t.main, padding)
		if err != nil {
			return result, err
		}
		calls := withTokens(t.main, issued, spellings(issued.Context))
		for _, after := range []func(context.Context, answer) error{
			t.main.finish, func(context.Context, answer) error { return nil },
		} {
			got, err := volley(ctx, 16, calls, evaluated)
			if err == nil && got == 0 {
				err = after(ctx, issued)
			}
			result.tried, result.evaluated = result.tried+len(calls), result.evaluated+got
			if err != nil {
				return result, err
			}
		}
	}
	return result, nil
}

// changes returns the token with each character changed in turn, but not those that could be another spelling.
func changes(token string) (forged []string) {
	for i := range len(strings.TrimRight(token, "=")) - 1 {
		other := urlSafe[(strings.IndexByte(urlSafe, token[i])+1)%len(urlSafe)]
		forged = append(forged, token[:i]+string(other)+token[i+1:])
	}
	return forged
}

func changed(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err != nil {
		return outcome{}, err
	}
	forged := changes(issued.Context)
	got, err := volley(ctx, 16, withTokens(t.main, issued, forged), evaluated)
	if err == nil && got == 0 {
		err = t.main.finish(ctx, issued)
	}
	return outcome{tried: len(forged), evaluated: got, allowed: always(0)}, err
}

// escaped sends what is the same context to JSON, and so the same verification.
func escaped(ctx context.Context, t *target) (outcome, error) {
	issued, err := t.main.issue(ctx, someone())
	if err == nil {
		err = t.main.finish(ctx, issued)
	}
	if err != nil {
		return outcome{}, err
	}
	var token strings.Builder
	for _, c := range issued.Context {
		fmt.Fprintf(&token, `\u%04x`, c)
	}
	const tried = 10
	body := fmt.Appendf(nil, `{"otp":"%s","context":"%s"}`, issued.OTP, token.String())
	got, err := inTurn(ctx, repeat(tried, call{t.main, verify, body}), right)
	return outcome{tried: tried, evaluated: got, allowed: ledgered(0)}, err
}

// codes are attacks by the text of a code.
var codes = []attack{
	{"the right code in spellings that count as the same, with spaces and hyphens: right", nothing, sameCode},
	{"the right code in digits from outside ASCII: right", nothing, lookAlikes},
	{"patterns and lists in place of a code: right", nothing, patterns},
	{"several codes in one request, the right one among them", nothing, several},
	{"the code that came with a decoy, and every spelling of it: right", nothing, decoy},
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
	issued, err := t.main.issue(ctx, someone())
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
	issued, err := t.main.issue(ctx, someone())
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
