package delivery

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/egress"
)

const (
	twilioSID     = "AC0123456789abcdef0123456789ABCDEF"
	twilioSecret  = "fedcba9876543210"
	twilioNumber  = "+15005550006"
	twilioMessage = `{"account_sid": "` + twilioSID + `", "body": "…", "error_code": null, "error_message": null,` +
		` "num_segments": "1", "sid": "SM0123456789abcdef0123456789abcdef", "status": "queued", "to": "+4915123456789"}`
)

// checkTwilioRequest fails unless r is the request that the Messages API describes, and returns its form.
func checkTwilioRequest(tb testing.TB, r *http.Request, base string) url.Values {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Error(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		tb.Error(err)
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	user, password, _ := r.BasicAuth()
	if err != nil || r.Method != http.MethodPost || media != "application/x-www-form-urlencoded" ||
		r.RequestURI != base+"/2010-04-01/Accounts/"+twilioSID+"/Messages.json" ||
		user != twilioSID || password != twilioSecret || int64(len(body)) != r.ContentLength {
		tb.Errorf("got %s %s %v", r.Method, r.RequestURI, r.Header)
	}
	return form
}

func newTwilio(tb testing.TB, base, from string) *Twilio {
	tb.Helper()
	p, err := NewTwilio(TwilioConfig{AccountSID: twilioSID, AuthToken: twilioSecret, From: from, BaseURL: base})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// newTwilioServer answers each documented request so.
func newTwilioServer(tb testing.TB, status int, body string) string {
	tb.Helper()
	return newPeerServer(tb, func(w http.ResponseWriter, r *http.Request) {
		checkTwilioRequest(tb, r, "")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestNewTwilio(t *testing.T) {
	t.Parallel()
	good := TwilioConfig{AccountSID: twilioSID, AuthToken: twilioSecret, From: twilioNumber, BaseURL: "https://api.twilio.com"}
	p, err := NewTwilio(good)
	if err != nil || p.url != "https://api.twilio.com/2010-04-01/Accounts/"+twilioSID+"/Messages.json" {
		t.Errorf("got %+v: %v", p, err)
	}
	for _, test := range []struct {
		name string
		set  *string
		bad  []string
		err  error
	}{
		{"account", &good.AccountSID, []string{"", "AC", twilioSID[:33], twilioSID + "0", "SK" + twilioSID[2:], "../" + twilioSID, twilioSID + "\n"}, ErrTwilioAccount},
		{"token", &good.AuthToken, []string{"", " ", "a b", "secret\n", "secrét"}, ErrTwilioToken},
		{"from", &good.From, []string{"", "+0123", "+1", "+123456789012345678", "A name too long", "Näme", "a\nb", "MG" + twilioSID}, ErrTwilioFrom},
		{"base", &good.BaseURL, []string{"api.twilio.com", "http://api.twilio.com", "https://user@api.twilio.com", "https://api.twilio.com?", "https://api.twilio.com?a=b", "https://api.twilio.com/#"}, egress.ErrURL},
	} {
		was := *test.set
		for _, bad := range test.bad {
			*test.set = bad
			if _, err := NewTwilio(good); err != test.err {
				t.Errorf("%s %q: %v", test.name, bad, err)
			}
		}
		*test.set = was
	}
}

func TestTwilioRequest(t *testing.T) {
	t.Parallel()
	const text = "123456 is your code: 5 > 4 & 3 + 1 = 4? Größe “€” 字😀\n@example.com #123456"
	for from, field := range map[string]string{
		twilioNumber: "From", "12345": "From", "My Shop": "From", "MG Shop": "From", "MG" + twilioSID[2:]: "MessagingServiceSid",
	} {
		for _, base := range []string{"", "/", "/eu/proxy", "/eu/proxy/"} {
			t.Run(field+" "+from+" "+base, func(t *testing.T) {
				t.Parallel()
				var asked atomic.Int32
				server := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					form := checkTwilioRequest(t, r, strings.TrimSuffix(base, "/"))
					if want := (url.Values{"To": {"+4915123456789"}, field: {from}, "Body": {text}}); !reflect.DeepEqual(form, want) {
						t.Errorf("got %v", form)
					}
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, twilioMessage)
				})
				err := newTwilio(t, server+base, from).Send(peerContext(t, longEnough), textMessage(), text)
				if err != nil || asked.Load() != 1 {
					t.Errorf("asked %d times: %v", asked.Load(), err)
				}
			})
		}
	}
}

func TestTwilioAnswers(t *testing.T) {
	t.Parallel()
	errorBody := func(status, code int) string {
		return fmt.Sprintf(`{"code": %d, "message": "The 'To' number +4915123456789 is not valid for 'Your code is 123456'",`+
			` "more_info": "https://www.twilio.com/docs/errors/%[1]d", "status": %d}`, code, status)
	}
	message := func(status string, code string) string {
		return `{"sid": "SM0123456789abcdef0123456789abcdef", "status": "` + status + `", "error_code": ` + code + `}`
	}
	for _, test := range []struct {
		name      string
		status    int
		body      string
		permanent bool
		reason    string // empty for success
	}{
		{"queued", 201, twilioMessage, false, ""},
		{"accepted", 201, message("accepted", "null"), false, ""},
		{"made, in no words", 201, "", false, ""},
		{"made, in half a word", 201, twilioMessage[:40], false, ""},
		{"made, in other words", 201, "<html>Created</html>", false, ""},
		{"failed at once", 201, message("failed", "null"), false, "Twilio could not send the message"},
		{"failed at once, with the handset off", 201, message("undelivered", "30003"), false, "Twilio could not send the message"},
		{"failed at once, for good", 201, message("undelivered", "30006"), true, "Twilio refused the number, which is a landline or out of reach (30006)"},

		{"no number", 400, errorBody(400, 21211), true, "Twilio refused the number (21211)"},
		{"number out of reach", 400, errorBody(400, 21214), true, "Twilio cannot reach the number (21214)"},
		{"not valid", 400, errorBody(400, 21217), true, "Twilio refused the number (21217)"},
		{"region not enabled", 403, errorBody(403, 21408), true, "Twilio is not permitted to send to the number's region (21408)"},
		{"unsubscribed", 400, errorBody(400, 21610), true, "Twilio sends nothing to recipients who have opted out (21610)"},
		{"no route", 400, errorBody(400, 21612), true, "Twilio has no way to the number from this sender (21612)"},
		{"not mobile", 400, errorBody(400, 21614), true, "Twilio refused the number, which is not a mobile one (21614)"},
		{"premium", 400, errorBody(400, 21268), true, "Twilio sends nothing to numbers of premium rate (21268)"},

		{"wrong token", 401, errorBody(401, 20003), false, "Twilio answered 401 (20003)"},
		{"suspended", 403, errorBody(403, 20005), false, "Twilio answered 403 (20005)"},
		{"wrong account", 404, errorBody(404, 20404), false, "Twilio answered 404 (20404)"},
		{"bad sender", 400, errorBody(400, 21606), false, "Twilio answered 400 (21606)"},
		{"on trial", 400, errorBody(400, 21608), false, "Twilio answered 400 (21608)"},
		{"unknown code", 400, errorBody(400, 29999), false, "Twilio answered 400 (29999)"},
		{"no code of Twilio's", 400, errorBody(400, 4915123456789), false, "Twilio answered 400"},
		{"code in quotes", 400, `{"code": "21211"}`, false, "Twilio answered 400"},
		{"too many requests", 429, errorBody(429, 20429), false, "Twilio answered 429 (20429)"},
		{"too many, though for good", 429, errorBody(429, 21211), false, "Twilio answered 429 (21211)"},
		{"down", 500, errorBody(500, 20500), false, "Twilio answered 500 (20500)"},
		{"down, in HTML", 503, "<html>123456</html>", false, "Twilio answered 503"},
		{"a gateway's word", 502, "", false, "Twilio answered 502"},
		{"garbage", 400, "\x00\xff{", false, "Twilio answered 400"},
		{"a list", 400, "[21211]", false, "Twilio answered 400"},
		{"huge", 400, `{"message": "` + strings.Repeat("x", 1<<20) + `", "code": 21211}`, false, "Twilio answered 400"},
		{"not what Twilio says", 200, twilioMessage, false, "Twilio answered 200"},
		{"nothing", 204, "", false, "Twilio answered 204"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newTwilio(t, newTwilioServer(t, test.status, test.body), twilioNumber)
			err := p.Send(peerContext(t, longEnough), textMessage(), "123456")
			if test.reason != "" {
				mustFail(t, err, test.permanent, test.reason)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTwilioInTrouble(t *testing.T) {
	t.Parallel()
	var strayed atomic.Int32
	elsewhere := newPeerServer(t, func(http.ResponseWriter, *http.Request) { strayed.Add(1) })
	redirect := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	})
	for _, test := range []struct {
		name, url string
		limit     time.Duration
		reason    string
	}{
		{"stalls", newPeerServer(t, stall(t)), 50 * time.Millisecond, "Twilio did not answer in time"},
		{"drops", newPeerServer(t, breakOff), longEnough, "Twilio broke the connection off"},
		{"is gone", unusedURL(t), longEnough, "Twilio cannot be reached"},
		{"redirects", redirect, longEnough, "Twilio answered 307"},
	} {
		err := newTwilio(t, test.url, twilioNumber).Send(peerContext(t, test.limit), textMessage(), "123456")
		mustFail(t, err, false, test.reason)
	}
	if strayed.Load() != 0 {
		t.Error("followed a redirect")
	}
}

// A message that Twilio has made is not sent again because its connection broke off thereafter.
func TestTwilioBreaksOffAfterItsAnswer(t *testing.T) {
	t.Parallel()
	server := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		w.(http.Flusher).Flush()
		breakOff(w, r)
	})
	if err := newTwilio(t, server, twilioNumber).Send(peerContext(t, longEnough), textMessage(), "123456"); err != nil {
		t.Error(err)
	}
}

func TestTwilioAtOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]string{}
	server := newPeerServer(t, func(w http.ResponseWriter, r *http.Request) {
		form := checkTwilioRequest(t, r, "")
		mu.Lock()
		defer mu.Unlock()
		seen[form.Get("To")] = form.Get("Body")
		w.WriteHeader(http.StatusCreated)
	})
	p := newTwilio(t, server, twilioNumber)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			m := textMessage()
			m.To = fmt.Sprintf("+49151234567%02d", i)
			if err := p.Send(peerContext(t, longEnough), m, "for "+m.To); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for to, text := range seen {
		if text != "for "+to {
			t.Errorf("%s was sent %q", to, text)
		}
	}
	if len(seen) != 50 {
		t.Errorf("%d recipients", len(seen))
	}
}
