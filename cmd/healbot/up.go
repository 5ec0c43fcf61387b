package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) upCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up [SERVICE...]",
		Short: "Start the project, or bring it up to date",
		Long: `Start the project's services in dependency order, and supervise them: in the
foreground until Ctrl-C, or with -d in the background. On a project that is
supervised already, apply the file: only what changed is replaced.`,
	}
	o.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.services = args
		if err := o.check(); err != nil {
			return err
		}
		return c.up(cmd.Context(), o)
	}
	return cmd
}

func (c *cli) up(ctx context.Context, o upOptions) error {
	src, err := c.source()
	if err == nil {
		err = o.adjust(&src)
	}
	if err != nil {
		return err
	}
	project, err := load(ctx, src, c.warn)
	if err == nil {
		err = o.known(project)
	}
	if err != nil {
		return err
	}
	if c.dryRun {
		return c.preview(ctx, o, project, src)
	}
	if o.watch && (o.detach || o.wait) {
		return hinted{usageError("--watch needs the foreground"), "run healbot watch beside it"}
	}
	if err := c.freshImages(ctx, o, project); err != nil {
		return err
	}
	if o.noStart {
		return c.setUp(ctx, o, project)
	}
	if o.detach || o.wait {
		return c.upDetached(ctx, o, project, src)
	}
	h, warnings, err := prepare(ctx, project, src, runner.Config{Log: slog.New(c.voice()), EndWhenIdle: true, Grace: o.grace})
	if err != nil {
		if other := new(control.HeldError); errors.As(err, &other) {
			return c.attach(ctx, o, project, src, other)
		}
		return err
	}
	for _, w := range warnings {
		c.warn("%s", w)
	}
	return c.upForeground(ctx, o, h, project, src)
}

// upDetached leaves a supervisor in the background.
func (c *cli) upDetached(ctx context.Context, o upOptions, p runner.Project, src service.Source) error {
	if o.waitTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(o.waitTimeout)*time.Second, errWaitTimeout)
		defer cancel()
	}
	client, err := c.reach(ctx, p.Dir, src)
	if err != nil && errors.Is(context.Cause(ctx), errWaitTimeout) {
		return &exitError{exitTimeout, fmt.Errorf("not ready after %d seconds: %w", o.waitTimeout, err)}
	}
	if err != nil {
		return err
	}
	defer client.Close()
	want := o.command(src)
	report, err := c.watch(ctx, client, want)
	switch {
	case errors.Is(context.Cause(ctx), errWaitTimeout):
		return timedOut(client, o)
	case err != nil:
		return err
	case o.wait:
		return c.waitReady(ctx, client, p, o)
	}
	return failures(report.Statuses, want)
}

// upForeground is the supervisor itself. The first signal stops everything in
// order, the second kills.
func (c *cli) upForeground(ctx context.Context, o upOptions, h *held, p runner.Project, src service.Source) error {
	all := h.runner.Statuses()
	scr := c.view(all, o)
	scr.say(fmt.Sprintf("%s: %s, supervised by pid %d; Ctrl-C stops them", h.project, count(len(all), "service"), os.Getpid()))
	scr.expect(all)
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var shown sync.WaitGroup
	changes := h.runner.Changes(watching)
	shown.Go(func() {
		for scr.follow(changes) != nil { // the terminal was held up
			scr.say("what happened meanwhile is not shown")
			changes = h.runner.Changes(watching)
		}
	})
	shown.Go(func() { scr.logs(watching, h.runner.Statuses(), h.docker, o) })
	if o.watch {
		shown.Go(func() { watchBeside(watching, h, p, o.services, scr) })
	}
	stopKill := killOnSecond(ctx, scr, h.runner)
	applied := make(chan error, 1)
	running, giveUp := context.WithCancel(ctx)
	var first *service.Status
	if o.abortOnExit || o.abortOnFailure {
		ends := h.runner.Changes(context.WithoutCancel(ctx))
		shown.Go(func() {
			if s, ok := o.aborts(ends); ok {
				first = &s
				scr.say("stopping all, since " + s.Name + " has ended")
				giveUp()
			}
		})
	}
	go func() {
		report, err := h.Do(running, o.command(src))
		scr.notes(report.Notes)
		if err != nil && ctx.Err() == nil {
			giveUp()
		}
		applied <- err
	}()
	h.last = func() {
		stopWatching()
		shown.Wait()
	}
	err := h.run(running)
	stopKill()
	giveUp()
	failed := <-applied
	if first != nil {
		return errors.Join(o.outcome(*first, h.runner.Statuses()), err)
	}
	if failed != nil && ctx.Err() == nil && !errors.Is(failed, runner.ErrEnded) {
		return errors.Join(failed, err)
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	return c.verdict(h.runner.Statuses())
}

// count puts a number before a word.
func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// verdict is the outcome of a project that has nothing left to supervise.
func (c *cli) verdict(all []service.Status) error {
	for _, s := range all {
		if s.State == service.Failed || s.State == service.MaxRestarts {
			return &exitError{exitFailed, fmt.Errorf("nothing is left to supervise: %s", runner.Summary(all))}
		}
	}
	c.warn("nothing is left to supervise: %s", runner.Summary(all))
	return nil
}

// killOnSecond waits for the first signal, which ends ctx, and makes a second one
// kill at once.
func killOnSecond(ctx context.Context, scr *screen, r *runner.Runner) (stop func()) {
	signals := make(chan os.Signal, 2)
	done := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
		case <-done:
			return
		}
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
		scr.say("stopping in reverse order; Ctrl-C again kills")
		select {
		case <-signals:
			scr.say("killing")
			r.Do(context.WithoutCancel(ctx), service.Command{Verb: service.VerbKill})
		case <-done:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// attach applies the file to a project that somebody else supervises, and shows what
// happens there.
func (c *cli) attach(ctx context.Context, o upOptions, p runner.Project, src service.Source, other *control.HeldError) error {
	if o.abortOnExit || o.abortOnFailure {
		return hinted{fmt.Errorf("cannot stop all when a service ends: %w", other), "healbot down ends that one first"}
	}
	client, err := dialSoon(ctx, runner.StateDir(p.Dir))
	if err != nil {
		return fmt.Errorf("%w, but it does not answer: %w", other, err)
	}
	defer client.Close()
	c.warn("%v; attached to it, Ctrl-C only detaches", other)
	all, err := client.Status(ctx)
	if err != nil {
		return err
	}
	scr := c.view(all, o)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	changes, err := client.Changes(watching)
	if err != nil {
		return err
	}
	containers := c.containers(p.Dir, all)
	if containers != nil {
		defer containers.Close()
	}
	var shown sync.WaitGroup
	ended := make(chan error, 1)
	shown.Go(func() { ended <- scr.follow(changes) })
	shown.Go(func() { scr.logs(watching, all, containers, o) })
	if o.watch {
		shown.Go(func() { watchBeside(watching, client, p, o.services, scr) })
	}
	report, err := client.Do(ctx, o.command(src))
	scr.notes(report.Notes)
	if err == nil {
		err = <-ended
	}
	stop()
	shown.Wait()
	if ctx.Err() != nil {
		c.warn("detached; the project goes on, `healbot down` ends it")
		return nil
	}
	return err
}
