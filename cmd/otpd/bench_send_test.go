//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	benchSends   = 5000 // in a round
	benchStalled = 64   // sends that wait for a mail server, as many as may be under way
)

// BenchmarkWireSends measures how many codes a second the built binary hands over to a mail server on the same machine
// that takes everything at once, and how many it generates in the same round for the caller to deliver.
func BenchmarkWireSends(b *testing.B) {
	bench := newWireBench(b)
	sink := startSink(b, "takes everything")
	send := benchOperation{"send", "/v1/otp/send", `"channel":"email"`, func(testing.TB) any {
		return map[string]any{"channel": "email", "to": bench.newUser()}
	}}
	generate := bench.generate()
	otpd := bench.startOtpd(b, "memory:", "OTP_SMTP_URL=smtp://"+sink+"?tls=none", "OTP_MAIL_FROM=otpd@example.com")
	metrics := make(map[string][]float64)
	for range benchRounds {
		sent := measure(b, otpd, 16, send, send.load(b)[:benchSends])
		generated := measure(b, otpd, 16, generate, generate.load(b)[:benchSends])
		for name, value := range map[string]float64{
			"sends/s": sent.perSecond, "send-µs-cpu": sent.cpu, "generated/s": generated.perSecond,
			"send/generate": sent.perSecond / generated.perSecond,
			"send-p50-µs":   sent.latencies[benchSends/2].Seconds() * 1e6,
			"send-p99-µs":   sent.latencies[benchSends*99/100].Seconds() * 1e6,
		} {
			metrics[name] = append(metrics[name], value)
		}
	}
	reportMedians(b, metrics)
}

// BenchmarkWireStalledSink measures verify while as many sends as may be are under way to a mail server that accepts
// connections and never says a word, against verify without them, in turn.
func BenchmarkWireStalledSink(b *testing.B) {
	bench := newWireBench(b)
	sink := startSink(b, "stalls")
	otpd := bench.startOtpd(b, "memory:", "OTP_SMTP_URL=smtp://"+sink+"?tls=none", "OTP_MAIL_FROM=otpd@example.com")
	op := bench.verifyRight()
	metrics := make(map[string][]float64)
	for range benchRounds {
		quiet := measure(b, otpd, 8, op, op.load(b))
		load := op.load(b)
		stop := keepSending(b, bench, otpd.addr)
		waitFor(b, func() bool { return otpd.metric(b, "go_goroutines") > benchStalled })
		stalled := measure(b, otpd, 8, op, load)
		goroutines := otpd.metric(b, "go_goroutines")
		stop()
		for name, value := range map[string]float64{
			"stalled/quiet": stalled.perSecond / quiet.perSecond, "quiet-req/s": quiet.perSecond, "stalled-req/s": stalled.perSecond,
			"quiet-p99-µs":   quiet.latencies[benchSize*99/100].Seconds() * 1e6,
			"stalled-p99-µs": stalled.latencies[benchSize*99/100].Seconds() * 1e6, "goroutines": goroutines,
		} {
			metrics[name] = append(metrics[name], value)
		}
	}
	reportMedians(b, metrics)
}

func reportMedians(b *testing.B, metrics map[string][]float64) {
	b.ReportMetric(0, "ns/op")
	for name, values := range metrics {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], name)
	}
}

// keepSending has twice as many clients send codes as may be under way, each anew when it has an answer, until stop.
func keepSending(tb testing.TB, bench *wireBench, addr string) (stop func()) {
	var stopped atomic.Bool
	var clients sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * benchStalled}}
	for range 2 * benchStalled {
		to := bench.newUser()
		clients.Go(func() {
			for !stopped.Load() {
				request, err := http.NewRequest(http.MethodPost, "http://"+addr+"/v1/otp/send",
					strings.NewReader(`{"channel":"email","to":"`+to+`"}`))
				if err != nil {
					tb.Error(err)
					return
				}
				request.Header.Set("Content-Type", "application/json")
				request.Header.Set("Authorization", "Bearer "+benchSecret)
				answer, err := client.Do(request)
				if err != nil {
					tb.Error(err)
					return
				}
				body, _ := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				if bytes.Contains(body, []byte("OVERLOADED")) {
					time.Sleep(50 * time.Millisecond) // as a client would that is told so
				}
			}
		})
	}
	return func() {
		stopped.Store(true)
		clients.Wait()
		client.CloseIdleConnections()
	}
}

// startSink starts a mail server in a process of its own, on the client's core, and returns its address.
func startSink(tb testing.TB, manner string) (addr string) {
	addrFile := filepath.Join(tb.TempDir(), "addr")
	startServer(tb, exec.Command(os.Args[0], "-test.run=^TestSink$"), clientCore,
		"GOMAXPROCS=1", "OTPD_BENCH_SINK="+manner, "OTPD_BENCH_ADDR="+addrFile)
	waitFor(tb, func() bool {
		data, _ := os.ReadFile(addrFile)
		text, complete := strings.CutSuffix(string(data), "\n")
		addr = text
		return complete
	})
	return addr
}

// TestSink is a mail server in a process of its own, and does nothing in a test.
func TestSink(t *testing.T) {
	manner := os.Getenv("OTPD_BENCH_SINK")
	if manner == "" {
		t.Skip("only for the benchmarks of sends")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("OTPD_BENCH_ADDR"), []byte(listener.Addr().String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if manner == "stalls" {
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			continue
		}
		go takeMail(conn)
	}
}

// takeMail says what a mail server says that takes everything.
func takeMail(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewReader(conn)
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	say("220 sink")
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		switch command := strings.ToUpper(strings.TrimSpace(line)); {
		case command == "DATA":
			say("354 go on")
			for line != ".\r\n" {
				if line, err = lines.ReadString('\n'); err != nil {
					return
				}
			}
			say("250 taken")
		case command == "QUIT":
			say("221 bye")
			return
		case strings.HasPrefix(command, "EHLO"):
			say("250-sink\r\n250 8BITMIME")
		default:
			say("250 ok")
		}
	}
}
