package main

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func (c *cli) watchCommand() *cobra.Command {
	var o upOptions
	var w watchOptions
	cmd := &cobra.Command{
		Use:   "watch [SERVICE...]",
		Short: "Update services when their files change",
		Long: `Watch the files that develop.watch names, and do what it says when one of them changed:
copy it into the container, restart the service, or, with the action rebuild, build its
image or set up its Python environment again first. The project is brought up first, in
the background. Ctrl-C ends the watching and leaves the project as it is.`,
	}
	f := cmd.Flags()
	f.BoolVar(&w.noUp, "no-up", false, "leave the project as it is before watching")
	f.BoolVar(&w.quiet, "quiet", false, "do not show what builds say")
	f.BoolVar(&w.prune, "prune", true, "remove images that a new one has taken the name from")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.services = args
		src, err := c.source()
		if err != nil {
			return err
		}
		src.Named = args
		project, err := load(cmd.Context(), src, c.warn)
		if err != nil {
			return err
		}
		return c.watchProject(cmd.Context(), o, project, src, w)
	}
	return cmd
}

func (c *cli) watchProject(ctx context.Context, o upOptions, p runner.Project, src service.Source, w watchOptions) error {
	for _, name := range o.services {
		if !slices.ContainsFunc(p.Services, func(s service.Service) bool { return s.Name == name }) {
			return fmt.Errorf("no such service: %s", name)
		}
	}
	if !w.noUp {
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
	return watchFiles(ctx, client, p, o.services, scr, w)
}

// watchOptions are the flags of watch.
type watchOptions struct{ noUp, quiet, prune bool }

// watchBeside watches while something else shows the project.
func watchBeside(ctx context.Context, s control.Supervisor, p runner.Project, names []string, scr *screen) {
	if err := watchFiles(ctx, s, p, names, scr, watchOptions{prune: true}); err != nil {
		scr.say(err.Error())
	}
}

// watchFiles updates services whose files change until ctx ends.
func watchFiles(ctx context.Context, s control.Supervisor, p runner.Project, names []string, scr *screen, o watchOptions) error {
	u := &updater{watchOptions: o, supervisor: s, project: p, screen: scr, containers: docker.New(docker.Options{Project: p.Name})}
	defer u.containers.Close()
	u.containers.Declare(p.Services)
	var meant []service.Service
	count := 0
	for _, svc := range p.Services {
		if len(names) == 0 || slices.Contains(names, svc.Name) {
			meant = append(meant, svc)
			count += len(native.Triggers(svc))
		}
	}
	if count > 0 {
		scr.say("watching files; a change updates the services that it is meant for")
	}
	return native.Watch(ctx, meant, scr.say, func(changed native.Changed) {
		if err := u.update(ctx, changed); err != nil && ctx.Err() == nil {
			scr.say(fmt.Sprintf("cannot update %s: %v", changed.Service.Name, err))
		}
	})
}

// An updater does what is to be done when files changed.
type updater struct {
	watchOptions
	supervisor control.Supervisor
	project    runner.Project
	screen     *screen
	containers *docker.Backend
}

// update brings a service up to date, unless a user stopped it.
func (u *updater) update(ctx context.Context, changed native.Changed) error {
	svc := changed.Service
	all, err := u.supervisor.Status(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(st service.Status) bool { return st.Service != svc.Name || st.State == service.Stopped })
	switch {
	case len(all) == 0:
		return nil
	case svc.Image != nil:
		return u.container(ctx, changed, all)
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
	u.screen.say(what + ": " + u.files(changed) + " changed")
	return u.restart(ctx, svc)
}

// files says in a few words which files changed.
func (u *updater) files(changed native.Changed) string {
	why := changed.File
	if rel, err := filepath.Rel(u.project.Dir, why); err == nil {
		why = rel
	}
	if changed.More > 0 {
		why += fmt.Sprintf(" and %d more", changed.More)
	}
	return why
}

func (u *updater) restart(ctx context.Context, svc service.Service) error {
	_, err := u.supervisor.Do(ctx, service.Command{Verb: service.VerbRestart, Services: []string{svc.Name}})
	return err
}

// container updates the containers of a service: with a new image where a file asks for
// one, which has all the others in it; else by copying, and by what is to follow.
func (u *updater) container(ctx context.Context, changed native.Changed, all []service.Status) error {
	svc := changed.Service
	if changed.Rebuild {
		u.screen.say("rebuilding " + svc.Name + ": " + u.files(changed) + " changed")
		return u.rebuild(ctx, svc)
	}
	var pairs []docker.Pair
	var restart bool
	var hooks []*service.Hook
	for _, t := range changed.Touched {
		if t.Trigger.Target != "" {
			pairs = append(pairs, docker.Pair{Host: t.File, Container: inContainer(t)})
		}
		restart = restart || t.Trigger.Restart
		if t.Trigger.Exec != nil && !slices.Contains(hooks, t.Trigger.Exec) {
			hooks = append(hooks, t.Trigger.Exec)
		}
	}
	if len(pairs) > 0 {
		u.screen.say("copying into " + svc.Name + ": " + u.files(changed))
	}
	for _, st := range all {
		if st.ID == "" || len(pairs) == 0 {
			continue
		}
		if err := u.containers.Sync(ctx, st.ID, pairs); err != nil {
			return err
		}
	}
	if restart {
		u.screen.say("restarting " + svc.Name + ": " + u.files(changed) + " changed")
		return u.restart(ctx, svc)
	}
	return u.hooks(ctx, hooks, all)
}

func (u *updater) hooks(ctx context.Context, hooks []*service.Hook, all []service.Status) error {
	for _, h := range hooks {
		for _, st := range all {
			if st.StartedAt == nil {
				continue
			}
			u.screen.say("running " + h.Argv[0] + " in " + st.Name)
			say := func(line []byte) { _ = u.screen.output(st.Name, line) }
			if err := u.containers.Hook(ctx, st.ID, *h, say); err != nil {
				return err
			}
		}
	}
	return nil
}

// inContainer is where a changed file goes.
func inContainer(t native.Touch) string {
	rel, err := filepath.Rel(t.Trigger.Path, t.File)
	if err != nil || rel == "." {
		return t.Trigger.Target
	}
	return path.Join(t.Trigger.Target, filepath.ToSlash(rel))
}

// rebuild builds a service's image and has its containers replaced, if it is another one.
func (u *updater) rebuild(ctx context.Context, svc service.Service) error {
	say := func(line string) {
		if !u.quiet {
			_ = u.screen.output(svc.Name, []byte(line))
		}
	}
	if err := u.containers.Build(ctx, svc, docker.BuildOptions{}, say); err != nil {
		return err
	}
	report, err := u.supervisor.Do(ctx, service.Command{Verb: service.VerbUp, Services: []string{svc.Name}, NoDeps: true})
	u.screen.notes(report.Notes)
	if err == nil && u.prune {
		err = u.containers.Prune(ctx, u.project.Name)
	}
	return err
}
