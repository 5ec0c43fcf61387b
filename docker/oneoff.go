package docker

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/strslice"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// A OneOff is a container that a user runs for one command, beside the service's own.
type OneOff struct {
	Call
	Name       string   // "" for PROJECT-SERVICE-run-…
	Entrypoint []string // nil: the service's own
	Ports      bool     // publish the service's ports
	Aliases    bool     // answer to the service's names on its networks
	Keep       bool     // leave the container when it has ended
}

// Run makes a container from svc for one command, runs it to its end and returns its
// exit code; a call that is detached goes on by itself. Cancelling ctx kills it. Nobody
// supervises such a container, and Remove takes it away with the project. Prepare made
// ready what it needs.
func (b *Backend) Run(ctx context.Context, svc service.Service, o OneOff) (code int, err error) {
	cli, err := b.dial(ctx)
	if err != nil {
		return 0, err
	}
	id, err := b.createOneOff(ctx, cli, svc, o)
	if err != nil {
		return 0, err
	}
	if o.Detach {
		if err := cli.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
			b.discard(id)
			return 0, callFault(err)
		}
		return 0, nil
	}
	if !o.Keep {
		defer b.discard(id)
	}
	code, err = runOnce(ctx, cli, id, o.Call)
	if ctx.Err() != nil {
		kill, stop := context.WithTimeout(context.WithoutCancel(ctx), callTime)
		defer stop()
		b.end(kill, id)
		return 0, ctx.Err()
	}
	return code, err
}

func runOnce(ctx context.Context, cli *client.Client, id string, call Call) (int, error) {
	stream, err := cli.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: call.In != nil, Stdout: true, Stderr: true})
	if err != nil {
		return 0, callFault(err)
	}
	defer stream.Close()
	over, failed := cli.ContainerWait(ctx, id, container.WaitConditionNextExit)
	if err := cli.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return 0, callFault(err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go call.resize(ended, func(o container.ResizeOptions) { _ = cli.ContainerResize(ctx, id, o) })
	if err := call.copy(ctx, stream); err != nil {
		return 0, err
	}
	select {
	case end := <-over:
		return int(end.StatusCode), nil
	case err := <-failed:
		return 0, callFault(err)
	}
}

// end kills a one-off that may have ended by itself.
func (b *Backend) end(ctx context.Context, id string) {
	_ = tell(ctx, b, callTime, func(ctx context.Context, cli *client.Client) error {
		return cli.ContainerKill(ctx, id, "SIGKILL")
	})
}

// createOneOff makes the container as create does for a replica, but for what o says.
func (b *Backend) createOneOff(ctx context.Context, cli *client.Client, svc service.Service, o OneOff) (string, error) {
	called := o.called(svc)
	svc, err := b.resolve(ctx, svc)
	if err == nil {
		err = checkVolumes(svc, cli.ClientVersion())
	}
	if err != nil {
		return "", err
	}
	config, err := containerConfig(svc, 1, cli.ClientVersion())
	if err != nil {
		return "", err
	}
	host, err := hostConfig(svc, nil)
	if err == nil {
		err = b.nameNatives(ctx, svc, config, host)
	}
	if err != nil {
		return "", err
	}
	o.change(config, svc)
	if !o.Ports {
		host.PortBindings = nil
	}
	host.AutoRemove = o.Detach && !o.Keep
	platform, err := parsePlatform(svc.Image.Config.Platform)
	if err != nil {
		return "", fmt.Errorf("service %s: %w", svc.Name, err)
	}
	plan, err := planEndpoints(o.beside(svc), called, cli.ClientVersion())
	if err != nil {
		return "", err
	}
	made, err := cli.ContainerCreate(ctx, config, host, &network.NetworkingConfig{EndpointsConfig: plan.atOnce}, platform, called)
	if err != nil {
		return "", createFault(svc, err)
	}
	for net, e := range plan.later {
		if err := cli.NetworkConnect(ctx, net, made.ID, e); err != nil {
			b.discard(made.ID)
			return "", createFault(svc, err)
		}
	}
	if err := b.fill(ctx, svc, made.ID); err != nil {
		b.discard(made.ID)
		return "", err
	}
	return made.ID, nil
}

// beside gives svc with networks on which a container of its own can be, whether the
// service runs or not: it has no fixed addresses there, and not the service's names unless
// that is asked for.
func (o OneOff) beside(svc service.Service) service.Service {
	image := *svc.Image
	image.Config.MacAddress = ""
	image.Config.Networks = maps.Clone(image.Config.Networks)
	for key, n := range image.Config.Networks {
		own := types.ServiceNetworkConfig{}
		if n != nil {
			own = *n
		}
		own.Ipv4Address, own.Ipv6Address, own.LinkLocalIPs, own.MacAddress = "", "", nil, ""
		if !o.Aliases {
			own.Aliases, own.UseServiceNameAlias = nil, new(bool)
		}
		image.Config.Networks[key] = &own
	}
	svc.Image = &image
	return svc
}

// called is the name of the container.
func (o OneOff) called(svc service.Service) string {
	if o.Name != "" {
		return o.Name
	}
	return OneOffName(svc)
}

// OneOffName gives a name for a container of one command that no other has.
func OneOffName(svc service.Service) string {
	return fmt.Sprintf("%s-%s-run-%s", svc.Project, svc.Name, strings.ToLower(rand.Text()[:8]))
}

// change makes a service's configuration that of a one-off.
func (o OneOff) change(c *container.Config, svc service.Service) {
	maps.DeleteFunc(c.Labels, func(k, _ string) bool { return strings.HasPrefix(k, "healbot.") && k != labelGateway })
	c.Labels[labelOneOff] = svc.Project
	c.Labels[composeOneOff] = "True"
	c.Labels[composeService] = svc.Name
	c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	c.Tty, c.OpenStdin, c.StdinOnce = o.TTY, o.In != nil, o.In != nil
	c.AttachStdin, c.AttachStdout, c.AttachStderr = o.In != nil, !o.Detach, !o.Detach
	c.Env = append(c.Env, o.Env...)
	if len(o.Argv) > 0 {
		c.Cmd = o.Argv
	}
	if o.Entrypoint != nil {
		c.Entrypoint = strslice.StrSlice(o.Entrypoint)
		c.Cmd = o.Argv
	}
	if o.Dir != "" {
		c.WorkingDir = o.Dir
	}
	if o.User != "" {
		c.User = o.User
	}
}
