// Package delivery carries codes to whom they are for: by e-mail, by SMS, to an endpoint of the application's own, or
// onto a console. It decides how often a recipient is written to, and what a failure means. A channel's peer is
// trusted with the code and the recipient's address, and with nothing else; what it says of a failure is repeated
// in otpd's own words only, since it may quote either.
package delivery

import (
	"context"
	"time"
)

// Names of channels.
const (
	Email   = "email"
	SMS     = "sms"
	Webhook = "webhook"
	Console = "console"
)

// Channel delivers messages. It is safe for concurrent use.
type Channel interface {
	// Recipient reads an address as a caller writes it. The error is an [otp.FieldError] for the field to.
	Recipient(to string) (Recipient, error)
	// Check reports whether m could be put into words, before anything is counted. Its code is only like the one that
	// will be sent. The error is an [otp.FieldError] for locale, template, variables or purpose.
	Check(m Message) error
	// Deliver hands m over, and returns once the peer has taken responsibility for it. It ends with ctx. The error is
	// a [*Failure].
	Deliver(ctx context.Context, m Message) error
}

// Recipient is whom a channel reaches at one address.
type Recipient struct {
	Address string // canonical, as Message.To takes it; at most otpcontext.MaxIdentifier bytes
	Masked  string // enough for its owner to know it, and for nobody else
	Counted string // the same for all addresses that reach the same person; for counting only
	Prefix  string // the calling code of a phone number ("+49"); empty for anything else
}

// Message is a code on its way.
type Message struct {
	ID             string // of the delivery, 22 characters
	To             string // a Recipient's Address
	Code           string
	VerificationID string
	Purpose        string // may be empty
	SentAt         time.Time
	ExpiresAt      time.Time         // of the code
	Locale         string            // BCP 47; empty for English
	Template       string            // empty for the default one
	Variables      map[string]string // for the template; may be nil
}

// Failure is the error of a delivery that did not come about. It holds no code, no address and nothing that a peer
// has written.
type Failure struct {
	Permanent bool   // to try again would be of no use
	Unknown   bool   // the message may arrive all the same, and so it counts
	Reason    string // to follow "the code could not be delivered: ", like "the mail server refused the recipient (550 5.1.1)"
}

func (f *Failure) Error() string { return "delivery: " + f.Reason }
