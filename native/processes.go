package native

import (
	"bytes"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process is one process of a tree, as people want to see it.
type Process struct {
	PID, PPID int
	User      string
	Started   time.Time
	CPUTime   time.Duration
	Memory    int64 // resident bytes
	Command   string
}

// Processes lists the process trees that the given processes lead, as Usage measures
// them, the oldest process first.
func Processes(pids []int) map[int][]Process {
	all := tasks()
	now, uptime := time.Now(), sinceBoot()
	find := finder{all: all, roots: map[int]bool{}, parents: map[int]bool{}}
	for _, pid := range pids {
		if t, there := all[pid]; there {
			find.roots[pid] = true
			find.parents[t.ppid] = t.ppid > 1
		}
	}
	trees := map[int][]Process{}
	for _, t := range all {
		root := find.root(t)
		if root == 0 {
			continue
		}
		age := uptime - time.Duration(t.start)*time.Second/ticks
		trees[root] = append(trees[root], Process{
			PID: t.pid, PPID: t.ppid, User: ownerOf(t.pid), Started: now.Add(-age),
			CPUTime: time.Duration(t.cpu) * time.Second / ticks, Memory: t.pages * int64(os.Getpagesize()),
			Command: commandOf(t.pid),
		})
	}
	for _, tree := range trees {
		slices.SortFunc(tree, func(a, b Process) int {
			if n := a.Started.Compare(b.Started); n != 0 {
				return n
			}
			return a.PID - b.PID
		})
	}
	return trees
}

// ownerOf names the user that a process runs as.
func ownerOf(pid int) string {
	info, err := os.Stat("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return "?"
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "?"
	}
	uid := strconv.Itoa(int(st.Uid))
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}

// commandOf gives the command line of a process; the name in brackets if it has none.
func commandOf(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid)
	text, _ := os.ReadFile(dir + "/cmdline")
	if words := bytes.ReplaceAll(bytes.TrimRight(text, "\x00"), []byte{0}, []byte{' '}); len(words) > 0 {
		return string(words)
	}
	name, _ := os.ReadFile(dir + "/comm")
	return "[" + strings.TrimSpace(string(name)) + "]"
}
