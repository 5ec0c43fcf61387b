package docker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"
)

// follow subscribes to the events of the project, compares all runs with the truth, and
// then does as the events say, until the stream breaks or ctx ends.
func (w *watch) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue, err := w.subscribe(ctx, cancel)
	if err != nil {
		return err
	}
	if err := w.audit(ctx); err != nil {
		return err
	}
	audit := time.NewTicker(w.backend.audit)
	defer audit.Stop()
	for {
		due := w.settle(ctx)
		select {
		case <-queue.more:
			for _, e := range queue.take() {
				w.happened(ctx, e)
			}
		case <-due:
		case <-audit.C:
			if err := w.audit(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			for _, e := range queue.take() {
				w.happened(ctx, e)
			}
			return context.Cause(ctx)
		}
	}
}

// subscribe opens the stream of events. Its reader does nothing but put them into the
// queue, since the engine drops what is not read in time; lost ends with the stream.
func (w *watch) subscribe(ctx context.Context, lost context.CancelCauseFunc) (*queue, error) {
	cli, err := w.backend.dial(ctx)
	if err != nil {
		return nil, err
	}
	f := labelled(composeProject+"="+w.project, composeOneOff+"=False")
	f.Add("type", string(events.ContainerEventType))
	for _, a := range []events.Action{
		events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionStop, events.ActionDestroy,
		events.ActionHealthStatus, events.ActionOOM, events.ActionKill, events.ActionPause, events.ActionUnPause,
	} {
		f.Add("event", string(a))
	}
	late := time.AfterFunc(streamTime, func() { lost(fmt.Errorf("no events within %s", streamTime)) })
	messages, errs := cli.Events(ctx, events.ListOptions{Filters: f})
	late.Stop()
	q := &queue{more: make(chan struct{}, 1)}
	w.backend.work.Go(func() {
		for {
			select {
			case m := <-messages:
				q.put(m)
			case err := <-errs:
				w.backend.drop(cli)
				lost(fmt.Errorf("events ended: %w", err))
				return
			}
		}
	})
	return q, nil
}

// happened does what one event asks for.
func (w *watch) happened(ctx context.Context, m events.Message) {
	id := m.Actor.ID
	w.mu.Lock()
	i := w.live[id]
	w.mu.Unlock()
	if m.Action == events.ActionStart {
		w.started(ctx, id)
		return
	}
	if i == nil {
		return
	}
	switch action := string(m.Action); {
	case m.Action == events.ActionKill:
		w.killed(i, signalName(m.Actor.Attributes["signal"]))
	case m.Action == events.ActionOOM:
		w.mu.Lock()
		i.seen.oom = true
		w.mu.Unlock()
	case m.Action == events.ActionDie:
		w.died(ctx, i, m)
	case m.Action == events.ActionStop:
		w.stopped(i)
	case m.Action == events.ActionDestroy:
		w.gone(i)
	case m.Action == events.ActionPause, m.Action == events.ActionUnPause,
		strings.HasPrefix(action, string(events.ActionHealthStatus)):
		if c, err := w.backend.inspect(ctx, id); err == nil {
			w.observe(c)
		}
	}
}

// started looks at a container that came up. A run that we know less of than the engine
// has ended; one that we did not start was started by hand.
func (w *watch) started(ctx context.Context, id string) {
	w.mu.Lock()
	mine := w.busy[id] > 0
	w.mu.Unlock()
	c, err := w.backend.inspect(ctx, id)
	if err != nil {
		return // the next audit tells
	}
	w.observe(c)
	if mine || !c.State.Running {
		return
	}
	w.mu.Lock()
	known := w.live[id] != nil
	w.mu.Unlock()
	if known {
		return
	}
	i := w.enter(newInstance(w, c, 0))
	w.hear(i, c.State)
	select {
	case w.backend.byHand <- i:
	default:
	}
}

func (w *watch) killed(i *Instance, sig string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i.seen.signal = sig
	i.seen.signals++
	if i.seen.asked[sig] > 0 {
		i.seen.asked[sig]--
		return
	}
	i.seen.foreign = true
}

// died notes the end of a run. It is judged at once, unless somebody else sent a signal:
// then it may be the engine's stop command, or the engine's own end, and the next events
// tell which. A single SIGKILL is neither: both begin with the container's stop signal.
func (w *watch) died(ctx context.Context, i *Instance, m events.Message) {
	w.mu.Lock()
	i.seen.died = time.Unix(0, m.TimeNano)
	i.seen.code = -1
	if code, err := strconv.Atoi(m.Actor.Attributes["exitCode"]); err == nil {
		i.seen.code = code
	}
	foreign := i.seen.foreign && (i.hard || i.seen.signals > 1 || i.seen.signal != "SIGKILL")
	if foreign {
		i.seen.due = time.Now().Add(stopDelay)
	}
	w.mu.Unlock()
	if !foreign {
		w.conclude(ctx, i)
	}
}

// stopped notes that the engine's stop command has finished with a run.
func (w *watch) stopped(i *Instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i.seen.stopped = true
	i.seen.due = time.Now()
}

// settle judges the runs whose time has come, and gives a channel that fires when the
// next one's has; nil if there is none.
func (w *watch) settle(ctx context.Context) <-chan time.Time {
	var next time.Time
	for _, i := range w.living() {
		seen := w.evidence(i)
		due, died := seen.due, seen.died
		switch {
		case due.IsZero() || died.IsZero():
		case time.Now().Before(due):
			if next.IsZero() || due.Before(next) {
				next = due
			}
		case w.backend.engineLives(ctx):
			w.conclude(ctx, i)
		default:
			w.finish(i, engineWent(judge(seen, nil, died)))
		}
	}
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

// conclude judges a run that has ended.
func (w *watch) conclude(ctx context.Context, i *Instance) {
	w.mu.Lock()
	i.seen.due = time.Time{}
	seen := i.seen
	w.mu.Unlock()
	if c, err := w.backend.inspect(ctx, i.about.ID); err == nil && startedAt(c).Equal(i.about.Started) && !c.State.Running {
		w.observe(c)
		return
	}
	e := judge(seen, nil, seen.died)
	e.ByUser = seen.stopped
	w.finish(i, e)
}

// A queue holds events until they are taken; putting never waits.
type queue struct {
	more chan struct{} // holds one token while there may be events

	mu     sync.Mutex // guards what follows
	events []events.Message
}

func (q *queue) put(m events.Message) {
	q.mu.Lock()
	q.events = append(q.events, m)
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *queue) take() []events.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.events
	q.events = nil
	return taken
}
