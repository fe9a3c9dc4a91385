package ledger

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A process reads which CAs it trusts once: the client of this test is a process of its own.
func TestTLS(t *testing.T) {
	if url := os.Getenv("OTPD_TEST_TLS_URL"); url != "" {
		r := openRedis(t, url, calmly, Throttle{})
		if err := r.Ping(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got, err := right.do(r, newVerification()); err != nil || got != (Outcome{Admitted, 0, 0}) {
			t.Errorf("Attempt = %v, %v", got, err)
		}
		return
	}
	dir := t.TempDir()
	none := t.TempDir()
	writeCertificate(t, dir)
	_, port, _ := net.SplitHostPort(freeAddr(t))
	startServer(t, "--tls-port", port, "--tls-auth-clients", "no", "--requirepass", "sesame",
		"--tls-cert-file", filepath.Join(dir, "cert"), "--tls-key-file", filepath.Join(dir, "key"),
		"--tls-ca-cert-file", filepath.Join(dir, "cert"))
	tests := []struct {
		name, url, trusted string
		fails              string
	}{
		{"trusted", "rediss://:sesame@127.0.0.1:" + port, filepath.Join(dir, "cert"), ""},
		{"not trusted", "rediss://:sesame@127.0.0.1:" + port, os.DevNull, "certificate signed by unknown authority"},
		{"of another host", "rediss://:sesame@localhost:" + port, filepath.Join(dir, "cert"), "certificate is not valid for any names"},
		{"with another password", "rediss://:simsim@127.0.0.1:" + port, filepath.Join(dir, "cert"), "WRONGPASS"},
		{"in plain text", "redis://:sesame@127.0.0.1:" + port, filepath.Join(dir, "cert"), "ledger: not connected"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := exec.Command(os.Args[0], "-test.run=^TestTLS$", "-test.count=1")
			client.Env = append(os.Environ(), "OTPD_TEST_TLS_URL="+test.url, "SSL_CERT_FILE="+test.trusted, "SSL_CERT_DIR="+none)
			output, err := client.CombinedOutput()
			if (err == nil) != (test.fails == "") || !strings.Contains(string(output), test.fails) {
				t.Errorf("%v: %s", err, output)
			}
			if strings.Contains(string(output), "sesame") || strings.Contains(string(output), "simsim") {
				t.Errorf("the password is in the output: %s", output)
			}
		})
	}
}

// writeCertificate writes a certificate for 127.0.0.1 and its key.
func writeCertificate(t testing.TB, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert": {Type: "CERTIFICATE", Bytes: certificate}, "key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
