package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket may lie deep, is its owner's alone, and takes the place of one that nobody
// listens on any more.
func TestPlace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), dir, "s"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a socket: %v", err)
	}
	for range 2 {
		l, err := Listen(dir, "s")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(filepath.Join(dir, "s")); err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("the socket is %v, %v", info, err)
		}
		c, err := Dial(t.Context(), dir, "s")
		if err != nil {
			t.Fatal(err)
		}
		if peer, err := Peer(c); err != nil || int(peer.Pid) != os.Getpid() || int(peer.Uid) != os.Geteuid() {
			t.Errorf("the other end is %+v, %v", peer, err)
		}
		if err := errors.Join(c.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if _, err := Dial(t.Context(), dir, "s"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

// Another user is hung up on, also where the modes of files let him come; who comes
// after him is heard.
func TestStranger(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can act as somebody else")
	}
	dir := t.TempDir()
	l, err := Listen(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "s"), 0o666)); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	told := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if _, _, no := syscall.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); no != 0 {
			told <- no
			return
		}
		c, err := net.Dial("unix", filepath.Join(dir, "s"))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		told <- err
	}()
	if err := <-told; !errors.Is(err, io.EOF) {
		t.Errorf("a stranger was told: %v", err)
	}
	mine, err := Dial(t.Context(), dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	c := <-accepted
	defer c.Close()
	if peer, err := Peer(c.(*net.UnixConn)); err != nil || peer.Uid != 0 {
		t.Errorf("accepted %+v, %v", peer, err)
	}
}
