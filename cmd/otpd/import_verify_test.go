package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// systemPython is Debian's, the one that its package python3-cryptography is for.
const systemPython = "/usr/bin/python3"

// needPython skips t without Python's cryptography; where CI is set it fails instead.
func needPython(tb testing.TB) {
	tb.Helper()
	if exec.Command(systemPython, "-c", "import cryptography.fernet").Run() == nil {
		return
	}
	if os.Getenv("CI") != "" {
		tb.Fatal("python3-cryptography is not installed")
	}
	tb.Skip("python3-cryptography is not installed")
}

// pythonEncrypt returns a key of Python's making and texts sealed under it, as django-totp seals secrets.
func pythonEncrypt(tb testing.TB, texts ...string) (key string, sealed []string) {
	tb.Helper()
	out, err := exec.Command(systemPython, append([]string{"-c", `
import sys
from cryptography.fernet import Fernet

key = Fernet.generate_key()
print(key.decode())
for text in sys.argv[1:]:
    print(Fernet(key).encrypt(text.encode()).decode())
`}, texts...)...).Output()
	if err != nil {
		tb.Fatal(err)
	}
	lines := strings.Fields(string(out))
	return lines[0], lines[1:]
}

// importAll runs otpd import, which must import all rows, and returns the devices.
func importAll(tb testing.TB, input string, args []string, env ...string) []string {
	tb.Helper()
	cmd := command(tb.Context(), slices.Concat([]string{"import"}, args, []string{"-"}), env...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil || !strings.HasSuffix(stderr.String(), " imported, 0 not imported\n") {
		tb.Fatalf("otpd import: %v: %s", err, stderr.String())
	}
	return strings.Fields(string(out))
}

func TestImportedDevicesVerify(t *testing.T) {
	t.Parallel()
	key := keyVariable + "=" + newKey(t)
	p := launch(t, key, "OTP_API_KEYS=app:0123456789abcdef,other:0123456789abcdeg")
	app, other := newClient(t, p.addr, nil), newClient(t, p.addr, nil)
	app.secret, other.secret = "0123456789abcdef", "0123456789abcdeg"
	secret, err := hex.DecodeString(hexSecret)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(t *testing.T, want, token, code string) string {
		t.Helper()
		a := app.device(t, want, "verify", fields{"device": token, "otp": code})
		if want == "200 verified" && a.Identifier != "you@example.com" {
			t.Errorf("verified as %q", a.Identifier)
		}
		if a.Device != "" {
			token = a.Device
		}
		return token
	}

	t.Run("TOTP of django-otp", func(t *testing.T) {
		t.Parallel()
		step := time.Now().Unix() / 60
		used := replaced(t, totpRow, ",30,0,6,1,0,-1,", fmt.Sprintf(",60,0,6,1,0,%d,", step))
		ahead := replaced(t, totpRow, ",30,0,6,1,0,-1,", ",60,0,6,1,5,-1,")
		tokens := importAll(t, totpHeader+used+ahead, []string{"-namespace", "app", "django-otp"}, key)
		codes := &authenticator{secret: secret, next: step + 1} // all of them good, should a minute end in between
		verify(t, "409 CODE_ALREADY_USED", tokens[0], codes.codeOf(step))
		other.device(t, "400 INVALID_DEVICE", "verify", fields{"device": tokens[0], "otp": codes.codeOf(step + 1)})
		token := verify(t, "200 verified", tokens[0], codes.code())
		verify(t, "409 CODE_ALREADY_USED", tokens[0], codes.codeOf(step+1))
		verify(t, "200 verified", token, codes.code())

		token = verify(t, "400 INVALID_OTP", tokens[1], codes.codeOf(step))
		verify(t, "200 verified", token, codes.codeOf(step+5))
	})
	t.Run("HOTP of django-otp", func(t *testing.T) {
		t.Parallel()
		token := importAll(t, hotpHeader+replaced(t, hotpRow, ",6,5,0,", ",6,5,1000,"), []string{"django-otp"}, key)[0]
		codes := &authenticator{secret: secret, next: 1003}
		other.device(t, "200", "inspect", fields{"device": token}) // it is any API key's
		verify(t, "409 CODE_ALREADY_USED", token, codes.codeOf(999))
		token = verify(t, "400 INVALID_OTP", token, codes.codeOf(998))
		token = verify(t, "200 verified", token, codes.code())
		verify(t, "400 INVALID_OTP", token, codes.codeOf(1000))
	})
	t.Run("wrong codes of django-otp", func(t *testing.T) {
		t.Parallel()
		token := importAll(t, hotpHeader+replaced(t, hotpRow, ",3,0,,", ",3,14,,"), []string{"django-otp"}, key)[0]
		token = verify(t, "400 INVALID_OTP", token, wrongCode) // which is the fifteenth
		a := app.device(t, "429 N_FAILED_ATTEMPTS", "verify", fields{"device": token, "otp": "000000"})
		if wait := a.Header.Get("Retry-After"); len(wait) != 4 {
			t.Errorf("Retry-After: %s, want some thousand seconds", wait)
		}
	})
	t.Run("django-totp, encrypted by Python", func(t *testing.T) {
		t.Parallel()
		needPython(t)
		foreign, sealed := pythonEncrypt(t, base32Secret, strings.ToLower(base32Secret))
		input := djTOTPHead
		for _, s := range sealed {
			input += "1," + s + ",2026-01-31 23:59:59.25+00,3,you@example.com,t\n"
		}
		for _, variable := range []string{"TOTP_ENCRYPTION_KEY=" + foreign, "TOTP_ENCRYPTION_KEY=" + newKey(t) + "," + foreign, "TOTP_ENCRYPTION_KEY_FILE=" + newFile(t, foreign+"\n")} {
			for _, token := range importAll(t, input, []string{"django-totp"}, key, variable) {
				codes, step := &authenticator{secret: secret}, time.Now().Unix()/30
				token = verify(t, "400 INVALID_OTP", token, codes.codeOf(step-50))
				token = verify(t, "200 verified", token, codes.codeOf(step))
				verify(t, "400 INVALID_OTP", token, codes.codeOf(step-1))
			}
		}
	})
	t.Run("goes on as any other device", func(t *testing.T) {
		t.Parallel()
		token := importAll(t, hotpHeader+hotpRow, []string{"-namespace", "app", "django-otp"}, key)[0]
		codes := &authenticator{secret: secret}
		app.device(t, "400 INVALID_OTP", "verify", fields{"device": token, "backup_code": "AAAAA-AAAAA"})
		app.device(t, "409 DEVICE_ALREADY_CONFIRMED", "confirm", fields{"device": token, "otp": codes.codeOf(0)})
		renewed := app.device(t, "200", "backup-codes", fields{"device": token})
		token = app.device(t, "200 verified", "verify", fields{"device": renewed.Device, "backup_code": renewed.BackupCodes[3]}).Device
		issued := app.post(t, "200", "/v1/challenges", fields{"identifier": "you@example.com"})
		token = app.post(t, "200 verified", "/v1/challenges/verify", fields{"challenge": issued.Challenge, "device": token, "otp": codes.code()}).Device
		token = app.device(t, "200", "reseal", fields{"devices": []string{token}}).Devices[0]
		app.device(t, "200 disabled", "disable", fields{"device": token})
		app.device(t, "410 DEVICE_DISABLED", "verify", fields{"device": token, "otp": codes.codeOf(1)})

		enrolled := app.device(t, "200", "enroll", fields{"identifier": "you@example.com"})
		hashes := make(map[any]any)
		eventually(t, "the audit line of a device that was enrolled", func() bool {
			for _, line := range p.stderr.lines("audit") {
				hashes[line["id"]] = line["identifier_hash"]
			}
			return hashes[enrolled.DeviceID] != nil
		})
		if got := hashes[renewed.DeviceID]; got == nil || got != hashes[enrolled.DeviceID] {
			t.Errorf("the identifier of an imported device is logged as %v, that of another as %v", got, hashes[enrolled.DeviceID])
		}
	})
}
