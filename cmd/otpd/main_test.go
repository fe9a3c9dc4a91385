package main

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestMain lets the test binary run as otpd, by that name in the PATH of the tests and their scripts.
func TestMain(m *testing.M) {
	if os.Getenv("OTPD_BENCH_BARE") != "" {
		os.Exit(m.Run()) // a process of the benchmark, which is killed and would leave the PATH's files behind
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
