package otpcontext

import "testing"

func TestDerivedIDIsTheSameForEveryCopy(t *testing.T) {
	s := newSealer(t, keyA)
	id := mustOpen(t, s, seal(t, foreign().json())).ID
	if !isBase64URL(id, idSize) {
		t.Fatalf("the id %q is not 22 characters of base64url", id)
	}
	if id != "j2Ip9_1UJuf3vDHc319z9Q" {
		t.Errorf("the id is %s, which is not what it always was", id)
	}
	aged := rawToken{version: 0x80, time: 1, iv: [16]byte{1}}
	underB := rawToken{version: 0x80}.seal(t, keyB, foreign().json())
	for name, got := range map[string]string{
		"a copy":                   mustOpen(t, s, seal(t, foreign().json())).ID,
		"a copy sealed again":      mustOpen(t, s, aged.seal(t, keyA, foreign().json())).ID,
		"a retry":                  mustOpen(t, s, seal(t, foreign().with("retry_count", "2").json())).ID,
		"times as integers":        mustOpen(t, s, seal(t, foreign().with("timestamp", "1767225600").with("session_expiry", "1767226500").json())).ID,
		"an empty id":              mustOpen(t, s, seal(t, foreign().with("id", `""`).json())).ID,
		"a replica":                mustOpen(t, newSealer(t, keyA), seal(t, foreign().json())).ID,
		"with a fallback":          mustOpen(t, newSealer(t, keyA, keyB), seal(t, foreign().json())).ID,
		"opened by a fallback":     mustOpen(t, newSealer(t, keyB, keyA), seal(t, foreign().json())).ID,
		"sealed by us, under keyB": mustOpen(t, newSealer(t, keyB), mustSeal(t, newSealer(t, keyB), mustOpen(t, s, seal(t, foreign().json())))).ID,
	} {
		if got != id {
			t.Errorf("%s: %s, want %s", name, got, id)
		}
	}
	if got := mustOpen(t, newSealer(t, keyB), underB).ID; got == id {
		t.Error("the id does not depend on the key: whoever knows the claims could compute it")
	}
}

func TestDerivedIDTellsContextsApart(t *testing.T) {
	s := newSealer(t, keyA)
	seen := make(map[string]payload)
	for _, p := range []payload{
		foreign(),
		foreign().with("identifier", `null`),
		foreign().with("identifier", `""`),
		foreign().with("identifier", `"User@example.invalid"`),
		foreign().with("otp_hash", `"`+"00"+foreign()["otp_hash"][3:]),
		foreign().with("timestamp", `1767225600.001`),
		foreign().with("session_expiry", `1767226500.001`),
		foreign().with("timestamp", `1767226500.0`).with("session_expiry", `1767225600.0`),
	} {
		id := mustOpen(t, s, seal(t, p.json())).ID
		if other, ok := seen[id]; ok {
			t.Errorf("%s and\n%s have the id %s", p.json(), other.json(), id)
		}
		seen[id] = p
	}
}

func TestGivenIDIsKept(t *testing.T) {
	const id = "AAECAwQFBgcICQoLDA0ODw"
	if got := mustOpen(t, newSealer(t, keyA), seal(t, foreign().with("id", `"`+id+`"`).json())).ID; got != id {
		t.Errorf("%s became %s", id, got)
	}
}
