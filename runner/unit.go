package runner

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/healing-bot/healbot/probe"
	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// A unit is one replica of a service and what the loop knows of it. It is owned by
// the goroutine of Run.
type unit struct {
	key     service.Key
	svc     service.Service
	policy  policy.Policy
	state   policy.State
	inst    Instance           // nil when none is at hand
	live    *service.Instance  // what is shown as live; from the last supervisor until the backend was asked
	abandon context.CancelFunc // gives up the start under way; nil before this supervisor made one
	deafen  context.CancelFunc // ends the wait for a line of the instance's output
	exit    *service.Exit      // how the latest instance ended
	seq     int                // visible changes so far
	note    string             // who caused the next one, for the history
	down    service.State      // what it has to recover from: max_restarts, failed, or ""
	orphan  bool               // the file no longer names it
	dropped bool               // it goes from the project once it rests
	paused  bool               // the instance's processes are suspended
	renew   bool               // its next container is a new one
	alone   bool               // no dependent follows its restart
	blame   string             // why the instance is about to be killed, beyond what the policy knows
	slaying Instance           // what the backend was asked to kill and has not answered for
	decided time.Time          // when the policy decided last
	tried   time.Time          // when that was decided which the backend answered last
	slain   time.Time          // when the latest kill was decided that the backend took
	grace   *time.Duration     // for the stop under way, instead of the policy's

	addresses map[string]string // of services that its latest instance was told of
}

// take makes inst the unit's instance.
func (u *unit) take(inst Instance) {
	about := inst.About()
	u.inst, u.live, u.paused = inst, &about, paused(inst)
}

func compareKeys(a, b service.Key) int {
	return cmp.Or(strings.Compare(a.Service, b.Service), a.Replica-b.Replica)
}

// declare adds the replicas that svc wants and that are not there yet.
func (r *Runner) declare(svc service.Service, p policy.Policy) (added []*unit) {
	for n := 1; n <= svc.Replicas; n++ {
		key := service.Key{Service: svc.Name, Replica: n}
		if r.units[key] == nil {
			u := &unit{key: key, svc: svc, policy: p, deafen: func() {}}
			u.policy.Name = key.String()
			r.units[key] = u
			added = append(added, u)
			r.changed(u, policy.State{})
		}
	}
	return added
}

// apply is how anything happens to a unit.
func (r *Runner) apply(u *unit, e policy.Event) {
	before := u.state
	p := u.policy
	if u.grace != nil {
		p.Grace = *u.grace
	}
	u.decided = time.Now()
	next, action := policy.Decide(p, u.state, e, u.decided)
	u.state = next
	if ending(before) && !ending(next) || next.Phase == policy.Resting {
		u.grace = nil // it was for this end
	}
	if visible(before) != visible(next) {
		r.tell(u, before, e)
		r.changed(u, before)
	}
	r.do(u, action)
}

func ending(s policy.State) bool { return s.Phase == policy.Ending || s.Phase == policy.Killing }

// visible is the part of a state that people are shown.
func visible(s policy.State) policy.State {
	s.Well, s.Probe, s.Probing = time.Time{}, time.Time{}, false
	if s.Phase == policy.Live {
		s.Due = time.Time{}
	}
	if s.Phase != policy.Waiting && s.Phase != policy.Backoff {
		s.Held = ""
	}
	return s
}

// changed tells everybody of a unit's new state.
func (r *Runner) changed(u *unit, before policy.State) {
	u.seq++
	note := u.note
	u.note = ""
	r.board.set(u.entry(r.unknown[u.svc.Kind].refusals), service.State(before.Status), note)
	r.dirty = append(r.dirty, u)
}

// applyFor is apply for an event that somebody caused; the history says who.
func (r *Runner) applyFor(u *unit, note string, e policy.Event) {
	u.note = note
	r.apply(u, e)
	u.note = ""
}

// remark writes something down about a unit whose state stays as it is.
func (r *Runner) remark(u *unit, note string) {
	u.note = note
	r.changed(u, u.state)
}

// do obeys the policy. Whatever takes time is done beside the loop.
func (r *Runner) do(u *unit, a policy.Action) {
	switch a.Verb {
	case policy.Begin:
		r.begin(u, a.Run)
	case policy.Abandon:
		if u.abandon != nil {
			u.abandon()
		}
	case policy.Terminate:
		r.terminate(u)
	case policy.Kill:
		r.kill(u)
	case policy.Probe:
		r.probe(u, a.Run)
	}
}

func (r *Runner) begin(u *unit, run int) {
	ctx, cancel := context.WithCancel(r.life)
	u.abandon = cancel
	u.addresses = r.addresses(u)
	svc, replica, turns := u.located(), u.key.Replica, r.turns
	svc.Renew = u.renew
	note := func(text string) {
		r.post(func() { r.apply(u, policy.Noted{Run: run, Why: text}) })
	}
	began := time.Now()
	r.task(func(context.Context) {
		inst, err := r.start(ctx, turns, svc, replica, run, note)
		cancel()
		r.post(func() {
			r.answered(u, run, inst, err)
			if err != nil && began.Before(r.eased[svc.Kind]) {
				r.apply(u, policy.Eased{})
			}
		})
	})
}

// start makes one start, when its turn has come.
func (r *Runner) start(ctx context.Context, t turns, svc service.Service, replica, run int, note func(string)) (inst Instance, err error) {
	backend := r.config.Backends[svc.Kind]
	err = t.preparing.take(ctx, func() error { return backend.Prepare(ctx, svc, note) })
	if err == nil {
		err = t.starting.take(ctx, func() (err error) {
			inst, err = backend.Start(ctx, svc, replica, run)
			return err
		})
	}
	return inst, err
}

func (r *Runner) answered(u *unit, run int, inst Instance, err error) {
	if err != nil {
		r.log.Debug("start failed", "service", u.key.String(), "run", run, "error", err)
		r.apply(u, policy.StartFailed{Run: run, Why: err.Error(), Outside: errors.Is(err, service.ErrOutside)})
		return
	}
	u.renew = false
	u.take(inst)
	if u.live.Hash == "" {
		u.note = "docker compose made it; it is left alone"
	}
	r.apply(u, policy.Started{Run: run})
	r.watch(u, inst, run)
	if u.state.Phase == policy.Live {
		r.greet(u)
	}
	r.restarted(u)
}

// watch brings the end of an instance, and the engine's verdicts on it, to the loop.
func (r *Runner) watch(u *unit, inst Instance, run int) {
	r.task(func(ctx context.Context) {
		if exit, err := inst.Wait(ctx); err == nil {
			r.post(func() { r.ended(u, inst, run, exit) })
		}
	})
	r.listen(u, inst, run)
	r.watchPauses(u, inst)
	verdicts := inst.Health()
	if verdicts == nil || u.svc.Check == nil || !u.svc.Check.Engine {
		return // an image may bring a check of its own, which nobody asked for
	}
	r.task(func(ctx context.Context) {
		for {
			select {
			case v, open := <-verdicts:
				if !open {
					return
				}
				r.post(func() { r.apply(u, policy.Judged{Run: run, Healthy: v.Healthy, Unable: v.Unable, Why: v.Why}) })
			case <-ctx.Done():
				return
			}
		}
	})
}

// watchPauses brings to the loop that an instance was paused or goes on, where its
// backend tells.
func (r *Runner) watchPauses(u *unit, inst Instance) {
	p, ok := inst.(interface{ Pauses() <-chan struct{} })
	if !ok {
		return
	}
	r.task(func(ctx context.Context) {
		for {
			select {
			case <-p.Pauses():
				r.post(func() {
					if u.inst == inst {
						r.look(u)
					}
				})
			case <-ctx.Done():
				return
			}
		}
	})
}

// look sees whether the unit's instance is paused now.
func (r *Runner) look(u *unit) {
	now := u.inst != nil && paused(u.inst)
	if now == u.paused {
		return
	}
	u.paused = now
	if now {
		r.remark(u, "paused by hand")
	} else {
		r.remark(u, "let go on by hand")
	}
}

func (r *Runner) ended(u *unit, inst Instance, run int, exit service.Exit) {
	if u.inst != inst {
		return
	}
	u.deafen()
	exit.Reason = cmp.Or(u.blame, exit.Reason)
	u.inst, u.live, u.exit, u.paused, u.blame = nil, nil, &exit, false, ""
	if exit.Kept {
		u.note = exit.String()
	}
	r.apply(u, policy.Exited{Run: run, OK: exit.OK(), ByUser: exit.ByUser, Outside: exit.Engine, Why: exit.String()})
}

func (r *Runner) signal(u *unit, name string) {
	if inst := u.inst; inst != nil {
		r.act(u, "signal", func(ctx context.Context) error { return inst.Signal(ctx, name) }, func(error) {})
	}
}

// stopSignal is the one that the instance was made with: an edited file may name another.
func (u *unit) stopSignal() string {
	if u.live != nil && u.live.Stop != "" {
		return u.live.Stop
	}
	return u.svc.StopSignal
}

// kill has the instance killed, unless the backend is busy with that.
func (r *Runner) kill(u *unit) {
	if inst := u.inst; inst != nil && u.slaying != inst {
		began := u.decided
		u.slaying = inst
		r.act(u, "kill", inst.Kill, func(err error) {
			if u.slaying == inst {
				u.slaying = nil
			}
			if err == nil {
				u.slain = began
			}
		})
	}
}

// act asks something of an instance, and then runs answered in the loop. What is to
// follow if it failed the policy decides, when the deadline comes.
func (r *Runner) act(u *unit, what string, f func(context.Context) error, answered func(error)) {
	name, run, began := u.key.String(), u.state.Run, u.decided
	r.task(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, actTimeout)
		defer cancel()
		fault := ""
		err := f(ctx)
		if err != nil {
			r.log.Warn("cannot "+what, "service", name, "error", err)
			fault = err.Error()
		}
		r.post(func() {
			answered(err)
			u.tried = began
			r.apply(u, policy.Answered{Run: run, Fault: fault})
		})
	})
}

// actTimeout bounds one request to a backend that should be answered at once.
const actTimeout = 20 * time.Second

func (r *Runner) probe(u *unit, run int) {
	svc, inst := u.located(), u.inst
	r.task(func(ctx context.Context) {
		var dir string
		var env []string
		if svc.Process != nil {
			dir, env = svc.Process.Dir, svc.Process.Env
		}
		v := service.Verdict{Unable: true, Why: "paused by hand"}
		if !paused(inst) {
			if ran := probe.Run(ctx, *svc.Check, dir, env); ran.Healthy || !paused(inst) {
				v = ran
			}
		}
		r.post(func() {
			r.apply(u, policy.Probed{Run: run, Healthy: v.Healthy, Unable: v.Unable, Why: v.Why})
		})
	})
}

// paused reports whether somebody suspended an instance, whose backend can tell: what
// it does not answer says nothing about it then.
func paused(inst Instance) bool {
	p, ok := inst.(interface{ Paused() bool })
	return ok && p.Paused()
}
