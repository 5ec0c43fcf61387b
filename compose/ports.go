package compose

import (
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"

	"github.com/healing-bot/healbot/service"
)

// ports converts the declared ports. A native service listens itself, so that the
// published port can only be the target.
func (c *converter) ports(path []string, s types.ServiceConfig, kind service.Kind) []service.Port {
	var ports []service.Port
	for i, p := range s.Ports {
		at := c.portPath(path, i, len(s.Ports))
		port := service.Port{HostIP: p.HostIP, Target: int(p.Target), Protocol: p.Protocol}
		if port.Protocol == "" {
			port.Protocol = "tcp"
		}
		published, err := strconv.Atoi(p.Published)
		if err == nil {
			port.Published = published
		}
		if kind == service.Native {
			if p.Published != "" && port.Published != port.Target {
				c.at(at, "publish the port that it listens on: "+strconv.Itoa(port.Target)+":"+strconv.Itoa(port.Target),
					"port %d can't be published as %s: a native service listens on the host itself", port.Target, p.Published)
			}
			port.Published = port.Target
			if port.Protocol != "tcp" && port.Protocol != "udp" {
				c.at(at, "", "protocol %s is not known for a native service", port.Protocol)
			}
		}
		if port.Target < 1 || port.Target > 65535 || port.Published > 65535 || port.Published < 0 {
			c.at(at, "", "a port must be between 1 and 65535")
			continue
		}
		if port.Published > 0 && s.GetScale() > 1 {
			c.at(at, "leave the port out, or run one instance", "%d instances can't share port %d", s.GetScale(), port.Published)
		}
		ports = append(ports, port)
	}
	return ports
}

// portPath leads to port i of n, if there are as many in the file: a range makes
// several of one.
func (c *converter) portPath(path []string, i, n int) []string {
	at := append(path[:len(path):len(path)], "ports")
	list, ok := c.src.find(at)
	if ok && resolved(list.value).Kind == yaml.SequenceNode && len(resolved(list.value).Content) == n {
		return append(at, strconv.Itoa(i))
	}
	return at
}

// clashes reports ports of the host that two services want.
func (c *converter) clashes(all []service.Service) {
	type holder struct {
		service.Port
		name string
	}
	taken := map[string][]holder{}
	for _, s := range all {
		for i, p := range s.Ports {
			if p.Published == 0 {
				continue
			}
			key := p.Protocol + strconv.Itoa(p.Published)
			for _, h := range taken[key] {
				if overlap(p.HostIP, h.HostIP) {
					c.at(c.portPath([]string{"services", s.Name}, i, len(s.Ports)), "", "port %d is taken by %s", p.Published, h.name)
					break
				}
			}
			taken[key] = append(taken[key], holder{p, s.Name})
		}
	}
}

// overlap reports whether two addresses of this host can't both be listened on.
func overlap(a, b string) bool {
	every := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	return a == b || every(a) || every(b)
}
