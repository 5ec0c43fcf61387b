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

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// StateDir is the private folder of a project: locks, socket, journal and history.
func StateDir(dir string) string { return filepath.Join(dir, ".healbot") }

// StatusPath is the file that other programs read a project's state from.
func StatusPath(dir string) string { return filepath.Join(dir, ".service_status.json") }

// HistoryPath is the file that keeps what happened, a service.Change a line.
func HistoryPath(dir string) string { return filepath.Join(StateDir(dir), "events.jsonl") }

// files writes the board to disk. After a change it writes at once, and then not
// again for writePause, so that ten changes cost as much as one.
type files struct {
	dir  string
	log  *slog.Logger
	pids map[string]int // pid files there are
}

const (
	writePause  = 100 * time.Millisecond
	historySize = 4 << 20 // at which the history is set aside as events.jsonl.1
	journalMax  = 16 << 20
)

func openFiles(dir string, log *slog.Logger) (*files, error) {
	for _, d := range []string{StateDir(dir), filepath.Join(dir, ".pids")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("cannot keep the project's state: %w", err)
		}
	}
	f := &files{dir: dir, log: log, pids: map[string]int{}}
	stale, _ := filepath.Glob(filepath.Join(dir, ".pids", "*.pid"))
	for _, path := range stale {
		f.pids[filepath.Base(path)] = 0
	}
	return f, nil
}

// follow writes until ctx ends. Errors do not stop it: a full disk must not stop
// the healing, and the next change tries again.
func (f *files) follow(ctx context.Context, b *board) {
	for {
		select {
		case <-b.wake:
			if err := f.write(b, false); err != nil {
				f.log.Warn("cannot write the project's state", "error", err)
			}
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(writePause):
		case <-ctx.Done():
			return
		}
	}
}

func (f *files) write(b *board, clean bool) error {
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
			err := replace(filepath.Join(f.dir, ".pids", name), []byte(strconv.Itoa(pid)+"\n"), 0o644)
			failed = errors.Join(failed, err)
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

// writeHistory appends the steps that matter later: changes of state, and new
// instances.
func (f *files) writeHistory(changes []service.Change) error {
	var buf bytes.Buffer
	for _, c := range changes {
		if c.From == c.Status.State && !c.Gone {
			continue
		}
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		buf.Write(append(line, '\n'))
	}
	if buf.Len() == 0 {
		return nil
	}
	path := HistoryPath(f.dir)
	if info, err := os.Stat(path); err == nil && info.Size() > historySize {
		if err := os.Rename(path, path+".1"); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(buf.Bytes())
	return errors.Join(err, out.Close())
}

// A journal is what the next supervisor needs to go on.
type journal struct {
	Schema int              `json:"schema"`
	Clean  bool             `json:"clean"` // the supervisor ended by itself, everything at rest
	Units  map[string]saved `json:"units"`
}

type saved struct {
	State policy.State `json:"state"`
	Seq   int          `json:"seq"`
	Hash  string       `json:"hash"`
}

// journalSchema is raised when an older healbot could misread the journal.
const journalSchema = 1

func (f *files) journalPath() string { return filepath.Join(StateDir(f.dir), "state.json") }

func (f *files) writeJournal(entries []entry, clean bool) error {
	j := journal{Schema: journalSchema, Clean: clean, Units: map[string]saved{}}
	for _, e := range entries {
		j.Units[e.status.Name] = saved{e.state, e.status.Seq, e.hash}
	}
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return replace(f.journalPath(), data, 0o600)
}

// readJournal reads what the last supervisor left. A journal that can't be read is
// set aside, and said so: the backends still find what lives.
func (f *files) readJournal() (j journal, warning string, err error) {
	path := f.journalPath()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return journal{Clean: true}, "", nil
	}
	var data []byte
	if err == nil && info.Size() > journalMax {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err == nil {
		err = json.Unmarshal(data, &j)
	}
	if err == nil && j.Schema > journalSchema {
		return journal{}, "", fmt.Errorf("%s was written by a newer healbot (schema %d, this one knows %d): use that one, or bring the project down with it first", path, j.Schema, journalSchema)
	}
	if err != nil {
		aside := path + ".damaged"
		if e := os.Rename(path, aside); e != nil {
			return journal{}, "", e
		}
		return journal{}, fmt.Sprintf("the journal of the last supervisor can't be used (%v); it is kept as %s, restart counts begin anew", err, aside), nil
	}
	return j, "", nil
}

// finish writes the last state of a project at rest.
func (f *files) finish(b *board) error { return f.write(b, true) }

// remove takes away all files but the history, and the lock, which the supervisor
// still holds.
func (f *files) remove(b *board) error {
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
