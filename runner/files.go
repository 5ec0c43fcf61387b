package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/healing-bot/healbot/service"
)

// StateDir is the private folder of a project: locks, socket, journal and history.
func StateDir(dir string) string { return filepath.Join(dir, ".healbot") }

// StatusPath is the file that other programs read a project's state from.
func StatusPath(dir string) string { return filepath.Join(dir, ".service_status.json") }

// files writes the board to disk. After a change it writes at once, and then not
// again for writePause, so that ten changes cost as much as one.
type files struct {
	dir       string        // of the project, where it was last
	now       func() string // where it is now
	log       *slog.Logger
	clock     func() clock
	pids      map[string]int     // pid files there are
	stopping  map[string]bool    // replicas that were being ended when the history was written last
	untold    [][]byte           // lines of the history that are not written yet
	forgotten int                // how many the disk refused for so long that they are lost
	hurry     chan chan struct{} // asks follow to write now, and to close what it is sent
}

// writePause is how long the files are at most behind the board.
const writePause = 100 * time.Millisecond

func openFiles(dir string, c Config) (*files, error) {
	for _, d := range []string{StateDir(dir), filepath.Join(dir, ".pids")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("cannot keep the project's state: %w", err)
		}
	}
	f := &files{dir: dir, now: c.Dir, log: c.Log, clock: c.clock, pids: map[string]int{}, stopping: map[string]bool{}, hurry: make(chan chan struct{})}
	// A supervisor that was killed while it wrote has left what was not renamed yet.
	for _, path := range []string{StatusPath(dir), f.journalPath(), filepath.Join(dir, ".pids", "*.pid")} {
		torn, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"?*"))
		for _, t := range torn {
			_ = os.Remove(t)
		}
	}
	stale, _ := filepath.Glob(filepath.Join(dir, ".pids", "*.pid"))
	for _, path := range stale {
		f.pids[filepath.Base(path)] = 0
	}
	return f, nil
}

// retryPause is how long after a write that failed the next one is tried.
const retryPause = time.Second

// follow writes until ctx ends. Errors do not stop it: a full disk must not stop
// the healing. It tries again until the files are true, and says so the first time.
func (f *files) follow(ctx context.Context, b *board) {
	var retry <-chan time.Time // nil while the files are true
	write := func() {
		err := f.write(b, false)
		if err != nil && retry == nil {
			f.log.Warn("cannot write the project's state", "error", err)
		}
		if retry = nil; err != nil {
			retry = time.After(retryPause)
		}
	}
	wake := b.wake // nil during a pause
	var pause <-chan time.Time
	for {
		select {
		case <-wake:
			write()
			wake, pause = nil, time.After(writePause)
		case <-retry:
			write()
		case <-pause:
			wake, pause = b.wake, nil
		case done := <-f.hurry:
			write()
			close(done)
		case <-ctx.Done():
			return
		}
	}
}

// flush returns when the files show what the board shows now, or ctx ends.
func (f *files) flush(ctx context.Context) {
	done := make(chan struct{})
	select {
	case f.hurry <- done:
		<-done
	case <-ctx.Done():
	}
}

func (f *files) write(b *board, clean bool) error {
	f.dir = f.now()
	entries, changes := b.take()
	return errors.Join(
		f.writeHistory(changes),
		f.writeJournal(entries, clean),
		f.writePids(entries),
		f.writeStatus(entries),
	)
}

func (f *files) writeStatus(entries []entry) error {
	var buf bytes.Buffer
	now := time.Now()
	buf.WriteString("{")
	for i, e := range entries {
		if i > 0 {
			buf.WriteString(",")
		}
		name, _ := json.Marshal(e.status.Name)
		status, err := json.Marshal(e.says(now))
		if err != nil {
			return err
		}
		fmt.Fprintf(&buf, "\n  %s: %s", name, status)
	}
	buf.WriteString("\n}\n")
	return replace(StatusPath(f.dir), buf.Bytes(), 0o644)
}

func replace(path string, data []byte, mode fs.FileMode) error {
	return renameio.WriteFile(path, data, mode, renameio.IgnoreUmask(), renameio.WithTempDir(filepath.Dir(path)))
}

func (f *files) writePids(entries []entry) (failed error) {
	live := map[string]int{}
	for _, e := range entries {
		if e.status.Kind == service.Native && e.status.PID > 0 {
			live[e.status.Name+".pid"] = e.status.PID
		}
	}
	for name, pid := range live {
		if f.pids[name] != pid {
			if err := replace(filepath.Join(f.dir, ".pids", name), []byte(strconv.Itoa(pid)+"\n"), 0o644); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			f.pids[name] = pid
		}
	}
	for name := range f.pids {
		if live[name] == 0 {
			failed = errors.Join(failed, gone(os.Remove(filepath.Join(f.dir, ".pids", name))))
			delete(f.pids, name)
		}
	}
	return failed
}

// gone takes the error of removing something that was not there for success.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// finish writes the last state of a project at rest.
func (f *files) finish(b *board) error { return f.write(b, true) }

// remove takes away all files but the history, the times of the lines in the logs, and
// the lock, which the supervisor still holds.
func (f *files) remove(b *board) error {
	f.dir = f.now()
	_, changes := b.take()
	failed := errors.Join(
		f.writeHistory(changes),
		f.writePids(nil),
		gone(os.Remove(filepath.Join(f.dir, ".pids"))),
		gone(os.Remove(StatusPath(f.dir))),
	)
	for _, path := range leftovers(f.dir) {
		failed = errors.Join(failed, os.RemoveAll(path))
	}
	return failed
}

// Left reports whether anything of a project is left for a `down` to take away.
func Left(dir string) bool { return len(leftovers(dir)) > 0 }

func leftovers(dir string) (paths []string) {
	entries, _ := os.ReadDir(StateDir(dir))
	for _, e := range entries {
		if e.Name() != "lock" && !strings.HasPrefix(e.Name(), filepath.Base(HistoryPath(dir))) {
			paths = append(paths, filepath.Join(StateDir(dir), e.Name()))
		}
	}
	return paths
}
