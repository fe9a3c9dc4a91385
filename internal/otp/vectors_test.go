package otp

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"
)

// What django-otp-actions sealed, and how it judged attempts.
type djangoVector struct {
	Name, Key, OTP, Context string
	Attempts                []struct {
		At, Context, OTP string
		Expect           struct {
			Outcome           string
			AttemptsRemaining int `json:"attempts_remaining"`
			Identifier        *string
			Metadata          json.RawMessage
			RetryCount        int `json:"retry_count"`
		}
	}
}

const vectorsFile = "../../testdata/django-otp-actions.json"

func TestVectorsAreTheSharedOnes(t *testing.T) {
	shared, err := os.ReadFile("../../../shared/vectors/django-otp-actions.json")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the shared vectors are not here to compare with")
	}
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, shared) {
		t.Error("testdata/django-otp-actions.json is not the shared file")
	}
}

func readVectors(t testing.TB) []djangoVector {
	t.Helper()
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []djangoVector }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	return file.Vectors
}

func TestDjangoOTPActionsVectors(t *testing.T) {
	for _, l := range ledgers {
		for _, v := range readVectors(t) {
			t.Run(l.name+", their contexts, "+v.Name, func(t *testing.T) { replay(t, l.open(t), v, false) })
			t.Run(l.name+", our contexts, "+v.Name, func(t *testing.T) { replay(t, l.open(t), v, true) })
		}
	}
}

// replay makes the attempts of a vector, with the contexts that the Python library went on with or with
// those that we return.
func replay(t *testing.T, l Ledger, v djangoVector, ours bool) {
	f := newFixtureWithKey(t, v.Key, l)
	token := v.Context
	for i, a := range v.Attempts {
		var err error
		if f.clock, err = time.Parse("2006-01-02T15:04:05", a.At); err != nil {
			t.Fatal(err)
		}
		if !ours {
			token = a.Context
		}
		verified, err := f.try(token, a.OTP)
		if got := outcome(err); got != a.Expect.Outcome {
			t.Fatalf("attempt %d: %s (%v), want %s", i+1, got, err, a.Expect.Outcome)
		}
		if wrong, ok := errors.AsType[*WrongCodeError](err); ok {
			if wrong.AttemptsRemaining != a.Expect.AttemptsRemaining {
				t.Errorf("attempt %d: %d remain, want %d", i+1, wrong.AttemptsRemaining, a.Expect.AttemptsRemaining)
			}
			token = wrong.Context
		}
		if err != nil {
			continue
		}
		if !reflect.DeepEqual(verified.Identifier, a.Expect.Identifier) || verified.RetryCount != a.Expect.RetryCount ||
			!sameJSON(t, verified.Metadata, a.Expect.Metadata) {
			t.Errorf("attempt %d: %+v, want %+v", i+1, verified, a.Expect)
		}
	}
}

func outcome(err error) string {
	_, wrong := errors.AsType[*WrongCodeError](err)
	switch {
	case err == nil:
		return "VERIFIED"
	case wrong:
		return "INVALID_OTP"
	case errors.Is(err, ErrOTPExpired):
		return "OTP_EXPIRED"
	case errors.Is(err, ErrSessionExpired):
		return "SESSION_EXPIRED"
	case errors.Is(err, ErrMaxRetriesExceeded):
		return "MAX_RETRIES_EXCEEDED"
	}
	return "something else"
}

// sameJSON compares values, either of which may be absent for null.
func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	var values [2]any
	for i, data := range [][]byte{a, b} {
		if len(data) == 0 {
			continue
		}
		if err := json.Unmarshal(data, &values[i]); err != nil {
			t.Fatal(err)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}
