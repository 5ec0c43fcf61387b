package docker

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// BuildOptions says how an image is built, beyond what the file says.
type BuildOptions struct {
	NoCache bool              // use nothing that an earlier build left
	Pull    bool              // fetch newer base images
	Args    map[string]string // build arguments, over those of the file
	SSH     []string          // agent or keys, over those of the file: default, or ID=PATH
	Builder string            // of docker buildx; "" for the one in use

	Provenance, SBOM string // attestations, instead of those of the file
}

// Build makes the image of svc from its build section, with BuildKit where the engine
// prefers it, and with docker buildx where secrets and the like need it. say hears each line of the build's output. A build that is under way for
// the same image is waited for first.
//
// It fails with service.ErrOutside when the engine, or the registry of a base image,
// can't be reached.
func (b *Backend) Build(ctx context.Context, svc service.Service, o BuildOptions, say func(line string)) error {
	if err := isContainer(svc); err != nil {
		return err
	}
	if svc.Image.Config.Build == nil {
		return fmt.Errorf("service %s has no build section", svc.Name)
	}
	done, err := b.alone(ctx, svc.Image.Config.Image)
	if err != nil {
		return err
	}
	defer done()
	return b.build(ctx, svc, o, say)
}

func (b *Backend) build(ctx context.Context, svc service.Service, o BuildOptions, say func(string)) error {
	from, err := contextOf(svc)
	if err != nil {
		return err
	}
	if beyondAPI(svc.Image.Config.Build, o) != "" {
		return b.buildx(ctx, svc, o, from, say)
	}
	cli, err := b.dial(ctx)
	if err != nil {
		return err
	}
	options, err := b.buildOptions(ctx, svc, o, from)
	if err != nil {
		return err
	}
	archive, packed := from.send(ctx)
	answer, err := cli.ImageBuild(ctx, archive, options)
	if err == nil {
		defer answer.Body.Close()
		err = readBuild(answer.Body, say)
	}
	unread := packed()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case unread != nil:
		return fmt.Errorf("cannot build image %s of %s: cannot read its context: %w", svc.Image.Config.Image, svc.Name, unread)
	case connectionLost(err):
		b.drop(cli)
		return unreachable(cli.DaemonHost(), err)
	}
	return buildFault(svc, err)
}

// buildOptions translates the build section.
func (b *Backend) buildOptions(ctx context.Context, svc service.Service, o BuildOptions, from buildContext) (build.ImageBuildOptions, error) {
	c := svc.Image.Config.Build
	options := build.ImageBuildOptions{
		Tags:          append([]string{svc.Image.Config.Image}, c.Tags...),
		RemoteContext: from.remote,
		Dockerfile:    from.dockerfile,
		BuildArgs:     buildArgs(svc, o),
		Labels:        buildLabels(svc),
		NoCache:       c.NoCache || o.NoCache,
		PullParent:    c.Pull || o.Pull,
		Remove:        true,
		ForceRemove:   true,
		CacheFrom:     c.CacheFrom,
		Target:        c.Target,
		NetworkMode:   c.Network,
		ExtraHosts:    slices.Sorted(slices.Values(c.ExtraHosts.AsList(":"))),
		ShmSize:       int64(c.ShmSize),
		Ulimits:       ulimits(c.Ulimits),
		Isolation:     container.Isolation(c.Isolation),
		AuthConfigs:   registryAuths(ctx),
	}
	var err error
	if options.Platform, err = b.buildPlatform(ctx, svc); err != nil {
		return options, err
	}
	ping, err := ask(ctx, b, pingTime, func(ctx context.Context, cli *client.Client) (build.BuilderVersion, error) {
		p, err := cli.Ping(ctx)
		return p.BuilderVersion, err
	})
	if ping == build.BuilderBuildKit {
		options.Version = ping
	}
	return options, err
}

// buildArgs gives the arguments of the file, and those of the user over them.
func buildArgs(svc service.Service, o BuildOptions) types.MappingWithEquals {
	args := maps.Clone(svc.Image.Config.Build.Args)
	if args == nil {
		args = types.MappingWithEquals{}
	}
	for k, v := range o.Args {
		args[k] = &v
	}
	return args
}

func buildLabels(svc service.Service) map[string]string {
	labels := map[string]string{composeProject: svc.Project, composeService: svc.Name, labelProject: svc.Project}
	maps.Copy(labels, svc.Image.Config.Build.Labels)
	return labels
}

// buildPlatform chooses the platform that is built for, since an engine builds for one:
// the service's own, else the engine's if it is wanted; "" for the engine's.
func (b *Backend) buildPlatform(ctx context.Context, svc service.Service) (string, error) {
	wanted := svc.Image.Config.Build.Platforms
	if p := svc.Image.Config.Platform; p != "" || len(wanted) == 0 {
		return p, nil
	}
	if len(wanted) == 1 {
		return wanted[0], nil
	}
	engine, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (string, error) {
		v, err := cli.ServerVersion(ctx)
		return v.Os + "/" + v.Arch, err
	})
	if err != nil || slices.Contains(wanted, engine) {
		return "", err
	}
	return "", fmt.Errorf("service %s: build.platforms does not name %s, which is the engine's; write platform: with the one that is wanted", svc.Name, engine)
}

// readBuild reads the engine's report of a build to its end. The error has the last
// thing that a command of the Dockerfile said before it.
func readBuild(r io.Reader, say func(string)) error {
	var last string
	heard := func(text string) {
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\r\n"); line == "" {
				continue
			}
			if said := strings.TrimSpace(colours.ReplaceAllString(line, "")); said != "" && !builders.MatchString(said) {
				last = said
			}
			say(line)
		}
	}
	for m, err := range messages(r) {
		if err != nil {
			return err
		}
		switch {
		case m.Error != nil && last != "" && !strings.Contains(m.Error.Message, last):
			return fmt.Errorf("%s; it said last: %s", m.Error.Message, last)
		case m.Error != nil:
			return m.Error
		case m.ID == "moby.buildkit.trace" && m.Aux != nil:
			readTrace(*m.Aux, say, heard)
		case m.Stream != "":
			heard(m.Stream)
		}
	}
	return nil
}

// builders matches the lines of the builders themselves.
var builders = regexp.MustCompile(`^(Step \d|\[.*\] |---> |Removing intermediate )`)

// colours matches what makes a command's errors red on a terminal.
var colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)

var baseUnreachable = regexp.MustCompile(`(?i)lookup \S+|no such host|connection refused|i/o timeout|network is unreachable|tls handshake timeout|client\.timeout|toomanyrequests`)

// commandFailed matches what the builders say of a command that failed, and may have had
// trouble with a network of its own.
var commandFailed = regexp.MustCompile(`non-zero code|did not complete successfully|executor failed running`)

// buildFault tells a build that can't work from one whose base image can't be had now.
func buildFault(svc service.Service, err error) error {
	text := plain(err)
	full := fmt.Errorf("cannot build image %s of %s: %s", svc.Image.Config.Image, svc.Name, text)
	if diskFull(err) || (!commandFailed.MatchString(text) && baseUnreachable.MatchString(text)) {
		return service.Outside(full)
	}
	return full
}

// prepareBuilt makes the image of a service that has a build section: it is built when
// it is missing, or once in the life of the backend with pull_policy build. Where the
// file names an image and a policy to pull it, that is tried first.
func (b *Backend) prepareBuilt(ctx context.Context, svc service.Service, note func(string)) error {
	config := svc.Image.Config
	done, err := b.alone(ctx, config.Image)
	if err != nil {
		return err
	}
	defer done()
	b.mu.Lock()
	had := b.pulled[config.Image]
	b.mu.Unlock()
	eager := config.PullPolicy == types.PullPolicyBuild || config.PullPolicy == types.PullPolicyAlways
	if _, err := b.imageID(ctx, config.Image); !errdefs.IsNotFound(err) && (err != nil || had || !eager) {
		return err
	}
	named := config.Image != svc.Project+"-"+svc.Name
	pulls := slices.Contains([]string{types.PullPolicyAlways, types.PullPolicyMissing, types.PullPolicyIfNotPresent}, config.PullPolicy)
	if !named || !pulls || b.pull(ctx, config.Image, config.Platform, note) != nil {
		note("building " + config.Image)
		err := b.build(ctx, svc, BuildOptions{}, func(line string) {
			b.log.Debug("build", "service", svc.Name, "line", line)
			if step.MatchString(line) {
				note("building " + config.Image + ": " + line)
			}
		})
		if err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pulled[config.Image] = true
	return nil
}

// step matches what either builder says when it begins a step.
var step = regexp.MustCompile(`^(Step \d+/\d+ : |\[(\S+ )?\d+/\d+\] )`)

// alone waits until nobody else makes an image, and keeps others out until done.
func (b *Backend) alone(ctx context.Context, image string) (done func(), err error) {
	b.mu.Lock()
	turn := b.builds[image]
	if turn == nil {
		turn = make(chan struct{}, 1)
		b.builds[image] = turn
	}
	b.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
