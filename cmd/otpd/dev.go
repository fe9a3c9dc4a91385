package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	otpcontext "github.com/otpd/otpd/internal/context"
)

// dev serves like serve, under a key of its own and with logs for people, and says how to try it.
func dev(ctx context.Context, cfg config, stdout, stderr io.Writer) (err error) {
	if cfg.SigningKey, err = otpcontext.GenerateKey(); err != nil {
		return err
	}
	cfg.SigningKeyFile, cfg.SigningKeyFallbacks, cfg.SigningKeyFallbacksFile = "", "", ""
	cfg.LogFormat, cfg.DeliveryConsole = "text", true
	return serve(ctx, cfg, stdout, stderr, func(addr net.Addr) { fmt.Fprint(stdout, walkthrough(cfg, addr)) })
}

// walkthrough returns lines for a shell that generate a code, send a wrong one, and then the right one
// twice.
func walkthrough(cfg config, addr net.Addr) string {
	curl, url := "curl -sS", "http://"+addr.String()
	if isUnix(cfg.ListenAddr) {
		curl, url = curl+" --unix-socket "+addr.String(), "http://localhost"
	}
	if cfg.TLSCertFile != "" {
		curl, url = curl+" -k", strings.Replace(url, "http", "https", 1)
	}
	if cfg.APIKeys != "" || cfg.APIKeysFile != "" {
		curl += ` -H "Authorization: Bearer $SECRET"`
	}
	return strings.NewReplacer("CURL", curl+" -H 'Content-Type: application/json'", "URL", url+"/v1/otp").Replace(`
The key of this otpd dies with it, and all its contexts with the key. To try it, paste into another shell:

field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
A=$(CURL URL/generate -d '{"identifier":"you@example.com"}'); echo "$A"
B=$(CURL URL/verify -d "{\"otp\":\"wrong\",\"context\":\"$(echo "$A" | field context)\"}"); echo "$B"
for try in first second; do CURL URL/verify -d "{\"otp\":\"$(echo "$A" | field otp)\",\"context\":\"$(echo "$B" | field context)\"}"; echo; done

`)
}
