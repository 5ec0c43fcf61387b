package runner

import (
	"context"
	"strings"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// unknown says why it is not known what of a kind runs.
type unknown struct {
	why      string
	refusals int // how often the backend was asked in vain
}

// listed is what all units wait for at first.
const listed = "the list of what already runs"

// Looking reports whether a status says no more than that its supervisor has just come and
// looks for what already runs.
func Looking(s service.Status) bool {
	return s.State == service.Pending && s.Reason == "waiting for "+listed
}

// unattended says of an end that only its outcome is known.
const unattended = "while no supervisor was there"

// How long a backend may take to list what runs, and the pause after it could not.
const (
	adoptTimeout = 15 * time.Second
	adoptPause   = 2 * time.Second
)

// restore gives the units the state that the last supervisor remembered.
func (r *Runner) restore(past journal) {
	for _, u := range r.units {
		if s, there := past.Units[u.key.String()]; there {
			u.state, u.seq, u.down, u.live = s.State, s.Seq, s.Down, s.Live
			r.changed(u, u.state)
		}
	}
	r.past = past
}

// inUse gives the kinds of which something may run: those that are declared and those
// that the last supervisor ran; all of them when neither says anything.
func (r *Runner) inUse() map[service.Kind]bool {
	kinds := map[service.Kind]bool{}
	for _, u := range r.units {
		kinds[u.svc.Kind] = true
	}
	for _, s := range r.past.Units {
		kinds[s.Kind] = true
	}
	if len(kinds) == 0 {
		for kind := range r.config.Backends {
			kinds[kind] = true
		}
	}
	return kinds
}

// adopt asks the backend of a kind what already runs, until it answers. Until then
// the units of that kind wait: a second instance beside a live one would be worse.
func (r *Runner) adopt(kind service.Kind) {
	if r.asked[kind] {
		return
	}
	r.asked[kind] = true
	r.unknown[kind] = unknown{why: listed}
	backend := r.config.Backends[kind]
	r.task(func(ctx context.Context) {
		for {
			limited, cancel := context.WithTimeout(ctx, adoptTimeout)
			found, err := backend.Adopt(limited, r.name)
			cancel()
			if err == nil {
				r.post(func() { r.adopted(kind, found) })
				return
			}
			r.post(func() { r.notAdopted(kind, err) })
			select {
			case <-time.After(adoptPause):
			case <-ctx.Done():
				return
			}
		}
	})
}

func (r *Runner) notAdopted(kind service.Kind, err error) {
	r.unknown[kind] = unknown{"an answer: " + err.Error(), r.unknown[kind].refusals + 1}
	if r.unknown[kind].refusals > 2 {
		return
	}
	for _, u := range r.sorted() {
		if u.svc.Kind == kind {
			r.changed(u, u.state)
		}
	}
}

// adopted takes over what the backend found, and settles what it did not find.
func (r *Runner) adopted(kind service.Kind, found []Instance) {
	delete(r.unknown, kind)
	for _, u := range r.sorted() {
		if hasInstance(u.state) && u.svc.Kind == kind {
			r.hold(u) // so that an end is not taken for one that this list held up
		}
	}
	r.announce(kind)
	known := map[*unit]bool{}
	for _, inst := range found {
		u := r.units[inst.About().Key]
		if u == nil && (inst.About().Ended || inst.About().Hash == "") {
			continue
		}
		if u == nil {
			u = r.addOrphan(kind, inst.About())
		}
		known[u] = true
		r.takeOver(u, inst)
	}
	for _, u := range r.sorted() {
		if u.svc.Kind != kind {
			continue
		}
		if !known[u] {
			u.live = nil
		}
		if !known[u] && hasInstance(u.state) {
			exit := service.Unknown(time.Now())
			exit.Reason = unattended
			u.exit = &exit
			r.apply(u, policy.Exited{Run: u.state.Run, Why: exit.String()})
		}
		r.resume(u)
		r.changed(u, u.state)
	}
}

// resume lets a unit go on where it was. Nothing is started any more where all is to end.
func (r *Runner) resume(u *unit) {
	leaving := r.stage != staying
	if u.state.Phase == policy.Launching && u.abandon != nil || leaving && u.state.Phase == policy.Resting {
		return // it goes on already, or has ended
	}
	if leaving && !hasInstance(u.state) {
		r.apply(u, policy.Stop{})
	}
	r.apply(u, policy.Resume{})
}

// announce has the history say of the units that were not at rest that another
// supervisor has them now.
func (r *Runner) announce(kind service.Kind) {
	for _, u := range r.sorted() {
		if _, remembered := r.past.Units[u.key.String()]; remembered && !r.past.Clean && u.svc.Kind == kind {
			u.note = "a new supervisor took over"
		}
	}
}

func hasInstance(s policy.State) bool {
	return s.Phase == policy.Live || s.Phase == policy.Ending || s.Phase == policy.Killing
}

// Found takes on an instance that came up without the Runner's doing: a user started
// its container with the engine's own command.
func (r *Runner) Found(inst Instance) {
	r.post(func() {
		if u := r.units[inst.About().Key]; u != nil {
			u.note = "started by a user of the engine"
			r.takeOver(u, inst)
			u.note = ""
		}
	})
}

// Eased tells the services of a kind whose start something outside the project held up
// that it may be gone: they try again now, and not when their pause is over.
func (r *Runner) Eased(kind service.Kind) {
	r.post(func() {
		r.eased[kind] = time.Now()
		for _, u := range r.sorted() {
			if u.svc.Kind == kind {
				r.apply(u, policy.Eased{})
			}
		}
	})
}

// takeOver makes an instance that was found its unit's. One that ended meanwhile
// is news only if it is the one that the last supervisor knew.
func (r *Runner) takeOver(u *unit, inst Instance) {
	about := inst.About()
	run := about.Run
	if run == 0 {
		run = max(u.state.Run, 1)
		if !hasInstance(u.state) && !about.Ended {
			run = u.state.Run + 1
		}
	}
	busy := hasInstance(u.state) || u.state.Phase == policy.Launching
	if about.Ended && (!busy || run != u.state.Run) {
		return
	}
	u.take(inst)
	r.apply(u, policy.Found{Run: run, Born: about.Started})
	if about.Ended {
		if exit, err := inst.Wait(r.life); err == nil {
			exit.Reason = strings.TrimPrefix(exit.Reason+"; "+unattended, "; ")
			r.ended(u, inst, run, exit)
		}
		return
	}
	r.watch(u, inst, run)
	if about.Hash != "" && about.Hash != u.svc.Hash && !u.orphan && u.state.Wanted && r.stage == staying {
		r.apply(u, policy.Restart{Why: "its configuration changed"})
	}
}

// addOrphan makes a unit for an instance of a service that the file does not name.
func (r *Runner) addOrphan(kind service.Kind, about service.Instance) *unit {
	u := &unit{key: about.Key, orphan: true, deafen: func() {}, svc: service.Service{
		Name: about.Service, Kind: kind, Project: r.name, Dir: r.dir, Title: about.Service,
		Replicas: 1, StopSignal: "SIGTERM", Grace: 10 * time.Second, Hash: about.Hash,
	}}
	u.policy = policy.Policy{Name: u.key.String(), Grace: u.svc.Grace}
	r.units[u.key] = u
	return u
}

// drop forgets a unit that is no longer part of the project.
func (r *Runner) drop(u *unit) {
	if r.units[u.key] == u {
		delete(r.units, u.key)
		r.board.drop(u.key.String())
	}
}
