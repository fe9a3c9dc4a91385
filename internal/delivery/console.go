package delivery

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// ConsoleChannel writes messages down, for whoever develops an application. It takes any address.
type ConsoleChannel struct {
	templates *Templates
	mu        sync.Mutex
	w         io.Writer
}

// NewConsole returns a channel that writes a line for each message to w, as an SMS would have it.
func NewConsole(w io.Writer, templates *Templates) *ConsoleChannel {
	return &ConsoleChannel{templates: templates, w: w}
}

// Recipient takes any text.
func (c *ConsoleChannel) Recipient(to string) (Recipient, error) { return parsePlain(to) }

// Check reports whether there is a template for m, and whether it can do with its variables.
func (c *ConsoleChannel) Check(m Message) error { return c.templates.Check(m) }

// Deliver writes m down.
func (c *ConsoleChannel) Deliver(_ context.Context, m Message) error {
	text, err := c.templates.SMS(m)
	if err != nil {
		return &Failure{Permanent: true, Reason: "the template has no words for it"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := fmt.Fprintf(c.w, "to %s: %s\n", m.To, text); err != nil {
		return &Failure{Reason: "the console takes no more"}
	}
	return nil
}
