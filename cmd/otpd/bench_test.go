//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/pquerna/otp/hotp"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
	"github.com/otpd/otpd/internal/ledger"
	"github.com/otpd/otpd/internal/otp"
)

const (
	benchSecret = "a-secret-for-the-benchmark"
	benchRounds = 5     // each measures every server once
	benchSize   = 30000 // requests in a round
	benchCode   = "123456"
)

// Each thread that matters has a core to itself, as far as there are cores: on two, the client shares one
// with redis-server.
var (
	servingCore = 0
	redisCore   = 1
	clientCore  = min(2, runtime.NumCPU()-1)
)

// BenchmarkWire measures the built binary as it serves by default, with an API key, the audit log, the
// metrics and the memory ledger, on one core and over real sockets, against a bare handler on the same
// route with the same server settings, which only decodes the same JSON and answers with as many bytes.
// The ratio is that of requests a second, the median over rounds in which the two take turns.
func BenchmarkWire(b *testing.B) {
	bench := newWireBench(b)
	for _, op := range []benchOperation{
		bench.generate(), bench.verifyRight(), bench.verifyWrong(), bench.totpRight(b), bench.totpWrong(b),
	} {
		for _, conns := range []int{8, 64} {
			b.Run(fmt.Sprintf("%s/%d-connections", op.name, conns), func(b *testing.B) {
				otpd := bench.startOtpd(b, "memory:")
				bare := startBare(b, op.path, probeAnswer(b, otpd.addr, op))
				var rounds []benchRound
				for range benchRounds {
					load := op.load(b)
					rounds = append(rounds, benchRound{measure(b, otpd, conns, op, load), measure(b, bare, conns, op, load)})
				}
				reportRounds(b, rounds)
			})
		}
	}
}

// BenchmarkWireLedgers measures the same binary with each ledger, at 64 connections, against none: and
// against the bare handler. All take turns within a round, under the same load.
//
// What is asked is how much of its speed otpd keeps when a Redis on a core of its own does the
// remembering, and so otpd has a core that nothing else runs on. On a machine with two cores, redis-server
// shares the other with the client, which gives way to it whenever no answer has come. That is fair as
// long as the two together need less time for a request than otpd does, for then it is still otpd's core
// that everything waits for, and redis/none comes out near redis/none-by-cpu: the same ratio, by the
// processor time that otpd spends on a request, whoever shares which core. The client keeps the shared
// core awake, so that otpd does not pay for waking it; on a core that sleeps it would.
func BenchmarkWireLedgers(b *testing.B) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		b.Skip("redis-server is not installed")
	}
	bench := newWireBench(b)
	for _, op := range []benchOperation{bench.verifyWrong(), bench.verifyRight()} {
		b.Run(op.name, func(b *testing.B) {
			redisAddr, redisPID := startRedis(b)
			servers := map[string]benchServer{
				"none":   bench.startOtpd(b, "none:"),
				"memory": bench.startOtpd(b, "memory:"),
				"redis":  bench.startOtpd(b, "redis://"+redisAddr),
			}
			servers["bare"] = startBare(b, op.path, probeAnswer(b, servers["none"].addr, op))
			metrics := make(map[string][]float64)
			for range benchRounds {
				load := op.load(b)
				results := make(map[string]benchResult)
				for _, name := range []string{"bare", "none", "memory", "redis"} {
					before := cpuTime(b, redisPID)
					result := measure(b, servers[name], 64, op, load)
					results[name] = result
					metrics[name+"-req/s"] = append(metrics[name+"-req/s"], result.perSecond)
					metrics[name+"-µs-cpu/req"] = append(metrics[name+"-µs-cpu/req"], result.cpu)
					if name == "redis" {
						spent := (cpuTime(b, redisPID) - before).Seconds() * 1e6 / benchSize
						metrics["redis-server-µs-cpu/req"] = append(metrics["redis-server-µs-cpu/req"], spent)
					}
				}
				for _, pair := range [][2]string{{"redis", "none"}, {"memory", "none"}, {"redis", "bare"}} {
					x, y, name := results[pair[0]], results[pair[1]], pair[0]+"/"+pair[1]
					metrics[name] = append(metrics[name], x.perSecond/y.perSecond)
					metrics[name+"-by-cpu"] = append(metrics[name+"-by-cpu"], y.cpu/x.cpu)
				}
			}
			b.ReportMetric(0, "ns/op")
			for name, values := range metrics {
				slices.Sort(values)
				b.ReportMetric(values[len(values)/2], name)
				if strings.HasPrefix(name, "redis/") || strings.HasPrefix(name, "memory/") {
					b.ReportMetric(values[0], name+"-min")
					b.ReportMetric(values[len(values)-1], name+"-max")
				}
			}
		})
	}
}

// wireBench makes servers, and requests that they take.
type wireBench struct {
	binary, key string
	sealer      *otpcontext.Sealer
	users       int // who have a verification so far
}

func newWireBench(b *testing.B) *wireBench {
	if runtime.NumCPU() < 2 {
		b.Skip("the client needs a core beside the server's")
	}
	binary := filepath.Join(b.TempDir(), "otpd")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	key, err := otpcontext.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	ring, err := otpcontext.ParseRing([]string{key})
	if err != nil {
		b.Fatal(err)
	}
	return &wireBench{binary: binary, key: key, sealer: otpcontext.NewSealer(ring)}
}

type benchOperation struct {
	name, path string
	want       string               // what every answer holds
	body       func(testing.TB) any // of a new request
}

// What answers hold.
const (
	wantVerified = `"status":"verified"`
	wantWrong    = `"error_code":"INVALID_OTP"`
)

func (w *wireBench) generate() benchOperation {
	return benchOperation{"generate", "/v1/otp/generate", `"otp":"`, func(testing.TB) any {
		return map[string]any{"identifier": w.newUser()}
	}}
}

func (w *wireBench) verifyRight() benchOperation {
	return benchOperation{"verify-right", "/v1/otp/verify", wantVerified, func(tb testing.TB) any {
		return map[string]any{"otp": benchCode, "context": w.newContext(tb)}
	}}
}

func (w *wireBench) verifyWrong() benchOperation {
	return benchOperation{"verify-wrong", "/v1/otp/verify", wantWrong, func(tb testing.TB) any {
		return map[string]any{"otp": "654321", "context": w.newContext(tb)}
	}}
}

// totpRight has each device verified for the first time.
func (w *wireBench) totpRight(tb testing.TB) benchOperation {
	next, secret := w.devices(tb)
	return benchOperation{"totp-right", "/v1/devices/verify", wantVerified, func(tb testing.TB) any {
		return map[string]any{"otp": totpCode(tb, secret, 1), "device": next(tb)}
	}}
}

func (w *wireBench) totpWrong(tb testing.TB) benchOperation {
	next, secret := w.devices(tb)
	wrong := totpCode(tb, secret, -1000)
	return benchOperation{"totp-wrong", "/v1/devices/verify", wantWrong, func(tb testing.TB) any {
		return map[string]any{"otp": wrong, "device": next(tb)}
	}}
}

// devices returns a function that makes devices, confirmed and with ten backup codes, and the secret of all of them.
// Each is another to the service, since its id is: to hash backup codes for each would take hours. It has accepted
// the code of the step in which it was made, so that its clock is right, and the next is good once.
func (w *wireBench) devices(tb testing.TB) (next func(testing.TB) string, secret string) {
	app := otp.Caller{Namespace: "app"}
	service, err := device.New(device.Config{
		Sealer: w.sealer, Ledger: ledger.None{}, Issuer: "otpd", Enrollment: time.Hour,
	})
	if err != nil {
		tb.Fatal(err)
	}
	enrolled, err := service.Enroll(app, device.EnrollRequest{Identifier: "somebody@example.com", Name: "Ann's phone"})
	if err != nil {
		tb.Fatal(err)
	}
	confirmed, err := service.Confirm(tb.Context(), app, enrolled.Device, totpCode(tb, enrolled.Secret, -1))
	if err != nil {
		tb.Fatal(err)
	}
	used, err := service.Verify(tb.Context(), app, device.VerifyRequest{
		Device: confirmed.Device, OTP: totpCode(tb, enrolled.Secret, 0),
	})
	if err != nil {
		tb.Fatal(err)
	}
	data, _, err := w.sealer.OpenAs(otpcontext.Device, used.Device)
	at := bytes.Index(data, []byte(confirmed.DeviceID))
	if err != nil || at < 0 {
		tb.Fatal("the device has no id", err)
	}
	return func(tb testing.TB) string {
		copy(data[at:], otp.NewID())
		token, err := w.sealer.SealAs(otpcontext.Device, data, time.Now())
		if err != nil {
			tb.Fatal(err)
		}
		return token
	}, enrolled.Secret
}

// totpCode returns the code of a step, counted from the current one.
func totpCode(tb testing.TB, secret string, step int64) string {
	code, err := hotp.GenerateCode(secret, uint64(time.Now().Unix()/30+step))
	if err != nil {
		tb.Fatal(err)
	}
	return code
}

// load returns the requests of a round.
func (op benchOperation) load(tb testing.TB) [][]byte {
	load := make([][]byte, benchSize)
	for i := range load {
		load[i] = op.request(tb)
	}
	return load
}

type benchRound struct{ otpd, bare benchResult }

func (r benchRound) ratio() float64 { return r.otpd.perSecond / r.bare.perSecond }

// reportRounds reports the round with the median ratio.
func reportRounds(b *testing.B, rounds []benchRound) {
	slices.SortFunc(rounds, func(x, y benchRound) int { return int(1e6 * (x.ratio() - y.ratio())) })
	median := rounds[len(rounds)/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median.ratio(), "ratio")
	b.ReportMetric(rounds[0].ratio(), "ratio-min")
	b.ReportMetric(rounds[len(rounds)-1].ratio(), "ratio-max")
	for name, result := range map[string]benchResult{"otpd": median.otpd, "bare": median.bare} {
		b.ReportMetric(result.perSecond, name+"-req/s")
		b.ReportMetric(result.cpu, name+"-µs-cpu/req")
		b.ReportMetric(result.allocs, name+"-allocs/req")
		for _, p := range []int{50, 95, 99} {
			b.ReportMetric(result.latencies[len(result.latencies)*p/100].Seconds()*1e6, fmt.Sprintf("%s-p%d-µs", name, p))
		}
	}
}

// newUser returns an identifier that no request had before: wrong codes for one slow down the next.
func (w *wireBench) newUser() string {
	w.users++
	return fmt.Sprintf("user-%07d@example.com", w.users)
}

// newContext returns a new verification, such as generate makes them.
func (w *wireBench) newContext(tb testing.TB) string {
	now := time.Now()
	identifier, hash := w.newUser(), sha256.Sum256([]byte(benchCode))
	var id [16]byte
	rand.Read(id[:])
	seconds := float64(now.UnixMilli()) / 1000
	token, err := w.sealer.Seal(&otpcontext.Claims{
		Identifier: &identifier, OTPHash: hash, Metadata: jsontext.Value("null"),
		Timestamp: seconds, OTPExpiry: seconds + 300, SessionExpiry: seconds + 900, MaxRetries: 3,
		ID: base64.RawURLEncoding.EncodeToString(id[:]), Namespace: "app",
	}, now)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// benchServer is a process to measure.
type benchServer struct {
	addr  string
	pid   int
	count func(testing.TB) float64 // of allocations since it started
	admin string                   // address; empty for the bare handler
}

// metric returns the value of an otpd's metric without labels.
func (s benchServer) metric(tb testing.TB, name string) float64 {
	for metric := range strings.Lines(httpGet(tb, "http://"+s.admin+"/metrics")) {
		if value, ok := strings.CutPrefix(metric, name+" "); ok {
			return parseFloat(tb, value)
		}
	}
	tb.Fatalf("no metric %s", name)
	return 0
}

func (w *wireBench) startOtpd(tb testing.TB, ledgerURL string, env ...string) benchServer {
	logFile := filepath.Join(tb.TempDir(), "log")
	stderr, err := os.Create(logFile)
	if err != nil {
		tb.Fatal(err)
	}
	defer stderr.Close()
	cmd := exec.Command(w.binary)
	cmd.Stderr = stderr
	env = append(env, "GOMAXPROCS=1", "OTP_SIGNING_KEY="+w.key, "OTP_API_KEYS=app:"+benchSecret,
		"OTP_LEDGER_URL="+ledgerURL, "OTP_LEDGER_TIMEOUT=5s", // a busy machine may stall for longer than the default
		"OTP_LISTEN_ADDR=127.0.0.1:0", "OTP_ADMIN_ADDR=127.0.0.1:0")
	pid := startServer(tb, cmd, servingCore, env...)
	var line struct {
		Addr      string `json:"addr"`
		AdminAddr string `json:"admin_addr"`
	}
	waitFor(tb, func() bool {
		log, _ := os.ReadFile(logFile)
		for entry := range bytes.Lines(log) { // a warning may come first
			if json.Unmarshal(entry, &line) == nil && line.Addr != "" {
				return true
			}
		}
		return false
	})
	server := benchServer{addr: line.Addr, pid: pid, admin: line.AdminAddr}
	server.count = func(tb testing.TB) float64 { return server.metric(tb, "go_memstats_mallocs_total") }
	return server
}

func startBare(tb testing.TB, path string, answer []byte) benchServer {
	dir := tb.TempDir()
	answerFile, addrFile := filepath.Join(dir, "answer"), filepath.Join(dir, "addr")
	if err := os.WriteFile(answerFile, answer, 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBareServer$")
	// The packages of otpd are linked to it, and what they keep is more than the collector of a bare handler would
	// have to look through. With this it is nearly as fast as in a program of its own.
	pid := startServer(tb, cmd, servingCore, "GOMAXPROCS=1", "GOGC=400",
		"OTPD_BENCH_BARE="+path, "OTPD_BENCH_ANSWER="+answerFile, "OTPD_BENCH_ADDR="+addrFile)
	var addr string
	waitFor(tb, func() bool {
		data, _ := os.ReadFile(addrFile)
		text, complete := strings.CutSuffix(string(data), "\n")
		addr = text
		return complete
	})
	return benchServer{addr: addr, pid: pid, count: func(tb testing.TB) float64 {
		return parseFloat(tb, httpGet(tb, "http://"+addr+"/allocations"))
	}}
}

// startRedis starts a redis-server that keeps nothing on disk.
func startRedis(tb testing.TB) (addr string, pid int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr = listener.Addr().String()
	_ = listener.Close() // redis-server cannot choose a free port itself
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	cmd.Dir = tb.TempDir()
	pid = startServer(tb, cmd, redisCore)
	waitFor(tb, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return addr, pid
}

// startServer starts cmd on a core, to be ended with the benchmark.
func startServer(tb testing.TB, cmd *exec.Cmd, core int, env ...string) (pid int) {
	cmd.Env = append(os.Environ(), env...)
	var err error
	onCore(tb, core, func() { err = cmd.Start() })
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// onCore has do run on one core, with the processes that it starts.
func onCore(tb testing.TB, core int, do func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one [16]uint64 // a bit for each core
	one[core/64] = 1 << (core % 64)
	affinity := func(call uintptr, set *[16]uint64) {
		if _, _, errno := syscall.RawSyscall(call, 0, unsafe.Sizeof(*set), uintptr(unsafe.Pointer(set))); errno != 0 {
			tb.Fatal(errno)
		}
	}
	affinity(syscall.SYS_SCHED_GETAFFINITY, &before)
	affinity(syscall.SYS_SCHED_SETAFFINITY, &one)
	defer affinity(syscall.SYS_SCHED_SETAFFINITY, &before)
	do()
}

func waitFor(tb testing.TB, ready func() bool) {
	for deadline := time.Now().Add(10 * time.Second); !ready(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatal("the server did not start")
		}
	}
}

func httpGet(tb testing.TB, url string) string {
	answer, err := http.Get(url)
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
}

func parseFloat(tb testing.TB, text string) float64 {
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		tb.Fatal(err)
	}
	return value
}

// TestBareServer is the bare handler in a process of its own, and does nothing in a test.
func TestBareServer(t *testing.T) {
	path := os.Getenv("OTPD_BENCH_BARE")
	if path == "" {
		return
	}
	answer, err := os.ReadFile(os.Getenv("OTPD_BENCH_ANSWER"))
	if err != nil {
		t.Fatal(err)
	}
	r := chi.NewRouter()
	r.Post(path, func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Identifier *string `json:"identifier"`
			OTP        string  `json:"otp"`
			Context    string  `json:"context"`
			Device     string  `json:"device"`
		}
		if err := json.UnmarshalRead(r.Body, &request, json.RejectUnknownMembers(true)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	})
	r.Get("/allocations", func(w http.ResponseWriter, _ *http.Request) {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		fmt.Fprint(w, stats.Mallocs)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("OTPD_BENCH_ADDR"), []byte(listener.Addr().String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Fatal(newServer(r).Serve(listener))
}

func (op benchOperation) request(tb testing.TB) []byte {
	data, err := json.Marshal(op.body(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", op.path, benchSecret, len(data), data)
}

// probeAnswer returns the body of the answer to one request.
func probeAnswer(tb testing.TB, addr string, op benchOperation) []byte {
	conn := dialBench(tb, addr, op.want)
	defer conn.close()
	if err := conn.send(op.request(tb)); err != nil {
		tb.Fatal(err)
	}
	for {
		switch done, err := conn.receive(); {
		case err != nil:
			tb.Fatal(err)
		case done:
			_, body, _ := bytes.Cut(conn.answer, []byte("\r\n\r\n"))
			return bytes.Clone(body)
		}
	}
}

type benchResult struct {
	perSecond float64
	cpu       float64 // µs of the server's processor time a request
	allocs    float64 // a request
	latencies []time.Duration
}

// measure sends load, which is requests of op, over conns connections, each with one request under way at a time.
func measure(tb testing.TB, server benchServer, conns int, op benchOperation, load [][]byte) benchResult {
	latencies := make([]time.Duration, 0, len(load))
	clients := make([]*benchConn, conns)
	for i := range clients {
		clients[i] = dialBench(tb, server.addr, op.want)
		defer clients[i].close()
	}
	runtime.GC() // or it would go on beside the server
	allocsBefore, cpuBefore, start := server.count(tb), cpuTime(tb, server.pid), time.Now()
	onCore(tb, clientCore, func() { latencies = sendAll(tb, clients, load, latencies) })
	elapsed, cpu, n := time.Since(start), cpuTime(tb, server.pid)-cpuBefore, float64(len(latencies))
	slices.Sort(latencies)
	return benchResult{
		perSecond: n / elapsed.Seconds(),
		cpu:       cpu.Seconds() * 1e6 / n,
		allocs:    (server.count(tb) - allocsBefore) / n,
		latencies: latencies,
	}
}

// sendAll sends load over clients and appends how long each answer took to latencies.
func sendAll(tb testing.TB, clients []*benchConn, load [][]byte, latencies []time.Duration) []time.Duration {
	for _, c := range clients {
		if err := c.send(load[0]); err != nil {
			tb.Fatal(err)
		}
		load = load[1:]
	}
	// One thread asks all connections in turn, and never sleeps: what it costs a server to wake its
	// client is not what is to be measured, and on a virtual machine it is most of it. Where no answer
	// has come it lets others run that share its core.
	for len(latencies) < cap(latencies) {
		idle := true
		for _, c := range clients {
			done, err := c.receive()
			if done {
				idle = false
				latencies = append(latencies, time.Since(c.sent))
				if len(load) > 0 {
					err = c.send(load[0])
					load = load[1:]
				}
			}
			if err != nil {
				tb.Fatal(err)
			}
		}
		if idle {
			_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
		}
	}
	return latencies
}

// cpuTime returns the processor time that a process has used, from /proc/PID/stat in ticks of 10 ms.
func cpuTime(tb testing.TB, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return time.Duration(parseFloat(tb, fields[11])+parseFloat(tb, fields[12])) * 10 * time.Millisecond
}

// benchConn is an HTTP client that polls, on a socket without the runtime's poller.
type benchConn struct {
	fd     int
	want   []byte // what every answer holds
	sent   time.Time
	answer []byte // what has come of it
	busy   bool
}

func dialBench(tb testing.TB, addr, want string) *benchConn {
	target := netip.MustParseAddrPort(addr)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		tb.Fatal(err)
	}
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(target.Port()), Addr: target.Addr().As4()}); err != nil {
		tb.Fatal(err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		tb.Fatal(err)
	}
	return &benchConn{fd: fd, want: []byte(want), answer: make([]byte, 0, 16<<10)}
}

func (c *benchConn) close() { _ = syscall.Close(c.fd) }

// send writes a request, which is small enough for the socket to take it whole.
func (c *benchConn) send(request []byte) error {
	c.answer, c.busy, c.sent = c.answer[:0], true, time.Now()
	_, err := syscall.Write(c.fd, request)
	return err
}

// receive reads what has come, and reports whether that completes the answer. An answer without what is wanted
// is an error.
func (c *benchConn) receive() (done bool, err error) {
	if !c.busy {
		return false, nil
	}
	n, err := syscall.Read(c.fd, c.answer[len(c.answer):cap(c.answer)])
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, io.ErrUnexpectedEOF
	}
	c.answer = c.answer[:len(c.answer)+n]
	head, body, found := bytes.Cut(c.answer, []byte("\r\n\r\n"))
	if !found {
		return false, nil
	}
	_, field, _ := bytes.Cut(head, []byte("\r\nContent-Length: "))
	field, _, _ = bytes.Cut(field, []byte("\r\n"))
	length, err := strconv.Atoi(string(field))
	if err != nil || len(body) < length {
		return false, err
	}
	c.busy = false
	if !bytes.Contains(body, c.want) {
		return false, fmt.Errorf("unexpected answer: %s", body)
	}
	return true, nil
}
