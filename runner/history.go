package runner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/healing-bot/healbot/service"
)

// HistoryPath is the file that keeps what happened, a service.Change a line. What was
// before stands in the same name with .1.
func HistoryPath(dir string) string { return filepath.Join(StateDir(dir), "events.jsonl") }

// historySize is at which the history is set aside.
const historySize = 4 << 20

// History reads what happened in a project, the oldest first, across its supervisors.
// Lines that can't be read, such as one that a full disk cut off, are left out.
func History(dir string) (all []service.Change, err error) {
	for _, path := range []string{HistoryPath(dir) + ".1", HistoryPath(dir)} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var c service.Change
			if json.Unmarshal(lines.Bytes(), &c) == nil && c.Status.Name != "" {
				all = append(all, c)
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil && !errors.Is(err, bufio.ErrTooLong) {
			return nil, err
		}
	}
	return all, nil
}

// historyKept is how many steps wait at most for a disk that takes none.
const historyKept = 1000

// writeHistory appends the steps that matter later, and those that the disk refused
// before.
func (f *files) writeHistory(changes []service.Change) error {
	for _, c := range changes {
		if !f.matters(c) {
			continue
		}
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		f.untold = append(f.untold, append(line, '\n'))
	}
	if len(f.untold) == 0 {
		return nil
	}
	if err := f.appendHistory(); err != nil {
		over := max(len(f.untold)-historyKept, 0)
		f.untold = slices.Delete(f.untold, 0, over)
		f.forgotten += over
		return err
	}
	f.untold, f.forgotten = nil, 0
	return nil
}

// appendHistory writes all that waits, or nothing.
func (f *files) appendHistory() error {
	first, err := f.first()
	if err != nil {
		return err
	}
	text := slices.Concat(first, bytes.Join(f.untold[1:], nil))
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
	size, err := out.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = out.Write(text); err != nil {
			err = errors.Join(err, out.Truncate(size)) // for it is written anew
		}
	}
	return errors.Join(err, out.Close())
}

// first is the first step that waits. It says how many before it are lost.
func (f *files) first() ([]byte, error) {
	if f.forgotten == 0 {
		return f.untold[0], nil
	}
	var c service.Change
	if err := json.Unmarshal(f.untold[0], &c); err != nil {
		return nil, err
	}
	lost := fmt.Sprintf("the disk refused %d changes before this one, which are lost", f.forgotten)
	c.Note = strings.TrimPrefix(c.Note+"; "+lost, "; ")
	line, err := json.Marshal(c)
	return append(line, '\n'), err
}

// matters reports whether a step belongs into the history: a change of state, the
// beginning of an end, or what somebody did.
func (f *files) matters(c service.Change) bool {
	if c.From == "" && c.Status.State == service.Stopped && c.Note == "" {
		return false // declared, that is all
	}
	began := c.Status.Stopping && !f.stopping[c.Status.Name]
	f.stopping[c.Status.Name] = c.Status.Stopping
	return c.From != c.Status.State || c.Note != "" || c.Gone || began
}
