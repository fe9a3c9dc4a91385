package delivery

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/otpd/otpd/internal/egress"
)

// peer is somebody who is asked over HTTP to deliver a message.
type peer struct {
	name   string // for reasons: "Twilio", "the SMS gateway"
	client *http.Client
}

const maxAnswer = 64 << 10 // bytes of a body that are read

func newPeer(name string) *peer { return &peer{name, egress.NewClient()} }

// answer is what a peer has said.
type answer struct {
	status    int
	body      []byte // as much of it as came, at most maxAnswer
	brokenOff bool   // there was to be more of the body
}

// ask makes a request, once: what may have been received is not sent again, as it would be a second message. It ends
// with ctx. The error is a [*Failure].
func (p *peer) ask(ctx context.Context, method, url string, header http.Header, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, p.noAnswer(err)
	}
	request.Header = header.Clone()
	// A GET that meets the end of a kept connection would be sent again by net/http, received or not.
	request.Close = method == http.MethodGet
	response, err := p.client.Do(request)
	if err != nil {
		return answer{}, p.noAnswer(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusSwitchingProtocols { // the body is a connection, which does not end with ctx
		return answer{status: response.StatusCode}, nil
	}
	// The status is what decides. A body that breaks off, or is too long, is judged by what there is of it.
	said, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return answer{response.StatusCode, said, err != nil}, nil
}

func (p *peer) noAnswer(err error) *Failure {
	reason, received := egress.NoAnswer(p.name, err)
	return &Failure{Unknown: received, Reason: reason}
}
