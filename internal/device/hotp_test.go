package device

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

func TestLookAhead(t *testing.T) {
	for ahead, want := range map[int64]error{0: nil, 1: nil, 10: nil, 11: errWrongCode, 12: errWrongCode} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			forEachLedger(t, func(t *testing.T, l Ledger) {
				f := newFixture(t, l)
				token, app := f.device(t, EnrollRequest{Type: HOTP})
				for _, next := range []int64{0, 41} {
					token := f.edit(t, token, func(d *state) { d.id = otp.NewID(); d.next = next })
					verified, err := f.verify(token, app.code(next+ahead))
					if verdict(err) != want {
						t.Errorf("from %d: %v, want %v", next, err, want)
					}
					if err == nil && (verified.Number != next+ahead || f.state(t, verified.Device).next != next+ahead+1) {
						t.Errorf("from %d: said to be of counter %d", next, verified.Number)
					}
				}
			})
		})
	}
}

func TestCounterNeverGoesBack(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, app := f.device(t, EnrollRequest{Type: HOTP})
		token = f.mustVerify(t, token, app.code(7)).Device
		for counter := range int64(7) {
			f.later(time.Minute) // after any lock
			if _, err := f.verify(token, app.code(counter)); verdict(err) != errWrongCode {
				t.Errorf("counter %d after 7: %v", counter, err)
			}
		}
		f.later(time.Minute)
		if _, err := f.verify(token, app.code(7)); err != ErrCodeAlreadyUsed {
			t.Errorf("counter 7 again: %v", err)
		}
		f.mustVerify(t, token, app.code(8))
	})
}

// Counter 0 has none before it that could have been used.
func TestFirstCounter(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		token, app := f.device(t, EnrollRequest{Type: HOTP})
		f.mustBeWrong(t, token, app.code(-1))
		f.mustVerify(t, token, app.code(0))
	})
}

// Whoever restores a backup has old versions. They verify the codes of now, and no others.
func TestOldVersionDoesNotFallBehind(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		oldest, app := f.device(t, EnrollRequest{Type: HOTP})
		token := oldest
		for counter := range int64(50) {
			token = f.mustVerify(t, token, app.code(counter)).Device
		}
		f.mustBeWrong(t, oldest, app.code(0))
		f.mustBeWrong(t, oldest, app.code(5))
		if _, err := f.verify(oldest, app.code(49)); err != ErrCodeAlreadyUsed {
			t.Errorf("the last code: %v", err)
		}
		f.mustBeWrong(t, oldest, app.code(61))
		verified := f.mustVerify(t, oldest, app.code(60))
		if verified.Number != 60 {
			t.Errorf("said to be of counter %d", verified.Number)
		}
		f.mustVerify(t, token, app.code(61))
	})
}

func TestResyncHOTP(t *testing.T) {
	for name, test := range map[string]struct {
		first, second int64
		want          error
	}{
		"without a gap":            {5, 6, nil},
		"as far ahead as can be":   {1005, 1006, nil},
		"further ahead":            {1006, 1007, errWrongCode},
		"behind":                   {4, 5, errWrongCode},
		"not in a row":             {100, 102, errWrongCode},
		"in the wrong order":       {101, 100, errWrongCode},
		"the same code twice":      {100, 100, errWrongCode},
		"only the second is right": {2000, 101, errWrongCode},
	} {
		t.Run(name, func(t *testing.T) {
			forEachLedger(t, func(t *testing.T, l Ledger) {
				f := newFixture(t, l)
				token, app := f.device(t, EnrollRequest{Type: HOTP})
				token = f.edit(t, token, func(d *state) { d.next = 5 })
				resynced, _, err := f.Resync(context.Background(), f.caller, token, app.code(test.first), app.code(test.second))
				if verdict(err) != test.want {
					t.Fatalf("%v, want %v", err, test.want)
				}
				if err != nil {
					if d := f.state(t, err.(*WrongCodeError).Device); d.failures != 1 || d.next != 5 {
						t.Errorf("%d wrong codes are counted, next is %d", d.failures, d.next)
					}
					return
				}
				if _, err := f.verify(resynced, app.code(test.second)); err != ErrCodeAlreadyUsed {
					t.Errorf("its second code to verify: %v", err)
				}
				f.mustVerify(t, resynced, app.code(test.second+1))
			})
		})
	}
}

// An old version counts from where the ledger is.
func TestResyncOfAnOldVersion(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		oldest, app := f.device(t, EnrollRequest{Type: HOTP})
		ctx := context.Background()
		if _, _, err := f.Resync(ctx, f.caller, oldest, app.code(1000), app.code(1001)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Resync(ctx, f.caller, oldest, app.code(700), app.code(701)); verdict(err) != errWrongCode {
			t.Errorf("counters that are gone: %v", err)
		}
		if _, _, err := f.Resync(ctx, f.caller, oldest, app.code(1900), app.code(1901)); err != nil {
			t.Errorf("counters within 1000 of the last: %v", err)
		}
	})
}

func TestHOTPHasNoPeriod(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, _ := f.device(t, EnrollRequest{Type: HOTP, Period: pointer(60)})
	if description, err := Describe(f.sealer, token); err != nil || description.Period != 0 {
		t.Errorf("%+v, %v", description, err)
	}
}

// Two counters within reach may have one code. It counts for the least of them that has not been used.
func TestCodeOfTwoCounters(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, app := f.device(t, EnrollRequest{Type: HOTP})
	var first, second int64
	for seen := make(map[string]int64); first == 0; second++ {
		code := app.code(second + 1)
		if before, ok := seen[code]; ok && second+1-before < LookAhead {
			first = before
		}
		seen[code] = second + 1
	}
	token = f.edit(t, token, func(d *state) { d.next = first })
	for _, counter := range []int64{first, second} {
		verified := f.mustVerify(t, token, app.code(first))
		if verified.Number != counter {
			t.Errorf("said to be of counter %d, want %d", verified.Number, counter)
		}
		token = verified.Device
	}
	if _, err := f.verify(token, app.code(first)); err != ErrCodeAlreadyUsed {
		t.Errorf("a third time: %v", err)
	}
}
