package httpapi_test

import (
	"strings"
	"testing"

	pquerna "github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
)

// secret is that of every device that a test imports, in base32.
const secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

// codeOf returns the code of six digits of a step or counter of a secret.
func codeOf(tb testing.TB, secret string, number int64) string {
	tb.Helper()
	code, err := hotp.GenerateCodeCustom(secret, uint64(number), hotp.ValidateOpts{Digits: 6, Algorithm: pquerna.AlgorithmSHA1})
	noError(tb, err)
	return code
}

// step returns the number of the step of 30 seconds that it is.
func (s *server) step() int64 { return s.now.Unix() / 30 }

// code returns the code of secret that is right now.
func (s *server) code(tb testing.TB) string {
	tb.Helper()
	return codeOf(tb, secret, s.step())
}

// imported returns a confirmed device with secret, edited. It has no backup codes, which take long to hash.
func (s *server) imported(tb testing.TB, edits ...func(*device.Imported)) string {
	tb.Helper()
	text := secret
	r := device.Imported{EnrollRequest: device.EnrollRequest{Identifier: ada, Secret: &text}}
	for _, edit := range edits {
		edit(&r)
	}
	ring, err := otpcontext.ParseRing([]string{signingKey})
	noError(tb, err)
	token, err := device.Import(otpcontext.NewSealer(ring), r, s.now)
	noError(tb, err)
	return token
}

func asHOTP(r *device.Imported) { r.Type = device.HOTP }

func (s *server) device(tb testing.TB, operation string, f fields) answer {
	tb.Helper()
	return s.post(tb, "/v1/devices/"+operation, f.String())
}

func (s *server) enroll(tb testing.TB, f fields) answer {
	tb.Helper()
	a := s.device(tb, "enroll", f)
	a.is(tb, 200, "")
	return a
}

// confirmed returns the answer to confirm for a new device of ada.
func (s *server) confirmed(tb testing.TB) answer {
	tb.Helper()
	enrolled := s.enroll(tb, fields{"identifier": ada, "secret": secret})
	a := s.device(tb, "confirm", fields{"device": enrolled.text("device"), "otp": codeOf(tb, secret, s.step()-1)})
	a.is(tb, 200, "")
	return a
}

func (s *server) verifyDevice(tb testing.TB, device, otp string) answer {
	tb.Helper()
	return s.device(tb, "verify", fields{"device": device, "otp": otp})
}

func (s *server) verifyBackup(tb testing.TB, device, code string) answer {
	tb.Helper()
	return s.device(tb, "verify", fields{"device": device, "backup_code": code})
}

func (s *server) inspectDevice(tb testing.TB, device string) answer {
	tb.Helper()
	return s.device(tb, "inspect", fields{"device": device})
}

func (s *server) challenge(tb testing.TB, f fields) answer {
	tb.Helper()
	a := s.post(tb, "/v1/challenges", f.String())
	a.is(tb, 200, "")
	return a
}

func (s *server) complete(tb testing.TB, f fields) answer {
	tb.Helper()
	return s.post(tb, "/v1/challenges/verify", f.String())
}

// sample is a request that its path takes, and what it is made of.
type sample struct {
	fields
	issued  answer // by generate
	device  string // confirmed
	refresh string // a refresh token, if it is of tokens
}

func (s *server) sample(tb testing.TB, path string) sample {
	tb.Helper()
	p := sample{issued: s.generate(tb, fields{}), device: s.imported(tb)}
	switch path {
	case "/v1/otp/generate":
		p.fields = fields{}
	case "/v1/otp/send":
		p.fields = mail
	case "/v1/tokens/refresh":
		p.refresh = s.login(tb, fields{"identifier": ada}).text("refresh_token")
		p.fields = fields{"refresh_token": p.refresh}
	case "/v1/tokens/introspect", "/v1/tokens/revoke":
		p.refresh = s.login(tb, fields{"identifier": ada}).text("refresh_token")
		p.fields = fields{"token": p.refresh}
	case "/v1/identifiers/unlock", "/v1/devices/enroll", "/v1/challenges":
		p.fields = fields{"identifier": ada}
	case "/v1/otp/verify":
		p.fields = fields{"otp": p.issued.text("otp"), "context": p.issued.text("context")}
	case "/v1/devices/confirm":
		enrolled := s.enroll(tb, fields{"identifier": ada, "secret": secret})
		p.fields = fields{"device": enrolled.text("device"), "otp": s.code(tb)}
	case "/v1/devices/verify":
		p.fields = fields{"device": p.device, "otp": s.code(tb)}
	case "/v1/devices/match":
		p.fields = fields{"devices": []string{p.device}, "otp": s.code(tb)}
	case "/v1/devices/reseal":
		p.fields = fields{"devices": []string{p.device}}
	case "/v1/devices/resync":
		p.fields = fields{"device": p.device, "otp": s.code(tb), "next_otp": codeOf(tb, secret, s.step()+1)}
	case "/v1/challenges/verify":
		challenge := s.challenge(tb, fields{"identifier": ada}).text("challenge")
		p.fields = fields{"challenge": challenge, "device": p.device, "otp": s.code(tb)}
	default:
		p.fields = fields{"device": p.device}
		if strings.HasPrefix(path, "/v1/otp/") {
			p.fields = fields{"context": p.issued.text("context")}
		}
	}
	return p
}

// untouched fails the test unless nothing that p is made of has been counted, used or sent.
func (s *server) untouched(tb testing.TB, p sample) {
	tb.Helper()
	s.stillGood(tb, p.issued)
	if a := s.inspectDevice(tb, p.device); a.number(tb, "failures") != 0 || a.fields["last_used_at"] != nil {
		tb.Errorf("the device has been touched: %s", a.body)
	}
	s.verifyDevice(tb, p.device, s.code(tb)).is(tb, 200, "")
	s.undelivered(tb)
	if p.refresh != "" {
		s.refresh(tb, p.refresh).is(tb, 200, "")
	}
}
