package device

import (
	"context"
	"testing"
	"time"
)

// The secrets of both RFCs are these digits over and over, as many as the hash has bytes.
const digits64 = "1234567890123456789012345678901234567890123456789012345678901234"

// hotpVectors are those of RFC 4226 Appendix D: by the counter, the truncated hash, of which a code has the last
// digits.
var hotpVectors = []string{
	"1284755224", "1094287082", "0137359152", "1726969429", "1640338314",
	"0868254676", "1918287922", "0082162583", "0673399871", "0645520489",
}

// totpVectors are those of RFC 6238 Appendix B, with its erratum 2866 on the length of the secrets.
var totpVectors = []struct {
	time, step           int64
	sha1, sha256, sha512 string
}{
	{59, 0x1, "94287082", "46119246", "90693936"},
	{1111111109, 0x23523EC, "07081804", "68084774", "25091201"},
	{1111111111, 0x23523ED, "14050471", "67062674", "99943326"},
	{1234567890, 0x273EF07, "89005924", "91819424", "93441116"},
	{2000000000, 0x3F940AA, "69279037", "90698825", "38618901"},
	{20000000000, 0x27BC86AA, "65353130", "77737706", "47863826"},
}

func TestHOTPVectors(t *testing.T) {
	for digits, name := range map[int]string{6: "six digits", 8: "eight digits"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newMemory(t))
			enrolled, app := f.mustEnroll(t, EnrollRequest{Type: HOTP, Digits: &digits, Secret: base32Of(digits64[:20])})
			token := enrolled.Device
			for counter, truncated := range hotpVectors {
				code := truncated[len(truncated)-digits:]
				if shown := app.code(int64(counter)); shown != code {
					t.Errorf("counter %d: the tests themselves have %s, the RFC %s", counter, shown, code)
				}
				if counter == 0 {
					confirmed, err := f.Confirm(context.Background(), f.caller, token, code)
					if err != nil {
						t.Fatalf("to confirm, %s: %v", code, err)
					}
					token = confirmed.Device
					continue
				}
				verified := f.mustVerify(t, token, code)
				if verified.Number != int64(counter) || verified.Method != HOTP {
					t.Errorf("%s is said to be of %s %d", code, verified.Method, verified.Number)
				}
				token = verified.Device
			}
		})
	}
}

func TestTOTPVectors(t *testing.T) {
	for algorithm, size := range map[string]int{"SHA1": 20, "SHA256": 32, "SHA512": 64} {
		t.Run(algorithm, func(t *testing.T) {
			f := newFixture(t, newMemory(t), func(c *Config) { c.Enrollment = time.Minute })
			f.clock = time.Unix(totpVectors[0].time, 0)
			enrolled, app := f.mustEnroll(t, EnrollRequest{
				Digits: pointer(8), Algorithm: &algorithm, Secret: base32Of(digits64[:size]),
			})
			token := enrolled.Device
			for i, v := range totpVectors {
				f.clock = time.Unix(v.time, 0)
				code := map[string]string{"SHA1": v.sha1, "SHA256": v.sha256, "SHA512": v.sha512}[algorithm]
				if shown := app.at(f.clock); shown != code {
					t.Errorf("at %d: the tests themselves have %s, the RFC %s", v.time, shown, code)
				}
				if i == 0 {
					confirmed, err := f.Confirm(context.Background(), f.caller, token, code)
					if err != nil {
						t.Fatalf("to confirm, %s: %v", code, err)
					}
					token = confirmed.Device
					continue
				}
				verified := f.mustVerify(t, token, code)
				if verified.Number != v.step || verified.Method != TOTP {
					t.Errorf("%s is said to be of %s %d, want step %d", code, verified.Method, verified.Number, v.step)
				}
				if drift := f.mustInspect(t, verified.Device).Drift; drift != 0 {
					t.Errorf("at %d the device is said to be %d steps off", v.time, drift)
				}
				token = verified.Device
			}
		})
	}
}

// Of every vector at hand, none is good with another algorithm or number of digits.
func TestVectorsAreOfTheirAlgorithm(t *testing.T) {
	f := newFixture(t, newMemory(t))
	for algorithm, size := range map[string]int{"SHA1": 20, "SHA256": 32, "SHA512": 64} {
		for _, v := range totpVectors {
			f.clock = time.Unix(v.time, 0)
			token, _ := f.device(t, EnrollRequest{Digits: pointer(8), Algorithm: &algorithm, Secret: base32Of(digits64[:size])})
			for other, code := range map[string]string{"SHA1": v.sha1, "SHA256": v.sha256, "SHA512": v.sha512} {
				if _, err := f.verify(token, code); (err == nil) != (other == algorithm) {
					t.Errorf("at %d a code of %s for a device of %s: %v", v.time, other, algorithm, err)
				}
			}
		}
	}
}
