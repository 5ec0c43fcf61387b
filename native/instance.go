package native

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// An Instance is one live process tree, or one whose end was not yet acted upon. It
// survives the death of its keeper.
type Instance struct{ *instance }

type instance struct {
	backend *Backend
	unit    keeper.Unit  // as it was when it was first seen
	grip    *keeper.Grip // nil for one that had ended by then

	asked   atomic.Bool // healbot sent it a signal, so its end is no riddle
	looking atomic.Bool // somebody finds out where it listens
	deaf    atomic.Bool // it listens no more

	once sync.Once
	done chan struct{} // closed once exit and err are set
	exit service.Exit
	err  error
}

// About says what the instance is; its ID is the leader's pid.
func (in *instance) About() service.Instance {
	return service.Instance{
		Key:     service.Key{Service: in.unit.Service, Replica: in.unit.Replica},
		Run:     in.unit.Run,
		ID:      strconv.Itoa(in.unit.PID),
		PID:     in.unit.PID,
		Hash:    in.unit.Hash,
		Stop:    signalName(in.unit.Stop),
		Started: in.unit.Started,
		Ended:   in.unit.Exit != nil,
	}
}

// Wait returns how the leader ended, once its whole tree is gone and its output is in
// the log.
func (in *instance) Wait(ctx context.Context) (service.Exit, error) { return in.wait(ctx) }

func (in *instance) wait(ctx context.Context) (service.Exit, error) {
	select {
	case <-in.done:
		return in.exit, in.err
	default:
	}
	select {
	case <-in.done:
		return in.exit, in.err
	case <-ctx.Done():
		return service.Exit{}, ctx.Err()
	}
}

// Signal sends a signal, such as "SIGTERM", "term" or "15", to the process group and
// wakes it if it is stopped.
func (in *instance) Signal(ctx context.Context, sig string) error {
	n, err := signalNumber(sig)
	if err != nil {
		return err
	}
	in.asked.Store(true)
	in.backend.thaw(in.unit.Name) // what is suspended acts on no signal
	return in.command(ctx, "signal", func(c *keeper.Client) error { return c.Signal(ctx, in.unit.ID, n) })
}

// Kill ends the whole tree with SIGKILL.
func (in *instance) Kill(ctx context.Context) error {
	in.asked.Store(true)
	return in.command(ctx, "kill", func(c *keeper.Client) error { return c.Kill(ctx, in.unit.ID) })
}

// Paused reports whether the processes of the instance are suspended, see Backend.Pause.
func (in *instance) Paused() bool { return in.backend.frozen(in.unit.Name) }

// Health is nil: nobody but healbot checks a native service.
func (in *instance) Health() <-chan service.Verdict { return nil }

// command has the keeper do something to the instance. When the keeper dies over it,
// its successor is asked: both commands may be given twice.
func (in *instance) command(ctx context.Context, verb string, do func(*keeper.Client) error) error {
	for try := 0; ; try++ {
		select {
		case <-in.done:
			return nil
		default:
		}
		c, err := in.backend.connect(ctx, true)
		if err == nil {
			err = do(c)
		}
		switch {
		case err == nil || errors.Is(err, syscall.ESRCH):
			return nil
		case errors.Is(err, keeper.ErrLost) && try < 3:
			continue
		}
		return fmt.Errorf("cannot %s %s (pid %d): %w", verb, in.unit.Name, in.unit.PID, err)
	}
}

// finish makes known how the instance ended. Nothing of it is left by then.
func (in *instance) finish(u keeper.Unit) {
	in.once.Do(func() {
		e := *u.Exit
		if in.grip != nil {
			in.grip.Complete(&e)
			in.grip.Close()
		}
		in.exit = service.Exit{Code: e.Code, Left: e.Left, At: e.At}
		if e.Signal != 0 {
			in.exit.Signal = signalName(e.Signal)
		}
		if !u.Stopping.IsZero() {
			in.asked.Store(true)
		}
		oom := in.backend.starved(u.Name)
		in.exit.OOM = oom > 0 && e.Signal == sigkill
		in.exit.Reason = in.reasonFor(e, oom)
		if e.Lost > 0 {
			in.exit.Reason = fmt.Sprintf("%d bytes of its output are lost: the disk refused them", e.Lost)
		}
		if !u.Job {
			in.backend.release(u.Name)
			in.deaf.Store(true)
			if in.backend.unreach(u.Name) {
				go in.backend.updateRelay()
			}
		}
		close(in.done)
	})
}

func (in *instance) abandon() {
	in.once.Do(func() {
		in.grip.Close()
		in.err = errClosed
		close(in.done)
	})
}

// signalNumber understands a signal's name, with or without SIG, and its number.
func signalNumber(sig string) (int, error) {
	if n, err := strconv.Atoi(sig); err == nil && n > 0 && n < 65 {
		return n, nil
	}
	name := strings.ToUpper(sig)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := unix.SignalNum(name); n != 0 {
		return int(n), nil
	}
	return 0, fmt.Errorf("no such signal: %q", sig)
}

func signalName(n int) string {
	if name := unix.SignalName(syscall.Signal(n)); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(n)
}
