package challenge

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/otp"
)

func TestCompleteByADevice(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l rememberer, _ bool) {
		f := newFixture(t, l)
		f.caller.Namespace = "shop"
		token := f.device(t, ann)
		issued, err := f.Issue(f.caller, IssueRequest{
			Identifier: ann, Metadata: jsontext.Value(`{"n": 1.0}`), Purpose: "login", Methods: []string{"pwd"},
		})
		if err != nil || len(issued.ID) != 22 || !issued.ExpiresAt.Equal(start.Add(120*time.Second)) {
			t.Fatalf("%+v, %v", issued, err)
		}
		f.clock = start.Add(time.Minute)
		completed, err := f.complete(CompleteRequest{Challenge: issued.Challenge, Device: token, OTP: f.shown()})
		if err != nil {
			t.Fatal(err)
		}
		verified := completed.Device
		completed.Device = nil
		want := Completed{
			ID: issued.ID, Identifier: ann, Metadata: jsontext.Value(`{"n":1.0}`), Purpose: "login", Methods: []string{"pwd", "otp", "mfa"},
			CompletedAt: start.Add(time.Minute),
		}
		if !reflect.DeepEqual(completed, want) {
			t.Errorf("%+v\nwant %+v", completed, want)
		}
		if verified == nil || verified.Method != device.TOTP || verified.Identifier != ann || verified.Device == "" {
			t.Errorf("the device: %+v", verified)
		}
		f.wantEvents(t, "all of it", EventIssued, device.EventVerified, EventCompleted)
	})
}

func TestCompleteByAContext(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l rememberer, _ bool) {
		f := newFixture(t, l)
		mailed := f.mail(t, pointer(ann), "login")
		token := f.mustIssue(t, IssueRequest{Purpose: "login"})
		completed, err := f.complete(CompleteRequest{Challenge: token, Context: mailed.Context, OTP: mailed.OTP})
		if err != nil || completed.Device != nil || completed.Identifier != ann || completed.Metadata != nil {
			t.Errorf("%+v, %v", completed, err)
		}
		f.wantEvents(t, "all of it", otp.EventGenerated, EventIssued, otp.EventVerified, EventCompleted)
	})
}

func TestCompleteByABackupCode(t *testing.T) {
	f := newFixture(t, newMemory(t))
	renewed, err := f.devices.RenewBackupCodes(context.Background(), f.caller, f.device(t, ann))
	if err != nil {
		t.Fatal(err)
	}
	first, second := f.mustIssue(t, IssueRequest{}), f.mustIssue(t, IssueRequest{})
	completed, err := f.complete(CompleteRequest{Challenge: first, Device: renewed.Device, BackupCode: renewed.BackupCodes[0]})
	if err != nil || completed.Device.Method != device.BackupCode || completed.Device.BackupCodesRemaining != 9 ||
		!reflect.DeepEqual(completed.Methods, []string{"otp"}) {
		t.Errorf("%+v, %v", completed, err)
	}
	_, err = f.complete(CompleteRequest{Challenge: second, Device: completed.Device.Device, BackupCode: renewed.BackupCodes[0]})
	if err != device.ErrCodeAlreadyUsed {
		t.Errorf("the same backup code for another challenge: %v", err)
	}
}

func TestExpiry(t *testing.T) {
	for _, issuedAt := range []time.Duration{0, 250 * time.Millisecond} {
		for _, late := range []time.Duration{-time.Second, -time.Millisecond, 0, time.Millisecond, time.Second} {
			t.Run(fmt.Sprint(issuedAt, " ", late), func(t *testing.T) {
				forEachLedger(t, func(t *testing.T, l rememberer, _ bool) {
					f := newFixture(t, l)
					f.clock = start.Add(issuedAt)
					token, own := f.mustIssue(t, IssueRequest{}), f.device(t, ann)
					f.clock = f.clock.Add(120*time.Second + late)
					var want error
					if late > 0 {
						want = ErrExpired
					}
					if _, err := f.complete(CompleteRequest{Challenge: token, Device: own, OTP: f.shown()}); err != want {
						t.Errorf("%v, want %v", err, want)
					}
					if late > 0 { // the code was not consumed
						if _, err := f.devices.Verify(context.Background(), f.caller, device.VerifyRequest{Device: own, OTP: f.shown()}); err != nil {
							t.Errorf("its code to verify: %v", err)
						}
					}
				})
			})
		}
	}
}

// A challenge is completed once, by whatever, and a used one consumes no code.
func TestCompletedOnce(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l rememberer, remembers bool) {
		f := newFixture(t, l)
		token, own := f.mustIssue(t, IssueRequest{}), f.device(t, ann)
		mailed := f.mail(t, pointer(ann), "")
		completed, err := f.complete(CompleteRequest{Challenge: token, Device: own, OTP: f.shown()})
		if err != nil {
			t.Fatal(err)
		}
		f.takeEvents()
		f.clock = start.Add(time.Minute)
		attempts := map[string]CompleteRequest{
			"by the device":       {Challenge: token, Device: completed.Device.Device, OTP: f.shown()},
			"by a context":        {Challenge: token, Context: mailed.Context, OTP: mailed.OTP},
			"by a wrong code":     {Challenge: token, Device: completed.Device.Device, OTP: noCode},
			"by a context, wrong": {Challenge: token, Context: mailed.Context, OTP: noCode},
			"by no device":        {Challenge: token, Device: "x", OTP: noCode},
		}
		if !remembers {
			if _, err := f.complete(attempts["by the device"]); err != nil {
				t.Errorf("again, where nobody remembers: %v", err)
			}
			return
		}
		for name, attempt := range attempts {
			if _, err := f.complete(attempt); err != ErrAlreadyUsed {
				t.Errorf("again, %s: %v", name, err)
			}
		}
		f.wantEvents(t, "again")
		fresh := f.mustIssue(t, IssueRequest{})
		for _, name := range []string{"by the device", "by a context"} {
			attempt := attempts[name]
			attempt.Challenge = fresh
			if _, err := f.complete(attempt); err != nil {
				t.Errorf("%s: its code was consumed: %v", name, err)
			}
			fresh = f.mustIssue(t, IssueRequest{})
		}
	})
}

// A wrong code is counted by the device or the context, whose new version the answer has. The challenge stays good.
func TestWrongCode(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l rememberer, _ bool) {
		f := newFixture(t, l)
		token, own := f.mustIssue(t, IssueRequest{}), f.device(t, ann)
		mailed := f.mail(t, pointer(ann), "")
		f.takeEvents()
		_, err := f.complete(CompleteRequest{Challenge: token, Device: own, OTP: noCode})
		wrong, ok := errors.AsType[*device.WrongCodeError](err)
		if !ok {
			t.Fatal(err)
		}
		if inspected, err := f.devices.Inspect(context.Background(), f.caller, wrong.Device); err != nil || inspected.Failures != 1 {
			t.Errorf("the device's new version: %+v, %v", inspected, err)
		}
		_, err = f.complete(CompleteRequest{Challenge: token, Context: mailed.Context, OTP: noCode})
		wrongContext, ok := errors.AsType[*otp.WrongCodeError](err)
		if !ok || wrongContext.AttemptsRemaining != 2 {
			t.Fatal(err)
		}
		f.wantEvents(t, "two wrong codes", device.EventFailed, otp.EventFailed)
		if _, err := f.complete(CompleteRequest{Challenge: token, Context: wrongContext.Context, OTP: mailed.OTP}); err != nil {
			t.Errorf("then the right one: %v", err)
		}
	})
}

// What the code is of must be of the challenge, and is not consumed if it is not.
func TestMismatch(t *testing.T) {
	for name, test := range map[string]struct {
		issue   IssueRequest
		request func(t *testing.T, f *fixture) CompleteRequest
		want    error
	}{
		"another's device": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			return CompleteRequest{Device: f.device(t, "bob@example.invalid"), OTP: f.shown()}
		}, otp.ErrContextMismatch},
		"another's device, and a wrong code": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			return CompleteRequest{Device: f.device(t, "bob@example.invalid"), OTP: noCode}
		}, otp.ErrContextMismatch},
		"a device in another case": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			return CompleteRequest{Device: f.device(t, "Ann@example.invalid"), OTP: f.shown()}
		}, otp.ErrContextMismatch},
		"a device has no purpose": {IssueRequest{Purpose: "login"}, func(t *testing.T, f *fixture) CompleteRequest {
			return CompleteRequest{Device: f.device(t, ann), OTP: f.shown()}
		}, nil},
		"another's context": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mail(t, pointer("bob@example.invalid"), "")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP}
		}, otp.ErrContextMismatch},
		"nobody's context": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mail(t, nil, "")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP}
		}, otp.ErrContextMismatch},
		"a context of another purpose": {IssueRequest{Purpose: "login"}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mail(t, pointer(ann), "payment")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP}
		}, otp.ErrContextMismatch},
		"a context without a purpose": {IssueRequest{Purpose: "login"}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mail(t, pointer(ann), "")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP}
		}, otp.ErrContextMismatch},
		"a context with a purpose": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mail(t, pointer(ann), "login")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP}
		}, otp.ErrContextMismatch},
		"a context with a binding": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mailBound(t, "10 EUR to Bob")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP, Binding: "10 EUR to Bob"}
		}, nil},
		"a context with another binding": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mailBound(t, "10 EUR to Bob")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP, Binding: "1000 EUR to Bob"}
		}, otp.ErrContextMismatch},
		"a context whose binding is not given": {IssueRequest{}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mailBound(t, "10 EUR to Bob")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP}
		}, otp.ErrContextMismatch},
		"a context that matches": {IssueRequest{Purpose: "login"}, func(t *testing.T, f *fixture) CompleteRequest {
			mailed := f.mail(t, pointer(ann), "login")
			return CompleteRequest{Context: mailed.Context, OTP: mailed.OTP}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			forEachLedger(t, func(t *testing.T, l rememberer, _ bool) {
				f := newFixture(t, l)
				r := test.request(t, f)
				r.Challenge = f.mustIssue(t, test.issue)
				f.takeEvents()
				if _, err := f.complete(r); err != test.want {
					t.Fatalf("%v, want %v", err, test.want)
				}
				if test.want == nil {
					return
				}
				f.wantEvents(t, "a mismatch")
				if r.Device != "" {
					if inspected, err := f.devices.Inspect(context.Background(), f.caller, r.Device); err != nil || inspected.Failures != 0 {
						t.Errorf("the device: %+v, %v", inspected, err)
					}
				} else if inspected, err := f.codes.Inspect(context.Background(), f.caller, r.Context); err != nil ||
					inspected.State != otp.StateActive || inspected.AttemptsRemaining != 3 {
					t.Errorf("the context: %+v, %v", inspected, err)
				}
				right := f.device(t, ann)
				if _, err := f.complete(CompleteRequest{Challenge: r.Challenge, Device: right, OTP: f.shown()}); err != nil {
					t.Errorf("the challenge, by what matches: %v", err)
				}
			})
		})
	}
}

// The errors of what the code is of come through as they are, and the challenge stays good.
func TestErrorsOfTheOther(t *testing.T) {
	f := newFixture(t, newMemory(t))
	ctx := context.Background()
	token := f.mustIssue(t, IssueRequest{})
	disabled := f.device(t, ann)
	if _, err := f.devices.Disable(ctx, f.caller, disabled); err != nil {
		t.Fatal(err)
	}
	enrolled, err := f.devices.Enroll(f.caller, device.EnrollRequest{Identifier: ann})
	if err != nil {
		t.Fatal(err)
	}
	revoked := f.mail(t, pointer(ann), "")
	if _, err := f.codes.Revoke(ctx, f.caller, revoked.Context); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		request CompleteRequest
		want    error
	}{
		"a disabled device":       {CompleteRequest{Device: disabled, OTP: f.shown()}, device.ErrDisabled},
		"an unconfirmed device":   {CompleteRequest{Device: enrolled.Device, OTP: f.shown()}, device.ErrNotConfirmed},
		"what is no device":       {CompleteRequest{Device: "x", OTP: f.shown()}, device.ErrInvalid},
		"a challenge as a device": {CompleteRequest{Device: token, OTP: f.shown()}, device.ErrInvalid},
		"a context as a device":   {CompleteRequest{Device: revoked.Context, OTP: f.shown()}, device.ErrInvalid},
		"a revoked context":       {CompleteRequest{Context: revoked.Context, OTP: revoked.OTP}, otp.ErrContextRevoked},
		"what is no context":      {CompleteRequest{Context: "x", OTP: revoked.OTP}, otp.ErrInvalidContext},
		"a challenge as context":  {CompleteRequest{Context: token, OTP: revoked.OTP}, otp.ErrInvalidContext},
		"a device as a context":   {CompleteRequest{Context: disabled, OTP: revoked.OTP}, otp.ErrInvalidContext},
	} {
		test.request.Challenge = token
		if _, err := f.complete(test.request); err != test.want {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if _, err := f.complete(CompleteRequest{Challenge: token, Device: f.device(t, ann), OTP: f.shown()}); err != nil {
		t.Errorf("then the right one: %v", err)
	}
}

// Of many completions at once, each by a right code of its own, one succeeds.
func TestCompleteInParallel(t *testing.T) {
	forEachLedger(t, func(t *testing.T, l rememberer, remembers bool) {
		if !remembers {
			t.Skip("nobody remembers")
		}
		f := newFixture(t, l)
		token := f.mustIssue(t, IssueRequest{})
		var requests []CompleteRequest
		for range 50 {
			mailed := f.mail(t, pointer(ann), "")
			requests = append(requests,
				CompleteRequest{Challenge: token, Device: f.device(t, ann), OTP: f.shown()},
				CompleteRequest{Challenge: token, Context: mailed.Context, OTP: mailed.OTP})
		}
		var right, used atomic.Int32
		var clients sync.WaitGroup
		for _, r := range requests {
			clients.Go(func() {
				switch _, err := f.complete(r); err {
				case nil:
					right.Add(1)
				case ErrAlreadyUsed:
					used.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		clients.Wait()
		if right.Load() != 1 || used.Load() != 99 {
			t.Errorf("%d succeeded and %d were refused, want 1 and 99", right.Load(), used.Load())
		}
		// No code was consumed but the one.
		var left int
		for _, r := range requests {
			r.Challenge = f.mustIssue(t, IssueRequest{})
			if _, err := f.complete(r); err == nil {
				left++
			}
		}
		if left != 99 {
			t.Errorf("%d codes are still good, want 99", left)
		}
	})
}

// What is no challenge of the caller's is nothing but invalid, and no code is tried for it.
func TestWhatIsNoChallenge(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller.Namespace = "shop"
	good := f.mustIssue(t, IssueRequest{Purpose: "login", Methods: []string{"pwd"}})
	own := f.device(t, ann)
	mailed := f.mail(t, pointer(ann), "login")
	data, _, err := f.sealer.OpenAs(otpcontext.Challenge, good)
	if err != nil {
		t.Fatal(err)
	}
	asDevice, err := f.sealer.SealAs(otpcontext.Device, data, f.clock)
	if err != nil {
		t.Fatal(err)
	}
	payload := string(data)
	with := func(name string, value any) string {
		return f.reseal(t, good, func(members map[string]any) { members[name] = value })
	}
	f.caller.Namespace = "bank"
	other := f.mustIssue(t, IssueRequest{})
	f.caller.Namespace = "shop"
	foreign := newFixture(t, newMemory(t))
	foreign.sealer.Use(newRing(t, testKeyB))
	f.takeEvents()
	for name, token := range map[string]string{
		"nothing":                        "",
		"text":                           "hello",
		"a device":                       own,
		"a context":                      mailed.Context,
		"a challenge sealed as a device": asDevice,
		"another tenant's":               other,
		"of another key":                 foreign.mustIssue(t, IssueRequest{}),
		"cut short":                      good[:len(good)-4],
		"with a line break":              good + "\n",
		"no JSON":                        f.seal(t, "x"),
		"JSON of another type":           f.seal(t, "[]"),
		"null":                           f.seal(t, "null"),
		"without anything":               f.seal(t, "{}"),
		"without an end":                 f.seal(t, payload[:len(payload)-1]),
		"two of them":                    f.seal(t, payload+payload),
		"with a member twice":            f.seal(t, strings.Replace(payload, "{", `{"purpose":"x",`, 1)),
		"with a member in another case":  f.seal(t, strings.Replace(payload, `"purpose"`, `"Purpose"`, 1)),
		"with a member of a later otpd":  with("binding", "x"),
		"with a short id":                with("id", "AAAAAAAAAAAAAAAAAAAAA"),
		"with an id that is none":        with("id", strings.Repeat("!", 22)),
		"without an identifier":          with("identifier", ""),
		"with too long an identifier":    with("identifier", strings.Repeat("a", otpcontext.MaxIdentifier+1)),
		"with too long a purpose":        with("purpose", strings.Repeat("a", otpcontext.MaxPurpose+1)),
		"with a method that is none":     with("methods", []string{"p wd"}),
		"with a number for a text":       with("identifier", 1),
		"with a text for a time":         with("expires_at", "4102444800000"),
		"with a fraction for a time":     with("expires_at", 4102444800000.5),
		"with a text for a list":         with("methods", "pwd"),
	} {
		if _, err := f.complete(CompleteRequest{Challenge: token, Device: own, OTP: f.shown()}); err != ErrInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.wantEvents(t, "what is no challenge")
	if _, err := f.complete(CompleteRequest{Challenge: with("metadata", 1), Device: own, OTP: f.shown()}); err != nil {
		t.Errorf("resealed as it was: %v", err)
	}
}

func TestTenants(t *testing.T) {
	for _, test := range []struct {
		by, to string
		want   error
	}{
		{"", "", nil}, {"", "shop", nil}, {"shop", "shop", nil}, {"shop", "bank", ErrInvalid}, {"shop", "", ErrInvalid},
	} {
		f := newFixture(t, newMemory(t))
		f.caller.Namespace = test.by
		token := f.mustIssue(t, IssueRequest{})
		f.caller.Namespace = test.to
		if _, err := f.complete(CompleteRequest{Challenge: token, Device: f.device(t, ann), OTP: f.shown()}); err != test.want {
			t.Errorf("issued by %q, completed by %q: %v", test.by, test.to, err)
		}
	}
}

func TestRotation(t *testing.T) {
	f := newFixture(t, newMemory(t))
	first, second := f.mustIssue(t, IssueRequest{}), f.mustIssue(t, IssueRequest{})
	f.sealer.Use(newRing(t, testKeyB, testKey))
	if _, err := f.complete(CompleteRequest{Challenge: first, Device: f.device(t, ann), OTP: f.shown()}); err != nil {
		t.Errorf("after the change of keys: %v", err)
	}
	f.sealer.Use(newRing(t, testKeyB))
	if _, err := f.complete(CompleteRequest{Challenge: second, Device: f.device(t, ann), OTP: f.shown()}); err != ErrInvalid {
		t.Errorf("without the old key: %v", err)
	}
}

func TestMethods(t *testing.T) {
	for _, test := range []struct{ done, want []string }{
		{nil, []string{"otp"}},
		{[]string{"pwd"}, []string{"pwd", "otp", "mfa"}},
		{[]string{"pin"}, []string{"pin", "otp", "mfa"}},
		{[]string{"kba"}, []string{"kba", "otp", "mfa"}},
		{[]string{"face"}, []string{"face", "otp", "mfa"}},
		{[]string{"fpt"}, []string{"fpt", "otp", "mfa"}},
		{[]string{"iris"}, []string{"iris", "otp", "mfa"}},
		{[]string{"retina"}, []string{"retina", "otp", "mfa"}},
		{[]string{"vbm"}, []string{"vbm", "otp", "mfa"}},
		{[]string{"sms"}, []string{"sms", "otp"}}, // a possession as well
		{[]string{"hwk"}, []string{"hwk", "otp"}},
		{[]string{"sms", "pwd"}, []string{"sms", "pwd", "otp", "mfa"}},
		{[]string{"otp"}, []string{"otp"}},
		{[]string{"otp", "pwd"}, []string{"otp", "pwd", "mfa"}},
		{[]string{"pwd", "mfa"}, []string{"pwd", "mfa", "otp"}},
		{[]string{"PWD"}, []string{"PWD", "otp"}},
		{[]string{"x.custom-1_"}, []string{"x.custom-1_", "otp"}},
	} {
		f := newFixture(t, newMemory(t))
		token := f.mustIssue(t, IssueRequest{Methods: test.done})
		completed, err := f.complete(CompleteRequest{Challenge: token, Device: f.device(t, ann), OTP: f.shown()})
		if err != nil || !reflect.DeepEqual(completed.Methods, test.want) {
			t.Errorf("after %v: %v, %v; want %v", test.done, completed.Methods, err, test.want)
		}
	}
}

func TestIssueBounds(t *testing.T) {
	long := strings.Repeat("a", 400)
	eight := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for name, test := range map[string]struct {
		request IssueRequest
		field   string // that is to blame; empty for none
	}{
		"as little as can be":           {IssueRequest{Identifier: "a"}, ""},
		"no identifier":                 {IssueRequest{}, "identifier"},
		"the longest identifier":        {IssueRequest{Identifier: long[:320]}, ""},
		"too long an identifier":        {IssueRequest{Identifier: long[:321]}, "identifier"},
		"an identifier not of UTF-8":    {IssueRequest{Identifier: "\xff"}, "identifier"},
		"the longest purpose":           {IssueRequest{Identifier: ann, Purpose: long[:64]}, ""},
		"too long a purpose":            {IssueRequest{Identifier: ann, Purpose: long[:65]}, "purpose"},
		"a purpose with a line break":   {IssueRequest{Identifier: ann, Purpose: "a\nb"}, "purpose"},
		"as many methods as can be":     {IssueRequest{Identifier: ann, Methods: eight}, ""},
		"too many methods":              {IssueRequest{Identifier: ann, Methods: append(eight, "i")}, "methods"},
		"an empty method":               {IssueRequest{Identifier: ann, Methods: []string{""}}, "methods"},
		"the longest method":            {IssueRequest{Identifier: ann, Methods: []string{long[:32]}}, ""},
		"too long a method":             {IssueRequest{Identifier: ann, Methods: []string{"pwd", long[:33]}}, "methods"},
		"a method with a space":         {IssueRequest{Identifier: ann, Methods: []string{"p wd"}}, "methods"},
		"a method with a line break":    {IssueRequest{Identifier: ann, Methods: []string{"pwd\n"}}, "methods"},
		"the largest metadata":          {IssueRequest{Identifier: ann, Metadata: jsontext.Value(`"` + strings.Repeat("a", 4094) + `"`)}, ""},
		"too large a metadata":          {IssueRequest{Identifier: ann, Metadata: jsontext.Value(`"` + strings.Repeat("a", 4095) + `"`)}, "metadata"},
		"metadata that is not JSON":     {IssueRequest{Identifier: ann, Metadata: jsontext.Value(`{`)}, "metadata"},
		"all as large as it can be":     {IssueRequest{strings.Repeat(`"`, 320), jsontext.Value(`"` + strings.Repeat("a", 4094) + `"`), strings.Repeat("<", 64), eight}, ""},
		"metadata of nothing but null ": {IssueRequest{Identifier: ann, Metadata: jsontext.Value(`null`)}, ""},
	} {
		f := newFixture(t, newMemory(t))
		issued, err := f.Issue(f.caller, test.request)
		bad, refused := errors.AsType[*otp.FieldError](err)
		if refused != (test.field != "") || refused && bad.Field != test.field || !refused && err != nil || refused != (issued == Issued{}) {
			t.Errorf("%s: %v", name, err)
		}
		if refused {
			f.wantEvents(t, name)
			continue
		}
		completed, err := f.complete(CompleteRequest{Challenge: issued.Challenge, Device: f.device(t, test.request.Identifier), OTP: f.shown()})
		if err != nil || completed.Identifier != test.request.Identifier || completed.Purpose != test.request.Purpose ||
			string(completed.Metadata) != string(test.request.Metadata) {
			t.Errorf("%s: it came back as %+v, %v", name, completed, err)
		}
	}
}

// No event holds what must not leave, and each names the challenge.
func TestEvents(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller = otp.Caller{Namespace: "shop", RequestID: "r"}
	issued, err := f.Issue(f.caller, IssueRequest{Identifier: ann, Purpose: "login", Metadata: jsontext.Value(`"confidential"`)})
	if err != nil {
		t.Fatal(err)
	}
	own := f.device(t, ann)
	if _, err := f.complete(CompleteRequest{Challenge: issued.Challenge, Device: own, OTP: f.shown()}); err != nil {
		t.Fatal(err)
	}
	events := f.takeEvents()
	for i, name := range []string{EventIssued, device.EventVerified, EventCompleted} {
		e := events[i]
		want := otp.Event{
			Name: name, At: start, ID: issued.ID, Purpose: "login", IdentifierHash: f.sealer.Subject("shop", ann), Caller: f.caller,
		}
		if e.Name != name || name != device.EventVerified && e != want {
			t.Errorf("%+v\nwant %+v", e, want)
		}
		for _, secret := range []string{ann, "confidential", f.shown(), own, issued.Challenge} {
			if text := fmt.Sprintf("%+v", e); strings.Contains(text, secret) {
				t.Errorf("%s tells %q", text, secret)
			}
		}
	}
	if len(events) != 3 || !reflect.DeepEqual(EventNames, []string{EventIssued, EventCompleted}) {
		t.Errorf("%d events", len(events))
	}
}

// Nobody logs in while the ledger does not answer, and then no code is looked at.
func TestLedgerThatDoesNotAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		stub stubLedger
		want error
		says string
	}{
		"no answer":               {stubLedger{err: errors.New("no route")}, otp.ErrLedgerUnavailable, "no route"},
		"a verdict of no meaning": {stubLedger{outcome: otp.Outcome{Verdict: "who knows"}}, otp.ErrLedgerUnavailable, "who knows"},
		"used already":            {stubLedger{outcome: otp.Outcome{Verdict: "used"}}, ErrAlreadyUsed, "used"},
	} {
		f := newFixtureOf(t, &test.stub, newMemory(t))
		token, own := f.mustIssue(t, IssueRequest{}), f.device(t, ann)
		f.takeEvents()
		for _, code := range []string{f.shown(), noCode} {
			completed, err := f.complete(CompleteRequest{Challenge: token, Device: own, OTP: code})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || completed.ID != "" {
				t.Errorf("%s: %+v, %v", name, completed, err)
			}
		}
		f.wantEvents(t, name)
		if test.stub.claimed != 2 || test.stub.released != 0 {
			t.Errorf("%s: claimed %d times and released %d, want 2 and 0", name, test.stub.claimed, test.stub.released)
		}
		verified, err := f.devices.Verify(context.Background(), f.caller, device.VerifyRequest{Device: own, OTP: f.shown()})
		if err != nil {
			t.Fatalf("%s: the code, afterwards: %v", name, err)
		}
		if inspected, err := f.devices.Inspect(context.Background(), f.caller, verified.Device); err != nil || inspected.Failures != 0 {
			t.Errorf("%s: the device, afterwards: %+v, %v", name, inspected, err)
		}
	}
}

// A challenge is claimed once for each attempt, and released unless the code was right.
func TestClaims(t *testing.T) {
	f := newFixture(t, newMemory(t))
	right := CompleteRequest{Device: f.device(t, ann), OTP: f.shown()}
	for name, test := range map[string]struct {
		edit              func(*CompleteRequest)
		claimed, released int
	}{
		"a right code":       {func(*CompleteRequest) {}, 1, 0},
		"a wrong code":       {func(r *CompleteRequest) { r.OTP = noCode }, 1, 1},
		"no device":          {func(r *CompleteRequest) { r.Device = "x" }, 1, 1},
		"a device of others": {func(r *CompleteRequest) { r.Device = f.device(t, "bob@example.invalid") }, 1, 1},
		"no context":         {func(r *CompleteRequest) { r.Context = "x" }, 1, 1},
		"no challenge":       {func(r *CompleteRequest) { r.Challenge = "x" }, 0, 0},
	} {
		stub := &stubLedger{outcome: otp.Outcome{Verdict: "admitted"}}
		f := newFixtureOf(t, stub, newMemory(t))
		request := right
		request.Challenge = f.mustIssue(t, IssueRequest{})
		test.edit(&request)
		_, _ = f.complete(request)
		if stub.claimed != test.claimed || stub.released != test.released {
			t.Errorf("%s: claimed %d times and released %d, want %d and %d", name, stub.claimed, stub.released, test.claimed, test.released)
		}
	}
}

// A device whose own ledger fails on the way leaves the challenge as good as it was.
func TestFailureOfTheOther(t *testing.T) {
	f := newFixture(t, newMemory(t))
	var outage error
	failing := newFixtureOf(t, f.cfg.Ledger, failingLedger{newMemory(t), &outage})
	token, own := f.mustIssue(t, IssueRequest{}), f.device(t, ann)
	outage = errors.New("no route")
	if _, err := failing.complete(CompleteRequest{Challenge: token, Device: own, OTP: f.shown()}); !errors.Is(err, otp.ErrLedgerUnavailable) {
		t.Errorf("while it does not answer: %v", err)
	}
	outage = nil
	if _, err := failing.complete(CompleteRequest{Challenge: token, Device: own, OTP: f.shown()}); err != nil {
		t.Errorf("when it answers: %v", err)
	}
}

// failingLedger answers attempts with a device only while there is no outage.
type failingLedger struct {
	rememberer
	outage *error
}

func (l failingLedger) AttemptDevice(ctx context.Context, v device.Version, p device.Proof) (device.Standing, error) {
	if *l.outage != nil {
		return device.Standing{}, *l.outage
	}
	return l.rememberer.AttemptDevice(ctx, v, p)
}

func TestNew(t *testing.T) {
	good := newFixture(t, newMemory(t)).cfg
	for name, edit := range map[string]func(*Config){
		"a sealer": func(c *Config) { c.Sealer = nil }, "a ledger": func(c *Config) { c.Ledger = nil },
		"codes": func(c *Config) { c.Codes = nil }, "devices": func(c *Config) { c.Devices = nil },
		"an expiry": func(c *Config) { c.Expiry = 0 },
	} {
		cfg := good
		edit(&cfg)
		if s, err := New(cfg); err == nil || s != nil {
			t.Errorf("without %s: %v", name, err)
		}
	}
	good.Audit, good.Now = nil, nil
	s, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := s.Issue(otp.Caller{}, IssueRequest{Identifier: ann})
	if left := time.Until(issued.ExpiresAt); err != nil || left < 110*time.Second || left > 120*time.Second {
		t.Errorf("by the clock of the machine there are %s left, %v", left, err)
	}
}
