package ledger

import (
	"sync"
	"testing"
)

// faultyDevices are devices on which an operation each fails: those of losses.
type faultyDevices []string

func (r rig) prepareDevices(t testing.TB) (ids faultyDevices) {
	t.Helper()
	for _, loss := range losses {
		ids = append(ids, failedOnce(t, r.Redis, loss.op))
	}
	return ids
}

// fail has all operations fail, twice, at once with those on other devices. A server that still reads answers what
// writes nothing.
func (ids faultyDevices) fail(t testing.TB, r rig, reads bool) {
	t.Helper()
	var clients sync.WaitGroup
	for i, loss := range losses {
		clients.Go(func() {
			if loss.name == "a used code" && reads {
				return
			}
			r.failsDevice(t, loss.op, ids[i])
			r.failsDevice(t, loss.op, ids[i])
			if !reads {
				r.failsDevice(t, look.of(loss.op.told), ids[i])
			}
		})
	}
	clients.Wait()
}

// hold demands of each device, now that all is well again, that what failed has left nothing but a wrong code.
func (ids faultyDevices) hold(t testing.TB, r rig) {
	t.Helper()
	for i, loss := range losses {
		if !loss.op.isUndone() {
			continue // it may have come
		}
		got, err := look.of(version{generation: loss.left.generation}).do(r.Redis, ids[i])
		most := 1
		if loss.left.failures == 2 {
			most = 3 // it came up to twice
		}
		want := loss.left
		want.failures = got.failures
		if err != nil || got != (stands{Admitted, want}) || got.failures > most {
			t.Errorf("%s that failed left %v, %v; want %v", loss.name, got, err, loss.left)
		}
		if loss.left.failures == 1 && loss.name != "a renewal" && got.failures != 1 {
			t.Errorf("%s left %d failures, want 1", loss.name, got.failures)
		}
	}
}
