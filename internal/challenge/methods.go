package challenge

import "slices"

// Authentication methods by their names in RFC 8176 §2.
const (
	methodOTP = "otp" // RFC 4226 and 6238, and any other password that is good once
	methodMFA = "mfa"
)

// otherFactors are the methods that are no possession, as a code is: with one of them the login has two factors.
var otherFactors = []string{"pwd", "pin", "kba", "face", "fpt", "iris", "retina", "vbm"}

// Methods returns what a login amounts to once a code has been right, after what has been done before.
func Methods(done []string) []string {
	all := slices.Clone(done)
	add := func(method string) {
		if !slices.Contains(all, method) {
			all = append(all, method)
		}
	}
	add(methodOTP)
	if slices.ContainsFunc(done, func(method string) bool { return slices.Contains(otherFactors, method) }) {
		add(methodMFA)
	}
	return all
}
