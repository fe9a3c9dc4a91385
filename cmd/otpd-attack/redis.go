package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"
)

// redisServer is one that was started, which keeps nothing on disk.
type redisServer struct {
	*process
	addr string
}

func startRedis(ctx context.Context, dir string) (*redisServer, error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		if binary, err = exec.LookPath("valkey-server"); err != nil {
			return nil, errors.New("there is no redis-server; -ledger memory,none leaves Redis out")
		}
	}
	for range 5 { // somebody else may take the port in between
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		_, port, _ := net.SplitHostPort(addr)
		p, err := startProcess(exec.CommandContext(ctx, binary, "--bind", "127.0.0.1", "--port", port,
			"--dir", dir, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"))
		if err != nil {
			return nil, err
		}
		server := &redisServer{p, addr}
		if server.answers(ctx) {
			return server, nil
		}
		p.kill()
	}
	return nil, cmp.Or(ctx.Err(), errors.New("redis-server does not start"))
}

// answers waits until the server does, and reports whether it has.
func (s *redisServer) answers(ctx context.Context) bool {
	for range 100 {
		if reply, err := s.do(ctx, "PING"); err == nil && reply == "+PONG" {
			return true
		}
		select {
		case <-s.ended:
			return false
		case <-ctx.Done():
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return false
}

// do sends one command to the server and returns the first line of its reply.
func (s *redisServer) do(ctx context.Context, command string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// freeAddr returns an address on which nobody listens.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
