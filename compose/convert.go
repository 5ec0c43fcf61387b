package compose

import (
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// A converter turns compose-go's model into services and policies.
type converter struct {
	*report
	model   *model
	paths   []string          // absolute paths of the files, as they were merged
	dir     string            // project directory
	environ map[string]string // what native services inherit from
	over    overrides
	common  extension // x-healbot of the project
}

// project converts every active service, and checks them against one another.
func (c *converter) project() *Project {
	p := &Project{
		Name: c.model.Name, Dir: c.dir, Policies: map[string]policy.Policy{},
		Networks: c.model.Networks, Volumes: c.model.Volumes, model: c.model.Project,
	}
	c.near(nil, c.model.Extensions, "x-healbot")
	c.common = field{c.report, []string{"x-healbot"}, c.model.Extensions["x-healbot"]}.extension(projectKeys)
	for _, name := range sortedKeys(c.model.Services) {
		s := c.model.Services[name]
		path := []string{"services", name}
		c.name(path)
		c.near(path, s.Extensions, "x-healbot")
		c.astray(path, s.Extensions)
		kind := c.kind(path, s)
		if kind == "" {
			continue
		}
		svc, pol := c.service(path, s, kind)
		p.Services = append(p.Services, svc)
		p.Policies[name] = pol
	}
	c.twins(p.Services)
	c.clashes(p.Services)
	c.cycles(p.Services)
	c.awaitings(p)
	c.inject(p.Services)
	return p
}

// service converts one service.
func (c *converter) service(path []string, s types.ServiceConfig, kind service.Kind) (service.Service, policy.Policy) {
	own := field{c.report, append(path[:2:2], "x-healbot"), s.Extensions["x-healbot"]}.extension(serviceKeys)
	h := c.healthOf(path, s.HealthCheck, own)
	check, probe := c.check(path, s, h)
	svc := service.Service{
		Name: s.Name, Kind: kind, Project: c.model.Name, Dir: c.dir, Title: s.Name, Replicas: c.replicas(path, s),
		Needs: c.needs(path, s), Check: check, StopSignal: c.signal(path, s.StopSignal, kind), Grace: c.grace(path, s),
		Ports: c.ports(path, s, kind),
		Quiet: s.Attach != nil && !*s.Attach,
	}
	if own.title != "" {
		svc.Title = own.title
	}
	if svc.Notify = c.common.notices; own.notifies {
		svc.Notify = own.notices
	}
	if svc.Replicas < 0 {
		c.at(append(path, "scale"), "", "scale must not be negative")
	}
	if kind == service.Native {
		svc.Process = c.process(path, s, own)
		svc.Hash = c.processHash(svc.Process, s)
	} else {
		svc.Image = c.image(path, s, check, h)
		if own.inherit != nil {
			c.at(append(path, "x-healbot", "inherit_env"), "list the variables under environment", "inherit_env is for native services; a container inherits nothing")
		}
		if own.umask != nil {
			c.at(append(path, "x-healbot", "umask"), "remove it", "umask is for native services; a container's process sets its own")
		}
	}
	svc.PostStart, svc.PreStop = c.hooks(path, "post_start", s.PostStart, svc.Process), c.hooks(path, "pre_stop", s.PreStop, svc.Process)
	c.silent(path, s, svc)
	pol := c.policy(path, s, own, h, probe, svc)
	c.advise(path, own, svc, pol)
	return svc, pol
}

// policy merges what decides over restarts and probes.
func (c *converter) policy(path []string, s types.ServiceConfig, own extension, h health, probe policy.ProbeKind, svc service.Service) policy.Policy {
	r := c.restartOf(path, s, own)
	h = h.over(composeHealth())
	p := policy.Policy{
		Name: s.Name, Condition: *r.condition,
		Delay: *r.delay, MaxDelay: *r.maxDelay, Window: *r.window, MaxAttempts: *r.attempts, Factor: *r.factor, Jitter: *r.jitter,
		Grace:     svc.Grace,
		Dependent: slices.ContainsFunc(svc.Needs, func(n service.Need) bool { return !n.Optional }),
		Probe:     probe, Interval: *h.interval, Timeout: *h.timeout, Retries: *h.retries,
		StartPeriod: *h.startPeriod, StartInterval: *h.startInterval,
		IgnoreUnhealthy: c.ignoresUnhealthy(path, s.HealthCheck),
	}
	if after := or(own.retryAfter, c.common.retryAfter); after != nil {
		p.RetryAfter = *after
	}
	return p
}

func (c *converter) grace(path []string, s types.ServiceConfig) time.Duration {
	if d := c.duration(path, "stop_grace_period", s.StopGracePeriod); d != nil {
		return *d
	}
	return 10 * time.Second
}

// astray reports fields of a health check or restart policy that stand beside it.
func (c *converter) astray(path []string, ext types.Extensions) {
	for _, key := range []string{"x-http", "x-tcp", "x-log", "x-on-unhealthy"} {
		if ext[key] != nil {
			c.at(append(path, key), "move it there", "%s belongs into healthcheck", key)
		}
	}
	for _, key := range []string{"x-factor", "x-max-delay", "x-jitter"} {
		if ext[key] != nil {
			c.at(append(path, key), "move it there", "%s belongs into deploy.restart_policy", key)
		}
	}
}

// replicas gives how many instances are wanted. On one engine, deploy.mode global is one.
func (c *converter) replicas(path []string, s types.ServiceConfig) int {
	if s.Deploy == nil {
		return s.GetScale()
	}
	at := append(path[:len(path):len(path)], "deploy", "mode")
	switch s.Deploy.Mode {
	case "", "replicated":
	case "global":
		if s.Deploy.Replicas != nil || s.Scale != nil {
			c.at(at, "remove replicas, or write replicated", "mode global is one instance, so that it can't have replicas")
		}
		return 1
	case "replicated-job", "global-job":
		c.at(at, "remove it, and write restart: no", "mode %s is Swarm's; a job is a service that is not restarted", s.Deploy.Mode)
	default:
		c.at(at, "write replicated or global", "%s is not a mode", c.src.text(at))
	}
	return s.GetScale()
}
