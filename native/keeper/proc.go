package keeper

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A proc is one process as /proc/PID/stat shows it. PID and ticks together name a
// process for the whole of one boot.
type proc struct {
	pid, ppid, session int
	state              byte
	ticks              uint64
}

// live reports whether the process can still do anything.
func (p proc) live() bool { return p.state != 'Z' && p.state != 'X' }

// readProc reads the state of one process. The command, which may hold anything,
// ends at the last parenthesis.
func readProc(pid int) (proc, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return proc{}, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 {
		return proc{}, errors.New("cannot read the state of a process: /proc/PID/stat is cut short")
	}
	p := proc{pid: pid, state: f[0][0]}
	p.ppid, _ = strconv.Atoi(f[1])
	p.session, _ = strconv.Atoi(f[3])
	p.ticks, err = strconv.ParseUint(f[19], 10, 64)
	return p, err
}

// allProcs lists the processes of this machine.
func allProcs() []proc {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var all []proc
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			if p, err := readProc(pid); err == nil {
				all = append(all, p)
			}
		}
	}
	return all
}

// marked reports whether the process was started with HEALBOT_ID=id, or inherited it.
func (p proc) marked(id string) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/environ")
	want := []byte("HEALBOT_ID=" + id)
	return err == nil && (bytes.HasPrefix(b, append(want, 0)) || bytes.Contains(b, append(append([]byte{0}, want...), 0)))
}

// holds reports whether the process has the file open.
func (p proc) holds(file unix.Stat_t) bool {
	fds, _ := filepath.Glob("/proc/" + strconv.Itoa(p.pid) + "/fd/*")
	for _, fd := range fds {
		var st unix.Stat_t
		if unix.Stat(fd, &st) == nil && st.Ino == file.Ino && st.Dev == file.Dev {
			return true
		}
	}
	return false
}

// open gives a pidfd of exactly this process: a stranger that got its pid since is
// an error. The descriptor does not block and belongs to the caller.
func (p proc) open() (int, error) {
	if p.pid <= 1 {
		return -1, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return -1, err
	}
	now, err := readProc(p.pid)
	if err == nil && now.ticks != p.ticks {
		err = unix.ESRCH
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// open opens a pidfd of just this process and gives its inode. A stranger that got the
// same pid, even within the same tick, is an error.
func (p Process) open() (*os.File, uint64, error) {
	fd, err := proc{pid: p.PID, ticks: p.Ticks}.open()
	if err != nil {
		return nil, p.Inode, err
	}
	inode := inodeOf(fd)
	if p.Inode != 0 && inode != 0 && inode != p.Inode {
		unix.Close(fd)
		return nil, p.Inode, unix.ESRCH
	}
	return os.NewFile(uintptr(fd), "pidfd"), inode, nil
}

// leader opens a pidfd of u's leader and gives its inode.
func (u *Unit) leader() (*os.File, uint64, error) {
	return Process{u.PID, u.Ticks, u.Inode}.open()
}

// led reports whether p is u's leader, which may have ended, unless it was reaped.
func (u *Unit) led(p proc) bool {
	if p.pid != u.PID || p.ticks != u.Ticks {
		return false
	}
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return true // nothing says otherwise
	}
	defer unix.Close(fd)
	inode := inodeOf(fd)
	return u.Inode == 0 || inode == 0 || inode == u.Inode
}

// inodeOf gives the inode of a pidfd, which is a process's own from Linux 6.9 on and the
// same for all before; 0 if it can't be read.
func inodeOf(pidfd int) uint64 {
	var st unix.Stat_t
	if unix.Fstat(pidfd, &st) != nil {
		return 0
	}
	return st.Ino
}

// send signals each process that is still the one it was. A process that is gone is
// no error.
func send(procs []proc, sig unix.Signal) {
	for _, p := range procs {
		if fd, err := p.open(); err == nil {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0)
			unix.Close(fd)
		}
	}
}

// await returns when all of procs have ended, or after max.
func await(procs []proc, max time.Duration) {
	var fds []unix.PollFd
	for _, p := range procs {
		if fd, err := p.open(); err == nil {
			defer unix.Close(fd)
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	end := time.Now().Add(max)
	for len(fds) > 0 {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		if _, err := unix.Poll(fds, int(left/time.Millisecond)+1); err != nil && err != unix.EINTR {
			return
		}
		rest := fds[:0]
		for _, f := range fds {
			if f.Revents == 0 {
				rest = append(rest, f)
			}
		}
		fds = rest
	}
}

// bootID names the time since this machine was started.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
