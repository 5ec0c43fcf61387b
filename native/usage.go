package native

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Figures is what a process tree uses of this machine.
type Figures struct {
	CPU       float64       // percent of one processor, on average since the tree began, as ps(1) has it
	CPUTime   time.Duration // processor time used so far, that of ended children included
	Memory    int64         // resident bytes; a page that two of its processes share counts twice
	Threads   int
	Files     int // open descriptors; those of other users are not seen
	Processes int
}

// A task is one process as Usage sees it.
type task struct {
	pid, ppid, session int
	threads            int
	cpu, start         uint64 // in clock ticks; start counts from the boot
	pages              int64
}

const (
	ticks   = 100 // a second, in /proc, on every architecture that Go has
	deepest = 64  // generations that are looked up
)

// Usage measures the process trees that the given processes lead: the sessions they
// lead, their descendants, and what was handed to the keeper when its parent ended. A
// container is measured through its first process on this host. It reads /proc once,
// and leaves out what is no longer there. A rate over a short time is the difference
// of two CPUTimes.
func Usage(pids []int) map[int]Figures {
	sum := make(map[int]Figures, len(pids))
	all := tasks()
	now := sinceBoot()
	find := finder{all: all, roots: map[int]bool{}, parents: map[int]bool{}}
	for _, pid := range pids {
		if t, there := all[pid]; there {
			find.roots[pid] = true
			find.parents[t.ppid] = t.ppid > 1
		}
	}
	page := int64(os.Getpagesize())
	for _, t := range all {
		root := find.root(t)
		if root == 0 {
			continue
		}
		f := sum[root]
		f.CPUTime += time.Duration(t.cpu) * time.Second / ticks
		f.Memory += t.pages * page
		f.Threads += t.threads
		f.Files += openFiles(t.pid)
		f.Processes++
		sum[root] = f
	}
	for pid, f := range sum {
		if age := now - time.Duration(all[pid].start)*time.Second/ticks; age > 0 {
			f.CPU = 100 * float64(f.CPUTime) / float64(age)
		}
		sum[pid] = f
	}
	return sum
}

// A finder tells whose tree a process belongs to.
type finder struct {
	all     map[int]task
	roots   map[int]bool
	parents map[int]bool   // of roots: a keeper among them has orphans as well
	marks   map[string]int // root by HEALBOT_ID; made when first needed
}

// root gives the leader of the tree that t belongs to; 0 if it is in none.
func (f *finder) root(t task) int {
	for range deepest {
		switch {
		case f.roots[t.pid]:
			return t.pid
		case f.roots[t.session]:
			return t.session
		case f.parents[t.ppid]:
			return f.marked(t.pid)
		}
		parent, there := f.all[t.ppid]
		if !there {
			return 0
		}
		t = parent
	}
	return 0
}

// marked gives the leader whose mark a process carries; 0 if there is none.
func (f *finder) marked(pid int) int {
	if f.marks == nil {
		f.marks = map[string]int{}
		for root := range f.roots {
			f.marks[idOf(root)] = root
		}
		delete(f.marks, "")
	}
	return f.marks[idOf(pid)]
}

// idOf gives the HEALBOT_ID that a process was started with.
func idOf(pid int) string {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		if id, ok := bytes.CutPrefix(kv, []byte("HEALBOT_ID=")); ok {
			return string(id)
		}
	}
	return ""
}

// tasks reads every process of this machine. A buffer is used for all of them: this
// is what makes it quick.
func tasks() map[int]task {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	all := make(map[int]task, len(names))
	buf := make([]byte, 1024)
	for _, n := range names {
		if n[0] < '0' || n[0] > '9' {
			continue
		}
		if t, ok := readTask(n, buf); ok {
			all[t.pid] = t
		}
	}
	return all
}

func readTask(name string, buf []byte) (t task, ok bool) {
	fd, err := unix.Open("/proc/"+name+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return t, false
	}
	n, err := unix.Read(fd, buf)
	unix.Close(fd)
	if err != nil {
		return t, false
	}
	t.pid, _ = strconv.Atoi(name)
	// The command, which may hold anything, ends at the last parenthesis; state follows
	// as field 3.
	rest := buf[bytes.LastIndexByte(buf[:n], ')')+1 : n]
	field := 2
	for len(rest) > 0 && field < 24 {
		rest = bytes.TrimLeft(rest, " ")
		end := bytes.IndexByte(rest, ' ')
		if end < 0 {
			end = len(rest)
		}
		field++
		t.set(field, decimal(rest[:end]))
		rest = rest[end:]
	}
	return t, field == 24
}

// set takes a field of /proc/PID/stat, by its number in proc(5).
func (t *task) set(field int, v int64) {
	switch field {
	case 4:
		t.ppid = int(v)
	case 6:
		t.session = int(v)
	case 14, 15, 16, 17: // in user and kernel mode, of itself and of reaped children
		t.cpu += uint64(v)
	case 20:
		t.threads = int(v)
	case 22:
		t.start = uint64(v)
	case 24:
		t.pages = v
	}
}

func decimal(b []byte) (n int64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// openFiles counts the descriptors of a process. Since Linux 6.2 that is the size of
// its folder.
func openFiles(pid int) int {
	path := "/proc/" + strconv.Itoa(pid) + "/fd"
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Size > 0 {
		return int(st.Size)
	}
	entries, _ := os.ReadDir(path)
	return len(entries)
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}
