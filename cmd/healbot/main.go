// Command healbot supervises the native processes and containers of one
// Compose-format file, and heals them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/healing-bot/healbot/native"
)

// Exit codes beside 0.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitTimeout = 124 // as timeout(1) has it

	exitInterrupted = 130 // as shells have it
)

func main() {
	if len(os.Args) >= 3 && os.Args[1] == keeperCommand {
		os.Exit(native.Main(os.Args[2:]...))
	}
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := rootCommand(os.Stdout, os.Stderr).ExecuteContext(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = &exitError{exitInterrupted, errors.New("interrupted")}
	}
	return report(os.Stderr, err)
}

// An exitError ends the program with a code of its own; it may carry no message.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// A hinted error says what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// report prints an error for people and returns the program's exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	code := exitFailed
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "healbot: %s\n", strings.TrimRight(line, "\n"))
	}
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(w, "healbot: hint: %s\n", h.hint)
	}
	return code
}
