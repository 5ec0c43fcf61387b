package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// superviseCommand is the background supervisor. Its parent hands it the Source on
// descriptor 3 and learns from descriptor 4 that it is ready, or why not.
func (c *cli) superviseCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "supervise",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ready := os.NewFile(4, "ready")
			h, err := c.background(cmd.Context(), os.NewFile(3, "source"))
			if err != nil {
				held := new(control.HeldError)
				if errors.As(err, &held) {
					fmt.Fprintln(ready, heldWord, held.PID)
				} else {
					fmt.Fprintln(ready, err)
				}
				return errors.Join(err, ready.Close())
			}
			fmt.Fprintln(ready, readyWord)
			ready.Close()
			return h.run(cmd.Context())
		},
	}
}

// What a background supervisor says: that it is ready, or which process is there already.
const (
	readyWord = "ready"
	heldWord  = "held"
)

func (c *cli) background(ctx context.Context, from io.ReadCloser) (*held, error) {
	var src service.Source
	err := errors.Join(json.NewDecoder(from).Decode(&src), from.Close())
	if err != nil {
		return nil, fmt.Errorf("healbot supervise is started by healbot itself: %w", err)
	}
	level := slog.LevelInfo
	if c.debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	project, err := load(ctx, src, func(format string, args ...any) { log.Warn(fmt.Sprintf(format, args...)) })
	if err != nil {
		return nil, err
	}
	h, warnings, err := prepare(ctx, project, src, runner.Config{Log: log})
	for _, w := range warnings {
		log.Warn(w)
	}
	return h, err
}

// reach finds the project's supervisor, or starts one in the background.
func (c *cli) reach(ctx context.Context, dir string, src service.Source) (*control.Client, error) {
	state := runner.StateDir(dir)
	client, err := control.Dial(ctx, state)
	if !errors.Is(err, control.ErrNone) {
		return client, err
	}
	err = c.spawn(dir, src)
	if held := new(control.HeldError); err != nil && !errors.As(err, &held) {
		return nil, err
	}
	again, dialled := dialSoon(ctx, state) // also when another healbot won the race for the lock
	if dialled != nil {
		return nil, cmp.Or(err, dialled)
	}
	return again, nil
}

// mending is how long a supervisor may take to make a socket anew that somebody removed.
const mending = 3 * time.Second

// dialSoon connects to a supervisor that is known to be there.
func dialSoon(ctx context.Context, state string) (*control.Client, error) {
	for late := time.Now().Add(mending); ; time.Sleep(100 * time.Millisecond) {
		client, err := control.Dial(ctx, state)
		if !errors.Is(err, control.ErrNone) || time.Now().After(late) || ctx.Err() != nil {
			return client, err
		}
	}
}

// spawn starts a supervisor in a session of its own, and returns when it is ready.
// Its output goes to a file: a terminal or pipe that closes must not end it.
func (c *cli) spawn(dir string, src service.Source) error {
	state := runner.StateDir(dir)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return fmt.Errorf("cannot keep the project's state: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(state, "supervisor.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	sourceRead, sourceWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	readyRead, readyWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyRead.Close()
	cmd := exec.Command(self, "supervise")
	if c.debug {
		cmd.Args = []string{self, "--debug", "supervise"}
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.ExtraFiles = []*os.File{sourceRead, readyWrite}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	sourceRead.Close()
	readyWrite.Close()
	if err == nil {
		err = json.NewEncoder(sourceWrite).Encode(src)
		sourceWrite.Close()
	}
	if err != nil {
		return fmt.Errorf("cannot start a supervisor in the background: %w", err)
	}
	said, _ := io.ReadAll(bufio.NewReader(readyRead))
	text := strings.TrimSpace(string(said))
	if pid, held := strings.CutPrefix(text, heldWord+" "); held {
		cmd.Wait()
		n, _ := strconv.Atoi(pid)
		return &control.HeldError{PID: n}
	}
	if text != readyWord {
		cmd.Wait()
		return fmt.Errorf("cannot start a supervisor in the background: %s", strings.TrimPrefix(text, "cannot "))
	}
	return cmd.Process.Release()
}
