package compose

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// inject tells native services where the services are that they depend on, in variables
// as Compose's providers set them: DB_HOST, DB_PORT and DB_URL for a service db. What the
// file sets itself stays. They are no part of the configuration hash, since an instance
// need not be replaced for them.
func (c *converter) inject(all []service.Service) {
	byName := map[string]service.Service{}
	for _, s := range all {
		byName[s.Name] = s
	}
	for _, s := range all {
		if s.Process == nil {
			continue
		}
		from := c.model.Services[s.Name]
		for _, n := range s.Needs {
			for _, v := range whereabouts(byName[n.Service]) {
				if _, own := from.Environment[v.name]; own {
					continue
				}
				s.Process.Env = withVariable(s.Process.Env, v)
				addToHooks(s.Process.PostStart, from.PostStart, v)
				addToHooks(s.Process.PreStop, from.PreStop, v)
			}
		}
	}
}

func addToHooks(hooks []service.Hook, from []types.ServiceHook, v variable) {
	for i := range hooks {
		if _, own := from[i].Environment[v.name]; !own {
			hooks[i].Env = withVariable(hooks[i].Env, v)
		}
	}
}

type variable struct{ name, value string }

// whereabouts gives the variables that say where a service is found from this host: its
// first declared port. There are none for a port of a container that is not published.
func whereabouts(s service.Service) []variable {
	if len(s.Ports) == 0 || s.Ports[0].Published == 0 {
		return nil
	}
	p := s.Ports[0]
	host, port, scheme := p.HostIP, strconv.Itoa(p.Published), p.Protocol
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	if s.Check != nil && s.Check.HTTP != nil {
		scheme = "http"
	}
	prefix := variablePrefix(s.Name)
	return []variable{
		{prefix + "_HOST", host},
		{prefix + "_PORT", port},
		{prefix + "_URL", scheme + "://" + net.JoinHostPort(host, port)},
	}
}

// variablePrefix gives a service's name as the beginning of a variable's.
func variablePrefix(name string) string {
	upper := strings.Map(func(r rune) rune {
		if (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
	if upper != "" && upper[0] >= '0' && upper[0] <= '9' {
		return "_" + upper
	}
	return upper
}

// withVariable sets a variable in a sorted environment.
func withVariable(env []string, v variable) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return strings.HasPrefix(kv, v.name+"=") })
	env = append(env, v.name+"="+v.value)
	slices.Sort(env)
	return env
}
