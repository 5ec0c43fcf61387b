package keeper

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminalWord is the first word of the command line of a carrier; see enterWord.
const terminalWord = "+terminal"

// hangUp is how long a carrier may take to end once its instance is gone.
const hangUp = 5 * time.Second

// A Process is named by what no other one of the same boot shares with it.
type Process struct {
	PID   int    `json:"pid"`
	Ticks uint64 `json:"ticks"`           // when it started, in clock ticks since the boot
	Inode uint64 `json:"inode,omitempty"` // of its pidfd; 0 if not known
}

// openTerminal gives both ends of a new terminal. It passes on what is written to it as
// it is: no carriage return before a newline, and no echo of what is typed.
func openTerminal() (master, slave *os.File, err error) {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a terminal: %w", err)
	}
	master = os.NewFile(uintptr(m), "terminal")
	err = unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0)
	if err == nil {
		fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(m), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno == 0 {
			slave = os.NewFile(fd, "terminal")
			err = setTerminal(int(fd))
		} else {
			err = errno
		}
	}
	if err != nil {
		master.Close()
		slave.Close()
		return nil, nil, fmt.Errorf("cannot make a terminal: %w", err)
	}
	return master, slave, nil
}

func setTerminal(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Oflag &^= unix.ONLCR
	t.Lflag &^= unix.ECHO
	return errors.Join(unix.IoctlSetTermios(fd, unix.TCSETS, t),
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
}

// terminal gives u a terminal. Its other end is in the hands of a carrier, a small process
// that belongs neither to the instance nor to this keeper's life: it carries what is
// written there to out, and what comes from in to whoever reads there, until nobody has
// the terminal open any more.
func (k *keeper) terminal(u *unit, in, out *os.File) (slave *os.File, err error) {
	master, slave, err := openTerminal()
	if err != nil {
		return nil, err
	}
	defer master.Close()
	argv := append(os.Args[:len(os.Args)-1:len(os.Args)-1], terminalWord)
	p, err := os.StartProcess("/proc/self/exe", argv, &os.ProcAttr{
		Dir: "/", Files: []*os.File{in, out, os.Stderr, master}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		slave.Close()
		return nil, fmt.Errorf("cannot carry what is written to a terminal: %w", err)
	}
	now, err := readProc(p.Pid)
	if err == nil {
		u.Terminal = &Process{PID: p.Pid, Ticks: now.ticks}
		u.carrier, u.Terminal.Inode, err = u.Terminal.open()
	}
	if err != nil { // it ends as the terminal does
		u.Terminal = nil
		slave.Close()
		return nil, fmt.Errorf("cannot watch process %d: %w", p.Pid, err)
	}
	_ = p.Release() // it is reaped as any orphan
	return slave, nil
}

// carried waits until all that was written to the terminal of an instance that is gone is
// in its FIFO. Strangers that were handed the terminal are not waited for.
func (u *unit) carried() {
	if u.carrier == nil {
		return
	}
	awaitEvent(u.carrier, unix.POLLIN, time.Now().Add(hangUp))
	if raw, err := u.carrier.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	}
	awaitEvent(u.carrier, unix.POLLIN, time.Now().Add(hangUp))
	u.carrier.Close()
}

// carry is the carrier: descriptor 3 is the terminal's other end.
func carry() int {
	const master = 3
	go func() {
		buf := make([]byte, 4<<10)
		for {
			n, err := unix.Read(0, buf)
			if n <= 0 && !errors.Is(err, unix.EINTR) {
				return
			}
			writeAll(master, buf[:max(n, 0)])
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(master, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EIO), err == nil && n == 0:
			return 0 // nobody has the terminal open
		case err != nil:
			logf("cannot carry what is written to a terminal: %v", err)
			return 1
		default:
			writeAll(1, buf[:n])
		}
	}
}

// writeAll writes to a descriptor that blocks, and gives up only if it is no use.
func writeAll(fd int, b []byte) {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		b = b[max(n, 0):]
	}
}

// input is the FIFO of an instance that is to read what others write.
func (k *keeper) input(name string) string { return k.path("fifo", name+".in") }

// stdin opens what an instance, or the carrier of its terminal, reads from: nothing, or a
// FIFO that it holds open for writing too, so that it never ends.
func (k *keeper) stdin(s Spec) (*os.File, error) {
	if !s.Stdin {
		return os.OpenFile(os.DevNull, os.O_RDWR, 0)
	}
	path := k.input(s.Name)
	_ = os.Remove(path)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("cannot make %s: %w", path, err)
	}
	return openFIFO(path, unix.O_NOFOLLOW)
}
