package keeper

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Listen makes a socket called name in a folder, for its owner alone. It is bound under a
// temporary name and moved to its place, where another one may lie, so that whoever finds
// it can connect. It stays when it is closed.
func Listen(folder, name string) (*net.UnixListener, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	tmp := through(dir, "."+name)
	_ = os.Remove(tmp)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen in %s: %w", folder, err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(tmp, 0o600)
	if err == nil {
		err = os.Rename(tmp, filepath.Join(folder, name))
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Connect connects to a socket in a folder. An error that is ECONNREFUSED or ENOENT says
// that nobody listens.
func Connect(ctx context.Context, folder, name string) (net.Conn, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", through(dir, name))
}

// through names a file by way of its folder's descriptor, since the path of a socket may
// have 107 bytes only.
func through(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// Allowed reports whether the other end belongs to our user or to root.
func Allowed(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cerr == nil && err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Geteuid())
}
