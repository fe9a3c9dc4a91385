package main

import (
	"strconv"
	"strings"
	"testing"
)

// TestCollectorIsHeld reads from the metrics how far the heap may grow.
func TestCollectorIsHeld(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env  []string
		held bool
	}{
		"by default":         {nil, true},
		"not if GOGC is set": {[]string{"GOGC=100"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launchBuilt(t, append(test.env, keyVariable+"="+newKey(t), "OTP_PPROF=true")...)
			admin := newClient(t, p.admin, nil)
			for range 3 { // it is asked for again after each collection
				admin.get(t, "200", "/debug/pprof/heap?gc=1")
				eventually(t, "the bound on the heap to be as it should", func() bool {
					return heapBound(t, admin) >= minHeap == test.held
				})
			}
		})
	}
}

// heapBound returns the size of the heap, in bytes, at which the next collection begins.
func heapBound(tb testing.TB, admin *client) float64 {
	tb.Helper()
	text := string(admin.get(tb, "200", "/metrics").body)
	_, after, _ := strings.Cut(text, "\ngo_memstats_next_gc_bytes ")
	value, _, _ := strings.Cut(after, "\n")
	bound, err := strconv.ParseFloat(value, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return bound
}
