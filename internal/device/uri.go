package device

import (
	"fmt"
	"net/url"
	"strings"
)

// uri returns what an authenticator app reads from a QR code, in the Key URI Format: otpauth://, the type, a
// label of issuer and account, and the parameters. The issuer is in both, as the format recommends.
func (d *state) uri(issuer string) string {
	moving := fmt.Sprintf("period=%d", d.period)
	if d.kind == HOTP {
		moving = fmt.Sprintf("counter=%d", d.next)
	}
	return fmt.Sprintf("otpauth://%s/%s:%s?secret=%s&issuer=%s&algorithm=%s&digits=%d&%s",
		d.kind, percentEncode(issuer), percentEncode(d.identifier), secretEncoding.EncodeToString(d.secret),
		percentEncode(issuer), d.algorithm, d.digits, moving)
}

// percentEncode leaves nothing but the unreserved characters of RFC 3986 §2.3 as they are: apps disagree on what
// else they take literally, and on what a plus sign means.
func percentEncode(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
