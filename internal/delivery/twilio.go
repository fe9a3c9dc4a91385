package delivery

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/otpd/otpd/internal/egress"
)

// Why there is no [Twilio] for a configuration. Each is to follow the name of the setting, and quotes nothing of it.
var (
	ErrTwilioAccount = errors.New("must be AC and 32 hexadecimal digits")
	ErrTwilioToken   = errors.New("must be visible characters of ASCII")
	ErrTwilioFrom    = errors.New("must be a number like +15005550006, a name of at most 11 characters, or the SID of a messaging service")
)

// TwilioConfig is what a [Twilio] is made of. Every field is needed.
type TwilioConfig struct {
	AccountSID string // AC and 32 hexadecimal digits
	AuthToken  string
	From       string // a number in international form, a short code, an alphanumeric sender ID, or a messaging service's SID
	BaseURL    string // https://api.twilio.com, or that of a stand-in
}

var (
	twilioAccount = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	twilioToken   = regexp.MustCompile(`^[!-~]+$`)
	twilioService = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	twilioDigits  = regexp.MustCompile(`^(\+[1-9][0-9]{6,14}|[0-9]{3,8})$`)
	twilioName    = regexp.MustCompile(`^[0-9 +_&-]*[A-Za-z][0-9A-Za-z +_&-]*$`)
)

const maxTwilioName = 11 // characters

// Twilio sends text messages by Twilio's Messages API of 2010-04-01
// (https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource).
type Twilio struct {
	peer   *peer
	url    string
	header http.Header
	from   url.Values
}

// NewTwilio returns a provider, and asks nothing of it yet. The error is one of [ErrTwilioAccount], [ErrTwilioToken],
// [ErrTwilioFrom] and [egress.ErrURL].
func NewTwilio(cfg TwilioConfig) (*Twilio, error) {
	switch {
	case !twilioAccount.MatchString(cfg.AccountSID):
		return nil, ErrTwilioAccount
	case !twilioToken.MatchString(cfg.AuthToken):
		return nil, ErrTwilioToken
	}
	from := url.Values{}
	switch {
	case twilioService.MatchString(cfg.From):
		from.Set("MessagingServiceSid", cfg.From)
	case twilioDigits.MatchString(cfg.From), len(cfg.From) <= maxTwilioName && twilioName.MatchString(cfg.From):
		from.Set("From", cfg.From)
	default:
		return nil, ErrTwilioFrom
	}
	base, err := egress.ParseURL(cfg.BaseURL)
	if err != nil || base.RawQuery != "" || base.ForceQuery {
		return nil, egress.ErrURL
	}
	credentials := base64.StdEncoding.EncodeToString([]byte(cfg.AccountSID + ":" + cfg.AuthToken))
	return &Twilio{
		peer: newPeer("Twilio"),
		url:  strings.TrimSuffix(cfg.BaseURL, "/") + "/2010-04-01/Accounts/" + cfg.AccountSID + "/Messages.json",
		header: http.Header{
			"Authorization": {"Basic " + credentials},
			"Content-Type":  {"application/x-www-form-urlencoded"},
			"User-Agent":    {"otpd"},
		},
		from: from,
	}, nil
}

// Send returns once Twilio has queued a message.
func (t *Twilio) Send(ctx context.Context, m Message, text string) error {
	form := url.Values{"To": {m.To}, "Body": {text}}
	for name, value := range t.from {
		form[name] = value
	}
	answer, err := t.peer.ask(ctx, http.MethodPost, t.url, t.header, form.Encode())
	if err != nil {
		return err
	}
	if answer.status == http.StatusCreated {
		return judgeTwilioMessage(answer.body)
	}
	return judgeTwilioError(answer)
}

// twilioRefusals are the codes that speak of the recipient (https://www.twilio.com/docs/api/errors). All others speak
// of the account, the sender or Twilio itself, which may be better at the next attempt.
var twilioRefusals = map[int]string{
	21211: "refused the number",
	21214: "cannot reach the number",
	21217: "refused the number",
	21265: "sends nothing to short codes",
	21268: "sends nothing to numbers of premium rate",
	21408: "is not permitted to send to the number's region", // by the operator, and until then to no attempt
	21421: "refused the number",
	21610: "sends nothing to recipients who have opted out",
	21612: "has no way to the number from this sender",
	21614: "refused the number, which is not a mobile one",
	21635: "refused the number, which is a landline",
	30004: "was refused by the recipient's network",
	30005: "does not know the number",
	30006: "refused the number, which is a landline or out of reach",
}

// judgeTwilioError returns the failure that an answer other than 201 is. Twilio's own words are not repeated: they
// quote the number.
func judgeTwilioError(a answer) *Failure {
	var said struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(a.body, &said) != nil {
		said.Code = 0
	}
	what, refused := twilioRefusals[said.Code]
	passing := a.status < 400 || a.status == http.StatusTooManyRequests || a.status >= 500
	reason := fmt.Sprintf("Twilio answered %d", a.status)
	switch {
	case refused && !passing:
		return &Failure{Permanent: true, Reason: fmt.Sprintf("Twilio %s (%d)", what, said.Code)}
	case 10000 <= said.Code && said.Code <= 99999:
		reason += fmt.Sprintf(" (%d)", said.Code)
	}
	return &Failure{Unknown: egress.IsOfAnother(a.status), Reason: reason}
}

// judgeTwilioMessage returns the failure that a message is which Twilio has made, if it says that it has failed
// already. If it cannot be read, it has been made all the same: to send another would be to send two.
func judgeTwilioMessage(body []byte) error {
	var message struct {
		Status    string `json:"status"`
		ErrorCode int    `json:"error_code"`
	}
	if json.Unmarshal(body, &message) != nil || message.Status != "failed" && message.Status != "undelivered" {
		return nil
	}
	if what, refused := twilioRefusals[message.ErrorCode]; refused {
		return &Failure{Permanent: true, Reason: fmt.Sprintf("Twilio %s (%d)", what, message.ErrorCode)}
	}
	return &Failure{Reason: "Twilio could not send the message"}
}
