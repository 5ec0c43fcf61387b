package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// A HeldError says that another process supervises the project.
type HeldError struct{ PID int } // PID is 0 if the holder could not be told

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return "another healbot supervises this project"
	}
	return fmt.Sprintf("another healbot (pid %d) supervises this project", e.PID)
}

// A Lock makes its holder the supervisor of a project.
type Lock struct{ f *flock.Flock }

// Acquire takes the lock of the project whose private folder is state, without
// waiting. The error is a *HeldError if somebody else has it.
func Acquire(state string) (*Lock, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("cannot keep the project's state: %w", err)
	}
	path := filepath.Join(state, "lock")
	l := &Lock{flock.New(path, flock.SetPermissions(0o600))}
	got, err := l.f.TryLock()
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	if !got {
		return nil, &HeldError{holder(path)}
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write %s: %w", path, err), l.Release())
	}
	return l, nil
}

// Release lets others supervise the project.
func (l *Lock) Release() error { return l.f.Unlock() }

func holder(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// Await takes the lock as Acquire does, but waits until it is free or ctx ends.
func Await(ctx context.Context, state string) (*Lock, error) {
	path := filepath.Join(state, "lock")
	l := &Lock{flock.New(path, flock.SetPermissions(0o600))}
	got := make(chan error, 1)
	go func() { got <- l.f.Lock() }()
	select {
	case err := <-got:
		if err != nil {
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		return l, nil
	case <-ctx.Done():
		go func() { // flock(2) can't be told to give up
			if <-got == nil {
				l.f.Unlock()
			}
		}()
		return nil, ctx.Err()
	}
}
