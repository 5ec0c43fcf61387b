package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/internal/brief"
	"github.com/healing-bot/healbot/service"
)

// An Instance is one run of a container: the same container started again is another.
// One whose container docker compose made is only followed: to end it is to let go of it.
type Instance struct {
	about service.Instance
	from  time.Time // what the container wrote before it is another run's
	*life
}

// A life is the run itself, shared by all who hold an Instance of it.
type life struct {
	watch    *watch
	verdicts chan service.Verdict // nil: no health check of the engine
	ended    chan struct{}        // closed once exit is set
	exit     service.Exit
	hard     bool          // the engine's stop command begins with SIGKILL
	theirs   bool          // docker compose made the container
	paused   atomic.Bool   // all its processes are suspended
	pauses   chan struct{} // a token in it: paused has changed

	seen    evidence  // guarded by watch.mu
	resumed time.Time // guarded by watch.mu: when it was last let go on after a pause
}

// newInstance makes the instance that an inspected container is now.
func newInstance(w *watch, c container.InspectResponse, run int) *Instance {
	l := &life{
		watch: w, ended: make(chan struct{}), hard: signalName(c.Config.StopSignal) == "SIGKILL",
		theirs: theirs(c.Config.Labels),
		seen:   evidence{asked: make(map[string]int)},
		pauses: make(chan struct{}, 1),
	}
	l.paused.Store(c.State.Paused)
	if c.State.Health != nil && c.State.Health.Status != container.NoHealthcheck {
		l.verdicts = make(chan service.Verdict, 1)
	}
	from := startedAt(c)
	if c.State.Running {
		// An engine may have got lines of a run before it noted that the run began.
		from = engineTime(c.State.FinishedAt)
	}
	return &Instance{
		from: from,
		about: service.Instance{
			Key:     keyOf(c.Config.Labels),
			Run:     run,
			ID:      c.ID,
			PID:     c.State.Pid,
			Address: addressOf(c),
			Stop:    c.Config.StopSignal,
			Hash:    c.Config.Labels[labelHash],
			Started: startedAt(c),
			Ended:   !c.State.Running,
		},
		life: l,
	}
}

// addressOf gives the address of a container on one of its networks.
func addressOf(c container.InspectResponse) string {
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		if at := c.NetworkSettings.Networks[name]; at.IPAddress != "" {
			return at.IPAddress
		}
	}
	return ""
}

// About says what the instance is. Its ID is the container's full id; its Run is 0 if
// it was adopted.
func (i *Instance) About() service.Instance { return i.about }

// Wait returns how the instance ended, once it did. It may be called again and answers
// the same. Cancelling ctx gives up waiting; a closed backend is an error.
func (i *Instance) Wait(ctx context.Context) (service.Exit, error) {
	select {
	case <-i.ended:
		return i.exit, nil
	default:
	}
	select {
	case <-i.ended:
		return i.exit, nil
	case <-ctx.Done():
		return service.Exit{}, ctx.Err()
	case <-i.watch.backend.done:
		return service.Exit{}, errClosed
	}
}

// Signal sends sig, a name such as "SIGTERM", to the container's first process. An instance
// that has ended is no error, and a later run of its container is not touched. A container
// that docker compose made runs on, and only the instance ends.
func (i *Instance) Signal(ctx context.Context, sig string) error {
	if i.over() {
		return nil
	}
	if i.theirs {
		i.watch.finish(i, service.Exit{Code: -1, Kept: true, At: time.Now()})
		return nil
	}
	i.watch.expect(i, sig, 1)
	err := tell(ctx, i.watch.backend, callTime, func(ctx context.Context, cli *client.Client) error {
		return cli.ContainerKill(ctx, i.about.ID, sig)
	})
	if err == nil {
		return nil
	}
	i.watch.expect(i, sig, -1)
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) || errdefs.IsNotModified(err) || i.over() {
		return nil
	}
	if isOutside(err) || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("cannot send %s to %s: %s", sig, i.about.Key, plain(err))
}

// Kill ends the container with SIGKILL, and with it everything in it.
func (i *Instance) Kill(ctx context.Context) error { return i.Signal(ctx, "SIGKILL") }

// Health gives the verdicts of the engine's health check, the present one first; nil
// if the container has none. Only the latest verdict waits for a slow receiver. The
// channel is never closed: listen until Wait returns.
func (i *Instance) Health() <-chan service.Verdict {
	if i.verdicts == nil {
		return nil
	}
	return i.verdicts
}

// Paused reports whether the container's processes are suspended: it then answers no
// health check, and can still be stopped.
func (i *Instance) Paused() bool { return i.paused.Load() }

// Pauses gives something whenever Paused has changed. The channel is never closed.
func (i *Instance) Pauses() <-chan struct{} { return i.pauses }

func (i *Instance) over() bool {
	select {
	case <-i.ended:
		return true
	default:
		return false
	}
}

// tellHealth passes a verdict on; only the goroutine of the watch, or the one that just
// made the instance, calls it.
func (i *Instance) tellHealth(h *container.Health) {
	if v, ok := verdict(h); ok {
		i.tellVerdict(v)
	}
}

func (i *Instance) tellVerdict(v service.Verdict) {
	if i.verdicts == nil {
		return
	}
	for {
		select {
		case i.verdicts <- v:
			return
		default:
		}
		select {
		case <-i.verdicts:
		default:
		}
	}
}

// verdict reads what the engine's health check found last; ok is false as long as it
// has not decided.
func verdict(h *container.Health) (v service.Verdict, ok bool) {
	if h == nil || (h.Status != container.Healthy && h.Status != container.Unhealthy) {
		return v, false
	}
	v.Healthy = h.Status == container.Healthy
	if len(h.Log) == 0 {
		return v, true
	}
	last := h.Log[len(h.Log)-1]
	if !v.Healthy && strings.Contains(last.Output, "OCI runtime exec failed") {
		v.Unable = true
	}
	var said brief.Last
	_, _ = said.Write([]byte(last.Output))
	if v.Why = said.String(); v.Why == "" && !v.Healthy {
		v.Why = fmt.Sprintf("health check exited with code %d", last.ExitCode)
	}
	return v, true
}

func startedAt(c container.InspectResponse) time.Time { return engineTime(c.State.StartedAt) }

// engineTime reads a time of the engine; zero if it never was.
func engineTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t
}
