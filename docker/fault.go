package docker

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

var (
	portHeld    = regexp.MustCompile(`(?i)(?:bind for|listen \w+|bind host port(?: for)?) (?:\[[^\]]*\]|[^\s:\[]*):(\d+)\b.*already (?:allocated|in use)`)
	notRunnable = regexp.MustCompile(`exec: "?([^":]+)"?: (?:stat [^:]+: )?(.+?)(?:: unknown)?$`)
	runtimeErr  = regexp.MustCompile(`(?s)(?:OCI runtime|oci runtime|runc) create failed: (.*?)(?:: unknown)?$`)
)

// excused marks a failure as one from outside when the engine is going away: what it says
// then means nothing.
func (b *Backend) excused(ctx context.Context, err error) error {
	if err == nil || isOutside(err) || ctx.Err() != nil || b.engineLives(ctx) {
		return err
	}
	return service.Outside(fmt.Errorf("the Docker engine is going away: %w", err))
}

// createFault says why a container could not be created.
func createFault(svc service.Service, err error) error {
	switch {
	case isOutside(err):
		return err
	case errdefs.IsNotFound(err), diskFull(err):
		// What Prepare made ready is gone again; the next attempt makes it anew.
		return service.Outside(fmt.Errorf("cannot create the container of %s: %w", svc.Name, err))
	}
	return fmt.Errorf("cannot create the container of %s: %s", svc.Name, plain(err))
}

// startFault says why a container could not be started.
func (b *Backend) startFault(ctx context.Context, svc service.Service, err error) error {
	text := plain(err)
	if isOutside(err) || ctx.Err() != nil {
		return err
	}
	if m := portHeld.FindStringSubmatch(text); m != nil {
		return service.Outside(fmt.Errorf("port %s is in use%s; stop what holds it, or publish another port", m[1], b.portHolder(ctx, m[1])))
	}
	if m := notRunnable.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("cannot start %s: command %s in image %s: %s", svc.Name, m[1], svc.Image.Config.Image, m[2])
	}
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) || diskFull(err) {
		// Removed, or being removed; the next attempt makes it anew.
		return service.Outside(fmt.Errorf("cannot start the container of %s: %s", svc.Name, text))
	}
	if m := runtimeErr.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	return fmt.Errorf("cannot start the container of %s: %s", svc.Name, text)
}

// portHolder names the container that publishes a port; "" if none does.
func (b *Backend) portHolder(ctx context.Context, port string) string {
	found, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) ([]container.Summary, error) {
		return cli.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("publish", port))})
	})
	if err != nil || len(found) == 0 {
		return ""
	}
	return " by container " + known(found[0])
}

// Named says what the container is called that has an id or an address, and of which
// service it is; "" if there is none, or the engine does not answer.
func (b *Backend) Named(ctx context.Context, idOrAddress string) string {
	all, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) ([]container.Summary, error) {
		return cli.ContainerList(ctx, container.ListOptions{})
	})
	for _, c := range all {
		if err == nil && (c.ID == idOrAddress || hasAddress(c, idOrAddress)) {
			return known(c)
		}
	}
	return ""
}

func hasAddress(c container.Summary, address string) bool {
	if c.NetworkSettings == nil {
		return false
	}
	for _, n := range c.NetworkSettings.Networks {
		if n.IPAddress == address || n.GlobalIPv6Address == address {
			return true
		}
	}
	return false
}

// known is what a container is known by: its name, and the service that it is of.
func known(c container.Summary) string {
	if c.Labels[composeService] == "" {
		return name(c.Names)
	}
	return fmt.Sprintf("%s, service %s of project %s", name(c.Names), c.Labels[composeService], c.Labels[composeProject])
}

func diskFull(err error) bool { return strings.Contains(err.Error(), "no space left on device") }

func plain(err error) string {
	return strings.TrimPrefix(strings.TrimSpace(err.Error()), "Error response from daemon: ")
}
