package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) watchCommand() *cobra.Command {
	var o upOptions
	var noUp bool
	cmd := &cobra.Command{
		Use:   "watch [SERVICE...]",
		Short: "Restart native services when their files change",
		Long: `Watch the files that develop.watch of native services names, and restart a service
when one of its files changed; with the action rebuild, set up its Python environment
again first. The project is brought up first, in the background. Ctrl-C ends the
watching and leaves the project as it is.`,
	}
	f := cmd.Flags()
	f.BoolVar(&noUp, "no-up", false, "leave the project as it is before watching")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.services = args
		src, err := c.source()
		if err != nil {
			return err
		}
		project, err := load(cmd.Context(), src, c.warn)
		if err != nil {
			return err
		}
		return c.watchProject(cmd.Context(), o, project, src, noUp)
	}
	return cmd
}

func (c *cli) watchProject(ctx context.Context, o upOptions, p runner.Project, src service.Source, noUp bool) error {
	for _, name := range o.services {
		if !slices.ContainsFunc(p.Services, func(s service.Service) bool { return s.Name == name }) {
			return fmt.Errorf("no such service: %s", name)
		}
	}
	if !noUp {
		if err := c.upDetached(ctx, o, p, src); err != nil {
			return err
		}
	}
	client, err := control.Dial(ctx, runner.StateDir(p.Dir))
	if err != nil {
		return hinted{fmt.Errorf("cannot watch for %s: nobody supervises it: %w", p.Name, err), "leave out --no-up"}
	}
	defer client.Close()
	scr := c.screen(nil)
	return watchFiles(ctx, client, p, o.services, scr.say)
}

// watchFiles restarts services whose files change until ctx ends.
func watchFiles(ctx context.Context, s control.Supervisor, p runner.Project, names []string, say func(string)) error {
	var meant []service.Service
	count := 0
	for _, svc := range p.Services {
		if svc.Process != nil && (len(names) == 0 || slices.Contains(names, svc.Name)) {
			meant = append(meant, svc)
			count += len(svc.Process.Watch)
		}
	}
	if count > 0 {
		say("watching files; a change restarts the services that it is meant for")
	}
	return native.Watch(ctx, meant, say, func(changed native.Changed) {
		if err := renew(ctx, s, p, changed, say); err != nil && ctx.Err() == nil {
			say(fmt.Sprintf("cannot restart %s: %v", changed.Service.Name, err))
		}
	})
}

// renew restarts a service, unless a user stopped it.
func renew(ctx context.Context, s control.Supervisor, p runner.Project, changed native.Changed, say func(string)) error {
	svc := changed.Service
	all, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(st service.Status) bool { return st.Service == svc.Name && st.State != service.Stopped }) {
		return nil
	}
	why := changed.File
	if rel, err := filepath.Rel(p.Dir, why); err == nil {
		why = rel
	}
	if changed.More > 0 {
		why += fmt.Sprintf(" and %d more", changed.More)
	}
	what := "restarting " + svc.Name
	if changed.Rebuild {
		built, err := native.Unbuild(svc)
		if err != nil {
			return err
		}
		if built {
			what += " with its environment set up again"
		}
	}
	say(what + ": " + why + " changed")
	_, err = s.Do(ctx, service.Command{Verb: service.VerbRestart, Services: []string{svc.Name}, NoDeps: true})
	return err
}

// watchBeside watches while something else shows the project.
func watchBeside(ctx context.Context, s control.Supervisor, p runner.Project, names []string, scr *screen) {
	if err := watchFiles(ctx, s, p, names, scr.say); err != nil {
		scr.say(err.Error())
	}
}
