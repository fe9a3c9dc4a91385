package main

import "testing"

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
					return metricOf(t, p, "go_memstats_next_gc_bytes") >= minHeap == test.held
				})
			}
		})
	}
}
