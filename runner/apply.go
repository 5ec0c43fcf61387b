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

// A Plan is a file as it reads now, and what is wanted of it.
type Plan struct {
	Project  Project
	Names    []string       // services that are meant; none: all of the file
	NoDeps   bool           // not what they need
	Orphans  bool           // end what the file no longer names
	Recreate bool           // replace also what did not change, of the services named
	Deep     bool           // replace also what those need
	Keep     bool           // replace nothing, even what changed
	Outdated []service.Key  // replicas whose containers are of an older image
	Restart  bool           // a new instance of each that is meant
	Alone    bool           // restarted dependents do not follow, whatever the file says
	Adopting bool           // go on where an earlier supervisor was cut off, if there was one
	Grace    *time.Duration // for instances that are replaced, instead of the policy's
}

// Apply makes a file the project's, and its services run. Only instances whose
// configuration changed are replaced; what else changed takes effect on the live
// ones. It returns as Do does, with a note on each service that it changed.
func (r *Runner) Apply(ctx context.Context, p Plan) (service.Report, error) {
	var report service.Report
	var failed error
	w := &waiter{since: time.Now(), done: make(chan struct{})}
	err := r.ask(ctx, func() {
		if failed = r.check(p); failed != nil {
			return
		}
		r.introduce(p.Project)
		report.Notes = r.merge(p)
		units := r.meant(p)
		w.goals = r.launch(p, units)
		r.begun = true
		r.waiters = append(r.waiters, w)
	})
	if err = errors.Join(err, failed); err != nil {
		return report, err
	}
	return r.await(ctx, w, report)
}

func (r *Runner) check(p Plan) error {
	if p.Project.Name != r.name {
		return fmt.Errorf("this directory is supervised as project %s, not %s: bring that one down first", r.name, p.Project.Name)
	}
	if r.stage != staying {
		return ErrEnded
	}
	for _, name := range p.Names {
		if !slices.ContainsFunc(p.Project.Services, func(s service.Service) bool { return s.Name == name }) {
			return fmt.Errorf("no such service: %s", name)
		}
	}
	return nil
}

// touches reports whether the plan is about a service at all.
func (p Plan) touches(name string) bool {
	return len(p.Names) == 0 || slices.Contains(p.closure(), name)
}

// Meant gives the names of the services that the plan is about.
func (p Plan) Meant() []string {
	if len(p.Names) > 0 {
		return p.closure()
	}
	var all []string
	for _, svc := range p.Project.Services {
		all = append(all, svc.Name)
	}
	return all
}

// names reports whether a service is meant for its own sake.
func (p Plan) names(name string) bool { return len(p.Names) == 0 || slices.Contains(p.Names, name) }

// closure gives the names that are meant and, unless the plan says not to, all that
// they need.
func (p Plan) closure() []string {
	names := slices.Clone(p.Names)
	if p.NoDeps {
		return names
	}
	for i := 0; i < len(names); i++ {
		for _, svc := range p.Project.Services {
			if svc.Name != names[i] {
				continue
			}
			for _, n := range svc.Needs {
				if !slices.Contains(names, n.Service) {
					names = append(names, n.Service)
				}
			}
		}
	}
	return names
}

// merge takes over what the file says now.
func (r *Runner) merge(p Plan) (notes []string) {
	declared := map[string]bool{}
	for _, svc := range p.Project.Services {
		declared[svc.Name] = true
		r.adopt(svc.Kind)
		if p.touches(svc.Name) {
			notes = append(notes, r.mergeService(svc, p)...)
		}
	}
	for _, u := range r.sorted() {
		switch {
		case declared[u.svc.Name] || slices.Contains(p.Project.Inactive, u.svc.Name):
		case p.Orphans:
			u.orphan = true
			notes = append(notes, u.key.String()+": removed, the file no longer names it")
			r.remove(u, policy.Stop{})
		default:
			if !u.orphan {
				u.orphan = true
				r.remark(u, "the file no longer names it")
			}
			notes = append(notes, u.key.String()+" is an orphan: the file no longer names it; `healbot up --remove-orphans` ends it")
		}
	}
	r.index()
	r.dirty = append(r.dirty, r.sorted()...)
	return notes
}

func (r *Runner) mergeService(svc service.Service, p Plan) (notes []string) {
	pol := p.Project.Policies[svc.Name]
	for _, u := range r.replicas(svc.Name) {
		if u.key.Replica > svc.Replicas {
			notes = append(notes, u.key.String()+": removed, scaled down")
			r.remove(u, policy.Stop{})
			continue
		}
		u.orphan, u.dropped = false, false
		if p.Keep && u.state.Phase != policy.Resting {
			continue
		}
		before, old := u.svc, u.policy
		u.svc, u.policy = svc, pol
		u.policy.Name = u.key.String()
		why := p.replaces(u.key, before.Hash != svc.Hash)
		u.renew = u.renew || why != "" && !p.Keep
		switch {
		case u.state.Phase == policy.Resting:
		case why != "":
			notes = append(notes, u.key.String()+": replaced"+why)
			u.grace = p.Grace
			r.apply(u, policy.Restart{Why: strings.TrimPrefix("replaced"+why, "replaced, ")})
		case old != u.policy:
			notes = append(notes, u.key.String()+": goes on under its new policy")
			u.note = "the file changed its policy"
			r.apply(u, policy.Changed{})
		}
		r.relisten(u, before)
		r.changed(u, u.state)
	}
	r.dirty = append(r.dirty, r.declare(svc, pol)...)
	return notes
}

// remove ends a unit, which then goes from the project.
func (r *Runner) remove(u *unit, e policy.Stop) {
	u.dropped = true
	r.apply(u, e)
	r.dirty = append(r.dirty, u)
}

// replaces says why an instance is replaced, in words that follow "replaced"; "" if it
// is not.
func (p Plan) replaces(key service.Key, changed bool) string {
	switch {
	case changed:
		return ", its configuration changed"
	case slices.Contains(p.Outdated, key):
		return ", its image changed"
	case p.Recreate && p.names(key.Service), p.Deep && !p.names(key.Service):
		return " on request"
	}
	return ""
}

// meant gives the units that a plan wants up.
func (r *Runner) meant(p Plan) (units []*unit) {
	names := p.closure()
	for _, u := range r.sorted() {
		if !u.orphan && !u.dropped && (len(p.Names) == 0 || slices.Contains(names, u.svc.Name)) {
			units = append(units, u)
		}
	}
	return units
}

// launch starts the units of a plan and returns what to wait for.
func (r *Runner) launch(p Plan, units []*unit) (goals []goal) {
	resumed := p.Adopting && !r.past.Clean && len(p.Names) == 0
	for _, u := range units {
		r.hold(u)
		_, remembered := r.past.Units[u.key.String()]
		switch {
		case resumed && remembered && !u.state.Fresh():
			if !u.state.Wanted {
				continue
			}
		case p.Restart && p.names(u.svc.Name):
			u.grace, u.alone = p.Grace, p.Alone
			g := goal{unit: u, run: u.state.Run}
			r.apply(u, policy.Restart{Why: "restarted by a user"})
			goals = append(goals, g)
			continue
		default:
			r.applyFor(u, "healbot up", policy.Up{})
		}
		goals = append(goals, goal{unit: u})
	}
	return goals
}

// Summary says in a few words how many services are in which state: "6 running, 1 crashed".
func Summary(all []service.Status) string {
	var parts []string
	for _, state := range []service.State{
		service.Running, service.Starting, service.Pending, service.Unhealthy, service.Crashed,
		service.Done, service.Stopped, service.Failed, service.MaxRestarts,
	} {
		n := 0
		for _, s := range all {
			if s.State == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}
