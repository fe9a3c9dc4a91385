package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The documents that say how otpd is used and run.
const (
	readme     = "../README.md"
	contract   = "../openapi.yaml"
	compose    = "../compose.yaml"
	kubernetes = "../deploy/kubernetes-sidecar.yaml"
)

func readFile(tb testing.TB, name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// blocks returns the code blocks of the README that the given comment stands above.
func blocks(tb testing.TB, comment string) (found []string) {
	for _, part := range strings.Split(readFile(tb, readme), "<!-- "+comment+" -->\n```")[1:] {
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

func TestReadmeShowsTheLoop(t *testing.T) {
	if got := blocks(t, "examples/retry.py"); got[0] != readFile(t, "retry.py") {
		t.Error("the README does not show examples/retry.py as it is")
	}
	for _, name := range []string{"retry.sh", "retry.go", "retry.py", "retry.mjs"} {
		if !strings.Contains(readFile(t, readme), "(examples/"+name+")") {
			t.Errorf("the README does not link examples/%s", name)
		}
	}
}

func TestReadmeCommandsDoWhatTheySay(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
			t.Skip("needs ", program)
		}
	}
	url := startOtpd(t, "OTP_RESEND_COOLDOWN_SECONDS=0") // so that there is no need to sleep
	commands := strings.NewReplacer("http://127.0.0.1:8080", url, "sleep 30\n", "").
		Replace(strings.Join(blocks(t, "tested"), ""))
	out, err := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", commands).CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{
		`"otp":"`, `"INVALID_OTP"`, `"attempts_remaining":2`, `"status":"verified"`, `"OTP_ALREADY_USED"`,
		`"state":"used"`, `"otp":"`, `"CONTEXT_SUPERSEDED"`, `"status":"revoked"`, `"CONTEXT_REVOKED"`,
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("no %s where it is expected in:\n%s", want, out)
		}
		rest = after
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
	for _, file := range []string{readme, "../SECURITY.md", compose, kubernetes, "../Dockerfile"} {
		for _, name := range regexp.MustCompile(`\bOTP_[A-Z_]*[A-Z]\b`).FindAllString(readFile(t, file), -1) {
			_, isVariable := known[name]
			if !isVariable && !slices.Contains(errorCodes(t), name) && name != "OTP_ERROR" { // django-otp-actions' own
				t.Errorf("%s: otpd has no %s", file, name)
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
