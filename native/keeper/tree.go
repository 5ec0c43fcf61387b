package keeper

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// members lists the live processes of an instance: those of its control group, those
// of the leader's session, those that carry its HEALBOT_ID, and every descendant of one
// of them. So a child that made a session of its own, or lost its parent, is found too,
// also where there are no control groups.
func (k *keeper) members(u *unit) []proc {
	all := allProcs()
	in := map[int]bool{}
	ours := true // the session number is still the leader's
	for _, p := range all {
		if p.pid == u.PID && !u.led(p) {
			ours = false
		}
	}
	self := os.Getpid()
	group := u.grouped()
	for _, p := range all {
		if p.pid <= 1 || p.pid == self || p.ticks < u.Ticks {
			continue
		}
		in[p.pid] = group[p.pid] || ours && u.PID > 1 && (p.pid == u.PID || p.session == u.PID) || p.live() && p.marked(u.ID)
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if in[p.ppid] && !in[p.pid] && p.pid != self && p.ticks >= u.Ticks {
				in[p.pid], grown = true, true
			}
		}
	}
	var live []proc
	for _, p := range all {
		if in[p.pid] && p.live() {
			live = append(live, p)
		}
	}
	if len(live) == 0 {
		live = k.lockHolders(u, all)
	}
	return live
}

// lockHolders lists the processes that still hold the lock of an instance of which
// nothing else is found: those that left its session and dropped its environment, and
// those that fork and end faster than a walk over all processes. As long as the lock is
// held there are some, so it looks again.
func (k *keeper) lockHolders(u *unit, all []proc) []proc {
	if u.Job || !k.inside(u.Lock) {
		return nil
	}
	for range looks {
		live, held := holdersOf(u, all)
		if !held || len(live) > 0 {
			return live
		}
		all = allProcs()
	}
	return nil
}

// looks is how often a process is looked for that must be there.
const looks = 100

// holdersOf lists the processes that hold the lock of an instance, and says whether any
// does.
func holdersOf(u *unit, all []proc) (live []proc, held bool) {
	f, err := lockFile(u.Lock)
	if err == nil {
		f.Close()
		return nil, false
	}
	var st unix.Stat_t
	if !errors.Is(err, errTaken) || unix.Lstat(u.Lock, &st) != nil {
		return nil, false
	}
	for _, p := range all {
		if p.pid > 1 && p.pid != os.Getpid() && p.live() && p.ticks >= u.Ticks && p.holds(st) {
			live = append(live, p)
		}
	}
	return live, true
}

// clear returns when nothing of an instance lives whose leader has ended. If the
// instance was asked to stop, the rest has as long to end as the whole would have had.
func (k *keeper) clear(u *unit) {
	for {
		live := k.members(u)
		if len(live) == 0 {
			return
		}
		wait := k.patience(u)
		if wait <= 0 {
			k.slay(u, live)
			wait = time.Second
		}
		await(live, min(wait, time.Second))
	}
}

// patience says how much longer the rest of an instance may take to end.
func (k *keeper) patience(u *unit) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if u.kill || u.Stopping.IsZero() {
		return 0
	}
	return time.Until(u.Stopping.Add(u.Grace))
}

// slay kills processes of an instance. A control group dies at once, whatever it forks;
// others are stopped first, so that they can't fork away from under it. Those that
// outlived their leader are counted, each once.
func (k *keeper) slay(u *unit, procs []proc) {
	k.mu.Lock()
	for _, p := range procs {
		if u.left != nil {
			u.left[proc{pid: p.pid, ticks: p.ticks}] = true
		}
	}
	k.mu.Unlock()
	u.killGroup()
	send(procs, unix.SIGSTOP)
	send(procs, unix.SIGKILL)
}

// killTree kills everything of an instance, again and again until nothing is found.
func (k *keeper) killTree(u *unit) error {
	k.mu.Lock()
	u.kill = true
	k.mu.Unlock()
	var live []proc
	for range 5 {
		if live = k.members(u); len(live) == 0 {
			return nil
		}
		k.slay(u, live)
		await(live, time.Second)
	}
	if live = k.members(u); len(live) == 0 {
		return nil
	}
	return fmt.Errorf("process %d does not end (state %c): the kernel holds it, most often for a disk or a network that does not answer", live[0].pid, live[0].state)
}
