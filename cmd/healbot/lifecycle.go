package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) startCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "start [SERVICE...]",
		Short: "Start services that rest",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.ask(cmd.Context(), service.Command{Verb: service.VerbStart, Services: args})
	}
	return cmd
}

func (c *cli) stopCommand() *cobra.Command {
	return c.endingCommand("stop", "Stop services; the supervisor stays", service.VerbStop)
}

func (c *cli) restartCommand() *cobra.Command {
	return c.endingCommand("restart", "Restart services, from the file as it is now", service.VerbRestart)
}

// endingCommand makes a command with the flag for another grace period.
func (c *cli) endingCommand(name, short string, verb service.Verb) *cobra.Command {
	want := service.Command{Verb: verb}
	cmd := &cobra.Command{Use: name + " [SERVICE...]", Short: short}
	graceFlag(cmd.Flags(), &want.Grace)
	if verb == service.VerbRestart {
		cmd.Flags().BoolVar(&want.NoDeps, "no-deps", false, "leave the dependents alone that follow by depends_on.restart")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		want.Services = args
		return c.ask(cmd.Context(), want)
	}
	return cmd
}

func (c *cli) killCommand() *cobra.Command {
	want := service.Command{Verb: service.VerbKill}
	cmd := &cobra.Command{Use: "kill [SERVICE...]", Short: "Kill services, or send them another signal"}
	cmd.Flags().StringVarP(&want.Signal, "signal", "s", "SIGKILL", "signal to send; SIGKILL also keeps the service stopped")
	cmd.Flags().BoolVar(&want.Orphans, "remove-orphans", false, "kill also services that the file no longer names, and forget them")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		want.Services = args
		return c.ask(cmd.Context(), want)
	}
	return cmd
}

// ask lets the supervisor carry out a command while people watch. A project that
// nobody supervises gets a supervisor: services may have outlived the last one.
func (c *cli) ask(ctx context.Context, want service.Command) error {
	if c.dryRun {
		return c.playCommand(ctx, want)
	}
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	src, err := c.source()
	if err != nil {
		return err
	}
	if r, ok := recall(dir); ok {
		src = r.Source
	}
	client, err := c.reach(ctx, dir, src)
	if err != nil {
		return err
	}
	defer client.Close()
	if want, err = c.activate(ctx, client, dir, want); err != nil {
		return err
	}
	report, err := c.watch(ctx, client, want)
	if err != nil {
		return err
	}
	return failures(report.Statuses, want)
}

// failures is the error of a start or restart that left a service down.
func failures(all []service.Status, want service.Command) error {
	if want.Verb != service.VerbStart && want.Verb != service.VerbRestart && want.Verb != service.VerbUp {
		return nil
	}
	for _, s := range all {
		if s.State == service.Failed && meant(s, want.Services) {
			return &exitError{exitFailed, fmt.Errorf("%s failed: %s", s.Name, s.Reason)}
		}
	}
	return nil
}

// activate turns the start of a service that the supervisor does not know into an up of
// it, if the file has it behind a profile.
func (c *cli) activate(ctx context.Context, s control.Supervisor, dir string, want service.Command) (service.Command, error) {
	if want.Verb != service.VerbStart || len(want.Services) == 0 {
		return want, nil
	}
	all, err := s.Status(ctx)
	if err != nil || allKnown(all, want.Services) == nil {
		return want, err
	}
	p, src, err := c.known(ctx, dir, want.Services...)
	if err != nil {
		return want, err
	}
	for _, name := range want.Services {
		if _, err := find(p, name); err != nil && allKnown(all, []string{name}) != nil {
			return want, err
		}
	}
	want.Verb, want.Source = service.VerbUp, &src
	return want, nil
}
