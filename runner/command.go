package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// Do carries out a command and returns when it is done: when all that it names have
// been started, are held from outside or are settled; or have ended. Cancelling ctx
// gives up waiting, not the command. For VerbUp see Apply.
func (r *Runner) Do(ctx context.Context, c service.Command) (service.Report, error) {
	var report service.Report
	var failed error
	w := &waiter{since: time.Now(), done: make(chan struct{})}
	err := r.ask(ctx, func() {
		var units []*unit
		if units, failed = r.named(c.Services); failed != nil {
			return
		}
		if c.Orphans {
			for _, u := range r.sorted() {
				if u.orphan && !slices.Contains(units, u) {
					units = append(units, u)
				}
			}
		}
		failed = r.command(c, units)
		w.goals = r.goals(c.Verb, units)
		r.waiters = append(r.waiters, w)
	})
	if err = errors.Join(err, failed); err != nil {
		return report, err
	}
	return r.await(ctx, w, report)
}

func (r *Runner) await(ctx context.Context, w *waiter, report service.Report) (service.Report, error) {
	select {
	case <-w.done:
	case <-r.done:
	case <-ctx.Done():
		return report, ctx.Err()
	}
	r.files.flush(r.life)
	report.Statuses = r.Statuses()
	return report, errors.Join(w.failed, r.ending())
}

// ending is the error of a `down` that could not take everything away.
func (r *Runner) ending() error {
	select {
	case <-r.done:
		return r.tidyErr
	default:
		return nil
	}
}

func (r *Runner) command(c service.Command, units []*unit) error {
	if c.Verb == service.VerbDown {
		r.down = true
		r.leave()
	}
	for _, u := range units {
		if c.Grace != nil {
			u.grace = c.Grace
		}
		switch c.Verb {
		case service.VerbStart:
			r.applyFor(u, "healbot start", policy.Up{})
		case service.VerbStop:
			r.apply(u, policy.Stop{})
		case service.VerbRestart:
			u.alone = c.NoDeps
			r.apply(u, policy.Restart{Why: "restarted by a user"})
		case service.VerbKill:
			if c.Orphans && u.orphan {
				r.remove(u, policy.Stop{Now: true})
			} else {
				r.killed(u, c.Signal)
			}
		case service.VerbLook:
			r.look(u)
		case service.VerbDown:
			if u.unkilled() {
				r.apply(u, policy.Stop{})
			}
		default:
			return fmt.Errorf("the supervisor does not know the command %q", c.Verb)
		}
	}
	return nil
}

// killed is a user's kill. SIGKILL ends the instance for good; another signal is
// handed over, and what the instance makes of it is its own affair.
func (r *Runner) killed(u *unit, signal string) {
	switch signal {
	case "", "SIGKILL", "KILL", "9":
		r.apply(u, policy.Stop{Now: true})
	default:
		r.remark(u, "a user sent "+signal)
		r.signal(u, signal)
	}
}

// named gives the units of the services (or single replicas) named; all if none is.
func (r *Runner) named(names []string) (units []*unit, err error) {
	for _, u := range r.sorted() {
		if len(names) == 0 || slices.Contains(names, u.svc.Name) || slices.Contains(names, u.key.String()) {
			units = append(units, u)
		}
	}
	var unknown []string
	for _, name := range names {
		if !slices.ContainsFunc(units, func(u *unit) bool { return u.svc.Name == name || u.key.String() == name }) {
			unknown = append(unknown, name)
		}
	}
	if unknown != nil {
		return nil, fmt.Errorf("no such service: %s (there are %s)", strings.Join(unknown, ", "), strings.Join(r.names(), ", "))
	}
	return units, nil
}

func (r *Runner) names() (all []string) {
	for _, u := range r.sorted() {
		if !slices.Contains(all, u.svc.Name) {
			all = append(all, u.svc.Name)
		}
	}
	return all
}

// A waiter is a caller that waits until its goals are reached.
type waiter struct {
	since  time.Time
	goals  []goal
	failed error
	done   chan struct{}
}

// A goal is what one unit should come to.
type goal struct {
	unit *unit
	rest bool // it should rest; else it should be up
	run  int  // with an instance later than this one
}

func (r *Runner) goals(verb service.Verb, units []*unit) (all []goal) {
	for _, u := range units {
		switch verb {
		case service.VerbLook:
		case service.VerbStop, service.VerbDown:
			all = append(all, goal{unit: u, rest: true})
		case service.VerbKill:
			if u.state.Phase == policy.Killing {
				all = append(all, goal{unit: u, rest: true})
			}
		case service.VerbRestart:
			g := goal{unit: u, run: u.state.Run}
			if u.state.Phase == policy.Launching && u.state.Then == policy.Judge {
				g.run-- // the restart's own instance is on its way already
			}
			all = append(all, g)
		default:
			all = append(all, goal{unit: u})
		}
	}
	return all
}

// answer tells those waiters whose goals are reached.
func (r *Runner) answer() {
	r.waiters = slices.DeleteFunc(r.waiters, func(w *waiter) bool {
		w.goals = slices.DeleteFunc(w.goals, func(g goal) bool { return r.reached(w, g) })
		stuck := r.down && w.failed != nil
		if !stuck && (len(w.goals) > 0 || r.down) {
			return false
		}
		close(w.done)
		return true
	})
}

func (r *Runner) reached(w *waiter, g goal) bool {
	s := g.unit.state
	switch {
	case w.inVain(g.unit):
		w.failed = errors.Join(w.failed, fmt.Errorf("cannot end %s: %s", g.unit.key, g.unit.entry(0).says(s.Since).Reason))
		return true
	case g.rest:
		return s.Phase == policy.Resting
	case s.Phase == policy.Live:
		kind, unknown := r.unknown[g.unit.svc.Kind]
		return s.Run > g.run && (!unknown || kind.refusals > 0) // else it only lived when the last supervisor saw it
	}
	return s.Then == policy.Judge && r.stuck(g.unit)
}

// inVain reports whether a unit that was to end can't be killed, going by what its
// backend was asked for since the waiter came. A kill that it took gets its time.
func (w *waiter) inVain(u *unit) bool {
	refused := u.state.Fault != "" && !u.tried.Before(w.since)
	outlived := !u.slain.Before(w.since) && time.Since(u.slain) >= policy.KillPatience
	return u.unkilled() && (u.inst == nil || refused || outlived)
}

// unkilled reports whether the unit's instance could not be killed so far.
func (u *unit) unkilled() bool {
	return u.state.Phase == policy.Killing && u.state.Status == policy.Failed
}
