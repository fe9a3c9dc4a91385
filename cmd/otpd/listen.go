package main

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// newServer returns a server with the bounds that keep a slow or greedy client from holding on to it.
func newServer(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      handler,
		Protocols:                    protocols,
		ReadHeaderTimeout:            5 * time.Second,
		ReadTimeout:                  10 * time.Second,
		WriteTimeout:                 10 * time.Second,
		IdleTimeout:                  120 * time.Second,
		MaxHeaderBytes:               16 << 10,
		DisableGeneralOptionsHandler: true,
	}
}

// listen opens addr, HOST:PORT or unix:/PATH, for TLS if cert is not nil.
func listen(addr string, cert *certificate) (listener net.Listener, err error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		listener, err = listenUnix(path)
	} else {
		listener, err = net.Listen("tcp", addr)
	}
	if err == nil && cert != nil {
		listener = tls.NewListener(listener, cert.config())
	}
	return listener, err
}

func listenUnix(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	defer syscall.Umask(syscall.Umask(0o117)) // for the owner and the group, from the first moment
	return net.Listen("unix", path)
}

// removeStale removes a socket that a process left behind when it was killed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil // listening says what is wrong, if anything is
	}
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return errors.New("listen unix " + path + ": another process is listening")
	}
	return os.Remove(path)
}

// isLoopback reports whether addr can be reached from this machine only, by TCP.
func isLoopback(addr string) bool {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	return err == nil && tcp.IP.IsLoopback()
}

func isUnix(addr string) bool { return strings.HasPrefix(addr, "unix:") }

// certificate is a TLS certificate that can be replaced while it serves.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// load reads the certificate and its key from PEM files.
func (c *certificate) load(certFile, keyFile string) error {
	cert, err := readFile("OTP_TLS_CERT_FILE", certFile)
	if err != nil {
		return err
	}
	key, err := readFile("OTP_TLS_KEY_FILE", keyFile)
	if err != nil {
		return err
	}
	if block, _ := pem.Decode(key); block == nil {
		return complain("OTP_TLS_KEY_FILE", "is not a PEM file")
	}
	loaded, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return complain("OTP_TLS_CERT_FILE", "cannot be used with OTP_TLS_KEY_FILE: "+err.Error())
	}
	c.current.Store(&loaded)
	return nil
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}
