package runner

import (
	"context"
	"fmt"

	"github.com/healing-bot/healbot/service"
)

// greet runs the post_start hooks of an instance that has just come up. One that fails
// ends it, which is then a crash with that reason.
func (r *Runner) greet(u *unit) {
	r.beside(u, "post_start", u.located().PostStart, func(err error) {
		if err != nil {
			u.blame = err.Error()
			r.kill(u)
		}
	})
}

// terminate asks the unit's instance to stop, after its pre_stop hooks. One that fails is
// no reason to leave the instance running.
func (r *Runner) terminate(u *unit) {
	r.beside(u, "pre_stop", u.located().PreStop, func(err error) {
		if err != nil {
			r.log.Warn("a hook failed", "service", u.key.String(), "error", err)
			r.remark(u, err.Error())
		}
		r.signal(u, u.stopSignal())
	})
}

// beside runs hooks one after another beside the unit's instance, whose end ends them. If
// it still lives then, the loop goes on with then. Those that docker compose made have no
// hooks of ours.
func (r *Runner) beside(u *unit, kind string, hooks []service.Hook, then func(error)) {
	inst := u.inst
	if inst == nil {
		return
	}
	if len(hooks) == 0 || u.live.Hash == "" {
		then(nil)
		return
	}
	r.task(func(ctx context.Context) {
		ctx, end := context.WithCancel(ctx)
		defer end()
		r.task(func(context.Context) {
			_, _ = inst.Wait(ctx)
			end()
		})
		err := runHooks(ctx, inst, kind, hooks)
		if ctx.Err() != nil {
			return
		}
		r.post(func() {
			if u.inst == inst {
				then(err)
			}
		})
	})
}

func runHooks(ctx context.Context, inst Instance, kind string, hooks []service.Hook) error {
	for n, h := range hooks {
		if err := inst.Hook(ctx, fmt.Sprintf("%s-%d", kind, n+1), h); err != nil {
			return fmt.Errorf("%s failed: %w", kind, err)
		}
	}
	return nil
}
