package main

import (
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/otpd/otpd/internal/testtool"
)

// aside is a directory for what the commands of a page write, with the examples in it.
func aside(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	here, err := os.Getwd()
	if err == nil {
		err = os.Symlink(here, filepath.Join(dir, "examples"))
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "bin"), 0o700)
	}
	if err == nil {
		err = os.Symlink(filepath.Join(built, "otpd"), filepath.Join(dir, "bin", "otpd"))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return dir
}

// background starts commands in dir. They and what they start end with the test.
func background(tb testing.TB, dir, commands string, env ...string) *output {
	tb.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return out
}

// urlOf returns the address of an otpd that logs for people.
func urlOf(tb testing.TB, out *output) string {
	tb.Helper()
	addr, _, _ := strings.Cut(out.after(tb, "msg=listening addr="), " ")
	return "http://" + addr
}

// startAPI starts an API for whoever has a token of the otpd at url, and returns its own URL.
func startAPI(tb testing.TB, url string, command ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "PORT=0", "OTPD_URL="+url, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return "http://127.0.0.1:" + out.after(tb, "Listening at ")
}

// apis are the commands that start the API in one language each. Both need what is not in every system.
var apis = map[string]func(testing.TB) []string{"Python": pythonAPI, "Node": nodeAPI}

// pythonAPI needs Debian's own interpreter, which finds Debian's packages.
func pythonAPI(tb testing.TB) []string {
	tb.Helper()
	const python = "/usr/bin/python3"
	testtool.Need(tb, "CI", python)
	if out, err := exec.CommandContext(tb.Context(), python, "-c", "import jwt, cryptography").CombinedOutput(); err != nil {
		missing(tb, "python3-jwt and python3-cryptography are not installed: %s", out)
	}
	return []string{python, "api.py"}
}

// nodeAPI installs jose beside a copy of the example, where Node looks for it.
func nodeAPI(tb testing.TB) []string {
	tb.Helper()
	testtool.Need(tb, "CI", "node", "npm")
	dir := tb.TempDir()
	install := exec.CommandContext(tb.Context(), "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", dir, "jose@6")
	if out, err := install.CombinedOutput(); err != nil {
		missing(tb, "npm does not install jose: %s", out)
	}
	script := filepath.Join(dir, "api.mjs")
	if err := os.WriteFile(script, []byte(readFile(tb, "api.mjs")), 0o600); err != nil {
		tb.Fatal(err)
	}
	return []string{"node", "--no-warnings", "--experimental-global-webcrypto", script} // Node 18 needs the flag
}

// missing skips tb for want of what it needs; where CI is set it fails instead.
func missing(tb testing.TB, format string, why ...any) {
	tb.Helper()
	if os.Getenv("CI") != "" {
		tb.Fatalf(format, why...)
	}
	tb.Skipf(format, why...)
}

// withTokens starts an otpd that issues tokens, and returns its URL.
func withTokens(tb testing.TB, dir string) string {
	tb.Helper()
	shell(tb, "cd "+dir+"\n"+blocks(tb, tokenPage, "tested: key")[0])
	return startOtpd(tb, "OTP_JWT_PRIVATE_KEY_FILE="+filepath.Join(dir, "jwt.pem"))
}

func TestReadmeLogsIn(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash", "curl")
	api := pythonAPI(t)
	start := strings.Replace(blocks(t, readme, "tested: login, start")[0], "make build\n", "", 1)
	otpd := background(t, aside(t), start, "OTP_LISTEN_ADDR=127.0.0.1:0", "OTP_ADMIN_ADDR=")
	url := urlOf(t, otpd)
	commands := strings.NewReplacer("http://127.0.0.1:8080", url, "http://127.0.0.1:8000", startAPI(t, url, api...)).
		Replace(strings.Join(blocks(t, readme, "tested: login"), ""))

	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands)
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	typed, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(typed, otpd.after(t, "to you@example.com: ")[:6]+"\n")
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	inOrder(t, out.String(), `"to_masked":"y•••@example.com"`, `"status":"verified"`, `"refresh_token":"`, "Hello, user-17",
		`"access_token":"`, `{"status":"revoked"}`, `"INVALID_REFRESH_TOKEN"`)
	if strings.Contains(out.String(), `"otp":`) {
		t.Errorf("the code is in an answer:\n%s", out)
	}
}

// inOrder fails tb unless text has all of wanted, in their order.
func inOrder(tb testing.TB, text string, wanted ...string) {
	tb.Helper()
	rest := text
	for _, want := range wanted {
		_, after, found := strings.Cut(rest, want)
		if !found {
			tb.Fatalf("no %s where it is expected in:\n%s", want, text)
		}
		rest = after
	}
}

// tokensOf returns the answer to a login of user-17, for a purpose.
func tokensOf(tb testing.TB, url, purpose string) map[string]any {
	tb.Helper()
	issued := postJSON(tb, url+"/v1/otp/generate", map[string]any{"identifier": "user-17", "purpose": purpose})
	return postJSON(tb, url+"/v1/otp/verify", map[string]any{
		"otp": issued["otp"], "context": issued["context"], "purpose": purpose, "issue": "tokens",
	})
}

func postJSON(tb testing.TB, url string, fields map[string]any) (answer map[string]any) {
	tb.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := http.Post(url, "application/json", strings.NewReader(string(body)))
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
		tb.Fatalf("%s answers %d: %v %v", url, response.StatusCode, answer, err)
	}
	return answer
}

func TestAPIsTakeTokensOfLogins(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash")
	url := withTokens(t, aside(t))
	login, payment := tokensOf(t, url, "login"), tokensOf(t, url, "payment")
	for name, command := range apis {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := startAPI(t, url, command(t)...)
			for name, test := range map[string]struct {
				authorization string
				status        int
			}{
				"of a login":         {"Bearer " + login["access_token"].(string), 200},
				"in another case":    {"bearer " + login["access_token"].(string), 200},
				"of a payment":       {"Bearer " + payment["access_token"].(string), 401},
				"a refresh token":    {"Bearer " + login["refresh_token"].(string), 401},
				"cut short":          {"Bearer " + strings.TrimRight(login["access_token"].(string), "A")[:200], 401},
				"no token":           {"", 401},
				"nothing but scheme": {"Bearer", 401},
				"another scheme":     {"Basic " + login["access_token"].(string), 401},
			} {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api, nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Authorization", test.authorization)
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if response.StatusCode != test.status || (test.status == 200) != (string(body) == "Hello, user-17\n") {
					t.Errorf("%s: %d %s", name, response.StatusCode, body)
				}
			}
		})
	}
}

func TestTokenPageRefreshes(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash", "curl")
	url := withTokens(t, aside(t))
	refresh, _ := tokensOf(t, url, "login")["refresh_token"].(string)
	helpers, _, _ := strings.Cut(blocks(t, readme, "tested: login")[0], "\n\n")
	shell(t, strings.ReplaceAll(helpers, "http://127.0.0.1:8080", url)+"\nrefresh="+refresh+"\n"+blocks(t, tokenPage, "tested: refresh")[0],
		`"access_token":"`, `"refresh_token":"`)
}

// TestTokenPageReplacesTheKey has the keys that are published follow the file, step by step.
func TestTokenPageReplacesTheKey(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash")
	dir := aside(t)
	url := withTokens(t, dir)
	first := published(t, url)
	step := func(n string) []string {
		shell(t, "cd "+dir+"\n"+blocks(t, tokenPage, "tested: rotation "+n)[0])
		before := published(t, url)
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if now := published(t, url); !slices.Equal(now, before) {
				return now
			}
		}
		t.Fatalf("step %s changes no key", n)
		return nil
	}
	both := step("1")
	if len(first) != 1 || len(both) != 2 || both[0] != first[0] {
		t.Fatalf("%v is followed by %v", first, both)
	}
	if turned := step("2"); !slices.Equal(turned, []string{both[1], both[0]}) {
		t.Errorf("%v is followed by %v", both, turned)
	}
	if last := step("3"); !slices.Equal(last, both[1:]) {
		t.Errorf("%v is left of %v", last, both)
	}
}

// published returns the ids of the keys that an otpd publishes.
func published(tb testing.TB, url string) (ids []string) {
	tb.Helper()
	response, err := http.Get(url + "/.well-known/jwks.json")
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		tb.Fatal(err)
	}
	for _, key := range set.Keys {
		ids = append(ids, key.ID)
	}
	return ids
}

func TestDeliveryPageTriesTheConsole(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash", "curl")
	shell(t, "cd "+aside(t)+"\n"+blocks(t, deliveryPage, "tested: console")[0],
		"to you@example.com: ", " est votre code", "handed over in ", "y•••@example.com")
	url := startOtpd(t, "OTP_DELIVERY_CONSOLE=true")
	shell(t, strings.ReplaceAll(blocks(t, deliveryPage, "tested: send")[0], "http://127.0.0.1:8080", url),
		`"channel":"console"`, `"to_masked":"a•••@example.com"`, `"delivery_id":"`)
}

// mails is a mail server that keeps what it gets.
type mails struct {
	mu  sync.Mutex
	all []string
}

func (m *mails) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mails) Mail(string, *smtp.MailOptions) error        { return nil }
func (m *mails) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (m *mails) Reset()                                      {}
func (m *mails) Logout() error                               { return nil }

func (m *mails) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, string(data))
	return err
}

func TestDeliveryPageMails(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	received := new(mails)
	server := smtp.NewServer(received)
	server.Domain = "localhost"
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	shell(t, "cd "+aside(t)+"\n"+strings.ReplaceAll(blocks(t, deliveryPage, "tested: email")[0], "127.0.0.1:1025", listener.Addr().String()),
		"handed over in ", "y•••@example.com")
	received.mu.Lock()
	defer received.mu.Unlock()
	if len(received.all) != 1 || !strings.Contains(received.all[0], "ist Ihr Code") || !strings.Contains(received.all[0], "To: <you@example.com>") {
		t.Errorf("the mails are %q", received.all)
	}
}

func TestDeliveryPageDescribesAGateway(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash")
	var asked map[string]string
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer SECRET" || json.NewDecoder(r.Body).Decode(&asked) != nil {
			t.Errorf("the request is %v", r)
		}
		_, _ = io.WriteString(w, `{"status": "queued"}`)
	}))
	defer gateway.Close()
	dir := aside(t)
	file := strings.Replace(blocks(t, deliveryPage, "gateway.json")[0], "https://sms.example.com", gateway.URL, 1)
	if err := os.WriteFile(filepath.Join(dir, "gateway.json"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	shell(t, "cd "+dir+"\n"+blocks(t, deliveryPage, "tested: gateway")[0], "handed over in ", "+49•••••••89")
	if asked["to"] != "+4915123456789" || !strings.Contains(asked["text"], "is your code") || asked["reference"] == "" {
		t.Errorf("the gateway is asked for %v", asked)
	}
}

func TestDeliveryPagePostsToAReceiver(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash", "curl", "python3")
	port := freePort(t)
	commands := strings.ReplaceAll(blocks(t, deliveryPage, "tested: webhook")[0], "9000", port)
	shell(t, "cd "+aside(t)+"\nexport OTP_DELIVERY_TIMEOUT=8s PORT="+port+"\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"+commands,
		"Code: ", " for user-17", "handed over in ")
}

func TestDeliveryPageAddsATemplate(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash")
	shell(t, "cd "+aside(t)+"\n"+blocks(t, deliveryPage, "tested: templates")[0],
		"to you@example.com: Welcome! Type in ", " within 5 minutes.")
}

func TestEventPageReceivesEvents(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash", "curl", "python3")
	port := freePort(t)
	commands := strings.ReplaceAll(blocks(t, eventPage, "tested: receiver")[0], "9000", port)
	out := background(t, aside(t), commands, "PORT="+port, "OTP_LISTEN_ADDR=127.0.0.1:0", "OTP_ADMIN_ADDR=")
	id := postJSON(t, urlOf(t, out)+"/v1/otp/generate", map[string]any{})["id"].(string)
	if got := out.after(t, "Event: otp.generated "); got != id {
		t.Errorf("the event is of %s, not %s", got, id)
	}
}

// TestEventPageShowsAnEvent compares the fields of the page to those that are posted.
func TestEventPageShowsAnEvent(t *testing.T) {
	t.Parallel()
	type payload struct {
		Type string `json:"type"`
		Data struct {
			Events []map[string]any `json:"events"`
		} `json:"data"`
	}
	posted := make(chan payload, 10)
	endpoint := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var p payload
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		posted <- p
	}))
	defer endpoint.Close()
	url := startOtpd(t, "OTP_EVENTS_URL="+endpoint.URL, "OTP_EVENTS_SECRETS="+ourSecret)
	postJSON(t, url+"/v1/otp/generate", map[string]any{"identifier": "user-17"})
	var shown payload
	if err := json.Unmarshal([]byte(blocks(t, eventPage, "payload")[0]), &shown); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-posted:
		want := slices.Sorted(maps.Keys(shown.Data.Events[0]))
		if fields := slices.Sorted(maps.Keys(got.Data.Events[0])); got.Type != shown.Type || !slices.Equal(fields, want) {
			t.Errorf("%s has %v, and the page shows %v", got.Type, fields, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no event came")
	}
}

// TestEventPageListsEachEvent takes the names from the metric, which has one for each event there is.
func TestEventPageListsEachEvent(t *testing.T) {
	t.Parallel()
	testtool.Need(t, "CI", "bash")
	out := background(t, aside(t), "bin/otpd dev", "OTP_LISTEN_ADDR=127.0.0.1:0", "OTP_ADMIN_ADDR=127.0.0.1:0")
	addr, _, _ := strings.Cut(out.after(t, " admin_addr="), " ")
	response, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	scrape, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(string(scrape), `otpd_otp_events_total{event="`)[1:]
	if len(names) < 20 {
		t.Fatalf("there are %d events", len(names))
	}
	for _, page := range []string{eventPage, readme} {
		text := readFile(t, page)
		for _, name := range names {
			name, _, _ = strings.Cut(name, `"`)
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("%s does not name %s", page, name)
			}
		}
	}
}
