package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// enterWord is the first word of a command line of ours that is no keeper's. It can't
// be a directory, since those are absolute.
const enterWord = "+enter"

// faultFD is where a process that enters says what went wrong.
const faultFD = 4

// An Entry is what a process does to itself before it becomes the service: a parent
// can't do these things to its child without a moment in which they are not done yet.
type Entry struct {
	Cgroups  []string  `json:"cgroups,omitempty"` // folders of control groups
	OOMScore *int      `json:"oom_score,omitempty"`
	Limits   []Rlimit  `json:"limits,omitempty"`
	Identity *Identity `json:"identity,omitempty"` // nil: the keeper's

	// Guest says that it is no service but a user's command beside one: its streams are
	// left as they are, and it tells the user what went wrong.
	Guest bool `json:"guest,omitempty"`
}

// An Rlimit is one resource limit, by its number in setrlimit(2).
type Rlimit struct {
	Resource   int
	Soft, Hard uint64
}

// An Identity is a user with all of its groups.
type Identity struct {
	UID, GID int
	Groups   []int
}

// Enter makes s begin by way of e. The command line main must run Main, as that of the
// keeper does.
func (s *Spec) Enter(main []string, e Entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	s.Argv = append(append(main[:len(main):len(main)], enterWord, string(text)), s.Argv...)
	s.Enters = true
	return nil
}

// enter carries out an Entry and becomes argv. It returns only if it can't.
func enter(text string, argv []string) int {
	unix.CloseOnExec(faultFD)
	var e Entry
	err := json.Unmarshal([]byte(text), &e)
	if err == nil {
		err = e.apply()
	}
	fault := &Fault{}
	if err == nil {
		err = syscall.Exec(argv[0], argv, os.Environ())
		errors.As(err, &fault.Errno)
	}
	if fault.Text = err.Error(); e.Guest {
		fmt.Fprintf(os.Stderr, "healbot: cannot run %s: %v\n", argv[0], err)
		return 127
	}
	_ = json.NewEncoder(os.NewFile(faultFD, "fault")).Encode(fault)
	return 127
}

// apply does what needs the most rights first.
func (e Entry) apply() error {
	for _, dir := range e.Cgroups {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("cannot enter its control group: %w", err)
		}
	}
	if e.OOMScore != nil {
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(*e.OOMScore)), 0); err != nil {
			return fmt.Errorf("cannot set oom_score_adj to %d: %w: only root may lower it", *e.OOMScore, errnoIn(err))
		}
	}
	for _, l := range e.Limits {
		if err := unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: l.Soft, Max: l.Hard}); err != nil {
			return fmt.Errorf("cannot set ulimits: %w: only root may raise a hard limit", err)
		}
	}
	id := e.Identity
	if id == nil {
		return nil
	}
	// So that /dev/stdout can be opened as well; others can't reach the FIFO's folder. A
	// terminal can be reached, and so is the user's alone.
	switch _, notTerminal := unix.IoctlGetTermios(1, unix.TCGETS); {
	case e.Guest:
	case notTerminal == nil:
		_ = unix.Fchown(1, id.UID, -1)
	default:
		_ = unix.Fchmod(1, 0o622)
	}
	err := syscall.Setgroups(id.Groups)
	if err == nil {
		err = syscall.Setgid(id.GID)
	}
	if err == nil {
		err = syscall.Setuid(id.UID)
	}
	if err != nil {
		return fmt.Errorf("cannot become user %d of group %d: %w", id.UID, id.GID, err)
	}
	return nil
}

func errnoIn(err error) error {
	var n syscall.Errno
	if errors.As(err, &n) {
		return n
	}
	return err
}

// entered waits until p has become the service, and reaps it if it could not.
func entered(p *os.Process, r *os.File) error {
	_ = r.SetReadDeadline(time.Now().Add(10 * time.Second))
	var f Fault
	if err := json.NewDecoder(r).Decode(&f); err == nil {
		_, _ = p.Wait()
		return &f
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		_ = p.Kill()
		_, _ = p.Wait()
		return errors.New("it did not begin within 10s")
	}
	return nil
}
