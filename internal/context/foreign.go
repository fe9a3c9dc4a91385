package otpcontext

import (
	"fmt"

	"github.com/fernet/fernet-go"
)

// ForeignKeys open Fernet tokens of another system, from which something is to be imported. They seal nothing.
type ForeignKeys struct{ keys []*fernet.Key }

// ParseForeignKeys reads another system's keys, each encoded as [ParseRing] has it. Its errors name a key by its
// place, from 1, and never quote it.
func ParseForeignKeys(encoded []string) (*ForeignKeys, error) {
	foreign := new(ForeignKeys)
	for i, text := range encoded {
		k, err := parseKey(text)
		if err != nil {
			return nil, fmt.Errorf("key %d %w", i+1, err)
		}
		foreign.keys = append(foreign.keys, k)
	}
	return foreign, nil
}

// Open returns what is sealed in token, however old it is. Its only error is [ErrInvalid].
func (f *ForeignKeys) Open(token string) ([]byte, error) {
	if !canonical(token) {
		return nil, ErrInvalid
	}
	data := fernet.VerifyAndDecrypt([]byte(token), 0, f.keys)
	if data == nil {
		return nil, ErrInvalid
	}
	return data, nil
}
