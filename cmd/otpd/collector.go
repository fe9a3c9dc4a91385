package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// minHeap is how many bytes the heap grows to before the garbage collector runs, however little is kept. Go's own 4 MB
// would have it run every few hundred requests, for a tenth of the processor time that they take.
const minHeap = 16 << 20

// holdCollector sees to minHeap, now and after each collection. Where more than half of it is kept, the heap doubles,
// as it does by itself. An operator's GOGC is left as it is.
func holdCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	kept := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(kept)
	debug.SetGCPercent(max(100, int(100*minHeap/max(1, kept[0].Value.Uint64()))-100))
	runtime.AddCleanup(new([16]byte), func(struct{}) { holdCollector() }, struct{}{})
}
