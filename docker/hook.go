package docker

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/healing-bot/healbot/internal/brief"
	"github.com/healing-bot/healbot/service"
)

// Hook runs a command in the container to its end; it fails when the command does, with
// what that said last. The engine keeps no log of it: its lines go to those who follow the
// replica's logs through this backend, as docker compose shows them. Cancelling ctx lets go
// of it.
func (i *Instance) Hook(ctx context.Context, _ string, h service.Hook) error {
	b := i.watch.backend
	return b.Hook(ctx, i.about.ID, h, func(line []byte) {
		b.relay(i.watch.project, i.about.Key, line)
	})
}

// Hook runs a command in any living container to its end. say hears each line that it
// writes; nil for nobody.
func (b *Backend) Hook(ctx context.Context, id string, h service.Hook, say func(line []byte)) error {
	said := hookOutput{say: say}
	code, err := b.Exec(ctx, id, Call{
		Argv: h.Argv, Env: h.Env, Dir: h.Dir, User: h.User, Privileged: h.Privileged,
		Out: &said, Err: &said,
	})
	said.end()
	last := said.last.String()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", h.Argv[0], err)
	case code != 0 && last != "":
		return fmt.Errorf("%s: exit code %d (%s)", h.Argv[0], code, last)
	case code != 0:
		return fmt.Errorf("%s: exit code %d", h.Argv[0], code)
	}
	return nil
}

// A hookOutput cuts what is written to it into lines.
type hookOutput struct {
	say  func([]byte)
	last brief.Last
	open []byte // what has no newline yet
}

// Write implements io.Writer; it never fails.
func (o *hookOutput) Write(p []byte) (int, error) {
	for piece := range bytes.Lines(p) {
		o.open = append(o.open, piece...)
		if bytes.HasSuffix(piece, []byte("\n")) || len(o.open) >= lineMax {
			o.end()
		}
	}
	return o.last.Write(p)
}

func (o *hookOutput) end() {
	if len(o.open) > 0 && o.say != nil {
		o.say(bytes.TrimSuffix(o.open, []byte("\n")))
	}
	o.open = o.open[:0]
}

// A follower is somebody who follows the logs of one replica.
type follower struct {
	project string
	key     service.Key

	mu   sync.Mutex              // guards what follows
	emit func(time.Time, []byte) // nil once it has left
}

func (f *follower) hear(at time.Time, line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.emit != nil {
		f.emit(at, line)
	}
}

// joined notes a follower, until leave is called.
func (b *Backend) joined(f *follower) (leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.followers = append(b.followers, f)
	return func() {
		b.mu.Lock()
		b.followers = slices.DeleteFunc(b.followers, func(other *follower) bool { return other == f })
		b.mu.Unlock()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.emit = nil
	}
}

// relay gives a line to those who follow a replica.
func (b *Backend) relay(project string, key service.Key, line []byte) {
	b.mu.Lock()
	all := slices.Clone(b.followers)
	b.mu.Unlock()
	for _, f := range all {
		if f.project == project && f.key == key {
			f.hear(time.Now(), line)
		}
	}
}
