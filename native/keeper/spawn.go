package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A unit is one instance in the keeper's hands.
type unit struct {
	Unit              // guarded by keeper.mu once the unit is in keeper.units
	child *os.Process // nil for an instance that an earlier keeper started
	pidfd *os.File    // of the leader; nil if it was gone before this keeper came
	out   *pump

	carrier *os.File // pidfd of the process that its Terminal names; nil if that is gone

	kill bool          // guarded by keeper.mu: it gets no more time
	left map[proc]bool // guarded by keeper.mu: what outlived the leader and was killed; nil while that lives
}

// spawn starts an instance. What is needed to find it again is on disk before it
// exists.
func (k *keeper) spawn(s Spec) (Unit, error) {
	if err := errors.Join(plain(s.Name), plain(s.ID)); err != nil {
		return Unit{}, err
	}
	k.forks.Lock()
	defer k.forks.Unlock()
	if err := k.vacate(s.Name); err != nil {
		return Unit{}, err
	}
	u := &unit{Unit: Unit{Label: s.Label, Boot: k.boot, FIFO: k.path("fifo", s.Name+"."+s.ID), Started: time.Now()}}
	if err := k.launch(u, s); err != nil {
		k.scrap(u)
		return Unit{}, err
	}
	k.mu.Lock()
	k.units[u.ID] = u
	k.record(u)
	made := u.Unit
	k.mu.Unlock()
	go k.watch(u)
	return made, nil
}

// vacate makes room for a new instance of a replica: the ended one is forgotten, a
// live one is an error.
func (k *keeper) vacate(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return errors.New("the keeper is about to end: try again")
	}
	for id, u := range k.units {
		if u.Name != name {
			continue
		}
		if u.Exit == nil {
			return &Fault{Text: fmt.Sprintf("%s still runs as pid %d: stop it first", name, u.PID), Errno: syscall.EBUSY}
		}
		delete(k.units, id)
	}
	return nil
}

// launch makes the FIFO, takes the lock, writes the record and forks.
func (k *keeper) launch(u *unit, s Spec) error {
	if err := unix.Mkfifo(u.FIFO, 0o600); err != nil {
		return fmt.Errorf("cannot make %s: %w", u.FIFO, err)
	}
	in, err := openFIFO(u.FIFO, unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	u.out = k.pumpFor(in, u.Log)
	out, err := openFIFO(u.FIFO, unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer out.Close()
	lock, err := lockFile(s.Lock)
	if errors.Is(err, errTaken) {
		return &Fault{Text: fmt.Sprintf("a process of an earlier instance of %s still holds %s", s.Name, s.Lock), Errno: syscall.EBUSY}
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	in, err = k.stdin(s)
	if err != nil {
		return err
	}
	defer in.Close()
	if s.TTY {
		if in, err = k.terminal(u, in, out); err != nil {
			return err
		}
		defer in.Close()
		out = in
	}
	if err := k.record(u); err != nil {
		return err
	}
	if u.child, err = k.forkInto(u, s, []*os.File{in, out, out, lock}); err != nil {
		return err
	}
	return k.identify(u)
}

// forkInto starts the leader in its control group or, where that can't be, outside: then
// u has none.
func (k *keeper) forkInto(u *unit, s Spec, files []*os.File) (*os.Process, error) {
	if group, err := os.OpenFile(u.Group, unix.O_PATH|unix.O_DIRECTORY, 0); err == nil {
		defer group.Close()
		if p, err := k.fork(s, files, group); err == nil {
			return p, nil
		}
	}
	u.Group = ""
	return k.fork(s, files, nil)
}

// fork starts the leader in a session of its own, with the caller's umask.
func (k *keeper) fork(s Spec, files []*os.File, group *os.File) (*os.Process, error) {
	attr := &os.ProcAttr{
		Dir:   s.Dir,
		Env:   append(s.Env[:len(s.Env):len(s.Env)], "HEALBOT_ID="+s.ID, "HEALBOT_LOCK_FD=3"),
		Files: slices.Clone(files),
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: s.TTY},
	}
	if group != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(group.Fd())
	}
	if !s.Enters {
		return start(s, attr)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	attr.Files = append(attr.Files, w)
	p, err := start(s, attr)
	w.Close()
	if err == nil {
		err = entered(p, r)
	}
	return p, err
}

func start(s Spec, attr *os.ProcAttr) (*os.Process, error) {
	defer unix.Umask(unix.Umask(s.Umask))
	for wait := 5 * time.Millisecond; ; wait *= 2 {
		p, err := os.StartProcess(s.Argv[0], s.Argv, attr)
		// A program that was written a moment ago may still be open for writing in a
		// child that has not reached its exec.
		if !errors.Is(err, syscall.ETXTBSY) || wait > time.Second {
			return p, err
		}
		time.Sleep(wait)
	}
}

// identify notes what tells the new leader from any later process with its pid. The
// leader can't be reaped yet, so the pid is its own.
func (k *keeper) identify(u *unit) error {
	u.PID = u.child.Pid
	p, err := readProc(u.PID)
	if err == nil {
		u.Ticks = p.ticks
		err = u.hold()
	}
	if err != nil {
		_ = u.child.Kill()
		_, _ = u.child.Wait()
		return fmt.Errorf("cannot watch process %d: %w", u.PID, err)
	}
	score := fmt.Sprintf("/proc/%d/oom_score_adj", u.PID)
	if b, err := os.ReadFile(score); err == nil && k.score != "" && string(b) == k.score {
		_ = os.WriteFile(score, []byte("0"), 0)
	}
	return nil
}

// hold opens the leader's pidfd for the runtime's poller.
func (u *unit) hold() (err error) {
	u.pidfd, u.Inode, err = u.leader()
	return err
}

// openFIFO opens our end of a FIFO, or with other flags the service's. Opened for both
// directions, it never sees an end of file and never waits for the other side.
func openFIFO(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO || int(st.Uid) != os.Geteuid() {
		unix.Close(fd)
		return nil, fmt.Errorf("%s is not a FIFO of ours: remove it", path)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// record writes down what is known of u, replacing the earlier record.
func (k *keeper) record(u *unit) error {
	b, err := json.Marshal(u.Unit)
	if err == nil {
		tmp := k.path("run", "."+u.Name)
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, k.path("run", u.Name+".json"))
		}
	}
	if err != nil {
		err = fmt.Errorf("cannot write the record of %s: %w", u.Name, err)
		logf("%v", err)
	}
	return err
}

// scrap takes back what a start that failed has made.
func (k *keeper) scrap(u *unit) {
	u.carried()
	if u.out != nil {
		u.out.drain()
		k.release(u)
	}
	k.erase(u)
}

// erase removes the files of an instance that is gone.
func (k *keeper) erase(u *unit) {
	_ = os.Remove(u.FIFO)
	_ = os.Remove(k.input(u.Name))
	_ = os.Remove(k.path("run", u.Name+".json"))
}

// inside reports whether the lock is one of this project's own.
func (k *keeper) inside(lock string) bool { return filepath.Dir(lock) == k.path("locks") }
