package compose

import (
	"math"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// silent refuses to wait for a line of output that nobody can read.
func (c *converter) silent(path []string, s types.ServiceConfig, svc service.Service) {
	if svc.Check != nil && svc.Check.Log != "" && s.Logging != nil && s.Logging.Driver == "none" {
		c.at(append(path[:2:2], "healthcheck", "x-log"), "use x-http, x-tcp or test, or keep the log", "x-log needs the output that logging.driver none throws away")
	}
}

// advise warns of a restart policy that does not do what it seems to say: it can't
// trip, or lets more through than its limit. A policy without a limit says what it does.
func (c *converter) advise(path []string, own extension, svc service.Service, p policy.Policy) {
	onMax := append(path[:2:2], "x-healbot", "on_max")
	limited := p.Condition != policy.Never && p.MaxAttempts > 0
	switch {
	case own.retryAfter != nil && !limited:
		c.caution(onMax, "on_max has no effect: there is no max_attempts to use up")
	case limited && p.RetryAfter > 0 && p.RetryAfter < p.Window:
		c.caution(onMax, "retry_after %v is shorter than window %v: more than %d restarts fit into one window", p.RetryAfter, p.Window, p.MaxAttempts)
	}
	if own.notifies && !limited && slices.ContainsFunc(svc.Notify, onlyMaxRestarts) {
		c.caution(append(path[:2:2], "x-healbot", "notify"), "a notice on max_restarts is never sent: there is no max_attempts to use up")
	}
	if limited {
		c.adviseWindow(path, svc, p)
	}
}

func onlyMaxRestarts(n service.Notice) bool {
	return slices.Equal(n.On, []service.Edge{service.EdgeMaxRestarts})
}

// adviseWindow compares the window with what has to fit into it for the limit to trip.
func (c *converter) adviseWindow(path []string, svc service.Service, p policy.Policy) {
	at := c.windowPath(path)
	longest, blind := longestDelay(p), unseen(svc, p)
	switch {
	case p.Window == 0 && p.RetryAfter == 0:
		c.caution(at, "window 0 never ends a streak: failure %d is the last one, however long ago the others were; set a window, or on_max", p.MaxAttempts+1)
	case p.Window == 0:
	case p.Window < longest:
		c.caution(at, "window %v is shorter than the longest delay %v: a service that is down most of the time never uses up max_attempts; raise window", p.Window, longest)
	case p.Window <= blind:
		c.caution(at, "window %v is over before a health check can fail (%v): a service that hangs never uses up max_attempts; raise window, or check more often", p.Window, blind)
	}
}

// longestDelay is the longest delay of a streak, jitter aside.
func longestDelay(p policy.Policy) time.Duration {
	d := float64(p.Delay) * math.Pow(max(p.Factor, 1), float64(p.MaxAttempts-1))
	return time.Duration(min(d, float64(p.MaxDelay)))
}

// unseen is how long an instance that hangs can pass for running. The first failed probe
// of healbot's own keeps the streak open; the engine tells of the last one only.
func unseen(svc service.Service, p policy.Policy) time.Duration {
	switch {
	case p.IgnoreUnhealthy || svc.Check == nil || svc.Check.Log != "":
		return 0
	case svc.Check.Engine:
		return time.Duration(p.Retries) * (p.Interval + p.Timeout)
	}
	return p.Interval + p.Timeout
}

// windowPath leads to the window of a service, wherever it is set.
func (c *converter) windowPath(path []string) []string {
	places := [][]string{
		append(path[:2:2], "deploy", "restart_policy", "window"),
		append(path[:2:2], "x-healbot", "restart", "window"),
		{"x-healbot", "restart", "window"},
		append(path[:2:2], "deploy", "restart_policy"),
		append(path[:2:2], "restart"),
	}
	for _, at := range places {
		if _, ok := c.src.find(at); ok {
			return at
		}
	}
	return path
}

// caution adds a warning with its place.
func (c *converter) caution(path []string, format string, args ...any) {
	at := report{src: c.src}
	at.at(path, "", format, args...)
	c.warn("%s", at.problems[0].Error())
}
