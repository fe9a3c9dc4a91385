package ledger

import (
	"testing"
	"time"
)

// Without a ledger, whoever keeps an older version can go back to it.
func TestNoneForgetsDevices(t *testing.T) {
	const s = time.Second
	confirmed := version{generation: 1, next: 101}
	failed := version{1, 101, 0, 4, s}
	tests := []struct {
		name  string
		steps []deviceStep
	}{
		{"a code is right as often as an older version is sent", []deviceStep{
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
			{backup(3).of(confirmed), stands{Admitted, version{1, 101, 0b1000, 0, 0}}},
			{backup(3).of(confirmed), stands{Admitted, version{1, 101, 0b1000, 0, 0}}},
		}},
		{"but not with the version that tells of it", []deviceStep{
			{code(101).of(version{1, 102, 0, 0, 0}), stands{Used, version{1, 102, 0, 0, 0}}},
			{code(100).of(version{1, 102, 0, 0, 0}), stands{Wrong, version{1, 102, 0, 1, 0}}},
			{backup(3).of(version{1, 102, 0b1000, 0, 0}), stands{Used, version{1, 102, 0b1000, 0, 0}}},
		}},
		{"failures are the version's", []deviceStep{
			{wrongCode.of(confirmed), stands{Wrong, version{1, 101, 0, 1, 0}}},
			{wrongCode.of(confirmed), stands{Wrong, version{1, 101, 0, 1, 0}}},
			{wrongCode.of(version{1, 101, 0, 3, 0}), stands{Wrong, failed}},
			{code(101).of(failed), stands{Throttled, failed}},
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
			{code(101).of(failed).later(s), stands{Admitted, version{1, 102, 0, 0, 0}}},
		}},
		{"an unlock is of the version that comes back", []deviceStep{
			{forgive.of(failed), stands{Admitted, confirmed}},
			{code(101).of(failed), stands{Throttled, failed}},
		}},
		{"an older generation stays good", []deviceStep{
			{confirm(100), stands{Admitted, confirmed}},
			{confirm(100), stands{Admitted, confirmed}},
			{confirm(101).of(confirmed), stands{Confirmed, confirmed}},
			{renew.of(version{1, 101, 0b11, 0, 0}), stands{Admitted, version{2, 101, 0, 0, 0}}},
			{backup(3).of(confirmed), stands{Admitted, version{1, 101, 0b1000, 0, 0}}},
			{renew.of(confirmed), stands{Admitted, version{2, 101, 0, 0, 0}}},
		}},
		{"an end is not possible", []deviceStep{
			{disable.of(failed), stands{Disabled, failed}},
			{code(101).of(confirmed), stands{Admitted, version{1, 102, 0, 0, 0}}},
		}},
		{"a look tells what the version does", []deviceStep{
			{look.of(failed), stands{Admitted, failed}},
			{look.of(version{3, 7, 0b101, 9, time.Hour}), stands{Admitted, version{3, 7, 0b101, 9, time.Hour}}},
			{look, stands{Admitted, version{}}},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id := newID()
			for i, step := range test.steps {
				if got, err := step.op.do(None{Throttle{After: 20, Factor: s, Max: time.Minute}}, id); err != nil || got != step.want {
					t.Fatalf("step %d, %+v = %v, %v; want %v", i+1, step.op, got, err, step.want)
				}
			}
		})
	}
}
