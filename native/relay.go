package native

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/native/relay"
)

// relayWord makes the command line of a keeper that of a relay.
const relayWord = "+relay"

// Main is the program of the processes that a Backend starts beside services: its keeper
// and its relay. It returns the exit code.
func Main(args ...string) int {
	if args[0] == relayWord && len(args) == 2 {
		return relay.Main(args[1])
	}
	return keeper.Main(args...)
}

// updateRelay is tellRelay where nobody waits for the answer.
func (b *Backend) updateRelay() {
	err := b.tellRelay(context.Background())
	b.reach.mu.Lock()
	defer b.reach.mu.Unlock()
	if err != nil && !errors.Is(err, errClosed) && b.reach.log != nil {
		b.reach.log.Warn("containers can't reach native services", "why", err)
	}
}

// What the relay may take to answer, and to come up.
const (
	answerTime = 2 * time.Second
	relayTime  = 10 * time.Second
)

// tellRelay gives the relay its table, and starts one if there is none and one is needed.
func (b *Backend) tellRelay(ctx context.Context) error {
	r := &b.reach
	r.telling.Lock()
	defer r.telling.Unlock()
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	for {
		table, changes := r.table()
		err := b.setRelay(ctx, table)
		switch {
		case err == nil, absent(err) && len(table) == 0:
			r.mu.Lock()
			r.told = changes
			r.mu.Unlock()
			return nil
		case absent(err):
			err = b.startRelay(ctx)
		case errors.Is(err, relay.ErrSilent):
			err = b.endRelay(ctx)
		default:
			return err
		}
		if err == nil {
			err = sleep(ctx, 10*time.Millisecond, nil)
		}
		if err != nil {
			return fmt.Errorf("the relay does not come up: %w; see %s", err, filepath.Join(b.state(), "relay.log"))
		}
	}
}

// setRelay gives the relay its table, and takes hold of one that an earlier supervisor
// started.
func (b *Backend) setRelay(ctx context.Context, table []relay.Forward) error {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := relay.Set(limited, b.state(), table)
	if !absent(err) {
		b.findRelay(ctx)
	}
	return err
}

// endRelay kills a relay that does not answer.
func (b *Backend) endRelay(ctx context.Context) error {
	b.reach.mu.Lock()
	in := b.reach.relay
	b.reach.mu.Unlock()
	if in == nil {
		return errors.New("it does not answer")
	}
	if err := in.Kill(ctx); err != nil {
		return err
	}
	_, err := in.wait(ctx)
	return err
}

// startRelay starts the relay as a child of the keeper, unless one is about to come up.
func (b *Backend) startRelay(ctx context.Context) error {
	u, err := b.spawn(ctx, keeper.Spec{
		Label: keeper.Label{
			ID: newID(), Name: relayWord, Service: relayWord, Job: true,
			Log:  keeper.Log{Path: filepath.Join(b.state(), "relay.log"), MaxSize: 1 << 20, MaxFiles: 1},
			Lock: filepath.Join(b.state(), "locks", relayWord),
			Stop: int(syscall.SIGTERM),
		},
		Argv:  append(slices.Clone(b.argv), relayWord, b.dir),
		Dir:   b.dir,
		Umask: 0o077,
	})
	if errors.Is(err, syscall.EBUSY) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot start the relay: %w", err)
	}
	b.keepRelay(b.hold(u))
	return nil
}

// closeRelay ends a relay that nobody needs.
func (b *Backend) closeRelay() {
	b.mu.Lock()
	for _, in := range b.instances {
		if !in.unit.Job {
			b.mu.Unlock()
			return
		}
	}
	b.mu.Unlock()
	b.reach.telling.Lock()
	defer b.reach.telling.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	_ = b.endRelay(ctx)
}

// findRelay takes hold of the relay, if that was not done yet.
func (b *Backend) findRelay(ctx context.Context) {
	b.reach.mu.Lock()
	held := b.reach.relay != nil
	b.reach.mu.Unlock()
	if held {
		return
	}
	client, err := b.connect(ctx, false)
	if err != nil {
		return
	}
	units, _ := client.List(ctx)
	for _, u := range units {
		if u.Name == relayWord && u.Exit == nil {
			b.keepRelay(b.hold(u))
		}
	}
}

// keepRelay has a relay that ended replaced, if one is needed.
func (b *Backend) keepRelay(in *instance) {
	r := &b.reach
	r.mu.Lock()
	r.relay = in
	r.mu.Unlock()
	go func() {
		_, err := in.wait(context.Background())
		r.mu.Lock()
		if r.relay == in {
			r.relay = nil
			r.changes++
		}
		r.mu.Unlock()
		if err == nil {
			b.updateRelay()
		}
	}()
}
