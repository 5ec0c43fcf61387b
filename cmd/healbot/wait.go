package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/service"
)

func (c *cli) waitCommand() *cobra.Command {
	var down bool
	cmd := &cobra.Command{
		Use:   "wait SERVICE...",
		Short: "Wait until the first of some services ends",
		Long: `Wait until the first of the named services ends, say how, and exit with its exit
code: 255 if a signal ended it, or nobody saw its end. It may be restarted meanwhile.
One that has ended already and rests is not waited for.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("healbot wait takes the names of services")
			}
			err := c.waitEnd(cmd.Context(), args)
			if exit := new(exitError); down && (err == nil || errors.As(err, &exit) && exit.err == nil) {
				if failed := c.down(cmd.Context(), downOptions{}); failed != nil {
					return failed
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&down, "down-project", false, "bring the project down once the first has ended")
	return cmd
}

func (c *cli) waitEnd(ctx context.Context, names []string) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	changes, err := c.changes(watching, dir)
	if err != nil {
		return err
	}
	_, all, err := c.selected(ctx, names)
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for _, s := range all {
		live[s.Name] = s.StartedAt != nil
		if s.State.Settled() && s.StartedAt == nil && s.ExitCode != nil {
			return c.ended(s)
		}
	}
	for ch := range changes {
		if ch.Missed {
			return errMissed
		}
		s := ch.Status
		if !meant(s, names) {
			continue
		}
		if s.StartedAt == nil && (live[s.Name] || s.State == service.Failed || s.State == service.MaxRestarts) {
			return c.ended(s)
		}
		live[s.Name] = s.StartedAt != nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.New("the supervisor ended while its services were waited for")
}

// ended says how a replica ended and carries its exit code on.
func (c *cli) ended(s service.Status) error {
	code := exitFailed // it could not even start
	if s.ExitCode != nil {
		code = *s.ExitCode & 0xff
	}
	if _, err := fmt.Fprintf(c.out, "%s: %s\n", s.Name, printable([]byte(s.Reason))); err != nil || code == 0 {
		return err
	}
	return &exitError{code: code}
}
