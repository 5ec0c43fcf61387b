package runner

import (
	"context"
	"regexp"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// listen waits for the line of an instance's output that its health check is about.
// As long as no such line came, its patience is that of any check: start_period and
// then retries times interval. After the line it is healthy for the rest of its life.
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
	matched := false // owned by the loop
	judge := func(e policy.Judged) {
		r.post(func() {
			if e.Run = run; ctx.Err() == nil && !matched {
				matched = e.Healthy
				r.apply(u, e)
			}
		})
	}
	patience := u.policy.StartPeriod + time.Duration(u.policy.Retries)*u.policy.Interval
	impatient := time.AfterFunc(patience, func() {
		judge(policy.Judged{Why: "no line of its output matched x-log within " + policy.Age(patience)})
	})
	r.task(func(context.Context) {
		defer impatient.Stop()
		found, err := hear(ctx, inst, pattern)
		switch {
		case found:
			judge(policy.Judged{Healthy: true})
		case err != nil:
			judge(policy.Judged{Unable: true, Why: err.Error()})
		}
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
