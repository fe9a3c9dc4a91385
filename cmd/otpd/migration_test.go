package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// blocks returns the code blocks of the page on migration below a comment.
func blocks(tb testing.TB, comment string) (found []string) {
	tb.Helper()
	page, err := os.ReadFile("../../docs/migration.md")
	if err != nil {
		tb.Fatal(err)
	}
	for _, part := range strings.Split(string(page), "<!-- "+comment+" -->\n```")[1:] {
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

// TestMigrationPageDoesWhatItSays runs the page's commands on the rows that it shows.
func TestMigrationPageDoesWhatItSays(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip("needs " + tool)
		}
	}
	key := keyVariable + "=" + newKey(t)
	p, dir := launch(t, key), t.TempDir()
	here := strings.NewReplacer("http://127.0.0.1:8080", "http://"+p.addr)
	replaceFile(t, filepath.Join(dir, "owners.py"), here.Replace(blocks(t, "tested: owners.py")[0]))

	run := func(commands string) (stdout, stderr string) {
		t.Helper()
		shell := exec.CommandContext(t.Context(), "bash", "-c", commands)
		shell.Dir, shell.Env = dir, append(command(t.Context(), nil).Env, key)
		var out, log output
		shell.Stdout, shell.Stderr = &out, &log
		_ = shell.Run() // the import has rows to refuse
		return out.String(), log.String()
	}
	steps := blocks(t, "tested")
	if len(steps) != 3 {
		t.Fatalf("%d blocks to run, want those that import, ask for the owners and verify", len(steps))
	}
	if stdout, stderr := run(steps[0]); stdout != "" || stderr != blocks(t, "report")[0] {
		t.Errorf("the import says %q and %q, not what the page shows", stdout, stderr)
	}
	if stdout, stderr := run(steps[1] + "cat owners.csv"); stderr != "" || strings.Count(stdout, "\n") != 2 ||
		!strings.HasPrefix(stdout, "identifier,device_id,device\nann,") || !strings.Contains(stdout, ",gAAAAA") {
		t.Errorf("the owners are %q, %s", stdout, stderr)
	}
	stdout, stderr := run(here.Replace(steps[2]))
	for _, want := range []string{`"status":"verified"`, `"identifier":"ann"`, `"method":"hotp","counter":3,"backup_codes_remaining":0`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the answer lacks %s: %s%s", want, stdout, stderr)
		}
	}
}

// TestMigrationPageNamesEachReason compares what the import says with the table of what to do about it.
func TestMigrationPageNamesEachReason(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| not imported | what to do |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var named []string
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		for i, text := range strings.Split(cells[1], "`") {
			if i%2 == 1 {
				named = append(named, text)
			}
		}
	}
	if len(named) < 10 {
		t.Fatalf("the table names %q", named)
	}
	for _, fault := range importFaults {
		known := false
		for _, text := range named {
			known = known || strings.Contains(fault.says, text)
		}
		if !known {
			t.Errorf("the page does not say what to do about: %s", fault.says)
		}
	}
}
