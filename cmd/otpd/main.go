// Command otpd is a one-time-password service that keeps no state it cannot afford to lose.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	otpcontext "github.com/otpd/otpd/internal/context"
	"github.com/otpd/otpd/internal/device"
)

// Set with -ldflags "-X main.version=…".
var (
	version = "devel"
	commit  = "unknown"
	date    = "unknown"
)

const usage = `usage: otpd [command]

  serve             serve; what it does without a command
  dev               serve with a key of its own, for trying it out
  keygen            print a new signing key
  keygen --jwt[=ALGORITHM]
                    print a new private key for tokens: EdDSA, which is the default, ES256 or RS256
  send-test --channel NAME --to ADDRESS [--locale TAG] [--template NAME]
                    send a code that verifies nothing over a configured channel, and say how it went
  inspect TOKEN     open a context or a device with the configured key and print what it says
  import [-namespace NAME] FORMAT FILE
                    make devices of those in a CSV file, or - for standard input, of django-otp or
                    django-totp, and print one a line; with API keys, only the one of that NAME may use them
  healthcheck       ask the running service whether it is ready
  config            print the environment variables, their defaults and what is set
  version           print the version
`

func main() {
	holdCollector()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command and returns the exit status: 1 for a failure, 2 for a command that does not
// exist.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	command := "serve"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	var err error
	switch {
	case command == "serve" && len(args) == 0:
		err = withConfig(func(cfg config) error { return serve(ctx, cfg, stdout, stderr, func(net.Addr) {}) })
	case command == "dev" && len(args) == 0:
		err = withConfig(func(cfg config) error { return dev(ctx, cfg, stdout, stderr) })
	case command == "keygen" && len(args) == 0:
		err = keygen(stdout)
	case command == "keygen" && len(args) == 1 && args[0] == "--jwt":
		err = keygenJWT(stdout, "EdDSA")
	case command == "keygen" && len(args) == 1 && strings.HasPrefix(args[0], "--jwt="):
		err = keygenJWT(stdout, strings.TrimPrefix(args[0], "--jwt="))
	case command == "send-test":
		message, ok := parseSendTest(args)
		if !ok {
			fmt.Fprint(stderr, usage)
			return 2
		}
		err = withConfig(func(cfg config) error { return sendTest(ctx, cfg, message, stdout) })
	case command == "inspect" && len(args) == 1:
		err = withConfig(func(cfg config) error { return inspect(cfg, args[0], stdout) })
	case command == "import":
		job, ok := parseImport(args)
		if !ok {
			fmt.Fprint(stderr, usage)
			return 2
		}
		err = withConfig(func(cfg config) error { return importDevices(ctx, cfg, job, os.Stdin, stdout, stderr) })
	case command == "healthcheck" && len(args) == 0:
		err = withConfig(func(cfg config) error { return healthcheck(ctx, cfg, stdout) })
	case command == "config" && len(args) == 0:
		printVariables(stdout)
		_, err = readConfig()
	case command == "version" && len(args) == 0:
		fmt.Fprintf(stdout, "otpd %s (commit %s, built %s)\n", version, commit, date)
	case command == "help" || command == "-h" || command == "--help":
		fmt.Fprint(stdout, usage)
	default:
		fmt.Fprint(stderr, usage)
		return 2
	}
	if err != nil {
		fmt.Fprintln(stderr, "otpd:", err)
		return 1
	}
	return 0
}

func keygen(stdout io.Writer) error {
	key, err := otpcontext.GenerateKey()
	if err == nil {
		fmt.Fprintln(stdout, key)
	}
	return err
}

func withConfig(command func(config) error) error {
	cfg, err := readConfig()
	if err != nil {
		return err
	}
	return command(cfg)
}

// inspect prints what a context or a device says, for whoever has the key. A device's secret stays in it.
func inspect(cfg config, token string, stdout io.Writer) error {
	ring, err := cfg.ring()
	if err != nil {
		return err
	}
	sealer := otpcontext.NewSealer(ring)
	var said any
	if said, err = device.Describe(sealer, token); err != nil {
		said, err = sealer.Open(token)
	}
	if err != nil {
		return err
	}
	if err := json.MarshalWrite(stdout, said, jsontext.WithIndent("  ")); err != nil {
		return err
	}
	fmt.Fprintln(stdout)
	return nil
}
