package device

import (
	"errors"
	"testing"
)

// A device sealed under a key that no longer seals is resealed, as itself, and outlives that key.
func TestRotation(t *testing.T) {
	f := newFixture(t, newMemory(t))
	f.caller.Namespace = "shop"
	old, app := f.deviceWith(t, EnrollRequest{Name: "phone"}, "ABCDEFGHJK")
	other, _ := f.device(t, EnrollRequest{})
	f.sealer.Use(newRing(t, testKeyB, testKey))
	if f.mustInspect(t, old).SealedWithPrimaryKey {
		t.Error("under the new key, the old device is said to be sealed with that")
	}
	f.takeEvents()
	resealed, err := f.Reseal(f.caller, []string{old, other, old})
	if err != nil || len(resealed) != 3 {
		t.Fatalf("%d, %v", len(resealed), err)
	}
	f.wantEvents(t, "reseal")
	before := f.mustInspect(t, old)
	before.SealedWithPrimaryKey = true
	f.sealer.Use(newRing(t, testKeyB))
	if after := f.mustInspect(t, resealed[0]); after != before {
		t.Errorf("%+v became %+v", before, after)
	}
	if id := f.mustInspect(t, resealed[1]).DeviceID; id == before.DeviceID {
		t.Error("the devices have changed places")
	}
	if _, err := f.verify(old, app.at(start)); err != ErrInvalid {
		t.Errorf("without the old key, the old device: %v", err)
	}
	if _, err := f.verifyBackup(resealed[2], "ABCDEFGHJK"); err != nil {
		t.Errorf("a backup code of the resealed device: %v", err)
	}
	verified := f.mustVerify(t, resealed[0], app.at(start))
	if subject := f.state(t, verified.Device).subject; subject == "" || subject == f.sealer.Subject("shop", ann) {
		t.Errorf("its subject in logs, %q, has not outlived the key", subject)
	}
}

// A device is the same to the ledger whichever key seals it.
func TestRotationRevivesNoCode(t *testing.T) {
	forEachMemory(t, func(t *testing.T, l Ledger) {
		f := newFixture(t, l)
		old, app := f.device(t, EnrollRequest{})
		f.sealer.Use(newRing(t, testKeyB, testKey))
		resealed, err := f.Reseal(f.caller, []string{old})
		if err != nil {
			t.Fatal(err)
		}
		f.mustVerify(t, old, app.at(start))
		if _, err := f.verify(resealed[0], app.at(start)); err != ErrCodeAlreadyUsed {
			t.Error(err)
		}
	})
}

// Each operation that gives a new version seals it with the primary key.
func TestNewVersionsAreUnderThePrimaryKey(t *testing.T) {
	f := newFixture(t, newMemory(t))
	old, app := f.device(t, EnrollRequest{})
	f.sealer.Use(newRing(t, testKeyB, testKey))
	for name, token := range map[string]string{
		"a wrong code": f.mustBeWrong(t, old, noCode), "a right one": f.mustVerify(t, old, app.at(start)).Device,
	} {
		if !f.mustInspect(t, token).SealedWithPrimaryKey {
			t.Errorf("%s: under the old key", name)
		}
	}
}

func TestResealErrors(t *testing.T) {
	f := newFixture(t, newMemory(t))
	token, _ := f.device(t, EnrollRequest{})
	resealed, err := f.Reseal(f.caller, []string{token, "x", token})
	if invalid, ok := errors.AsType[*InvalidError](err); !ok || invalid.Index != 1 || resealed != nil {
		t.Errorf("%v, %v", resealed, err)
	}
	if resealed, err := f.Reseal(f.caller, nil); err != nil || len(resealed) != 0 {
		t.Errorf("none: %v, %v", resealed, err)
	}
}
