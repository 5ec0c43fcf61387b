package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) downCommand() *cobra.Command {
	var seconds int
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the project and take away all but its logs",
		Args:  noArgs,
	}
	cmd.Flags().IntVarP(&seconds, "timeout", "t", 10, "seconds between the stop signal and SIGKILL, instead of the file's")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		want := service.Command{Verb: service.VerbDown}
		if cmd.Flags().Changed("timeout") {
			grace := time.Duration(max(seconds, 0)) * time.Second
			want.Grace = &grace
		}
		return c.down(cmd.Context(), want)
	}
	return cmd
}

func (c *cli) down(ctx context.Context, want service.Command) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, runner.StateDir(dir))
	if errors.Is(err, control.ErrNone) {
		return c.downAlone(ctx, dir, want)
	}
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err = c.watch(ctx, client, want); err != nil {
		return err
	}
	return awaitLock(ctx, dir)
}

// awaitLock waits until the supervisor that was brought down has let go of the
// project, so that the next command does not meet its last moments.
func awaitLock(ctx context.Context, dir string) error {
	lock, err := control.Await(ctx, runner.StateDir(dir))
	if err != nil {
		return err
	}
	return lock.Release()
}

// downAlone brings down what a dead supervisor left: this process adopts it first.
// A file that can't be read any more is no obstacle.
func (c *cli) downAlone(ctx context.Context, dir string, want service.Command) error {
	if !runner.Left(dir) {
		c.warn("nothing to do: no project is up in %s", dir)
		return nil
	}
	p, src := c.leftBehind(ctx, dir)
	h, warnings, err := prepare(ctx, p, src, false, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for _, w := range warnings {
		c.warn("%s", w)
	}
	scr := c.progress(h.runner.Statuses())
	var shown sync.WaitGroup
	changes := h.runner.Changes(context.WithoutCancel(ctx))
	shown.Go(func() { scr.follow(changes) })
	done := make(chan error, 1)
	go func() {
		_, err := h.Do(ctx, want)
		done <- err
	}()
	err = h.run(ctx)
	shown.Wait()
	if asked := <-done; err == nil && !errors.Is(asked, runner.ErrEnded) {
		err = asked
	}
	return err
}

// leftBehind is the project as it was last brought up, or as much of it as is known.
func (c *cli) leftBehind(ctx context.Context, dir string) (runner.Project, service.Source) {
	silent := func(string, ...any) {}
	last, known := recall(dir)
	if known {
		if p, err := load(ctx, last.Source, silent); err == nil && p.Dir == dir {
			return p, last.Source
		}
	}
	src, err := c.source()
	if err == nil {
		if p, err := load(ctx, src, silent); err == nil && p.Dir == dir {
			return p, src
		}
	}
	c.warn("the compose file can't be read; ending what is known of the project")
	return runner.Project{Name: last.Project, Dir: dir}, src
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return hinted{usageError("%s takes no services, but %q was given", cmd.Name(), args[0]), fmt.Sprintf("healbot %s --help", cmd.Name())}
	}
	return nil
}
