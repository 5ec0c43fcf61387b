package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// downOptions are the flags of down.
type downOptions struct {
	volumes bool
	images  string // which to remove: all, local or none
	grace   *time.Duration
}

func (c *cli) downCommand() *cobra.Command {
	var o downOptions
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the project and take away all but its logs",
		Args:  noArgs,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.volumes, "volumes", "v", false, "remove the project's named volumes, too")
	f.StringVar(&o.images, "rmi", "", "remove `WHICH` images, too: all that services use, or local, those without a name of their own")
	f.Bool("remove-orphans", false, "accepted for docker compose's sake: down ends those in any case")
	graceFlag(f, &o.grace)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.images != "" && o.images != "all" && o.images != "local" {
			return usageError("--rmi takes all or local, not %q", o.images)
		}
		return c.down(cmd.Context(), o)
	}
	return cmd
}

func (c *cli) down(ctx context.Context, o downOptions) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	p, src := c.leftBehind(ctx, dir)
	if c.dryRun {
		return c.playDown(ctx, o, p)
	}
	if err := c.end(ctx, p, src, service.Command{Verb: service.VerbDown, Grace: o.grace}); err != nil {
		return err
	}
	return c.discard(ctx, o, p)
}

// end brings a project down, whoever supervises it.
func (c *cli) end(ctx context.Context, p runner.Project, src service.Source, want service.Command) error {
	client, err := control.Dial(ctx, runner.StateDir(p.Dir))
	if errors.Is(err, control.ErrNone) {
		return c.downAlone(ctx, p, src, want)
	}
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err = c.watch(ctx, client, want); err != nil {
		return err
	}
	return awaitLock(ctx, p.Dir)
}

// unwanted gives the images that are to go along.
func (o downOptions) unwanted(p runner.Project) (images []string) {
	for _, svc := range p.Services {
		if svc.Image != nil && (o.images == "all" || o.images == "local" && svc.Image.Config.Image == p.Name+"-"+svc.Name) {
			images = append(images, svc.Image.Config.Image)
		}
	}
	return images
}

// discard removes the volumes and images of a project that is down.
func (c *cli) discard(ctx context.Context, o downOptions, p runner.Project) error {
	if !o.volumes && o.images == "" {
		return nil
	}
	containers := docker.New(docker.Options{Project: p.Name})
	defer containers.Close()
	var gone []string
	var failed error
	if o.volumes {
		gone, failed = containers.RemoveVolumes(ctx, p.Name)
	}
	for _, image := range o.unwanted(p) {
		removed, err := containers.RemoveImage(ctx, image)
		failed = errors.Join(failed, err)
		if removed {
			gone = append(gone, "image "+image)
		}
	}
	for _, what := range gone {
		c.warn("removed %s", what)
	}
	return failed
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
func (c *cli) downAlone(ctx context.Context, p runner.Project, src service.Source, want service.Command) error {
	if !runner.Left(p.Dir) {
		return c.removeRest(ctx, p)
	}
	h, warnings, err := prepare(ctx, p, src, runner.Config{Log: slog.New(slog.DiscardHandler)})
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

// removeRest takes away what a project that is not up has left with the engine: what was
// run once, and the networks that were made for it.
func (c *cli) removeRest(ctx context.Context, p runner.Project) error {
	containers := docker.New(docker.Options{Project: p.Name})
	defer containers.Close()
	names, err := containers.Left(ctx, p.Name, p.Dir)
	if err != nil || len(names) == 0 { // without an engine nothing of it can be removed
		c.warn("nothing to do: no project is up in %s", p.Dir)
		return nil
	}
	if err := containers.Remove(ctx, p.Name); err != nil {
		return err
	}
	c.warn("removed %s", strings.Join(names, ", "))
	return nil
}

// leftBehind is the project as it was last brought up, or as much of it as is known: a
// file that can't be read any more is no obstacle.
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
