package runner

import (
	"context"
	"regexp"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// listen waits for the line of an instance's output that its health check is about.
// After that line it is healthy for the rest of its life; how long it may be silent is
// policy.
func (r *Runner) listen(u *unit, inst Instance, run int) {
	u.deafen()
	if u.svc.Check == nil || u.svc.Check.Log == "" || u.state.Health == policy.Healthy {
		return
	}
	pattern, err := regexp.Compile(u.svc.Check.Log)
	if err != nil {
		r.apply(u, policy.Judged{Run: run, Unable: true, Why: err.Error()})
		return
	}
	ctx, cancel := context.WithCancel(r.life)
	u.deafen = cancel
	r.task(func(context.Context) {
		heard := policy.Judged{Run: run}
		found, err := hear(ctx, inst, pattern)
		switch {
		case found:
			heard.Healthy = true
		case err != nil:
			heard.Unable, heard.Why = true, err.Error()
		default:
			return
		}
		r.post(func() {
			if ctx.Err() == nil {
				r.apply(u, heard)
			}
		})
	})
}

// hear reports whether a line of the instance's output matches; it waits for one
// until ctx ends.
func hear(ctx context.Context, inst Instance, pattern *regexp.Regexp) (found bool, err error) {
	reading, enough := context.WithCancel(ctx)
	defer enough()
	err = inst.Output(reading, func(line []byte) {
		if !found && pattern.Match(line) {
			found = true
			enough()
		}
	})
	if ctx.Err() != nil {
		return false, nil
	}
	return found, err
}

// relisten begins to listen anew where the file says something else now.
func (r *Runner) relisten(u *unit, before service.Service) {
	pattern := func(s service.Service) string {
		if s.Check == nil {
			return ""
		}
		return s.Check.Log
	}
	if u.inst != nil && pattern(before) != pattern(u.svc) {
		r.listen(u, u.inst, u.state.Run)
	}
}
