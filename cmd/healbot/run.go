package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/native"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

type runOptions struct {
	call
	entrypoint, name      string
	noDeps, remove, ports bool
}

func (c *cli) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run SERVICE [COMMAND [ARG...]]",
		Short: "Run a command as a service would, once",
		Long: `Run a command, or the service's own, once and unsupervised: in a container of its own,
or, for a native service, on this host with the service's environment, directory and
Python environment, where COMMAND stands for entrypoint and command together. What
the service needs is started first. The terminal is passed through, and so is the
exit code.`,
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.entrypoint, "entrypoint", "", "program instead of the service's entrypoint")
	f.StringVar(&o.name, "name", "", "name of the container")
	f.BoolVar(&o.noDeps, "no-deps", false, "do not start what the service needs")
	f.BoolVar(&o.remove, "rm", false, "remove the container when the command has ended")
	f.BoolVarP(&o.ports, "service-ports", "P", false, "publish the service's ports, for containers")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError("healbot run takes the name of a service")
		}
		o.argv = args[1:]
		return c.runOnce(cmd.Context(), args[0], o)
	}
	return cmd
}

func (c *cli) runOnce(ctx context.Context, name string, o runOptions) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	p, src, err := c.known(ctx, dir)
	if err != nil {
		return err
	}
	svc, err := find(p, name)
	if err != nil {
		return err
	}
	env, err := o.environment()
	if err != nil {
		return err
	}
	if err := c.startNeeds(ctx, p, src, svc, o); err != nil {
		return err
	}
	if svc.Kind == service.Native {
		return c.runNative(ctx, svc, o, env)
	}
	containers := docker.New(docker.Options{Project: p.Name})
	defer containers.Close()
	if err := containers.Prepare(ctx, svc, c.note(name)); err != nil {
		return err
	}
	once := docker.OneOff{Name: o.name, Ports: o.ports, Keep: !o.remove}
	if o.entrypoint != "" {
		once.Entrypoint = []string{o.entrypoint}
	}
	return o.inContainer(func(call docker.Call) (int, error) {
		once.Call = call
		once.Env = env
		return containers.Run(ctx, svc, once)
	})
}

// note tells on stderr how far something is.
func (c *cli) note(name string) func(string) {
	last := ""
	return func(text string) {
		if text != last {
			c.warn("%s: %s", name, text)
		}
		last = text
	}
}

// startNeeds has the supervisor start what a service depends on, and waits for it.
func (c *cli) startNeeds(ctx context.Context, p runner.Project, src service.Source, svc service.Service, o runOptions) error {
	if o.noDeps || len(svc.Needs) == 0 {
		return nil
	}
	want := service.Command{Verb: service.VerbUp, Source: &src}
	for _, n := range svc.Needs {
		want.Services = append(want.Services, n.Service)
	}
	client, err := c.reach(ctx, p.Dir, src)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := c.watch(ctx, client, want); err != nil {
		return err
	}
	return c.waitReady(ctx, client, p, upOptions{services: want.Services})
}

// runNative turns this process into the command, once its Python environment is there.
func (c *cli) runNative(ctx context.Context, svc service.Service, o runOptions, env []string) error {
	if o.name != "" || o.ports {
		return usageError("%s is a native service: --name and --service-ports are for containers", svc.Name)
	}
	own := svc.Process.Argv
	switch {
	case o.entrypoint != "":
		o.argv = append([]string{o.entrypoint}, o.argv...)
	case len(o.argv) == 0:
		o.argv = slices.Clone(own)
	}
	self, err := keeperArgv()
	if err != nil {
		return err
	}
	backend := native.New(svc.Dir, self)
	clean := !runner.Left(svc.Dir)
	if err := backend.Prepare(ctx, svc, c.note(svc.Name)); err != nil {
		return err
	}
	if client, err := control.Dial(ctx, runner.StateDir(svc.Dir)); err == nil {
		client.Close()
	} else if clean && errors.Is(err, control.ErrNone) {
		if err := backend.Remove(ctx, svc.Project); err != nil { // the keeper that built it
			return err
		}
	}
	backend.Close()
	return o.become(backend, svc, env)
}
