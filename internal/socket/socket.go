// Package socket is how processes of one user speak to each other on this machine: a
// Unix socket in a folder, for its owner and root alone.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A Listener accepts callers of this user and of root, as the kernel knows them, and
// hangs up on others.
type Listener struct{ *net.UnixListener }

// Listen makes a socket called name in a folder. It is bound under a temporary name and
// moved to its place, where another one may lie, so that there is never a moment with a
// socket of the wrong mode, or none. It stays when it is closed.
func Listen(folder, name string) (Listener, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return Listener{}, err
	}
	defer dir.Close()
	fresh := filepath.Join(folder, "."+name)
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Listener{}, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: through(dir, "."+name), Net: "unix"})
	if err != nil {
		return Listener{}, fmt.Errorf("cannot listen in %s: %w", folder, err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(fresh, 0o600)
	if err == nil {
		err = os.Rename(fresh, filepath.Join(folder, name))
	}
	if err != nil {
		return Listener{}, errors.Join(err, l.Close())
	}
	return Listener{l}, nil
}

// Accept implements net.Listener.
func (l Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if peer, err := Peer(conn); err == nil && (peer.Uid == 0 || int(peer.Uid) == os.Geteuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

// Dial connects to a socket in a folder. An error that is ECONNREFUSED or ENOENT says
// that nobody listens.
func Dial(ctx context.Context, folder, name string) (*net.UnixConn, error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", through(dir, name))
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// through names a file by way of its folder's descriptor, since the path of a socket may
// have 107 bytes only.
func through(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// Peer gives the process and the user at the other end, as they were when it connected
// or began to listen.
func Peer(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return cred, errors.Join(cerr, err)
}
