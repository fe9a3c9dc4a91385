package httpapi

import (
	"encoding/json"
	"net/http"
	"sync"

	"go.yaml.in/yaml/v3"
)

// contractYAML serves openapi.yaml.
func contractYAML(contract []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(contract)
	}
}

// contractJSON serves the same as JSON, made when it is first asked for.
func contractJSON(contract []byte) http.HandlerFunc {
	asJSON := sync.OnceValue(func() []byte {
		var document any
		if err := yaml.Unmarshal(contract, &document); err != nil {
			panic(err)
		}
		data, err := json.Marshal(document)
		if err != nil {
			panic(err)
		}
		return data
	})
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(asJSON())
	}
}
