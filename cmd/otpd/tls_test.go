package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// testCertificate is a self-signed certificate.
type testCertificate struct {
	*x509.Certificate
	certPEM, keyPEM string
}

func newCertificate(tb testing.TB, commonName string) testCertificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: commonName},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return testCertificate{
		Certificate: cert,
		certPEM:     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		keyPEM:      string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}
}

// files returns the paths of new files that hold the certificate and its key.
func (c testCertificate) files(tb testing.TB) (cert, key string) {
	dir := tb.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c.replace(tb, cert, key)
	return cert, key
}

func (c testCertificate) replace(tb testing.TB, cert, key string) {
	replaceFile(tb, cert, c.certPEM)
	replaceFile(tb, key, c.keyPEM)
}

func (c testCertificate) trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(c.Certificate)
	return &tls.Config{RootCAs: roots}
}

// served returns the common name of the certificate that a new connection is shown.
func served(tb testing.TB, addr string) string {
	tb.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLSCertificateReplacedWhileServing(t *testing.T) {
	t.Parallel()
	first := newCertificate(t, "first")
	certFile, keyFile := first.files(t)
	p := launch(t, keyVariable+"="+newKey(t), "OTP_TLS_CERT_FILE="+certFile, "OTP_TLS_KEY_FILE="+keyFile)
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	c := newClient(t, p.addr, &http.Transport{TLSClientConfig: first.trust(), Protocols: protocols})
	if a := c.get(t, "200 ready", "/readyz"); a.ProtoMajor != 2 {
		t.Errorf("%s over TLS, want HTTP/2", a.Proto)
	}

	newCertificate(t, "second").replace(t, certFile, keyFile)
	eventually(t, "the second certificate", func() bool { return served(t, p.addr) == "second" })
	if err := c.verifyFlow(); err != nil { // on the connection it has
		t.Error(err)
	}

	replaceFile(t, certFile, "garbage")
	p.signal(t, syscall.SIGHUP)
	p.logged(t, "not reloaded, the old one stays")
	if name := served(t, p.addr); name != "second" {
		t.Errorf("after a bad file, the certificate is %q, want the second", name)
	}

	newCertificate(t, "third").replace(t, certFile, keyFile)
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the third certificate", func() bool { return served(t, p.addr) == "third" })
}

func TestTLSRefusesOldVersionsAndPlainText(t *testing.T) {
	t.Parallel()
	certFile, keyFile := newCertificate(t, "localhost").files(t)
	p := launch(t, keyVariable+"="+newKey(t), "OTP_TLS_CERT_FILE="+certFile, "OTP_TLS_KEY_FILE="+keyFile)
	conn, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	if err == nil {
		conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
	if a, err := newClient(t, p.addr, nil).send(http.MethodGet, "/readyz", nil, nil); err == nil && a.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered on the TLS port: %s", a)
	}
}
