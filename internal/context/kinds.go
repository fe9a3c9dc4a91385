package otpcontext

import (
	"errors"
	"time"

	"github.com/fernet/fernet-go"
)

// Kind is a kind of sealed token other than a context. Each has a subkey of its own, which HKDF-SHA256
// (RFC 5869) derives from a ring key with its name as info: no kind opens as another.
type Kind int

// Kinds.
const (
	Device Kind = iota
	Challenge
	Refresh
	Receipt
)

var kindNames = [...]string{Device: "device", Challenge: "challenge", Refresh: "refresh", Receipt: "receipt"}

// String returns the kind's name.
func (k Kind) String() string { return kindNames[k] }

// SealAs returns data as a token of a kind under the ring's first key, dated now. Data that does not fit
// into [MaxToken] bytes is an error.
func (s *Sealer) SealAs(kind Kind, data []byte, now time.Time) (string, error) {
	token, err := fernet.EncryptAndSignAtTime(data, s.ring.Load().keys[0].kinds[kind][0], now)
	if err == nil && len(token) > MaxToken {
		err = errors.New("otpcontext: data too large")
	}
	return string(token), err
}

// OpenAs returns what is sealed in a token of a kind, and whether the ring's first key sealed it. Its only
// error is [ErrInvalid].
func (s *Sealer) OpenAs(kind Kind, token string) (data []byte, primary bool, err error) {
	if !canonical(token) {
		return nil, false, ErrInvalid
	}
	ring := s.ring.Load()
	for i := range ring.keys {
		if data := fernet.VerifyAndDecrypt([]byte(token), 0, ring.keys[i].kinds[kind]); data != nil {
			return data, i == 0, nil
		}
	}
	return nil, false, ErrInvalid
}

// Subject returns what stands for an identifier, in a namespace, in logs, under the ring's first key. For as
// long as that stays the first it is the Subject of the identifier's contexts.
func (s *Sealer) Subject(namespace, identifier string) string {
	return s.ring.Load().keys[0].subject(namespace, identifier)
}

// deriveKinds returns the subkeys of k, each in the slice that fernet-go asks for.
func deriveKinds(k *fernet.Key) (derived [len(kindNames)][]*fernet.Key) {
	for kind, name := range kindNames {
		subkey := fernet.Key(derive(k, name))
		derived[kind] = []*fernet.Key{&subkey}
	}
	return derived
}
