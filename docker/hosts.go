package docker

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// labelGateway says on which address, with the length of its network, a container finds
// native services.
const labelGateway = "healbot.gateway"

// nameNatives gives a container the names of the project's native services: they stand for
// the gateway of its first bridge network, which is an address of this host. It fails if a
// service that the container depends on can't be reached so; others just have no name there.
func (b *Backend) nameNatives(ctx context.Context, svc service.Service, config *container.Config, host *container.HostConfig) error {
	names := slices.DeleteFunc(slices.Clone(svc.Image.Natives), func(name string) bool {
		_, own := svc.Image.Config.ExtraHosts[name]
		return own
	})
	mode := container.NetworkMode(networkMode(svc))
	if len(names) == 0 || mode.IsContainer() { // which has the names of the other container
		return nil
	}
	if mode.IsHost() {
		addHosts(host, names, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		return nil
	}
	gateway, err := b.gateway(ctx, svc)
	if err != nil && isOutside(err) {
		return err
	}
	if err == nil && b.reach != nil {
		err = b.reach(ctx, gateway)
	}
	if err == nil {
		addHosts(host, names, gateway.Addr())
		config.Labels[labelGateway] = gateway.String()
		return nil
	}
	for _, name := range names {
		if _, needed := svc.Image.Config.DependsOn[name]; needed {
			return fmt.Errorf("cannot start %s: it depends on the native service %s, which it can't reach by name: %w", svc.Name, name, err)
		}
	}
	return nil
}

func addHosts(host *container.HostConfig, names []string, addr netip.Addr) {
	for _, name := range names {
		host.ExtraHosts = append(host.ExtraHosts, name+":"+addr.String())
	}
}

// gateway gives the gateway of the first bridge network that a service joins, with the
// length of the network.
func (b *Backend) gateway(ctx context.Context, svc service.Service) (netip.Prefix, error) {
	var why error
	for _, called := range joined(svc) {
		n, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (network.Inspect, error) {
			return cli.NetworkInspect(ctx, called, network.InspectOptions{})
		})
		if err != nil {
			return netip.Prefix{}, err
		}
		if n.Driver != network.NetworkBridge {
			why = fmt.Errorf("network %s is of driver %s, whose gateway is not this host; put it on a bridge network", called, n.Driver)
			continue
		}
		for _, pool := range n.IPAM.Config {
			if p, ok := gatewayIn(pool); ok {
				return p, nil
			}
		}
		why = fmt.Errorf("network %s has no gateway", called)
	}
	return netip.Prefix{}, why
}

// joined names the networks that a container joins, the most important first.
func joined(svc service.Service) (names []string) {
	for _, key := range svc.Image.Config.NetworksByPriority() {
		names = append(names, svc.Image.Networks[key].Name)
	}
	if len(names) == 0 {
		names = []string{networkMode(svc)}
	}
	return names
}

// gatewayIn gives the gateway of an address pool: its first address unless it says
// otherwise.
func gatewayIn(pool network.IPAMConfig) (netip.Prefix, bool) {
	subnet, err := netip.ParsePrefix(pool.Subnet)
	if err != nil {
		return netip.Prefix{}, false
	}
	addr, err := netip.ParseAddr(pool.Gateway)
	if err != nil {
		addr = subnet.Masked().Addr().Next()
	}
	return netip.PrefixFrom(addr, subnet.Bits()), true
}

// open lets a container that is up reach native services again, after a new supervisor
// took over.
func (b *Backend) open(ctx context.Context, names []string, labels map[string]string, up bool) {
	gateway, err := netip.ParsePrefix(labels[labelGateway])
	if err != nil || b.reach == nil || !up {
		return
	}
	if err := b.reach(ctx, gateway); err != nil {
		b.log.Warn("a container can't reach native services", "container", name(names), "why", err)
	}
}
