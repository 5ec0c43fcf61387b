package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/service"
)

// A Supervisor is what a command speaks to: the one in its own process, or the
// Client of another.
type Supervisor interface {
	// Status returns what is known of each replica, in the order of their names.
	Status(ctx context.Context) ([]service.Status, error)
	// Do carries out a command and returns when it is done. Cancelling ctx gives up
	// waiting, not the command.
	Do(ctx context.Context, c service.Command) (service.Report, error)
	// Changes returns what happens from now on, until ctx ends or the supervisor does.
	Changes(ctx context.Context) (<-chan service.Change, error)
}

const (
	socketName = "control.sock"
	maxBody    = 1 << 20
)

// Serve answers callers on the socket in the private folder state until ctx ends.
// The caller holds the project's Lock.
func Serve(ctx context.Context, state string, s Supervisor) (*Server, error) {
	listener, err := listen(state)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", filepath.Join(state, socketName), err)
	}
	mux := http.NewServeMux()
	h := handlers{s}
	mux.HandleFunc("GET /v1/status", h.status)
	mux.HandleFunc("POST /v1/do", h.do)
	mux.HandleFunc("GET /v1/changes", h.changes)
	server := &Server{path: filepath.Join(state, socketName), http: &http.Server{
		Handler:           http.MaxBytesHandler(mux, maxBody),
		ReadHeaderTimeout: 5 * time.Second,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}}
	go server.http.Serve(ownersOnly{listener})
	return server, nil
}

// A Server is a socket being served.
type Server struct {
	path string
	http *http.Server
}

// Close lets requests under way finish, for as long as ctx allows, and removes the
// socket.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	return errors.Join(err, gone(os.Remove(s.path)))
}

func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// listen binds under a name of its own and moves the socket into place, so that
// there is never a moment with a socket of the wrong mode, or none. The address goes
// through the folder's descriptor: a socket's path may have 107 bytes at most.
func listen(state string) (net.Listener, error) {
	dir, err := os.Open(state)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fresh := filepath.Join(state, socketName+".new")
	if err := gone(os.Remove(fresh)); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s.new", dir.Fd(), socketName))
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, filepath.Join(state, socketName))); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// ownersOnly accepts callers of this user and of root, as the kernel knows them.
type ownersOnly struct{ net.Listener }

func (o ownersOnly) Accept() (net.Conn, error) {
	for {
		conn, err := o.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(conn); err == nil && (uid == 0 || uid == os.Getuid()) {
			return conn, nil
		}
		conn.Close()
	}
}

func peer(conn net.Conn) (uid int, err error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	ctrl := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = int(cred.Uid)
		}
	})
	return uid, errors.Join(ctrl, err)
}

type handlers struct{ Supervisor }

// An answer is the body of every reply but the stream of changes.
type answer struct {
	Error    string           `json:"error,omitempty"`
	Statuses []service.Status `json:"statuses,omitempty"`
	Report   service.Report   `json:"report"`
}

func reply(w http.ResponseWriter, a answer, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		a.Error = err.Error()
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	json.NewEncoder(w).Encode(a)
}

func (h handlers) status(w http.ResponseWriter, req *http.Request) {
	all, err := h.Status(req.Context())
	reply(w, answer{Statuses: all}, err)
}

func (h handlers) do(w http.ResponseWriter, req *http.Request) {
	var c service.Command
	if err := json.NewDecoder(req.Body).Decode(&c); err != nil {
		reply(w, answer{}, fmt.Errorf("cannot read the command: %w", err))
		return
	}
	report, err := h.Do(req.Context(), c)
	reply(w, answer{Report: report}, err)
}

func (h handlers) changes(w http.ResponseWriter, req *http.Request) {
	changes, err := h.Changes(req.Context())
	if err != nil {
		reply(w, answer{}, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	flush.Flush()
	out := json.NewEncoder(w)
	for c := range changes {
		if out.Encode(c) != nil || flush.Flush() != nil {
			return
		}
	}
}
