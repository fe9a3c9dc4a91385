// Package otpd holds the service's contract, to be served by it and held against it.
package otpd

import _ "embed"

// OpenAPI is openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte
