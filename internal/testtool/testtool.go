// Package testtool finds and runs the programs that tests need. The tests of a package share one redis-server, so
// their keys must be random.
package testtool

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, ends the redis-server that they have shared, and finds what still runs.
func Main(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			stopRedis()
			os.Exit(code)
		}),
		// It sleeps for up to a second after its client has been closed.
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
	)
}

// Need skips t for want of a program; where a variable of the environment is set it fails instead.
func Need(t testing.TB, variable string, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv(variable) != "" {
			t.Fatalf("%s is not installed, and %s is set", program, variable)
		}
		t.Skipf("%s is not installed", program)
	}
}

var redis struct {
	sync.Mutex
	addr  string
	shell *exec.Cmd
	stdin io.Closer
}

// underShell runs a server until its own input ends, as it does when the tests die. Its output is that it listens.
const underShell = `"$@" </dev/null & cat >/dev/null; kill -9 $!; wait`

// Redis returns the address of the redis-server, which keeps nothing on disk. Where the program is missing the test is
// skipped, or fails if OTPD_TEST_REQUIRE_REDIS is set.
func Redis(t testing.TB) string {
	t.Helper()
	Need(t, "OTPD_TEST_REQUIRE_REDIS", "redis-server")
	redis.Lock()
	defer redis.Unlock()
	if redis.shell == nil {
		startRedis(t)
	}
	return redis.addr
}

func startRedis(t testing.TB) {
	t.Helper()
	redis.addr = freeAddr(t)
	_, port, _ := net.SplitHostPort(redis.addr)
	redis.shell = exec.Command("sh", "-c", underShell, "sh",
		"redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", os.TempDir())
	stdin, err := redis.shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := redis.shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := redis.shell.Start(); err != nil {
		t.Fatal(err)
	}
	redis.stdin = stdin
	for log := bufio.NewScanner(stdout); log.Scan(); {
		if strings.Contains(log.Text(), "Ready to accept connections") {
			return
		}
	}
	t.Fatal("redis-server does not listen")
}

// stopRedis ends the redis-server, if there is one.
func stopRedis() {
	if redis.shell != nil {
		_ = redis.stdin.Close()
		_ = redis.shell.Wait()
	}
}

// freeAddr returns a loopback address that nobody listens on, with a port below those that the system gives away.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 100 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(10000))); err == nil {
			_ = l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}
