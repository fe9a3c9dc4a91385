package main

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// modes are what the test binary does in place of running tests when the environment variable that
// names one is set: a test starts it again as a process of its own.
var modes = map[string]func(){}

// register adds a mode, for use as: var _ = register("VARIABLE", run).
func register(variable string, run func()) struct{} {
	modes[variable] = run
	return struct{}{}
}

// TestMain lets the test binary run as otpd, by that name in the PATH of the tests and their scripts.
func TestMain(m *testing.M) {
	for variable, run := range modes {
		if os.Getenv(variable) != "" {
			run()
			return
		}
	}
	// Most tests wait for a process or for a time that is up, so more of them run at once than there are
	// processors, unless the command line says otherwise.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	testscript.Main(leakChecked{m}, map[string]func(){"otpd": main})
}

// leakChecked runs tests, and fails if they leave a goroutine behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	status := m.M.Run()
	if err := goleak.Find(); status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}
