package docker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/healing-bot/healbot/service"
)

const (
	auditEvery  = 30 * time.Second       // between two audits
	streamTime  = 5 * time.Second        // for the first connection of a project
	stopDelay   = time.Second            // from the end of a container to the event of docker stop
	removeDelay = 10 * time.Second       // from the end of a container that is being removed to its removal
	engineDelay = 2 * time.Second        // from the end of a container to the end of its engine
	firstRetry  = 100 * time.Millisecond // before the engine is looked for again
	lastRetry   = 2 * time.Second
)

var errNeverRan = errors.New("the container has never run")

// A watch follows the containers of one project. Its goroutine alone judges ends; the
// events are hints, and what the engine answers when it is asked is the truth.
type watch struct {
	backend *Backend
	project string
	wake    chan struct{} // a token in it ends the pause before the next connection

	mu    sync.Mutex           // guards what follows
	whole chan struct{}        // closed while events come through
	live  map[string]*Instance // runs that have not ended, by container id
	busy  map[string]int       // containers that Start is at work on
	lost  time.Time            // when the stream of events broke; zero while it is whole
	heard map[string]string    // health that was last told, by container id
}

// watch gives the watch of project and starts it with the first call.
func (b *Backend) watch(project string) (*watch, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	if w := b.watches[project]; w != nil {
		return w, nil
	}
	w := &watch{
		backend: b,
		project: project,
		wake:    make(chan struct{}, 1),
		whole:   make(chan struct{}),
		live:    make(map[string]*Instance),
		busy:    make(map[string]int),
		heard:   make(map[string]string),
	}
	b.watches[project] = w
	ctx, cancel := context.WithCancel(context.Background())
	b.work.Go(func() {
		defer cancel()
		w.run(ctx)
	})
	b.work.Go(func() {
		select {
		case <-b.done:
			cancel()
		case <-ctx.Done():
		}
	})
	return w, nil
}

// run follows the engine until ctx ends, and finds it again whenever it was lost.
func (w *watch) run(ctx context.Context) {
	pause := firstRetry
	for {
		began := time.Now()
		err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if w.broke() {
			w.backend.log.Warn("the stream of the engine's events broke", "project", w.project, "why", err)
		}
		if time.Since(began) > lastRetry {
			pause = firstRetry
		}
		select {
		case <-time.After(pause):
		case <-w.wake:
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lastRetry)
	}
}

// broke notes that the stream ended and judges the runs that ended just before: the
// engine took them along. It reports whether the stream was whole until now.
func (w *watch) broke() bool {
	w.mu.Lock()
	first := w.lost.IsZero()
	if first {
		w.lost = time.Now()
	}
	select {
	case <-w.whole:
		w.whole = make(chan struct{})
	default:
	}
	w.mu.Unlock()
	for _, i := range w.living() {
		if seen := w.evidence(i); !seen.died.IsZero() {
			w.finish(i, engineWent(judge(seen, nil, seen.died)))
		}
	}
	return first
}

// awaitStream waits until the events of the project come through, so that no end of a
// container that is started next is missed; not for long, since the list is the truth.
func (w *watch) awaitStream(ctx context.Context) {
	late := time.NewTimer(streamTime)
	defer late.Stop()
	w.mu.Lock()
	whole := w.whole
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	select {
	case <-whole:
	case <-late.C:
	case <-ctx.Done():
	case <-w.backend.done:
	}
}

// starting marks a container that Start is at work on, so that its start is not taken
// for somebody else's. The result ends that.
func (w *watch) starting(id string) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy[id]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.busy[id]--; w.busy[id] == 0 {
			delete(w.busy, id)
		}
	}
}

// expect counts a signal that we send, or takes it back with -1.
func (w *watch) expect(i *Instance, sig string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i.seen.asked[signalName(sig)] += n
}

// register makes the instance of a container that was just started or found, and
// follows it if it lives. One that is followed already is given again.
func (w *watch) register(ctx context.Context, id string, run int) (*Instance, error) {
	c, err := w.backend.inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	if startedAt(c).IsZero() {
		return nil, errNeverRan
	}
	w.observe(c)
	w.backend.open(ctx, []string{c.Name}, c.Config.Labels, c.State.Running)
	i := w.enter(newInstance(w, c, run))
	// It may have ended before it was entered: then no event will tell.
	if c, err = w.backend.inspect(ctx, id); err == nil {
		w.observe(c)
	} else if errdefs.IsNotFound(err) {
		w.gone(i)
	}
	return i, nil
}

// enter adds an instance to the living, unless the same run is among them already.
func (w *watch) enter(i *Instance) *Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.live[i.about.ID]; known != nil && known.about.Started.Equal(i.about.Started) {
		i.life = known.life
		return i
	}
	w.live[i.about.ID] = i
	delete(w.heard, i.about.ID)
	return i
}

// observe compares a followed run with what the engine says of its container now. The end
// of one that is being removed comes with its removal.
func (w *watch) observe(c container.InspectResponse) {
	w.mu.Lock()
	i := w.live[c.ID]
	var lost time.Time
	if i != nil {
		lost = w.lost
	}
	w.mu.Unlock()
	if i == nil {
		return
	}
	same := startedAt(c).Equal(i.about.Started)
	if same && (c.State.Running || c.State.Paused) {
		w.hear(i, c.State)
		return
	}
	state := c.State
	if !same {
		state = nil
	}
	seen := w.evidence(i)
	if !seen.due.IsZero() && time.Now().Before(seen.due) && same {
		return // settle judges it, when more is known
	}
	e := judge(seen, state, time.Now())
	if same && state.Status == container.StateRemoving && time.Since(e.At) < removeDelay {
		w.mu.Lock()
		i.seen.due = e.At.Add(removeDelay)
		w.mu.Unlock()
		return // the event of its removal tells, or the next audit
	}
	e.ByUser = seen.stopped
	if i.about.Started.Before(lost) && seen.died.IsZero() && !e.At.Before(lost.Add(-engineDelay)) {
		e = engineWent(e)
	}
	w.finish(i, e)
}

// pausedWhy is what is said of the health of a container that is paused.
const pausedWhy = "paused by hand; healbot unpause lets it go on"

// hear passes the engine's health on when it has changed. A paused container is not
// checked, and nobody can tell how it is.
func (w *watch) hear(i *Instance, s *container.State) {
	if i.paused.Swap(s.Paused) != s.Paused {
		select {
		case i.pauses <- struct{}{}:
		default:
		}
	}
	status := ""
	switch {
	case s.Paused:
		status = container.StatePaused
	case s.Health != nil:
		status = s.Health.Status
	}
	w.mu.Lock()
	was := w.heard[i.about.ID]
	if was == container.StatePaused && !s.Paused {
		i.resumed = time.Now()
	}
	if status == container.Unhealthy && !checkedAfter(s.Health, i.resumed) {
		status = "" // a check that the pause cut short; a later one knows better
	}
	w.heard[i.about.ID] = status
	w.mu.Unlock()
	switch {
	case was == status, status == "":
	case s.Paused:
		i.tellVerdict(service.Verdict{Unable: true, Why: pausedWhy})
	default:
		i.tellHealth(s.Health)
	}
}

// checkedAfter reports whether the latest health check began after a time, if it is one.
func checkedAfter(h *container.Health, at time.Time) bool {
	return at.IsZero() || len(h.Log) > 0 && h.Log[len(h.Log)-1].Start.After(at)
}

func (w *watch) evidence(i *Instance) evidence {
	w.mu.Lock()
	defer w.mu.Unlock()
	return i.seen
}

// gone ends a run whose container was removed.
func (w *watch) gone(i *Instance) {
	e := judge(w.evidence(i), nil, time.Now())
	e.Removed = true
	w.finish(i, e)
}

// finish ends a run; only the first call for it counts.
func (w *watch) finish(i *Instance, e service.Exit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i.over() {
		return
	}
	if l := w.live[i.about.ID]; l != nil && l.life == i.life {
		delete(w.live, i.about.ID)
		delete(w.heard, i.about.ID)
	}
	i.exit = e
	close(i.ended)
}

// audit asks the engine for each living run, and learns what the events did not say.
func (w *watch) audit(ctx context.Context) error {
	for _, i := range w.living() {
		c, err := w.backend.inspect(ctx, i.about.ID)
		switch {
		case err == nil:
			w.observe(c)
		case errdefs.IsNotFound(err):
			w.gone(i)
		default:
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.lost.IsZero() {
		w.backend.log.Info("the engine's events are back", "project", w.project, "away", time.Since(w.lost).Round(time.Millisecond))
		select {
		case w.backend.back <- struct{}{}:
		default:
		}
	}
	w.lost = time.Time{}
	select {
	case <-w.whole:
	default:
		close(w.whole)
	}
	return nil
}

func (w *watch) living() []*Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*Instance, 0, len(w.live))
	for _, i := range w.live {
		all = append(all, i)
	}
	return all
}

// engineLives asks over a new connection, since an engine that is going away still
// answers on the old ones.
func (b *Backend) engineLives(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, engineDelay)
	defer cancel()
	cli, err := b.connect(ctx)
	if err != nil {
		return errors.Is(err, context.Canceled)
	}
	cli.Close()
	return true
}
