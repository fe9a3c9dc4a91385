package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// process is a program that was started.
type process struct {
	cmd    *exec.Cmd
	addr   chan string   // gets the address that an otpd listens on, or is closed
	ended  chan struct{} // closed when it has
	stderr strings.Builder
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, addr: make(chan string, 1), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.read(stderr)
		_ = cmd.Wait() // it was killed, or listening says what it wrote
	}()
	return p, nil
}

// read reads the log to its end. Only what comes before the address matters.
func (p *process) read(log io.Reader) {
	defer close(p.addr)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			p.addr <- line.Addr
			break
		}
		fmt.Fprintln(&p.stderr, lines.Text())
	}
	_, _ = io.Copy(io.Discard, log)
}

// listening returns the address of an otpd when it listens.
func (p *process) listening() (string, error) {
	addr, ok := <-p.addr
	if !ok {
		return "", fmt.Errorf("%s ended: %s", p.cmd.Path, strings.TrimSpace(p.stderr.String()))
	}
	return addr, nil
}

// kill ends the process at once, with SIGKILL, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
