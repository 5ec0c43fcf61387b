package runner

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// An entry is what the board knows of one unit.
type entry struct {
	status service.Status
	state  policy.State
	policy policy.Policy
	hash   string // of the latest instance's configuration
	down   service.State
	live   *service.Instance
}

// says is the status as it reads at now: its reason counts down.
func (e entry) says(now time.Time) service.Status {
	s := e.status
	s.Reason = e.state.Says(e.policy, now)
	if s.Paused && !s.Stopping {
		s.Reason = "paused; healbot unpause lets it go on"
	}
	return s
}

// entry describes the unit as it is now. refusals counts how often its backend could
// not say what runs.
func (u *unit) entry(refusals int) entry {
	s := u.state
	status := service.Status{
		State: service.State(s.Status), Name: u.key.String(), Service: u.svc.Name, Kind: u.svc.Kind,
		Health: s.Health.String(), Ports: u.svc.Ports,
		Restarts: s.Streak, RestartsTotal: s.Total, MaxRestarts: u.policy.MaxAttempts,
		Since: s.Since, Title: u.svc.Title, LogPath: u.svc.LogPath(u.key.Replica), Quiet: u.svc.Quiet, Seq: u.seq,
		Held:     max(s.Tries, refusals),
		Stopping: ending(s),
		Paused:   u.paused,
		Orphan:   u.orphan,
	}
	if status.State == "" {
		status.State = service.Stopped
	}
	if s.Phase == policy.Backoff || s.Phase == policy.Resting && !s.Due.IsZero() {
		status.NextRestartAt = &s.Due
	}
	if u.live != nil {
		status.PID, status.ID, status.StartedAt = u.live.PID, u.live.ID, &u.live.Started
	}
	if u.exit != nil {
		status.ExitCode = &u.exit.Code
	}
	if u.svc.Process != nil {
		status.Command = strings.Join(u.svc.Process.Argv, " ")
	}
	if u.svc.Image != nil {
		status.Image = u.svc.Image.Config.Image
		status.Command = strings.Join(u.svc.Image.Config.Command, " ")
	}
	return entry{status, s, u.policy, u.svc.Hash, u.down, u.live}
}

// A board shows the latest state of each unit to whoever asks, and each change to
// whoever subscribed.
type board struct {
	wake chan struct{} // holds one token when something changed since it was taken

	mu      sync.Mutex // guards what follows
	entries map[string]entry
	fresh   []service.Change // not yet taken by take
	readers map[chan service.Change]struct{}
	closed  bool
}

func newBoard() *board {
	return &board{
		wake:    make(chan struct{}, 1),
		entries: map[string]entry{},
		readers: map[chan service.Change]struct{}{},
	}
}

func (b *board) set(e entry, from service.State, note string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries[e.status.Name] = e
	now := time.Now()
	b.tell(service.Change{At: now, From: from, Status: e.says(now), Note: note})
}

func (b *board) drop(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[name]
	delete(b.entries, name)
	b.tell(service.Change{At: time.Now(), From: e.status.State, Status: e.status, Gone: true})
}

// tell hands a change on. A reader that does not keep up is let go: it can ask
// again, while the loop can't wait.
func (b *board) tell(c service.Change) {
	b.fresh = append(b.fresh, c)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	for ch := range b.readers {
		select {
		case ch <- c:
		default:
			select {
			case <-ch: // makes room, unless the reader was quicker
			default:
			}
			ch <- service.Change{At: c.At, Missed: true}
			b.leave(ch)
		}
	}
}

// take returns all entries, by name, and the changes since the last call.
func (b *board) take() ([]entry, []service.Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]entry, 0, len(b.entries))
	for _, e := range b.entries {
		all = append(all, e)
	}
	slices.SortFunc(all, func(x, y entry) int { return strings.Compare(x.status.Name, y.status.Name) })
	changes := b.fresh
	b.fresh = nil
	return all, changes
}

func (b *board) statuses() []service.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	all := make([]service.Status, 0, len(b.entries))
	for _, e := range b.entries {
		all = append(all, e.says(now))
	}
	slices.SortFunc(all, func(x, y service.Status) int { return strings.Compare(x.Name, y.Name) })
	return all
}

// backlog is how many changes a reader may fall behind.
const backlog = 1024

func (b *board) subscribe(ctx context.Context) <-chan service.Change {
	ch := make(chan service.Change, backlog)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		close(ch)
		return ch
	}
	b.readers[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.leave(ch)
	})
	return ch
}

func (b *board) leave(ch chan service.Change) {
	if _, there := b.readers[ch]; there {
		delete(b.readers, ch)
		close(ch)
	}
}

func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for ch := range b.readers {
		b.leave(ch)
	}
}
