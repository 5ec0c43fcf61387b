package docker

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/service"
)

// ensureNetwork gives the id of the network that the file calls key, and makes it when
// it is missing. One that somebody else made is used as it is.
func (b *Backend) ensureNetwork(ctx context.Context, svc service.Service, key string) (string, error) {
	declared, ok := svc.Image.Networks[key]
	if !ok {
		return "", fmt.Errorf("service %s: network %s is not declared", svc.Name, key)
	}
	id, err := b.networkID(ctx, declared.Name)
	if err != nil || id != "" {
		return id, err
	}
	if declared.External {
		return "", service.Outside(fmt.Errorf("network %s is declared external and does not exist; create it with: docker network create %s", declared.Name, declared.Name))
	}
	made, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) (network.CreateResponse, error) {
		return cli.NetworkCreate(ctx, declared.Name, networkOptions(svc.Project, key, declared))
	})
	if err == nil {
		return made.ID, nil
	}
	if errdefs.IsConflict(err) {
		if id, listErr := b.networkID(ctx, declared.Name); listErr == nil && id != "" {
			return id, nil
		}
	}
	return "", networkFault(declared.Name, err)
}

// networkID gives the id of the network called name, "" if there is none.
func (b *Backend) networkID(ctx context.Context, name string) (string, error) {
	found, err := ask(ctx, b, callTime, func(ctx context.Context, cli *client.Client) ([]network.Summary, error) {
		return cli.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", name))})
	})
	for _, n := range found {
		if n.Name == name {
			return n.ID, err
		}
	}
	return "", err
}

func networkOptions(project, key string, n types.NetworkConfig) network.CreateOptions {
	labels := make(map[string]string)
	maps.Copy(labels, n.Labels)
	maps.Copy(labels, n.CustomLabels)
	maps.Copy(labels, map[string]string{
		composeProject: project,
		composeNetwork: key,
		labelProject:   project,
	})
	o := network.CreateOptions{
		Driver:     n.Driver,
		Options:    n.DriverOpts,
		Internal:   n.Internal,
		Attachable: n.Attachable,
		EnableIPv4: n.EnableIPv4,
		EnableIPv6: n.EnableIPv6,
		Labels:     labels,
	}
	if n.Ipam.Driver != "" || len(n.Ipam.Config) > 0 || len(n.Ipam.Options) > 0 {
		o.IPAM = &network.IPAM{Driver: n.Ipam.Driver, Options: n.Ipam.Options}
		for _, p := range n.Ipam.Config {
			o.IPAM.Config = append(o.IPAM.Config, network.IPAMConfig{
				Subnet:     p.Subnet,
				IPRange:    p.IPRange,
				Gateway:    p.Gateway,
				AuxAddress: p.AuxiliaryAddresses,
			})
		}
	}
	return o
}

// networkFault tells a network that can never be made from one whose addresses others
// hold at the moment.
func networkFault(name string, err error) error {
	if isOutside(err) {
		return err
	}
	full := fmt.Errorf("cannot create network %s: %w", name, err)
	for _, held := range []string{"overlap", "address pool", "address space"} {
		if strings.Contains(err.Error(), held) {
			return service.Outside(fmt.Errorf("%w; remove unused networks with: docker network prune", full))
		}
	}
	return full
}

// An endpointPlan says how a container joins its networks: some with its creation, the
// others, which an engine before API 1.44 refuses there, right after it.
type endpointPlan struct {
	atOnce map[string]*network.EndpointSettings // by name of the network
	later  map[string]*network.EndpointSettings
}

// planEndpoints makes the plan for an engine that speaks api.
func planEndpoints(svc service.Service, container, api string) (endpointPlan, error) {
	modern := versions.GreaterThanOrEqualTo(api, "1.44")
	plan := endpointPlan{
		atOnce: make(map[string]*network.EndpointSettings),
		later:  make(map[string]*network.EndpointSettings),
	}
	for n, key := range svc.Image.Config.NetworksByPriority() {
		e, into := endpoint(svc, key, container), plan.atOnce
		if n > 0 && !modern {
			into = plan.later
		}
		switch {
		case n == 0 && !modern:
			e.MacAddress = "" // it is part of the container's configuration there
		case n == 0 && e.MacAddress == "":
			e.MacAddress = svc.Image.Config.MacAddress
		case e.MacAddress != "" && !modern:
			return plan, fmt.Errorf("service %s: a mac_address for network %s needs Docker Engine 25 or later", svc.Name, key)
		}
		if e.GwPriority != 0 && versions.LessThan(api, "1.48") {
			return plan, fmt.Errorf("service %s: gw_priority for network %s needs Docker Engine 28 or later", svc.Name, key)
		}
		if e.DriverOpts[interfaceOption] != "" && versions.LessThan(api, "1.49") {
			return plan, fmt.Errorf("service %s: interface_name for network %s needs Docker Engine 28.1 or later", svc.Name, key)
		}
		into[svc.Image.Networks[key].Name] = e
	}
	return plan, nil
}

// interfaceOption names the interface that a container has on a network.
const interfaceOption = "com.docker.network.endpoint.ifname"

// macAddress is the address that the container has on its first network.
func macAddress(svc service.Service) string {
	if keys := svc.Image.Config.NetworksByPriority(); len(keys) > 0 {
		if n := svc.Image.Config.Networks[keys[0]]; n != nil && n.MacAddress != "" {
			return n.MacAddress
		}
	}
	return svc.Image.Config.MacAddress
}

// endpoint gives how one container joins the network that the file calls key.
func endpoint(svc service.Service, key, container string) *network.EndpointSettings {
	config := svc.Image.Config.Networks[key]
	e := &network.EndpointSettings{Aliases: []string{container}}
	if config.ServiceNameAliasEnabled() && container != svc.Name {
		e.Aliases = append(e.Aliases, svc.Name)
	}
	if config == nil {
		config = &types.ServiceNetworkConfig{}
	}
	e.Aliases = append(e.Aliases, config.Aliases...)
	e.Links = svc.Image.Config.ExternalLinks
	e.DriverOpts = maps.Clone(config.DriverOpts)
	if config.InterfaceName != "" {
		if e.DriverOpts == nil {
			e.DriverOpts = make(map[string]string)
		}
		e.DriverOpts[interfaceOption] = config.InterfaceName
	}
	e.MacAddress = config.MacAddress
	e.GwPriority = config.GatewayPriority
	if config.Ipv4Address != "" || config.Ipv6Address != "" || len(config.LinkLocalIPs) > 0 {
		e.IPAMConfig = &network.EndpointIPAMConfig{
			IPv4Address:  config.Ipv4Address,
			IPv6Address:  config.Ipv6Address,
			LinkLocalIPs: config.LinkLocalIPs,
		}
	}
	return e
}
