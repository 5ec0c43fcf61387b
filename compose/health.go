package compose

import (
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// health holds the numbers of a health check that one layer sets; nil leaves a
// number to the layers below.
type health struct {
	interval, timeout, startPeriod, startInterval *time.Duration
	retries                                       *int
}

func (h health) over(below health) health {
	return health{
		interval: or(h.interval, below.interval), timeout: or(h.timeout, below.timeout),
		startPeriod: or(h.startPeriod, below.startPeriod), startInterval: or(h.startInterval, below.startInterval),
		retries: or(h.retries, below.retries),
	}
}

// composeHealth is the lowest layer: Compose's own numbers.
func composeHealth() health {
	return health{
		interval: new(30 * time.Second), timeout: new(30 * time.Second), retries: new(3),
		startPeriod: new(time.Duration(0)), startInterval: new(5 * time.Second),
	}
}

// healthOf merges all layers for one service, but for the lowest.
func (c *converter) healthOf(path []string, hc *types.HealthCheckConfig, own extension) health {
	var file health
	if hc != nil {
		at := append(path[:len(path):len(path)], "healthcheck")
		file = health{
			interval: c.duration(at, "interval", hc.Interval), timeout: c.duration(at, "timeout", hc.Timeout),
			startPeriod: c.duration(at, "start_period", hc.StartPeriod), startInterval: c.duration(at, "start_interval", hc.StartInterval),
		}
		if hc.Retries != nil {
			file.retries = field{c.report, append(at[:len(at):len(at)], "retries"), *hc.Retries}.count()
		}
		file.positive(c.report, at)
	}
	return c.over.health.over(file).over(own.health).over(c.common.health)
}

// health reads x-healbot.health.
func (f field) health() health {
	if !f.only(sortedKeys(healthFields)...) {
		return health{}
	}
	h := health{
		interval: f.get("interval").duration(), timeout: f.get("timeout").duration(), retries: f.get("retries").count(),
		startPeriod: f.get("start_period").duration(), startInterval: f.get("start_interval").duration(),
	}
	h.positive(f.rep, f.path)
	return h
}

// positive refuses numbers that would probe without a pause, or never.
func (h health) positive(r *report, path []string) {
	for _, d := range []struct {
		key   string
		value *time.Duration
	}{{"interval", h.interval}, {"timeout", h.timeout}, {"start_interval", h.startInterval}} {
		if d.value != nil && *d.value == 0 {
			r.at(append(slices.Clone(path), d.key), "", "%s must be longer than 0", d.key)
		}
	}
	if h.retries != nil && *h.retries < 1 {
		r.at(append(slices.Clone(path), "retries"), "", "retries must be 1 or more")
	}
}

// check decides how a service's health is found out, and by whom.
func (c *converter) check(path []string, s types.ServiceConfig, h health) (*service.Check, policy.ProbeKind) {
	full := h.over(composeHealth())
	own, probed := c.ownProbe(path, s.HealthCheck)
	test := testOf(s.HealthCheck)
	at := append(path[:len(path):len(path)], "healthcheck")
	switch {
	case s.HealthCheck != nil && s.HealthCheck.Disable, len(test) > 0 && test[0] == "NONE":
		if probed {
			c.at(at, "remove one of them", "healthcheck is switched off and has a probe")
		}
		return nil, policy.NoProbe
	case probed && len(test) > 0:
		c.at(append(at, "test"), "remove one of them", "test and a probe of healbot's own can't be used together")
		return nil, policy.NoProbe
	case own != nil && own.Log != "":
		return own, policy.LineProbe
	case own != nil:
		own.Timeout = *full.timeout
		return own, policy.OwnProbe
	case len(test) > 0 && !c.validTest(append(at, "test"), test):
		return nil, policy.NoProbe
	case s.Provider == nil && (len(test) > 0 || c.awaited(s.Name, service.Healthy)):
		return &service.Check{Engine: true, Timeout: *full.timeout}, policy.EngineProbe
	case len(test) > 0:
		return &service.Check{Command: command(test), Timeout: *full.timeout}, policy.OwnProbe
	}
	return nil, policy.NoProbe
}

func testOf(hc *types.HealthCheckConfig) []string {
	if hc == nil {
		return nil
	}
	return hc.Test
}

func (c *converter) validTest(at, test []string) bool {
	switch {
	case test[0] != "CMD" && test[0] != "CMD-SHELL":
		c.at(at, `write ["CMD", "program", "argument"], or one string for the shell`, "test must begin with CMD, CMD-SHELL or NONE")
		return false
	case len(test) < 2 || test[1] == "":
		c.at(at, "", "test names no command")
		return false
	}
	return true
}

// command gives the argv of a test that runs on this host.
func command(test []string) []string {
	if test[0] == "CMD-SHELL" {
		return []string{"/bin/sh", "-c", test[1]}
	}
	return slices.Clone(test[1:])
}
