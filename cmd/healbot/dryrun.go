package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// notes prints what a supervisor answered to a command that it played.
func (c *cli) notes(report service.Report, err error) error {
	for _, note := range report.Notes {
		fmt.Fprintln(c.out, note)
	}
	return err
}

// preview prints what an up would do.
func (c *cli) preview(ctx context.Context, o upOptions, p runner.Project, src service.Source) error {
	client, err := control.Dial(ctx, runner.StateDir(p.Dir))
	if errors.Is(err, control.ErrNone) {
		return c.previewFresh(o, p)
	}
	if err != nil {
		return err
	}
	defer client.Close()
	want := o.command(src)
	want.DryRun = true
	return c.notes(client.Do(ctx, want))
}

// previewFresh is for a project that nobody supervises: all is to be started, but for
// what a supervisor left.
func (c *cli) previewFresh(o upOptions, p runner.Project) error {
	for _, name := range o.services {
		if _, err := find(p, name); err != nil {
			return err
		}
	}
	meant := runner.Plan{Project: p, Names: o.services, NoDeps: o.noDeps}.Meant()
	last, err := lastStatuses(p.Dir)
	if err != nil {
		return err
	}
	c.unsupervised(last)
	for _, s := range declared(p) {
		i := slices.IndexFunc(last, func(l service.Status) bool { return l.Name == s.Name && l.PID > 0 })
		switch {
		case !slices.Contains(meant, s.Service):
		case i >= 0:
			fmt.Fprintf(c.out, "%s: would be taken over, and replaced if its configuration changed\n", s.Name)
		default:
			fmt.Fprintf(c.out, "%s: would be created\n", s.Name)
		}
	}
	return nil
}
