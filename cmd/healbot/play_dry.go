package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// playable gives commands a flag --dry-run of their own, which they understand.
func (c *cli) playable(commands ...*cobra.Command) []*cobra.Command {
	for _, cmd := range commands {
		cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "say what would be done, and do nothing")
	}
	return commands
}

// mayPlay refuses --dry-run before a command that would act all the same.
func (c *cli) mayPlay(cmd *cobra.Command) error {
	harmless := cmd.GroupID == groupLook || slices.Contains([]string{"config", "simulate", "doctor", "schema", "version", "help"}, cmd.Name())
	if c.dryRun && !harmless && cmd.Flags().Lookup("dry-run") == nil {
		return usageError("%s knows no --dry-run", cmd.Name())
	}
	return nil
}

// play says what would become of each replica that is meant; fate is "" where that is not
// worth a word.
func (c *cli) play(ctx context.Context, names []string, fate func(service.Status) string) error {
	_, all, err := c.selected(ctx, names)
	if err != nil {
		return err
	}
	for _, s := range all {
		if what := fate(s); what != "" {
			fmt.Fprintf(c.out, "%s: %s\n", s.Name, what)
		}
	}
	return nil
}

// rests reports whether nothing of a replica lives, or will by itself.
func rests(s service.Status) bool { return s.State.Settled() && s.StartedAt == nil }

// playCommand plays what a supervisor would be asked to do. For a restart, one that is
// there compares with the file as it is now.
func (c *cli) playCommand(ctx context.Context, want service.Command) error {
	if want.Verb == service.VerbRestart {
		dir, err := c.projectDirectory()
		if err != nil {
			return err
		}
		if client, err := control.Dial(ctx, runner.StateDir(dir)); err == nil {
			defer client.Close()
			want.DryRun = true
			return c.notes(client.Do(ctx, want))
		}
	}
	return c.play(ctx, want.Services, func(s service.Status) string { return fateOf(s, want) })
}

// fateOf says what a command would do to one replica.
func fateOf(s service.Status, want service.Command) string {
	starts := want.Verb == service.VerbStart || want.Verb == service.VerbRestart
	switch rested := rests(s); {
	case starts && rested:
		return fmt.Sprintf("would be started, it is %s", s.State)
	case rested:
		return fmt.Sprintf("would stay as it is, %s", s.State)
	case want.Verb == service.VerbStart:
		return "would be kept as it is"
	case want.Verb == service.VerbRestart:
		return "would be restarted"
	case want.Verb == service.VerbKill:
		return "would be sent " + want.Signal
	}
	return "would be stopped"
}

// playDown plays a down.
func (c *cli) playDown(ctx context.Context, o downOptions, p runner.Project) error {
	err := c.play(ctx, nil, fateOfDown)
	if err != nil || !o.volumes && o.images == "" {
		return err
	}
	containers := docker.New(docker.Options{Project: p.Name})
	defer containers.Close()
	if o.volumes {
		names, err := containers.Volumes(ctx, p.Name)
		if err != nil {
			return err
		}
		for _, name := range names {
			fmt.Fprintf(c.out, "volume %s: would be removed\n", name)
		}
	}
	for _, image := range o.unwanted(p) {
		if containers.HasImage(ctx, image) {
			fmt.Fprintf(c.out, "image %s: would be removed\n", image)
		}
	}
	return nil
}

func fateOfDown(s service.Status) string {
	switch {
	case !rests(s) && s.Kind == service.Container:
		return "would be stopped and removed"
	case !rests(s):
		return "would be stopped"
	case s.Kind == service.Container && s.ExitCode != nil:
		return "would be removed"
	}
	return ""
}

// playRemove plays an rm.
func (c *cli) playRemove(ctx context.Context, names []string, stop bool) error {
	return c.play(ctx, names, func(s service.Status) string {
		if s.Kind != service.Container || !rests(s) && !stop {
			return ""
		}
		return fateOfDown(s)
	})
}

// playPull plays a pull, or one of what is missing.
func (c *cli) playPull(ctx context.Context, p runner.Project, all []service.Service, missing bool) error {
	containers := docker.New(docker.Options{Project: p.Name})
	defer containers.Close()
	return c.playImages(slices.DeleteFunc(all, func(s service.Service) bool {
		return missing && containers.HasImage(ctx, s.Image.Config.Image)
	}), "fetched")
}

// playImages plays what is done to the images of services.
func (c *cli) playImages(all []service.Service, what string) error {
	for _, svc := range all {
		fmt.Fprintf(c.out, "%s: image %s would be %s\n", svc.Name, svc.Image.Config.Image, what)
	}
	return nil
}
