package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// takeOver takes charge of what an earlier keeper has left: it reads the records,
// compares them with what runs, and goes on with output and exits.
func (k *keeper) takeOver() {
	files, _ := filepath.Glob(k.path("run", "*.json"))
	fifos := map[string]bool{}
	for _, f := range files {
		u, err := readRecord(f)
		if err != nil {
			logf("set aside %s: %v", f, err)
			_ = os.Rename(f, f+".bad")
			continue
		}
		if u.Exit == nil && !k.find(u) {
			k.erase(u)
			continue
		}
		k.mu.Lock()
		k.units[u.ID] = u
		if u.Exit == nil {
			fifos[u.FIFO], fifos[k.input(u.Name)] = true, true
			k.record(u)
			go k.watch(u)
		}
		k.mu.Unlock()
	}
	left, _ := filepath.Glob(k.path("fifo", "*"))
	for _, f := range left {
		if !fifos[f] {
			_ = os.Remove(f)
		}
	}
}

// readRecord reads one record and refuses one that is torn or alien.
func readRecord(path string) (*unit, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > 1<<20 {
		return nil, fmt.Errorf("not a record")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	u := &unit{}
	if err := json.Unmarshal(b, &u.Unit); err != nil {
		return nil, err
	}
	if plain(u.Name) != nil || plain(u.ID) != nil || u.Name+".json" != filepath.Base(path) || u.PID == 1 || u.PID < 0 {
		return nil, fmt.Errorf("not a record of ours")
	}
	u.FIFO = filepath.Join(filepath.Dir(filepath.Dir(path)), "fifo", u.Name+"."+u.ID)
	return u, nil
}

// find takes hold of the instance that a record speaks of. It reports false for a
// record that speaks of another boot, or of a start that never came about.
func (k *keeper) find(u *unit) bool {
	if u.Boot != k.boot {
		return false
	}
	if u.PID == 0 {
		leader := k.stray(u)
		if leader.pid == 0 {
			return false
		}
		u.PID, u.Ticks = leader.pid, leader.ticks
	}
	if err := u.hold(); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrNotExist) {
		logf("cannot watch process %d of %s: %v", u.PID, u.Name, err)
	}
	writer := u.PID
	if u.Terminal != nil {
		writer = u.Terminal.PID
		u.carrier, _, _ = u.Terminal.open()
	}
	in, err := openFIFO(u.FIFO, unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil { // the name is gone, but the writer still has the FIFO open
		in, err = openFIFO(fmt.Sprintf("/proc/%d/fd/1", writer), unix.O_NONBLOCK)
	}
	if err != nil && unix.Mkfifo(u.FIFO, 0o600) == nil {
		logf("cannot find the output of %s any more: %v", u.Name, err)
		in, err = openFIFO(u.FIFO, unix.O_NOFOLLOW|unix.O_NONBLOCK)
	}
	if err != nil {
		logf("cannot watch %s: %v", u.Name, err)
		return false
	}
	u.out = k.pumpFor(in, u.Log)
	return true
}

// stray finds the leader of an instance whose keeper died between making it and
// writing down its pid. Its pid is 0 if there is none. A process can't be recognized in
// the moment in which it executes a program, so it looks again while the lock is held.
func (k *keeper) stray(u *unit) (leader proc) {
	for range looks {
		for _, p := range allProcs() {
			if p.session == p.pid && p.live() && (leader.pid == 0 || p.ticks < leader.ticks) && p.marked(u.ID) {
				leader = p
			}
		}
		if leader.pid != 0 || !k.inside(u.Lock) {
			break
		}
		if lock, err := lockFile(u.Lock); err == nil {
			lock.Close()
			break
		}
	}
	return leader
}
