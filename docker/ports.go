package docker

import (
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/go-connections/nat"
)

// exposedPorts gives the ports of ports and expose.
func exposedPorts(c types.ServiceConfig) (nat.PortSet, error) {
	ports := make(nat.PortSet)
	for _, p := range c.Ports {
		ports[target(p)] = struct{}{}
	}
	for _, e := range c.Expose {
		protocol, numbers := nat.SplitProtoPort(e)
		first, last, err := nat.ParsePortRange(numbers)
		if err != nil {
			return nil, fmt.Errorf("expose %s: %w", e, err)
		}
		for n := first; n <= last; n++ {
			ports[nat.Port(fmt.Sprintf("%d/%s", n, protocol))] = struct{}{}
		}
	}
	return ports, nil
}

// portBindings gives the ports that are published; one without a published port gets
// one that is free.
func portBindings(ports []types.ServicePortConfig) nat.PortMap {
	bindings := make(nat.PortMap)
	for _, p := range ports {
		bindings[target(p)] = append(bindings[target(p)], nat.PortBinding{HostIP: p.HostIP, HostPort: p.Published})
	}
	return bindings
}

func target(p types.ServicePortConfig) nat.Port {
	protocol := p.Protocol
	if protocol == "" {
		protocol = "tcp"
	}
	return nat.Port(fmt.Sprintf("%d/%s", p.Target, protocol))
}
