package compose

import (
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// needs converts depends_on. A service of an inactive profile can be done without
// only where the file says required: false.
func (c *converter) needs(path []string, s types.ServiceConfig) []service.Need {
	var needs []service.Need
	for _, name := range sortedKeys(s.DependsOn) {
		d := s.DependsOn[name]
		at := append(path[:len(path):len(path)], "depends_on", name)
		if _, ok := c.model.Services[name]; !ok {
			_, inactive := c.model.DisabledServices[name]
			switch {
			case inactive && !d.Required:
			case inactive:
				c.at(c.needPath(at, s), "activate the profile with --profile, or write required: false", "%s is in no active profile", name)
			case !c.src.written([]string{"services", name}):
				c.at(c.needPath(at, s), "", "%s is not a service of this project%s", name, suggestion(name, sortedKeys(c.model.Services)))
			}
			continue
		}
		need := service.Need{Service: name, Condition: service.Condition(d.Condition), Optional: !d.Required, Restart: d.Restart}
		if need.Condition == "" {
			need.Condition = service.Started
		}
		needs = append(needs, need)
	}
	return needs
}

// needPath leads to a dependency, also in a depends_on that is a list.
func (c *converter) needPath(at []string, s types.ServiceConfig) []string {
	if _, ok := c.src.find(at); ok {
		return at
	}
	list := at[:len(at)-1]
	for i := range len(s.DependsOn) {
		item := append(slices.Clone(list), strconv.Itoa(i))
		if c.src.text(item) == last(at) {
			return item
		}
	}
	return list
}

// awaited reports whether some service waits for name to reach a condition.
func (c *converter) awaited(name string, condition service.Condition) bool {
	for _, s := range c.model.Services {
		if d, ok := s.DependsOn[name]; ok && d.Condition == string(condition) {
			return true
		}
	}
	return false
}

// awaitings looks for conditions that can't come true.
func (c *converter) awaitings(p *Project) {
	checks := map[string]bool{}
	for _, s := range p.Services {
		checks[s.Name] = s.Check != nil
	}
	for _, s := range p.Services {
		for _, n := range s.Needs {
			healthy, known := checks[n.Service]
			switch {
			case !known:
			case n.Condition == service.Healthy && !healthy && !c.blames(n.Service):
				c.at(c.needPath([]string{"services", s.Name, "depends_on", n.Service}, c.model.Services[s.Name]),
					"give it a healthcheck, or wait for service_started", "%s has no health check to wait for", n.Service)
			case n.Condition == service.Completed && p.Policies[n.Service].Condition == policy.Always:
				c.warn("%s: waits for %s to complete, but %s is restarted even after success; give it restart: no", s.Name, n.Service, n.Service)
			}
		}
	}
}

// cycles reports every circle of depends_on once, spelled out.
func (c *converter) cycles(all []service.Service) {
	needs := map[string][]service.Need{}
	for _, s := range all {
		needs[s.Name] = s.Needs
	}
	done := map[string]bool{}
	var visit func(trail []string)
	visit = func(trail []string) {
		name := last(trail)
		for _, n := range needs[name] {
			if i := slices.Index(trail, n.Service); i >= 0 {
				ring := append(slices.Clone(trail[i:]), n.Service)
				c.at(c.needPath([]string{"services", name, "depends_on", n.Service}, c.model.Services[name]), "take one of them out",
					"depends_on goes in a circle: %s", strings.Join(ring, " -> "))
			} else if !done[n.Service] {
				visit(append(slices.Clone(trail), n.Service))
			}
		}
		done[name] = true
	}
	for _, s := range all {
		if !done[s.Name] {
			visit([]string{s.Name})
		}
	}
}
