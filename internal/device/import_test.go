package device

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/otp"
)

func TestImport(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller.Namespace = "shop"
	step := start.Unix() / 45
	created := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	token, err := Import(f.sealer, Imported{
		EnrollRequest: EnrollRequest{
			Identifier: ann, Name: "phone", Digits: pointer(8), Period: pointer(45), Algorithm: pointer("SHA256"), Secret: base32Of(digits64[:32]),
		},
		Namespace: "shop", Next: step + 3, Drift: 2, Failures: 1, CreatedAt: created, LastUsedAt: created.Add(time.Hour),
	}, start)
	if err != nil {
		t.Fatal(err)
	}
	description, err := Describe(f.sealer, token)
	if err != nil {
		t.Fatal(err)
	}
	want := Description{
		ID: description.ID, Type: TOTP, Algorithm: "SHA256", Digits: 8, Period: 45, Identifier: ann, Name: "phone", Namespace: "shop",
		CreatedAt: created, LastUsedAt: created.Add(time.Hour), Generation: 1, Next: step + 3, Drift: 2, Failures: 1,
	}
	if description != want || len(description.ID) != 22 {
		t.Errorf("%+v\nwant %+v", description, want)
	}
	if subject := f.state(t, token).subject; subject != f.sealer.Subject("shop", ann) {
		t.Errorf("its subject in logs is %q", subject)
	}
	app := scan(t, f.state(t, token).uri("otpd"))
	f.mustBeWrong(t, token, app.code(step+1)) // within the window, and used elsewhere
	if _, err := f.verify(token, app.code(step+2)); err != ErrCodeAlreadyUsed {
		t.Errorf("the last code that was used elsewhere: %v", err)
	}
	f.mustVerify(t, token, app.code(step+3))
}

// An imported device can be given backup codes, which it does not have yet.
func TestImportedDeviceGetsBackupCodes(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, _ := f.device(t, EnrollRequest{})
	if inspected := f.mustInspect(t, token); !inspected.Confirmed || inspected.BackupCodesRemaining != 0 {
		t.Errorf("%+v", inspected)
	}
	renewed := f.mustRenew(t, token)
	if _, err := f.verifyBackup(renewed.Device, renewed.BackupCodes[0]); err != nil {
		t.Error(err)
	}
}

func TestImportBounds(t *testing.T) {
	sealer := newFixture(t, newMemory(t)).sealer
	step := start.Unix() / 30
	for name, test := range map[string]struct {
		edit  func(*Imported)
		field string // that is to blame; empty for none
	}{
		"as little as can be":          {func(*Imported) {}, ""},
		"a step not long ago":          {func(r *Imported) { r.Next = step }, ""},
		"a step of a fast clock":       {func(r *Imported) { r.Next = step + 20 }, ""},
		"a step in the future":         {func(r *Imported) { r.Next = step + 21 }, "next"},
		"a negative step":              {func(r *Imported) { r.Next = -1 }, "next"},
		"a great counter":              {func(r *Imported) { r.Type, r.Next = HOTP, maxCounter }, ""},
		"a counter beyond reckoning":   {func(r *Imported) { r.Type, r.Next = HOTP, maxCounter+1 }, "next"},
		"the most drift":               {func(r *Imported) { r.Drift = 10 }, ""},
		"too much drift":               {func(r *Imported) { r.Drift = 11 }, "drift"},
		"the most drift, behind":       {func(r *Imported) { r.Drift = -10 }, ""},
		"too much drift, behind":       {func(r *Imported) { r.Drift = -11 }, "drift"},
		"many failures":                {func(r *Imported) { r.Failures = math.MaxInt32 }, ""},
		"too many failures":            {func(r *Imported) { r.Failures = math.MaxInt32 + 1 }, "failures"},
		"negative failures":            {func(r *Imported) { r.Failures = -1 }, "failures"},
		"created in 1960":              {func(r *Imported) { r.CreatedAt = time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC) }, "created_at"},
		"used in 2201":                 {func(r *Imported) { r.LastUsedAt = time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC) }, "last_used_at"},
		"no identifier":                {func(r *Imported) { r.Identifier = "" }, "identifier"},
		"a short secret":               {func(r *Imported) { r.Secret = base32Of(digits64[:9]) }, "secret"},
		"a secret that is not base32":  {func(r *Imported) { r.Secret = pointer("0") }, "secret"},
		"another algorithm":            {func(r *Imported) { r.Algorithm = pointer("MD5") }, "algorithm"},
		"a period that is out of them": {func(r *Imported) { r.Period = pointer(90) }, "period"},
	} {
		r := Imported{EnrollRequest: EnrollRequest{Identifier: ann, Secret: base32Of(digits64[:20])}}
		test.edit(&r)
		token, err := Import(sealer, r, start)
		bad, refused := errors.AsType[*otp.FieldError](err)
		if refused != (test.field != "") || refused && bad.Field != test.field || !refused && err != nil || refused != (token == "") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if _, err := Describe(sealer, token); err != nil {
				t.Errorf("%s: what was imported is %v", name, err)
			}
		}
	}
	if _, err := Import(sealer, Imported{EnrollRequest: EnrollRequest{Identifier: ann}}, start); err == nil {
		t.Error("a device without a secret was imported")
	}
}
