package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/internal/home"
)

// A HeldError says that another process supervises the project.
type HeldError struct{ PID int } // PID is 0 if the holder could not be told

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return "another healbot supervises this project"
	}
	return fmt.Sprintf("another healbot (pid %d) supervises this project", e.PID)
}

// A Lock makes its holder the supervisor of a project. It is a lock on a file, which says
// who holds it, and one on the project's directory: somebody may remove the file.
type Lock struct {
	folder string   // the private one, where it was when the lock was taken
	dir    *os.File // nil where directories can't be locked

	mu sync.Mutex // guards what follows
	f  *flock.Flock
}

// Acquire takes the lock of the project whose private folder is state, without
// waiting. The error is a *HeldError if somebody else has it.
func Acquire(state string) (*Lock, error) {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("cannot keep the project's state: %w", err)
	}
	l := &Lock{folder: state}
	var err error
	if l.dir, err = lockDirectory(filepath.Dir(state)); err != nil {
		return nil, err
	}
	if err := l.lockFile(); err != nil {
		return nil, errors.Join(err, l.Release())
	}
	return l, nil
}

// lockFile takes the lock on the file, which is made if it is not there.
func (l *Lock) lockFile() error {
	path := filepath.Join(l.state(), "lock")
	f := flock.New(path, flock.SetPermissions(0o600))
	got, err := f.TryLock()
	if err != nil {
		return fmt.Errorf("cannot lock %s: %w", path, err)
	}
	if !got {
		return &HeldError{holder(path)}
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: %w", path, err), f.Unlock())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil { // a file that is gone
		_ = l.f.Unlock()
	}
	l.f = f
	return nil
}

// lockDirectory locks a directory; nil if its file system can't do that.
func lockDirectory(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the project's directory: %w", err)
	}
	switch err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case err == nil:
		return dir, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		dir.Close()
		return nil, &HeldError{holder(filepath.Join(path, ".healbot", "lock"))}
	}
	dir.Close()
	return nil, nil
}

// Dir says where the project's directory is now: somebody may rename it, and even put
// another one in its place.
func (l *Lock) Dir() string { return home.Of(filepath.Dir(l.folder), l.dir).Path() }

// state is the project's private folder.
func (l *Lock) state() string { return filepath.Join(l.Dir(), filepath.Base(l.folder)) }

// Release lets others supervise the project.
func (l *Lock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.f != nil {
		err = l.f.Unlock()
	}
	if l.dir != nil {
		err = errors.Join(err, l.dir.Close())
		l.dir = nil
	}
	return err
}

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
	l := &Lock{folder: state, f: flock.New(path, flock.SetPermissions(0o600))}
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
