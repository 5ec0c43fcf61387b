package runner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// index notes who needs whom.
func (r *Runner) index() {
	r.users = map[string][]string{}
	for _, u := range r.sorted() {
		for _, n := range u.svc.Needs {
			if !slices.Contains(r.users[n.Service], u.svc.Name) {
				r.users[n.Service] = append(r.users[n.Service], u.svc.Name)
			}
		}
	}
}

// replicas gives the units of a service, the first one first.
func (r *Runner) replicas(name string) (all []*unit) {
	for n := 1; ; n++ {
		u := r.units[service.Key{Service: name, Replica: n}]
		if u == nil {
			return all
		}
		all = append(all, u)
	}
}

// settle lets what happened take effect on others, until nothing more follows.
func (r *Runner) settle() {
	for len(r.dirty) > 0 {
		u := r.dirty[0]
		r.dirty = r.dirty[1:]
		r.hold(u)
		for _, name := range r.users[u.svc.Name] {
			for _, user := range r.replicas(name) {
				r.hold(user)
			}
		}
		if u.dropped && u.state.Phase == policy.Resting {
			r.drop(u)
		}
	}
	r.answer()
}

// hold tells a unit whether its dependencies are ready, if that is news. A start that an
// earlier supervisor began is no longer there to be held: adoption settles it.
func (r *Runner) hold(u *unit) {
	if u.state.Phase == policy.Launching && u.abandon == nil {
		return
	}
	why := r.lacking(u)
	switch why {
	case u.state.Held:
	case "":
		r.apply(u, policy.Ready{})
	default:
		r.apply(u, policy.NotReady{Why: why})
	}
}

// lacking says what a unit has to wait for; "" when it may start.
func (r *Runner) lacking(u *unit) string {
	if kind, unknown := r.unknown[u.svc.Kind]; unknown {
		return kind.why
	}
	var all []string
	for _, n := range u.svc.Needs {
		for _, d := range r.replicas(n.Service) {
			if !met(n, d) {
				all = append(all, d.key.String()+": "+d.brief())
			}
		}
	}
	return strings.Join(all, ", ")
}

// met reports whether d satisfies a need at this moment.
func met(n service.Need, d *unit) bool {
	s := d.state
	up := s.Phase == policy.Live
	switch {
	case n.Optional && s.Phase == policy.Resting:
		return true
	case n.Condition == service.Completed:
		return s.Status == policy.Completed
	case n.Condition == service.Healthy:
		return up && s.Status == policy.Running
	}
	return up || s.Status == policy.Completed
}

// brief says in a few words, without times that would go stale, why a unit is not
// ready.
func (u *unit) brief() string {
	s := u.state
	switch {
	case s.Phase == policy.Live && s.Misses > 0:
		return fmt.Sprintf("%s %d/%d", s.Why, s.Misses, u.policy.Retries)
	case s.Phase == policy.Live && s.Why != "":
		return s.Why
	case s.Phase == policy.Live && s.Health == policy.Unproven:
		return "not healthy yet"
	case s.Phase == policy.Waiting:
		return "pending, waiting for " + s.Held
	case s.Phase == policy.Resting && s.Run == 0 && s.Status == policy.Stopped:
		return "not started yet"
	case s.Phase == policy.Resting && s.Status != policy.Completed && s.Why != "":
		return string(s.Status) + ", " + s.Why
	case s.Phase == policy.Backoff:
		return string(s.Status) + ", " + s.Why
	case s.Status == "":
		return "not started yet"
	}
	return string(s.Status)
}

// restarted lets the dependents of a unit that came up again follow, where the file
// asks for it, or where they were told an address that is no longer true.
func (r *Runner) restarted(u *unit) {
	alone := u.alone
	u.alone = false
	for _, name := range r.users[u.svc.Name] {
		for _, user := range r.replicas(name) {
			was, now := user.addresses[u.svc.Name], r.address(u.svc.Name)
			for _, n := range user.svc.Needs {
				switch {
				case n.Service != u.svc.Name || !user.state.Born.Before(u.state.Born):
				case n.Restart && !alone:
					r.apply(user, policy.Follow{Why: u.key.String() + " was restarted"})
				case n.Endpoint != nil && was != "" && now != "" && was != now:
					r.apply(user, policy.Follow{Why: u.svc.Name + " has another address"})
				}
			}
		}
	}
}

// addresses gives where the services are that a unit is told of when it starts.
func (r *Runner) addresses(u *unit) map[string]string {
	at := map[string]string{}
	for _, n := range u.svc.Needs {
		if n.Endpoint != nil {
			at[n.Service] = r.address(n.Service)
		}
	}
	return at
}

// address gives that of the first replica of a service that has one.
func (r *Runner) address(name string) string {
	for _, d := range r.replicas(name) {
		if d.live != nil && d.live.Address != "" {
			return d.live.Address
		}
	}
	return ""
}

// located is the unit's service as its latest instance was told of others.
func (u *unit) located() service.Service {
	return u.svc.Located(func(name string) string { return u.addresses[name] })
}

// stuck reports whether a unit will not come up unless something outside changes: it
// rests, it is held from outside, or it waits for a unit that is stuck.
func (r *Runner) stuck(u *unit) bool {
	switch u.state.Phase {
	case policy.Resting:
		return true
	case policy.Backoff:
		return u.state.Tries > 0
	case policy.Waiting:
		if kind, unknown := r.unknown[u.svc.Kind]; unknown {
			return kind.refusals > 0
		}
		for _, n := range u.svc.Needs {
			for _, d := range r.replicas(n.Service) {
				if !met(n, d) && r.stuck(d) {
					return true
				}
			}
		}
	}
	return false
}

// stopInOrder stops each unit whose users have ended, and reports whether all have.
func (r *Runner) stopInOrder() (done bool) {
	done = true
	why := "the supervisor ends"
	if r.down {
		why = "healbot down"
	}
	for _, u := range r.sorted() {
		if u.state.Phase == policy.Resting {
			if !u.state.Due.IsZero() {
				r.applyFor(u, why, policy.Stop{})
			}
			continue
		}
		if r.unknown[u.svc.Kind].refusals > 0 && u.inst == nil { // nobody can tell, and it must end
			r.applyFor(u, why, policy.Stop{})
			continue
		}
		if u.state.Then != policy.Rest && (u.inst == nil || !r.needed(u)) {
			r.applyFor(u, why, policy.Stop{})
		}
		done = done && u.state.Phase == policy.Resting
	}
	return done
}

// needed reports whether a unit that needs u still has an instance.
func (r *Runner) needed(u *unit) bool {
	for _, name := range r.users[u.svc.Name] {
		for _, user := range r.replicas(name) {
			if user.inst != nil {
				return true
			}
		}
	}
	return false
}
