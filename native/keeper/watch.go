package keeper

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watch follows one instance to its end: the leader ends, then everything that it
// started, then its last output is moved; then the exit is told. A leader that is our
// child stays a zombie till then, so that nobody else gets its pid.
func (k *keeper) watch(u *unit) {
	u.leaderEnd(unix.POLLIN, time.Time{})
	k.mu.Lock()
	if !u.kill {
		u.left = map[proc]bool{}
	}
	k.mu.Unlock()
	k.clear(u)
	u.carried()
	exit := Exit{Code: -1, Lost: u.out.drain()}
	u.settle(&exit)
	exit.At = time.Now()
	k.release(u)
	if u.pidfd != nil {
		u.pidfd.Close()
	}
	_ = os.Remove(u.FIFO)
	_ = os.Remove(k.input(u.Name))
	k.mu.Lock()
	exit.Left = len(u.left)
	u.Exit, u.child = &exit, nil
	k.record(u)
	k.tell(u.Unit)
	k.mu.Unlock()
}

func (u *unit) leaderEnd(event int16, deadline time.Time) {
	if u.pidfd != nil {
		awaitEvent(u.pidfd, event, deadline)
	}
}

// awaitEvent waits in the runtime's poller until a pidfd shows event: POLLIN for ended,
// POLLHUP for reaped. A zero deadline waits for ever.
func awaitEvent(pidfd *os.File, event int16, deadline time.Time) {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return
	}
	_ = pidfd.SetReadDeadline(deadline)
	_ = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return err != nil && err != unix.EINTR || n == 1 && p[0].Revents&event != 0
	})
}

// settle finds out how the leader ended and lets go of its pid.
func (u *unit) settle(e *Exit) {
	if u.child != nil {
		if st, err := u.child.Wait(); err == nil {
			e.set(unix.WaitStatus(st.Sys().(syscall.WaitStatus)))
		}
	} else if u.pidfd != nil {
		u.leaderEnd(unix.POLLHUP, time.Now().Add(3*time.Second))
		_ = status(u.pidfd, e)
	}
}

// status asks the kernel how a process ended that is not our child. It knows once the
// process was reaped by its parent, if it is Linux 6.15 or later.
func status(pidfd *os.File, e *Exit) error {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	cerr := raw.Control(func(fd uintptr) {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.PIDFD_GET_INFO, uintptr(unsafe.Pointer(&info)))
		if errno != 0 {
			err = errno
		} else if info.Mask&unix.PIDFD_INFO_EXIT == 0 {
			err = unix.ENODATA
		}
	})
	if err = errors.Join(cerr, err); err == nil {
		e.set(unix.WaitStatus(info.Exit_code))
	}
	return err
}

func (e *Exit) set(ws unix.WaitStatus) {
	if ws.Signaled() {
		e.Signal, e.Core = int(ws.Signal()), ws.CoreDump()
	} else {
		e.Code = ws.ExitStatus()
	}
}

// signal sends sig to the instance's process group, and wakes it if it is stopped.
func (k *keeper) signal(u *unit, sig unix.Signal) error {
	k.mu.Lock()
	if int(sig) == u.Stop || sig == unix.SIGTERM {
		u.Stopping = time.Now()
		k.record(u)
	}
	k.mu.Unlock()
	for _, s := range []unix.Signal{sig, unix.SIGCONT} {
		if err := u.toGroup(s); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		if sig == unix.SIGSTOP || sig == unix.SIGTSTP {
			break
		}
	}
	return nil
}

// toGroup signals the group through the leader's pidfd where the kernel can do that
// (6.9). Else by number, which is safe as long as the leader has not been reaped.
func (u *unit) toGroup(sig unix.Signal) error {
	if u.pidfd == nil {
		return nil
	}
	raw, err := u.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	_ = raw.Control(func(fd uintptr) {
		err = unix.PidfdSendSignal(int(fd), sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	})
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	if errors.Is(err, unix.EINVAL) {
		if p, gone := readProc(u.PID); gone == nil && p.ticks == u.Ticks && u.PID > 1 {
			err = unix.Kill(-u.PID, sig)
		}
	}
	return err
}
