package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pause [SERVICE...]",
		Short: "Suspend the processes of services",
		Long: `Suspend all processes of services, containers as well as native ones. Health checks
say nothing about a paused service, so it is not restarted; it can be stopped.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.suspend(cmd.Context(), args, "pause", pauser.Pause)
		},
	}
}

func (c *cli) unpauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unpause [SERVICE...]",
		Short: "Let paused services go on",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.suspend(cmd.Context(), args, "unpause", pauser.Unpause)
		},
	}
}

// A pauser suspends one replica: a container by its id, a native one by its name.
type pauser interface {
	Pause(ctx context.Context, replica string) error
	Unpause(ctx context.Context, replica string) error
}

// suspend pauses or unpauses what is up of the named services, or of all.
func (c *cli) suspend(ctx context.Context, names []string, verb string, do func(pauser, context.Context, string) error) error {
	dir, all, err := c.selected(ctx, names)
	if err != nil {
		return err
	}
	containers := c.engine(dir)
	defer containers.Close()
	processes := native.New(dir, nil)
	var failed error
	for _, s := range all {
		if s.StartedAt == nil {
			continue
		}
		var world pauser = processes
		replica := s.Name
		if s.Kind == service.Container {
			world, replica = containers, s.ID
		}
		if err := do(world, ctx, replica); err != nil {
			failed = errors.Join(failed, fmt.Errorf("cannot %s %s: %w", verb, s.Name, err))
		} else {
			c.warn("%s: %sd", s.Name, verb)
		}
	}
	return errors.Join(failed, tellPaused(ctx, dir))
}

// tellPaused lets the supervisor see what was paused or let go on; without one, the next
// sees it.
func tellPaused(ctx context.Context, dir string) error {
	client, err := control.Dial(ctx, runner.StateDir(dir))
	if errors.Is(err, control.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Do(ctx, service.Command{Verb: service.VerbLook})
	return err
}
