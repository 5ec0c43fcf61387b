package compose

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/service"
)

// inject tells services where those are that they depend on, in variables as Compose's
// providers set them: DB_HOST, DB_PORT and DB_URL for a service db. What the file sets
// itself stays. They are no part of the configuration hash, since an instance need not be
// replaced for them. Containers learn of native services only, and by their names: other
// containers they find as ever.
func (c *converter) inject(all []service.Service) {
	byName := map[string]service.Service{}
	var natives []string
	for _, s := range all {
		byName[s.Name] = s
		if s.Process != nil && slices.ContainsFunc(s.Ports, func(p service.Port) bool { return p.Protocol == "tcp" }) {
			natives = append(natives, s.Name)
		}
	}
	for i, s := range all {
		if s.Image != nil {
			s.Image.Natives = natives
			all[i].Hash = imageHash(s.Image)
			s.Image.Config.Environment = c.introduced(s, byName)
			continue
		}
		for j, n := range s.Needs {
			switch at, found := c.endpoint(byName[n.Service], s.Name); {
			case !found:
			case at.Host == "":
				s.Needs[j].Endpoint = &at
			default:
				c.tell(s, at)
			}
		}
	}
}

// tell sets the variables of an endpoint for a native service and its hooks.
func (c *converter) tell(s service.Service, at service.Endpoint) {
	from := c.model.Services[s.Name]
	s.Process.Env = service.WithVariables(s.Process.Env, at.Variables())
	for kind, hooks := range map[string][]service.Hook{"start": s.PostStart, "stop": s.PreStop} {
		for i := range hooks {
			own := from.PostStart
			if kind == "stop" {
				own = from.PreStop
			}
			theirs := at
			theirs.Own = append(slices.Collect(maps.Keys(own[i].Environment)), at.Own...)
			hooks[i].Env = service.WithVariables(hooks[i].Env, theirs.Variables())
		}
	}
}

// introduced gives the environment of a container with the variables of the native
// services that it depends on.
func (c *converter) introduced(s service.Service, byName map[string]service.Service) types.MappingWithEquals {
	env := maps.Clone(s.Image.Config.Environment)
	for _, n := range s.Needs {
		native := byName[n.Service]
		at, found := c.endpoint(native, s.Name)
		if !found || native.Process == nil {
			continue
		}
		at.Host = native.Name
		for _, kv := range at.Variables() {
			name, value, _ := strings.Cut(kv, "=")
			if env == nil {
				env = types.MappingWithEquals{}
			}
			env[name] = &value
		}
	}
	return env
}

// endpoint says where a service is found from this host: its first declared port. A port
// of a container that is not published is found at the container's address.
func (c *converter) endpoint(s service.Service, reader string) (at service.Endpoint, found bool) {
	at = service.Endpoint{Service: s.Name, Scheme: "tcp", Own: slices.Collect(maps.Keys(c.model.Services[reader].Environment))}
	if s.Check != nil && s.Check.HTTP != nil {
		at.Scheme = "http"
	}
	switch {
	case len(s.Ports) == 0 && s.Image != nil && len(s.Image.Config.Expose) > 0:
		number, _, _ := strings.Cut(s.Image.Config.Expose[0], "/")
		port, err := strconv.Atoi(number)
		at.Port = port
		return at, err == nil
	case len(s.Ports) == 0:
		return at, false
	}
	p := s.Ports[0]
	if at.Scheme != "http" {
		at.Scheme = p.Protocol
	}
	if p.Published == 0 {
		at.Port = p.Target
		return at, true
	}
	at.Host, at.Port = p.HostIP, p.Published
	switch at.Host {
	case "", "0.0.0.0":
		at.Host = "127.0.0.1"
	case "::":
		at.Host = "::1"
	}
	return at, true
}
