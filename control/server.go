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
	"sync"
	"time"

	"github.com/healing-bot/healbot/internal/socket"
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
	patience   = 10 * time.Second // with a caller that does not read what it asked for
)

// Serve answers callers on the socket in the private folder of the project that lock is
// of, until ctx ends. A folder that somebody removes is made anew within seconds, with
// socket and lock.
func Serve(ctx context.Context, lock *Lock, s Supervisor) (*Server, error) {
	state := lock.state()
	listener, err := socket.Listen(state, socketName)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	h := handlers{s}
	mux.HandleFunc("GET /v1/status", h.status)
	mux.HandleFunc("POST /v1/do", h.do)
	mux.HandleFunc("GET /v1/changes", h.changes)
	server := &Server{lock: lock, done: make(chan struct{}), http: &http.Server{
		Handler:           http.MaxBytesHandler(mux, maxBody),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}}
	go server.http.Serve(listener)
	server.work.Go(server.tend)
	return server, nil
}

// A Server is a socket being served.
type Server struct {
	lock *Lock
	http *http.Server
	done chan struct{} // closed by Close
	work sync.WaitGroup
}

func (s *Server) path() string { return filepath.Join(s.lock.state(), socketName) }

// tendEvery is how often it is looked whether the socket is still there. The keeper of a
// project looks as often.
const tendEvery = time.Second

// tend makes what somebody removed anew, until Close.
func (s *Server) tend() {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
		}
		if _, err := os.Lstat(s.path()); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.Mkdir(s.lock.state(), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			continue // the whole project is gone
		}
		held := new(HeldError)
		err := s.lock.lockFile()
		if ours := errors.As(err, &held) && held.PID == os.Getpid(); err != nil && !ours {
			continue
		}
		if listener, err := socket.Listen(s.lock.state(), socketName); err == nil {
			go s.http.Serve(listener)
		}
	}
}

// Close lets requests under way finish, for as long as ctx allows, and removes the
// socket.
func (s *Server) Close(ctx context.Context) error {
	close(s.done)
	s.work.Wait()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	if gone := os.Remove(s.path()); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
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
		_ = flush.SetWriteDeadline(time.Now().Add(patience))
		if out.Encode(c) != nil || flush.Flush() != nil {
			return
		}
	}
}
