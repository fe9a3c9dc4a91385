package token

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/testtool"
)

// joseVersion is the one of the npm package that the example is for.
const joseVersion = "6.2.17"

// peers are other implementations that verify access tokens, as the examples have them do.
var peers = []struct {
	name    string
	command func(t *testing.T) []string // to which the address of the keys, the issuer and the audience are added
}{
	{"PyJWT", pyJWT},
	{"jose", npmJose},
}

// pyJWT needs Debian's own interpreter, which finds Debian's packages.
func pyJWT(t *testing.T) []string {
	t.Helper()
	const python = "/usr/bin/python3"
	testtool.Need(t, "CI", python)
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import jwt, cryptography").CombinedOutput(); err != nil {
		missing(t, "python3-jwt and python3-cryptography are not installed: %s", out)
	}
	return []string{python, "../../examples/jwt_verify.py"}
}

// npmJose installs the package beside a copy of the example, where Node looks for it.
func npmJose(t *testing.T) []string {
	t.Helper()
	testtool.Need(t, "CI", "node", "npm")
	dir := t.TempDir()
	example, err := os.ReadFile("../../examples/jwt_verify.mjs")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "jwt_verify.mjs")
	if err := os.WriteFile(script, example, 0o600); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "jose@"+joseVersion)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		missing(t, "npm does not install jose: %s", out)
	}
	return []string{"node", "--no-warnings", "--experimental-global-webcrypto", script} // Node 18 needs the flag
}

// missing skips t for want of what a peer needs; where CI is set it fails instead.
func missing(t *testing.T, format string, why ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, why...)
	}
	t.Skipf(format, why...)
}

// peer is a process that reads tokens and says of each what it holds, or that it is refused.
type peer struct {
	stdin  io.Writer
	stdout *bufio.Scanner
}

func startPeer(t *testing.T, command ...string) *peer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	return &peer{stdin, bufio.NewScanner(stdout)}
}

func (p *peer) verify(t *testing.T, token string) string {
	t.Helper()
	if _, err := io.WriteString(p.stdin, token+"\n"); err != nil {
		t.Fatal(err)
	}
	if !p.stdout.Scan() {
		t.Fatalf("the peer has ended: %v", p.stdout.Err())
	}
	return p.stdout.Text()
}

func (p *peer) wantRefusal(t *testing.T, what, token string) {
	t.Helper()
	if said := p.verify(t, token); !strings.HasPrefix(said, "refused: ") {
		t.Errorf("%s: %s", what, said)
	}
}

func (p *peer) wantClaims(t *testing.T, what, token string) {
	t.Helper()
	said := p.verify(t, token)
	if !strings.HasPrefix(said, "{") {
		t.Fatalf("%s: %s", what, said)
	}
	if claims := members(t, said); claims["sub"] != ann || claims["purpose"] != "login" {
		t.Errorf("%s: %v", what, claims)
	}
}

// serveKeys returns the address of the service's public keys.
func (f *fixture) serveKeys(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(f.JWKS())
	}))
	t.Cleanup(server.Close)
	return server.URL + "/.well-known/jwks.json"
}

// Other implementations take access tokens for what they are, and keep doing so while one key replaces another.
func TestPeersVerifyAccessTokens(t *testing.T) {
	t.Parallel()
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			command := p.command(t)
			f := newFixture(t, ledger.None{}, "EdDSA", "ES256", "RS256")
			f.clock = time.Now()
			command = append(command, f.serveKeys(t), issuer, audience)

			byEdDSA := f.mustIssue(t)
			running := startPeer(t, command...)
			running.wantClaims(t, "EdDSA", byEdDSA.Access)
			f.keys.Use(keySet(t, "ES256", "RS256", "EdDSA"))
			running.wantClaims(t, "ES256, announced before", f.mustIssue(t).Access)
			f.keys.Use(keySet(t, "RS256", "ES256"))
			byRS256 := f.mustIssue(t)
			running.wantClaims(t, "RS256, announced before", byRS256.Access)

			started := startPeer(t, command...)
			started.wantClaims(t, "RS256, to a new process", byRS256.Access)
			started.wantRefusal(t, "the key is no longer published", byEdDSA.Access)

			started.wantRefusal(t, "a refresh token", byRS256.Refresh)
			header, claims := segments(t, byRS256.Access)
			own := by(privateKey(t, "RS256"))
			started.wantClaims(t, "forged as it was", forge(t, header, claims, own))
			for name, forgery := range map[string]string{
				"tampered": forge(t, header, edited(t, claims, "sub", "mallory"), func(t testing.TB, _ string) []byte {
					return own(t, strings.TrimSuffix(byRS256.Access, byRS256.Access[strings.LastIndex(byRS256.Access, "."):]))
				}),
				"another type":     forge(t, edited(t, header, "typ", "JWT"), claims, own),
				"another issuer":   forge(t, header, edited(t, claims, "iss", "https://another.example.invalid"), own),
				"another audience": forge(t, header, edited(t, claims, "aud", "https://another.example.invalid"), own),
				"expired":          forge(t, header, edited(t, claims, "exp", f.clock.Add(-time.Hour).Unix()), own),
				"not yet valid":    forge(t, header, edited(t, claims, "nbf", f.clock.Add(time.Hour).Unix()), own),
				"unsigned":         forge(t, edited(t, header, "alg", "none"), claims, byNobody),
			} {
				started.wantRefusal(t, name, forgery)
			}
		})
	}
}
