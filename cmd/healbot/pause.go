package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pause [SERVICE...]",
		Short: "Suspend the processes of containers",
		Long: `Suspend all processes of the containers of services. A service that healbot itself
probes would be unhealthy, and be restarted; a native service can't be suspended as a
whole: both are errors.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.suspend(cmd.Context(), args, "pause", (*docker.Backend).Pause)
		},
	}
}

func (c *cli) unpauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unpause [SERVICE...]",
		Short: "Let paused containers go on",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.suspend(cmd.Context(), args, "unpause", (*docker.Backend).Unpause)
		},
	}
}

// suspend pauses or unpauses. Nothing is done if one of those that are named can't be.
func (c *cli) suspend(ctx context.Context, names []string, verb string, do func(*docker.Backend, context.Context, string) error) error {
	dir, all, err := c.selected(ctx, names)
	if err != nil {
		return err
	}
	p, _, err := c.known(ctx, dir)
	if err != nil {
		return err
	}
	var live []service.Status
	var failed error
	for _, s := range all {
		svc, err := find(p, s.Service)
		switch probed := svc.Check != nil && !svc.Check.Engine && svc.Check.Log == ""; {
		case err != nil:
		case s.Kind == service.Native && len(names) > 0:
			err = fmt.Errorf("cannot %s %s: it is a native service; healbot stop ends it", verb, s.Name)
		case s.Kind == service.Native || s.StartedAt == nil:
		case probed && verb == "pause":
			err = fmt.Errorf("cannot pause %s: its health check would fail, and healbot would restart it; healbot stop ends it", s.Name)
		default:
			live = append(live, s)
		}
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return failed
	}
	containers := c.engine(dir)
	defer containers.Close()
	for _, s := range live {
		if err := do(containers, ctx, s.ID); err != nil {
			failed = errors.Join(failed, fmt.Errorf("cannot %s %s: %w", verb, s.Name, err))
		} else {
			c.warn("%s: %sd", s.Name, verb)
		}
	}
	return failed
}
