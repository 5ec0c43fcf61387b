package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/runner/policy"
	"github.com/healing-bot/healbot/service"
)

// journalMax bounds what is believed to be a journal.
const journalMax = 16 << 20

// A journal is what the next supervisor needs to go on.
type journal struct {
	Schema int              `json:"schema"`
	Clean  bool             `json:"clean"` // the supervisor ended by itself, everything at rest
	Clock  clock            `json:"clock"` // when it was written
	Units  map[string]saved `json:"units"`
}

type saved struct {
	Kind  service.Kind      `json:"kind"`
	State policy.State      `json:"state"`
	Seq   int               `json:"seq"`
	Hash  string            `json:"hash"`
	Down  service.State     `json:"down,omitempty"`
	Live  *service.Instance `json:"live,omitempty"`
}

// journalSchema is raised when an older healbot could misread the journal.
const journalSchema = 1

func (f *files) journalPath() string { return filepath.Join(StateDir(f.dir), "state.json") }

func (f *files) writeJournal(entries []entry, clean bool) error {
	now := f.clock()
	j := journal{Schema: journalSchema, Clean: clean, Clock: now, Units: map[string]saved{}}
	for _, e := range entries {
		// Times are written as the wall clock has them now, whatever it was set to since.
		state := moved(e.state, func(t time.Time) time.Time { return now.Wall.Round(0).Add(t.Sub(now.Wall)) })
		j.Units[e.status.Name] = saved{e.status.Kind, state, e.status.Seq, e.hash, e.down, e.live}
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
	j.adjust(f.clock())
	return j, "", nil
}

// A clock is one look at both clocks of a machine: the one that people set, and the one
// that only ever runs, which begins anew with each boot.
type clock struct {
	Wall   time.Time     `json:"wall"`
	Boot   string        `json:"boot,omitempty"` // "" if the machine can't tell
	Uptime time.Duration `json:"uptime,omitempty"`
}

// machineClock looks at this machine's clocks.
func machineClock() clock {
	c := clock{Wall: time.Now()}
	var ts unix.Timespec
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil && unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) == nil {
		c.Boot, c.Uptime = strings.TrimSpace(string(id)), time.Duration(ts.Nano())
	}
	return c
}

// adjust moves the journal's times by what the wall clock was set on or back since they
// were written, so that no back-off and no window is longer or shorter for it. After a
// boot that can't be known.
func (j *journal) adjust(now clock) {
	if j.Clock.Boot == "" || j.Clock.Boot != now.Boot {
		return
	}
	set := now.Wall.Sub(j.Clock.Wall) - (now.Uptime - j.Clock.Uptime)
	if set.Abs() < time.Second {
		return // the two looks were not at one moment
	}
	for name, s := range j.Units {
		s.State = moved(s.State, func(t time.Time) time.Time { return t.Add(set) })
		j.Units[name] = s
	}
}

// moved gives s with all its times changed.
func moved(s policy.State, move func(time.Time) time.Time) policy.State {
	for _, t := range []*time.Time{&s.Since, &s.Born, &s.Well, &s.Probe, &s.Due} {
		if !t.IsZero() {
			*t = move(*t)
		}
	}
	return s
}
