package otp

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// systemPython is Debian's, the one that its package python3-cryptography is for.
const systemPython = "/usr/bin/python3"

// needPython skips t without Python's cryptography; where CI is set it fails instead.
func needPython(t testing.TB) {
	t.Helper()
	if exec.Command(systemPython, "-c", "import cryptography.fernet").Run() == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("python3-cryptography is not installed")
	}
	t.Skip("python3-cryptography is not installed")
}

type pythonRequest struct {
	Do      string         `json:"do"`
	Key     string         `json:"key"`
	Context string         `json:"context,omitempty"`
	Claims  map[string]any `json:"claims,omitempty"`
}

type pythonAnswer struct {
	Context string
	Claims  map[string]any
	Types   map[string]string
}

func python(t testing.TB, request pythonRequest) (answer pythonAnswer) {
	t.Helper()
	request.Key = testKey
	input, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	command := exec.Command(systemPython, "testdata/interop.py")
	command.Stdin, command.Stderr = bytes.NewReader(input), &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("interop.py: %v\n%s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(output, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestPythonOpensOurContexts(t *testing.T) {
	needPython(t)
	tests := []struct {
		name               string
		request            GenerateRequest
		at                 time.Duration
		identifier         any
		metadata           any
		identifierType     string
		metadataType       string
		timestamp, expires float64
	}{
		{
			name:       "with all that Python knows",
			request:    GenerateRequest{Identifier: pointer("ünï@example.invalid"), Metadata: jsontext.Value(`{"a": [1, "✓"]}`)},
			at:         250 * time.Millisecond,
			identifier: "ünï@example.invalid", metadata: map[string]any{"a": []any{1.0, "✓"}},
			identifierType: "str", metadataType: "dict",
			timestamp: 1767225600.25, expires: 1767225900.25,
		},
		{
			name:           "with nothing, on a whole second",
			identifierType: "NoneType", metadataType: "NoneType",
			timestamp: 1767225600, expires: 1767225900,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			f.clock = start.Add(test.at)
			issued := f.mustGenerate(t, test.request)
			token := issued.Context
			for retries := range 2 {
				answer := python(t, pythonRequest{Do: "open", Context: token})
				wantTypes := map[string]string{
					"identifier": test.identifierType, "otp_hash": "str", "metadata": test.metadataType,
					"timestamp": "float", "otp_expiry": "float", "session_expiry": "float",
					"retry_count": "int", "max_retries": "int", "id": "str",
				}
				if !reflect.DeepEqual(answer.Types, wantTypes) {
					t.Errorf("types %v\nwant  %v", answer.Types, wantTypes)
				}
				want := map[string]any{
					"identifier": test.identifier, "otp_hash": pythonHash(issued.OTP), "metadata": test.metadata,
					"timestamp": test.timestamp, "otp_expiry": test.expires, "session_expiry": test.expires + 600,
					"retry_count": float64(retries), "max_retries": 3.0, "id": issued.ID,
				}
				if !reflect.DeepEqual(answer.Claims, want) {
					t.Errorf("claims %v\nwant   %v", answer.Claims, want)
				}
				token = f.mustBeWrong(t, token).Context
			}
		})
	}
}

// pythonHash returns the SHA-256 of a code as Python writes it.
func pythonHash(code string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(code))) }

func TestPythonsContextsAreVerified(t *testing.T) {
	needPython(t)
	const code = "036893"
	sealed := python(t, pythonRequest{Do: "seal", Claims: map[string]any{
		"identifier": "ünï@example.invalid", "otp_hash": pythonHash(code), "metadata": map[string]any{"ünï": "✓"},
		"timestamp": 1767225600.123456, "otp_expiry": 1767225900.123456, "session_expiry": 1767226500.123456,
		"retry_count": 0, "max_retries": 3,
	}}).Context
	continued := python(t, pythonRequest{Do: "continue", Context: sealed}).Context
	for _, l := range ledgers {
		t.Run(l.name, func(t *testing.T) {
			f := newFixture(t, l.open(t))
			f.clock = start.Add(time.Minute)
			if a, b := f.claims(t, sealed).ID, f.claims(t, continued).ID; a != b {
				t.Errorf("the ids before and after a retry in Python are %s and %s", a, b)
			}
			wrong := f.mustBeWrong(t, continued)
			if wrong.AttemptsRemaining != 1 {
				t.Errorf("%d remain, want 1", wrong.AttemptsRemaining)
			}
			verified, err := f.try(wrong.Context, code)
			if err != nil || verified.RetryCount != 2 || verified.Identifier == nil || *verified.Identifier != "ünï@example.invalid" ||
				!sameJSON(t, verified.Metadata, []byte(`{"ünï":"✓"}`)) {
				t.Errorf("verified %+v, %v", verified, err)
			}
		})
	}
}

// Python may take over from us, count a wrong code, and hand back.
func TestPythonContinuesOurContexts(t *testing.T) {
	needPython(t)
	for _, l := range ledgers {
		t.Run(l.name, func(t *testing.T) {
			f := newFixture(t, l.open(t))
			issued := f.mustGenerate(t, GenerateRequest{Purpose: ""})
			token := f.mustBeWrong(t, issued.Context).Context
			for range 2 {
				token = python(t, pythonRequest{Do: "continue", Context: token}).Context
			}
			if _, err := f.try(token, issued.OTP); !errors.Is(err, ErrMaxRetriesExceeded) {
				t.Errorf("after three wrong codes, two of them counted by Python: %v", err)
			}
		})
		t.Run(l.name+", with an attempt left", func(t *testing.T) {
			f := newFixture(t, l.open(t))
			issued := f.mustGenerate(t, GenerateRequest{Metadata: jsontext.Value(`[1.0]`)})
			token := f.mustBeWrong(t, issued.Context).Context
			token = python(t, pythonRequest{Do: "continue", Context: token}).Context
			if verified, err := f.try(token, issued.OTP); err != nil || verified.RetryCount != 2 || verified.ID != issued.ID {
				t.Errorf("verified %+v, %v", verified, err)
			}
		})
	}
}
