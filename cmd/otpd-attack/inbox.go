package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// inbox is where services deliver codes, in place of all recipients. It takes what it is sent and verifies no
// signature: what matters is how much comes.
type inbox struct {
	url    string
	server *http.Server
	mu     sync.Mutex
	boxes  map[string]*box // by recipient
}

// box is what came for one recipient.
type box struct {
	came     int             // messages, taken or not
	taken    map[string]bool // by the id of their delivery: a service may try one again
	code     string          // of the last that was taken
	statuses []int           // to answer in turn; none for 200
}

// webhookSecret is the key that messages are signed with: 32 bytes in base64.
const webhookSecret = "whsec_b3RwZCBvdHBkIG90cGQgb3RwZCBvdHBkIG90cGQgb3Q="

func openInbox() (*inbox, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &inbox{url: "http://" + listener.Addr().String(), boxes: make(map[string]*box)}
	b.server = &http.Server{Handler: b, ReadTimeout: bound, ErrorLog: log.New(io.Discard, "", 0)}
	go b.server.Serve(listener) // until it is closed
	return b, nil
}

func (b *inbox) close() { _ = b.server.Close() }

// gateway describes the inbox as a gateway for SMS, whose requests are like those of a webhook.
func (b *inbox) gateway() []byte {
	data, err := json.Marshal(fields{
		"url": b.url, "headers": fields{"Content-Type": "application/json"},
		"body": `{"data": {"to": "{{to}}", "code": "{{code}}", "delivery_id": "{{id}}"}}`,
	})
	if err != nil {
		panic(err) // it is text alone
	}
	return data
}

// of returns what came for a recipient. The caller has the lock.
func (b *inbox) of(to string) *box {
	if b.boxes[to] == nil {
		b.boxes[to] = &box{taken: make(map[string]bool)}
	}
	return b.boxes[to]
}

// ServeHTTP takes a message, unless it was told to refuse it.
func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var message struct {
		Data struct {
			To, Code   string
			DeliveryID string `json:"delivery_id"`
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status := b.take(message.Data.To, message.Data.DeliveryID, message.Data.Code)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "3600") // longer than a service will wait
	}
	w.WriteHeader(status)
}

func (b *inbox) take(to, id, code string) (status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	box := b.of(to)
	status = http.StatusOK
	if len(box.statuses) > 0 {
		status = box.statuses[box.came%len(box.statuses)]
	}
	box.came++
	if status == http.StatusOK {
		box.taken[id], box.code = true, code
	}
	return status
}

// What an inbox refuses messages with: for good, and for now.
const (
	forGood = http.StatusBadRequest
	forNow  = http.StatusServiceUnavailable
)

// answer makes the inbox answer the messages for a recipient with these statuses, in turn.
func (b *inbox) answer(to string, statuses ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of(to).statuses = statuses
}

// arrived returns how many messages some recipients have got.
func (b *inbox) arrived(recipients ...string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, to := range recipients {
		n += len(b.of(to).taken)
	}
	return n
}

// code returns the code that a recipient got last, or nothing.
func (b *inbox) code(to string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of(to).code
}

// The limits of a recipient, but for the one of a day.
const (
	sendInterval  = time.Minute // but for resends
	sendsTogether = 5           // in longer than bound
)

// sendsAllowed is how many messages one recipient may get in some time, but for resends.
func sendsAllowed(elapsed time.Duration) int { return min(1+int(elapsed/sendInterval), sendsTogether) }
