package runner

import (
	"context"
	"slices"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

const (
	tellTimeout = 10 * time.Second // for one message, waiting for its turn included
	tellAtOnce  = 4                // messages under way at the same time
	tellMost    = 100              // messages under way and waiting; more are dropped
	tellLast    = 3 * time.Second  // for messages under way when the supervisor ends
)

// edge says which turn, if any, a unit took with e, and from what. Down is the settled
// trouble that it has not recovered from; a user's stop ends that without a word.
func (u *unit) edge(before policy.State, e policy.Event) (on service.Edge, from service.State) {
	after := u.state
	_, asked := e.(policy.Changed)
	switch {
	case after.Status == policy.MaxRestarts || after.Status == policy.Failed:
		if after.Status == before.Status {
			return "", ""
		}
		u.down = service.State(after.Status)
		return service.Edge(after.Status), service.State(before.Status)
	case after.Status == policy.Stopped, after.Status == policy.Completed:
		u.down = ""
	case after.Status == policy.Running && u.down != "":
		from, u.down = u.down, ""
		return service.EdgeRecovered, from
	case after.Status == policy.Running && before.Status == policy.Running &&
		after.Phase == policy.Live && before.Phase == policy.Live &&
		after.Streak == 0 && before.Streak > 0 && !asked:
		return service.EdgeRecovered, service.Crashed
	}
	return "", ""
}

// tell lets those know who want to, beside the loop and once for each edge.
func (r *Runner) tell(u *unit, before policy.State, e policy.Event) {
	on, from := u.edge(before, e)
	if on == "" || r.config.Notify == nil {
		return
	}
	now := time.Now()
	m := service.Message{
		On: on, Project: r.name, Service: u.svc.Name, Name: u.key.String(), State: service.State(u.state.Status),
		From: from, Reason: u.entry(0).says(now).Reason, At: now,
	}
	for _, n := range u.svc.Notify {
		if slices.Contains(n.On, on) {
			r.send(n, m)
		}
	}
}

func (r *Runner) send(n service.Notice, m service.Message) {
	if r.telling == tellMost {
		r.log.Warn("a notice is dropped: too many are under way", "service", m.Name, "on", m.On)
		return
	}
	r.telling++
	r.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
		defer cancel()
		stop := context.AfterFunc(r.life, func() { time.AfterFunc(tellLast, cancel) })
		defer stop()
		if err := r.deliver(ctx, n, m); err != nil {
			r.log.Warn("cannot deliver a notice", "service", m.Name, "on", m.On, "error", err)
		}
		r.post(func() { r.telling-- })
	})
}

// deliver waits for its turn first.
func (r *Runner) deliver(ctx context.Context, n service.Notice, m service.Message) error {
	select {
	case r.mouths <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-r.mouths }()
	return r.config.Notify(ctx, n, m)
}
