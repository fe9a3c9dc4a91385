package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/otpd/otpd/internal/egress"
)

// Gateway sends text messages by a request over HTTP that the operator has described.
type Gateway struct {
	peer      *peer
	method    string
	url       slotted
	header    http.Header
	body      slotted
	success   answerRule
	permanent *answerRule // nil if no failure is known to be permanent
}

// gatewayFile is what a file says of a gateway; see [ParseGateway].
type gatewayFile struct {
	URL       string            `json:"url"`
	Method    string            `json:"method"`
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body"`
	Success   ruleFile          `json:"success"`
	Permanent *ruleFile         `json:"permanent"`
}

// ruleFile is what it says of answers.
type ruleFile struct {
	Status      []int  `json:"status"`
	BodyMatches string `json:"body_matches"`
}

// ParseGateway reads the description of a gateway: a JSON object like
//
//	{
//	  "url": "https://sms.example.com/v1/messages",
//	  "method": "POST",
//	  "headers": {"Content-Type": "application/json", "Authorization": "Bearer SECRET"},
//	  "body": "{\"to\": \"{{to}}\", \"text\": \"{{text}}\", \"reference\": \"{{id}}\"}",
//	  "success": {"status": [200, 202], "body_matches": "\"status\": *\"(sent|queued)\""},
//	  "permanent": {"status": [400], "body_matches": "invalid_number|opted_out"}
//	}
//
// with these members, of which only url is needed:
//
//   - url is https, or http for localhost and loopback addresses, and has neither a user nor a fragment.
//   - method is POST, which is the default, PUT or GET, which has no body.
//   - headers are sent as they are. A body needs a Content-Type.
//   - success tells the answers that mean that the message is taken: the status is one of status, by default any
//     from 200 to 299, and the body, of which 64 KiB are read, matches body_matches, by default whatever it is.
//   - permanent tells those, of all others, after which to try again would be of no use. It has one of the same two
//     members, or both, which must both be met. Without it all failures are temporary. Redirects are not followed.
//
// In url, after the host, and in body stand places for what is known of a message: {{to}}, the number with its plus
// sign; {{to_digits}}, without; {{text}}, all the words of the message; {{code}}, the code alone; and {{id}}, the
// delivery's. What is put there is escaped as the place needs: in url, and in a body that is
// application/x-www-form-urlencoded, percent-encoded; in one that is application/json, as between the quotes of a
// string, where places for text must be; in one that is text/plain, not at all. No other Content-Type may have places.
//
// The error is to follow the name of the file. It says where data is wrong, and quotes no value of it.
func ParseGateway(data []byte) (*Gateway, error) {
	file := gatewayFile{Method: http.MethodPost}
	if err := json.Unmarshal(data, &file, json.RejectUnknownMembers(true)); err != nil {
		return nil, badGateway(whereJSON(err), "is not as it should be")
	}
	g := &Gateway{peer: newPeer("the SMS gateway"), method: file.Method}
	if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodGet}, g.method) {
		return nil, badGateway("method", "must be POST, PUT or GET")
	}
	var err error
	if g.url, err = parseGatewayURL(file.URL); err != nil {
		return nil, err
	}
	if g.header, err = parseGatewayHeaders(file.Headers); err != nil {
		return nil, err
	}
	if g.body, err = parseGatewayBody(file.Body, g.method, g.header.Get("Content-Type")); err != nil {
		return nil, err
	}
	if all := g.url.text + g.body.text; !strings.Contains(all, "{{text}}") && !strings.Contains(all, "{{code}}") {
		return nil, badGateway("url or body", "must have {{text}} or {{code}}, or nobody would learn the code")
	}
	if g.success, err = parseRule("success", file.Success, 200, 299); err != nil || file.Permanent == nil {
		return g, err
	}
	if file.Permanent.BodyMatches == "" && file.Permanent.Status == nil {
		return nil, badGateway("permanent", "must have status or body_matches")
	}
	permanent, err := parseRule("permanent", *file.Permanent, 200, 599)
	g.permanent = &permanent
	return g, err
}

// badGateway returns the error for one place of a file.
func badGateway(where, reason string) error {
	return fmt.Errorf("holds no SMS gateway: %s %s", where, reason)
}

// whereJSON returns the place of an error, which itself may quote a value.
func whereJSON(err error) string {
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok && semantic.JSONPointer != "" {
		return string(semantic.JSONPointer)
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("the JSON at byte %d", syntactic.ByteOffset)
	}
	return "the JSON"
}

func parseGatewayURL(text string) (slotted, error) {
	s, err := newSlotted("url", text, percentEscape)
	if err != nil {
		return slotted{}, err
	}
	var host string
	for i, sample := range slotSamples {
		u, err := egress.ParseURL(s.fill(sample))
		if err != nil {
			return slotted{}, badGateway("url", egress.ErrURL.Error())
		}
		if i > 0 && u.Host != host {
			return slotted{}, badGateway("url", "must have no place for a value before its path")
		}
		host = u.Host
	}
	return s, nil
}

var (
	headerName  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110 §5.6.2
	headerValue = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)
)

// reservedHeaders are those that say how a request is sent, or would say the same of different ones.
var reservedHeaders = []string{
	"Connection", "Content-Length", "Expect", "Host", "Idempotency-Key", "Te", "Trailer", "Transfer-Encoding",
	"Upgrade", "X-Idempotency-Key",
}

func parseGatewayHeaders(headers map[string]string) (http.Header, error) {
	parsed := http.Header{"User-Agent": {"otpd"}}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		canonical := http.CanonicalHeaderKey(name)
		value := headers[name]
		switch {
		case !headerName.MatchString(name):
			return nil, badGateway("headers", "has a name that no header has")
		case slices.Contains(reservedHeaders, canonical):
			return nil, badGateway("headers", "must not have "+canonical)
		case seen[canonical]:
			return nil, badGateway("headers", "has "+canonical+" twice")
		case !headerValue.MatchString(value):
			return nil, badGateway("headers", "must have visible characters of ASCII as "+canonical)
		case strings.Contains(value, "{{"):
			return nil, badGateway("headers", "must have no place for a value in "+canonical)
		}
		seen[canonical] = true
		parsed.Set(canonical, value)
	}
	return parsed, nil
}

func parseGatewayBody(text, method, contentType string) (slotted, error) {
	if text == "" {
		return slotted{}, nil
	}
	if method == http.MethodGet {
		return slotted{}, badGateway("body", "must be empty with GET")
	}
	media, parameters, err := mime.ParseMediaType(contentType)
	if charset, has := parameters["charset"]; err != nil || has && !strings.EqualFold(charset, "utf-8") {
		return slotted{}, badGateway("headers", "must have a Content-Type, in UTF-8, for the body")
	}
	escape := bodyEscapes[media]
	if escape == nil && strings.Contains(text, "{{") {
		return slotted{}, badGateway("headers", "must have a Content-Type of application/json, "+
			"application/x-www-form-urlencoded or text/plain for a body with places for values")
	}
	s, err := newSlotted("body", text, escape)
	if err != nil || media != "application/json" {
		return s, err
	}
	for _, sample := range slotSamples {
		if !jsontext.Value(s.fill(sample)).IsValid() {
			return slotted{}, badGateway("body", "must be JSON whose places for values are between quotes")
		}
	}
	return s, nil
}

// Send returns once the gateway has given an answer that means success.
func (g *Gateway) Send(ctx context.Context, m Message, text string) error {
	values := slotValues(m, text)
	answer, err := g.peer.ask(ctx, g.method, g.url.fill(values), g.header, g.body.fill(values))
	if err != nil || g.success.meets(answer) {
		return err
	}
	permanent := g.permanent != nil && g.permanent.meets(answer)
	reason := fmt.Sprintf("%s answered %d", g.peer.name, answer.status)
	switch {
	case permanent:
		reason = fmt.Sprintf("%s refused the message (%d)", g.peer.name, answer.status)
	case g.success.status(answer):
		reason += ", and not what means success"
	}
	unknown := egress.IsOfAnother(answer.status) || g.success.status(answer) && answer.brokenOff
	return &Failure{Permanent: permanent, Unknown: unknown && !permanent, Reason: reason}
}
