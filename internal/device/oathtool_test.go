package device

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/testtool"
)

// oathtool returns the codes that another implementation makes.
func oathtool(t testing.TB, secret string, args ...string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "oathtool", append(args, "--base32", "-")...)
	command.Stdin = strings.NewReader(secret)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("oathtool %s: %v", args, err)
	}
	return strings.Fields(string(out))
}

// A new device of each kind that there is verifies what another implementation shows for its secret.
func TestOathtoolMakesTheCodes(t *testing.T) {
	testtool.Need(t, "CI", "oathtool")
	f := newFixture(t, newMemory(t))
	f.clock = start.Add(123456789 * time.Second)
	for _, digits := range []int{6, 8} {
		for _, period := range []int{15, 30, 45, 60} {
			for _, algorithm := range []string{"SHA1", "SHA256", "SHA512"} {
				t.Run(fmt.Sprintf("%d digits, %d s, %s", digits, period, algorithm), func(t *testing.T) {
					enrolled, err := f.Enroll(f.caller, EnrollRequest{Identifier: ann, Digits: &digits, Period: &period, Algorithm: &algorithm})
					if err != nil {
						t.Fatal(err)
					}
					token := f.edit(t, enrolled.Device, func(d *state) { d.generation = 1 })
					codes := oathtool(t, enrolled.Secret, "--totp="+algorithm, "--digits", strconv.Itoa(digits),
						"--time-step-size", fmt.Sprintf("%ds", period), "--now", f.clock.Format("2006-01-02 15:04:05 UTC"), "--window", "1")
					step := f.clock.Unix() / int64(period)
					for i, code := range codes { // of this step and the next
						if verified := f.mustVerify(t, token, code); verified.Number != step+int64(i) {
							t.Errorf("%s is said to be of step %d, want %d", code, verified.Number, step+int64(i))
						}
					}
					if len(codes) != 2 {
						t.Errorf("%d codes", len(codes))
					}
				})
			}
		}
	}
}

func TestOathtoolMakesTheHOTPCodes(t *testing.T) {
	testtool.Need(t, "CI", "oathtool")
	f := newFixture(t, newMemory(t))
	for _, digits := range []int{6, 8} {
		enrolled, err := f.Enroll(f.caller, EnrollRequest{Type: HOTP, Identifier: ann, Digits: &digits})
		if err != nil {
			t.Fatal(err)
		}
		token := f.edit(t, enrolled.Device, func(d *state) { d.generation = 1 })
		codes := oathtool(t, enrolled.Secret, "--hotp", "--digits", strconv.Itoa(digits), "--counter", "3", "--window", "12")
		for i, code := range codes {
			verified := f.mustVerify(t, token, code)
			if verified.Number != int64(3+i) {
				t.Errorf("%s is said to be of counter %d, want %d", code, verified.Number, 3+i)
			}
			token = verified.Device
		}
		if len(codes) != 13 {
			t.Errorf("%d codes", len(codes))
		}
	}
}

// From the secret on the screen to the first login.
func TestOathtoolEnrolls(t *testing.T) {
	testtool.Need(t, "CI", "oathtool")
	f := newFixture(t, newMemory(t))
	enrolled, err := f.Enroll(f.caller, EnrollRequest{Identifier: ann})
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		return oathtool(t, enrolled.Secret, "--totp", "--now", f.clock.Format("2006-01-02 15:04:05 UTC"))[0]
	}
	confirmed, err := f.confirm(enrolled.Device, shown())
	if err != nil {
		t.Fatal(err)
	}
	f.later(time.Minute)
	f.mustVerify(t, confirmed.Device, shown())
}
