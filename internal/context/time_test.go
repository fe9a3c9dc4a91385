package otpcontext

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

// Times are read and written as strconv does, whichever way they take.
func TestTimes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{"0", "0.0", "0.5", "1767225600", "1767225600.0", "1767225600.123457", "7258118400.999999",
		"946684800.000001", "9007199254740993", "900719925474099.3", "0.1234567890123456789", "1e9", "1.5E+9", "-1.5", "1e308"}
	for range 100_000 {
		texts = append(texts, strconv.FormatFloat(minTime+random.Float64()*(maxTime-minTime), 'f', random.IntN(8), 64))
	}
	for _, text := range texts {
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parseTime([]byte(text))
		if !ok || got != want {
			t.Fatalf("parseTime(%s) = %v, %v, want %v", text, got, ok, want)
		}
		written := string(appendTime(nil, got))
		if again, err := strconv.ParseFloat(written, 64); err != nil || again != want {
			t.Fatalf("appendTime(%v) = %s", want, written)
		}
	}
	for _, text := range []string{`"1767225600"`, "null", "true", `[1]`, "NaN"} {
		if got, ok := parseTime([]byte(text)); ok {
			t.Errorf("parseTime(%s) = %v, want a refusal", text, got)
		}
	}
}
