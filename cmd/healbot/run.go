package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
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

	build, aliases   bool
	quiet            bool
	quietPull        bool
	quietBuild       bool
	pull             string
	envFiles         []string
	volumes, publish []string
	labels           []string
	capAdd, capDrop  []string
}

func (c *cli) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run SERVICE [COMMAND [ARG...]]",
		Short: "Run a command as a service would, once",
		Long: `Run a command, or the service's own, once and unsupervised: in a container of its own,
or, for a native service, on this host with the service's environment, directory,
user and Python environment. COMMAND stands instead of the service's command and
follows its entrypoint. What the service needs is started first. The terminal is passed through, and so is the
exit code.`,
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.entrypoint, "entrypoint", "", "program instead of the service's entrypoint")
	f.StringVar(&o.name, "name", "", "name of the container")
	f.BoolVar(&o.noDeps, "no-deps", false, "do not start what the service needs")
	f.BoolVar(&o.remove, "rm", false, "remove the container when the command has ended")
	f.BoolVarP(&o.ports, "service-ports", "P", false, "publish the service's ports, for containers")
	f.StringArrayVarP(&o.publish, "publish", "p", nil, "publish a port, as [HOST:]CONTAINER; may be given several times")
	f.StringArrayVarP(&o.volumes, "volume", "v", nil, "mount, as SOURCE:TARGET[:MODE]; may be given several times")
	f.StringArrayVarP(&o.labels, "label", "l", nil, "label of the container, as KEY=VALUE; may be given several times")
	f.StringArrayVar(&o.capAdd, "cap-add", nil, "capability to add; may be given several times")
	f.StringArrayVar(&o.capDrop, "cap-drop", nil, "capability to drop; may be given several times")
	f.BoolVar(&o.build, "build", false, "build the image first")
	f.StringVar(&o.pull, "pull", "", "`POLICY` for the image instead of the file's: always, missing or never")
	f.StringArrayVar(&o.envFiles, "env-from-file", nil, "`FILE` of variables for the command; --env goes before it; may be given several times")
	f.BoolVar(&o.aliases, "use-aliases", false, "answer to the service's names on its networks, for containers")
	f.BoolVar(&o.quietPull, "quiet-pull", false, "do not say how far a pull is")
	f.BoolVar(&o.quietBuild, "quiet-build", false, "do not show what a build says")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing but what the command writes")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.ports && len(o.publish) > 0 {
			return usageError("--service-ports can't go with --publish")
		}
		if len(args) == 0 {
			return usageError("healbot run takes the name of a service")
		}
		o.argv = args[1:]
		if o.quiet {
			o.quietPull, o.quietBuild, c.progressAs = true, true, "quiet"
		}
		return c.runOnce(cmd.Context(), args[0], o)
	}
	return cmd
}

func (c *cli) runOnce(ctx context.Context, name string, o runOptions) error {
	dir, err := c.projectDirectory()
	if err != nil {
		return err
	}
	p, src, err := c.known(ctx, dir, name)
	if err != nil {
		return err
	}
	svc, err := find(p, name)
	if err != nil {
		return err
	}
	env, err := o.environment()
	if err == nil {
		env, err = withFiles(o.envFiles, env)
	}
	if err != nil {
		return err
	}
	if err := c.startNeeds(ctx, p, src, svc, o); err != nil {
		return err
	}
	if svc.Kind == service.Native {
		return c.runNative(ctx, svc, o, env)
	}
	containers := docker.New(docker.Options{Project: p.Name, Reach: reachFor(p.Dir)})
	defer containers.Close()
	containers.Declare(p.Services)
	if svc, err = o.change(svc); err != nil {
		return err
	}
	note := c.note(name)
	if o.quietPull {
		note = func(string) {}
	}
	if o.build && buildable(svc) {
		if err := c.buildAll(ctx, p, []service.Service{svc}, buildOptions{quiet: o.quietBuild}); err != nil {
			return err
		}
	}
	if err := containers.Prepare(ctx, svc, note); err != nil {
		return err
	}
	once := docker.OneOff{Name: o.name, Ports: o.ports || len(o.publish) > 0, Aliases: o.aliases, Keep: !o.remove}
	if o.detach && o.name == "" {
		once.Name = docker.OneOffName(svc)
	}
	if o.entrypoint != "" {
		once.Entrypoint = []string{o.entrypoint}
	}
	err = o.inContainer(func(call docker.Call) (int, error) {
		once.Call = call
		once.Env = env
		return containers.Run(ctx, svc, once)
	})
	if err == nil && o.detach {
		fmt.Fprintln(c.out, once.Name)
	}
	return err
}

// reachFor has the supervisor of a project, if there is one, let a container's network
// reach the native services.
func reachFor(dir string) func(context.Context, netip.Prefix) error {
	return func(ctx context.Context, network netip.Prefix) error {
		client, err := control.Dial(ctx, runner.StateDir(dir))
		if errors.Is(err, control.ErrNone) {
			return nil // then no native service runs
		}
		if err != nil {
			return err
		}
		defer client.Close()
		_, err = client.Do(ctx, service.Command{Verb: service.VerbReach, Network: network})
		return err
	}
}

// withFiles puts the variables of env files before env.
func withFiles(files, env []string) ([]string, error) {
	var all []string
	for _, file := range files {
		vars, err := dotenv.ReadWithLookup(os.LookupEnv, file)
		if err != nil {
			return nil, fmt.Errorf("cannot read --env-from-file %s: %w", file, err)
		}
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			all = append(all, name+"="+vars[name])
		}
	}
	return append(all, env...), nil
}

// change gives the service as the flags want it for its one-off container.
func (o *runOptions) change(svc service.Service) (service.Service, error) {
	i := *svc.Image
	s := &i.Config
	switch o.pull {
	case "":
	case types.PullPolicyAlways, types.PullPolicyMissing, types.PullPolicyNever:
		s.PullPolicy = o.pull
	default:
		return svc, usageError("--pull takes always, missing or never, not %q", o.pull)
	}
	if len(o.publish) > 0 {
		s.Ports = nil
	}
	for _, text := range o.publish {
		ports, err := types.ParsePortConfig(text)
		if err != nil {
			return svc, usageError("--publish %s: %w", text, err)
		}
		s.Ports = append(s.Ports, ports...)
	}
	s.Volumes = slices.Clone(s.Volumes)
	for _, text := range o.volumes {
		v, err := format.ParseVolume(text)
		if err != nil {
			return svc, usageError("--volume %s: %w", text, err)
		}
		if v.Type == types.VolumeTypeBind {
			v.Source = absolutePath(v.Source)
		}
		s.Volumes = append(s.Volumes, v)
	}
	s.Labels = maps.Clone(s.Labels)
	for _, text := range o.labels {
		key, value, _ := strings.Cut(text, "=")
		s.Labels = s.Labels.Add(key, value)
	}
	s.CapAdd, s.CapDrop = slices.Concat(s.CapAdd, o.capAdd), slices.Concat(s.CapDrop, o.capDrop)
	svc.Image = &i
	return svc, nil
}

// note tells on stderr how far something is.
func (c *cli) note(name string) func(string) {
	last := ""
	return func(text string) {
		if text != last && c.progressAs != "quiet" {
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
	if o.name != "" || o.ports || o.aliases || len(o.publish)+len(o.volumes)+len(o.labels)+len(o.capAdd)+len(o.capDrop) > 0 {
		return usageError("%s is a native service: --name, --service-ports, --use-aliases, --publish, --volume, --label and --cap-… are for containers", svc.Name)
	}
	own := svc.Process.Argv
	switch {
	case o.entrypoint != "":
		o.argv = append([]string{o.entrypoint}, o.argv...)
	case len(o.argv) == 0:
		o.argv = slices.Clone(own)
	default:
		o.argv = slices.Concat(own[:svc.Process.Entry], o.argv)
	}
	self, err := keeperArgv()
	if err != nil {
		return err
	}
	backend := native.New(svc.Dir, self)
	defer backend.Close()
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
	return o.beside(ctx, backend, svc, 1, env)
}
