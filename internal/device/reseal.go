package device

import "github.com/otpd/otpd/internal/otp"

// MaxReseal is how many devices [Service.Reseal] takes.
const MaxReseal = 100

// Reseal returns devices, MaxReseal at most, under the primary key and otherwise as they are. One that is invalid
// is an [*InvalidError], and then none is resealed.
func (s *Service) Reseal(caller otp.Caller, tokens []string) (resealed []string, err error) {
	now := s.cfg.Now()
	for i, token := range tokens {
		d, err := s.open(token, caller)
		if err != nil {
			return nil, &InvalidError{i}
		}
		token, err := s.seal(d, now)
		if err != nil {
			return nil, err
		}
		resealed = append(resealed, token)
	}
	return resealed, nil
}
