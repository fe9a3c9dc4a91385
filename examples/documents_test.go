package main

import (
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/otpd/otpd/internal/testtool"
)

// The documents that say how otpd is used and run.
const (
	readme     = "../README.md"
	contract   = "../openapi.yaml"
	compose    = "../compose.yaml"
	kubernetes = "../deploy/kubernetes-sidecar.yaml"
	rules      = "../deploy/prometheus-rules.yaml"
	ledgerPage = "../docs/ledger.md"
	devicePage = "../docs/devices.md"

	deliveryPage = "../docs/delivery.md"
	tokenPage    = "../docs/tokens.md"
	eventPage    = "../docs/events.md"
)

func readFile(tb testing.TB, name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// blocks returns the code blocks of a document that the given comment stands above.
func blocks(tb testing.TB, document, comment string) (found []string) {
	for _, part := range strings.Split(readFile(tb, document), "<!-- "+comment+" -->\n```")[1:] {
		_, block, _ := strings.Cut(part, "\n")
		block, _, closed := strings.Cut(block, "\n```\n")
		if !closed {
			tb.Fatalf("the block below %q does not end", comment)
		}
		found = append(found, block+"\n")
	}
	if found == nil {
		tb.Fatalf("no block has the comment %q", comment)
	}
	return found
}

func TestDocumentsShowExamplesAsTheyAre(t *testing.T) {
	for example, document := range map[string]string{
		"retry.py": readme, "api.py": readme, "api.mjs": tokenPage, "webhook.py": deliveryPage,
	} {
		if got := blocks(t, document, "examples/"+example); got[0] != readFile(t, example) {
			t.Errorf("%s does not show examples/%s as it is", document, example)
		}
	}
}

func TestReadmeLinksTheLoop(t *testing.T) {
	for _, name := range []string{"retry.sh", "retry.go", "retry.py", "retry.mjs"} {
		if !strings.Contains(readFile(t, readme), "(examples/"+name+")") {
			t.Errorf("the README does not link examples/%s", name)
		}
	}
}

func TestReadmeCommandsDoWhatTheySay(t *testing.T) {
	testtool.Need(t, "CI", "bash", "curl")
	url := startOtpd(t, "OTP_RESEND_COOLDOWN_SECONDS=0") // so that there is no need to sleep
	commands := strings.NewReplacer("http://127.0.0.1:8080", url, "sleep 30\n", "").
		Replace(strings.Join(blocks(t, readme, "tested"), ""))
	shell(t, commands,
		`"otp":"`, `"INVALID_OTP"`, `"attempts_remaining":2`, `"status":"verified"`, `"OTP_ALREADY_USED"`,
		`"state":"used"`, `"otp":"`, `"CONTEXT_SUPERSEDED"`, `"status":"revoked"`, `"CONTEXT_REVOKED"`,
	)
}

// shell runs commands, which must print the given texts in their order.
func shell(tb testing.TB, commands string, texts ...string) {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), "bash", "-euo", "pipefail", "-c", commands).CombinedOutput()
	if err != nil {
		tb.Fatalf("%v:\n%s", err, out)
	}
	inOrder(tb, string(out), texts...)
}

const requireRedis = "OTPD_TEST_REQUIRE_REDIS"

// freePort returns a port that nothing listens on, below those that the system gives away by itself.
func freePort(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		port := strconv.Itoa(10000 + rand.IntN(10000))
		if listener, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = listener.Close()
			return port
		}
	}
	tb.Fatal("no free port")
	return ""
}

func TestReadmeStartsTwoReplicas(t *testing.T) {
	testtool.Need(t, "CI", "bash", "curl")
	testtool.Need(t, requireRedis, "redis-server")
	commands := strings.NewReplacer("6390", freePort(t), "8082", freePort(t), "8083", freePort(t), "bin/otpd", built+"/otpd").
		Replace(strings.Join(blocks(t, readme, "tested with Redis"), ""))
	// The block ends what it has started, and so does a failure before that.
	shell(t, "cd "+t.TempDir()+"\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"+commands,
		`{"status":"ready"}`, `{"status":"ready"}`, `"status":"verified"`, `"OTP_ALREADY_USED"`, `"OTP_ALREADY_USED"`)
}

func TestLedgerPageUnlocks(t *testing.T) {
	testtool.Need(t, "CI", "bash", "curl")
	url := startOtpd(t)
	shell(t, strings.ReplaceAll(blocks(t, ledgerPage, "tested")[0], "http://127.0.0.1:8080", url), `{"status":"unlocked"}`)
}

func TestDevicePageCommandsDoWhatTheySay(t *testing.T) {
	testtool.Need(t, "CI", "bash", "curl", "oathtool")
	url := startOtpd(t)
	commands := strings.ReplaceAll(strings.Join(blocks(t, devicePage, "tested"), ""), "http://127.0.0.1:8080", url)
	shell(t, commands,
		"otpauth://totp/Example:you%40example.com?secret=", `"backup_codes":["`, `"status":"verified"`,
		`"method":"totp"`, `"CODE_ALREADY_USED"`, `"methods":["pwd","otp","mfa"]`, `"CHALLENGE_ALREADY_USED"`,
	)
}

// TestLedgerPageGivesEnoughRights runs otpd as the user that the page creates.
func TestLedgerPageGivesEnoughRights(t *testing.T) {
	testtool.Need(t, "CI", "bash", "curl", "oathtool")
	testtool.Need(t, requireRedis, "redis-server", "redis-cli")
	port := freePort(t)
	redis := exec.CommandContext(t.Context(), "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "")
	redis.Dir = t.TempDir()
	log := new(output)
	redis.Stdout = log
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Wait() })
	t.Cleanup(func() { _ = redis.Process.Kill() })
	log.after(t, "Ready to accept connections")
	rights := strings.Fields(strings.Replace(blocks(t, ledgerPage, "ACL")[0], "PASSWORD", "password", 1))
	if out, err := exec.Command("redis-cli", append([]string{"-p", port}, rights...)...).CombinedOutput(); string(out) != "OK\n" {
		t.Fatalf("redis-cli: %v %s", err, out)
	}
	url := startOtpd(t, "OTP_RESEND_COOLDOWN_SECONDS=0", "OTP_LEDGER_TIMEOUT=5s", "OTP_LEDGER_URL=redis://otpd:password@127.0.0.1:"+port)
	shell(t, strings.NewReplacer("http://127.0.0.1:8080", url, "sleep 30\n", "").
		Replace(strings.Join(slices.Concat(
			blocks(t, readme, "tested"), blocks(t, ledgerPage, "tested"), blocks(t, devicePage, "tested")), "")),
		`"INVALID_OTP"`, `"verified"`, `"OTP_ALREADY_USED"`, `"used"`, `"CONTEXT_SUPERSEDED"`, `"revoked"`, `"CONTEXT_REVOKED"`,
		`"unlocked"`, `"backup_codes"`, `"verified"`, `"CODE_ALREADY_USED"`, `"verified"`, `"CHALLENGE_ALREADY_USED"`)
	shell(t, "curl -sS "+url+"/readyz", `"ready"`)
}

func TestLedgerPageShowsARedisThatForgetsNothing(t *testing.T) {
	var document struct {
		Services map[string]struct {
			Command     []string          `yaml:"command"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(blocks(t, ledgerPage, "compose")[0]), &document); err != nil {
		t.Fatal(err)
	}
	command := strings.Join(document.Services["valkey"].Command, " ")
	if !strings.Contains(command, "--maxmemory-policy noeviction") || !strings.Contains(command, "--appendonly yes") {
		t.Errorf("the command is %s", command)
	}
	if url := document.Services["otpd"].Environment["OTP_LEDGER_URL"]; url != "redis://valkey:6379" {
		t.Errorf("otpd's ledger is %s", url)
	}
}

func TestReadmeListsEachErrorCode(t *testing.T) {
	listed := regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| [0-9]{3} \\|").FindAllStringSubmatch(readFile(t, readme), -1)
	var got []string
	for _, match := range listed {
		got = append(got, match[1])
	}
	want := errorCodes(t)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the README lists %q, the contract %q", got, want)
	}
}

// errorCodes returns the values of error_code in the contract.
func errorCodes(tb testing.TB) []string {
	var document struct {
		Components struct {
			Schemas struct {
				ErrorCode struct {
					Enum []string `yaml:"enum"`
				} `yaml:"ErrorCode"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal([]byte(readFile(tb, contract)), &document); err != nil {
		tb.Fatal(err)
	}
	return document.Components.Schemas.ErrorCode.Enum
}

// variables returns the name and the default of each variable, as otpd config lists them.
func variables(tb testing.TB) map[string]string {
	cmd := exec.Command(filepath.Join(built, "otpd"), "config")
	cmd.Env = []string{}
	out, err := cmd.Output()
	if err != nil {
		tb.Fatal(err)
	}
	header, table, _ := strings.Cut(string(out), "\n")
	start, end := strings.Index(header, "DEFAULT"), strings.Index(header, "SET TO")
	found := make(map[string]string)
	for row := range strings.Lines(table) {
		found[strings.TrimSpace(row[:start])] = strings.TrimSpace(row[start:end])
	}
	return found
}

func TestReadmeListsEachVariable(t *testing.T) {
	text := readFile(t, readme)
	for name, byDefault := range variables(t) {
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\| ([^|]*) \\|").FindStringSubmatch(text)
		switch {
		case row == nil:
			t.Errorf("the README has no row for %s", name)
		case strings.Trim(row[1], "`") != byDefault:
			t.Errorf("the README says that %s is %s by default, and it is %q", name, row[1], byDefault)
		}
	}
}

func TestDocumentsNameRealVariables(t *testing.T) {
	known := variables(t)
	for _, file := range []string{
		readme, "../SECURITY.md", ledgerPage, devicePage, deliveryPage, tokenPage, eventPage, "../CHANGELOG.md",
		compose, kubernetes, rules, "../Dockerfile",
	} {
		for _, name := range regexp.MustCompile(`\bOTP_[A-Z_]*[A-Z]\b`).FindAllString(readFile(t, file), -1) {
			_, isVariable := known[name]
			if !isVariable && !slices.Contains(errorCodes(t), name) && name != "OTP_ERROR" { // django-otp-actions' own
				t.Errorf("%s: otpd has no %s", file, name)
			}
		}
	}
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^)#\s:]*)(?:#([^)\s]*))?\)`) // but those to other sites
	heading      = regexp.MustCompile("(?m)^#+ (.*)$")
	notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns those of a document's headings, as GitHub makes them.
func anchors(tb testing.TB, document string) (all []string) {
	for _, match := range heading.FindAllStringSubmatch(readFile(tb, document), -1) {
		all = append(all, strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}

func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(pages, readme, "../SECURITY.md", "../CHANGELOG.md") {
		for _, match := range markdownLink.FindAllStringSubmatch(readFile(t, document), -1) {
			target := document
			if match[1] != "" {
				target = filepath.Join(filepath.Dir(document), match[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: there is no %s", document, match[1])
			} else if match[2] != "" && !slices.Contains(anchors(t, target), match[2]) {
				t.Errorf("%s: %s has no %s", document, target, match[2])
			}
		}
	}
}

func TestComposeSharesTheApplicationsNetwork(t *testing.T) {
	var document struct {
		Services map[string]struct {
			NetworkMode string   `yaml:"network_mode"`
			Ports       []string `yaml:"ports"`
			ReadOnly    bool     `yaml:"read_only"`
			CapDrop     []string `yaml:"cap_drop"`
			SecurityOpt []string `yaml:"security_opt"`
			Secrets     []string `yaml:"secrets"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, compose)), &document); err != nil {
		t.Fatal(err)
	}
	otpd := document.Services["otpd"]
	if otpd.NetworkMode != "service:app" || otpd.Ports != nil || !otpd.ReadOnly || len(otpd.Secrets) != 1 ||
		!slices.Equal(otpd.CapDrop, []string{"ALL"}) || !slices.Equal(otpd.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("otpd is %+v", otpd)
	}
	if _, ok := document.Services["app"]; !ok {
		t.Error("there is no application")
	}
}

func TestKubernetesSidecarIsConfined(t *testing.T) {
	type container struct {
		Name            string `yaml:"name"`
		RestartPolicy   string `yaml:"restartPolicy"`
		SecurityContext struct {
			Escalation   *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnly     bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities struct {
				Drop []string `yaml:"drop"`
			} `yaml:"capabilities"`
		} `yaml:"securityContext"`
	}
	var document struct {
		Spec struct {
			Template struct {
				Spec struct {
					InitContainers  []container `yaml:"initContainers"`
					Containers      []container `yaml:"containers"`
					SecurityContext struct {
						NonRoot bool `yaml:"runAsNonRoot"`
						Seccomp struct {
							Type string `yaml:"type"`
						} `yaml:"seccompProfile"`
					} `yaml:"securityContext"`
				} `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, kubernetes)), &document); err != nil {
		t.Fatal(err)
	}
	pod := document.Spec.Template.Spec
	if len(pod.InitContainers) != 1 || pod.InitContainers[0].Name != "otpd" || pod.InitContainers[0].RestartPolicy != "Always" {
		t.Fatalf("the init containers are %+v", pod.InitContainers)
	}
	if !pod.SecurityContext.NonRoot || pod.SecurityContext.Seccomp.Type != "RuntimeDefault" {
		t.Errorf("the pod has %+v", pod.SecurityContext)
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		s := c.SecurityContext
		if s.Escalation == nil || *s.Escalation || !s.ReadOnly || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s has %+v", c.Name, s)
		}
	}
}
