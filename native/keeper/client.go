package keeper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/healing-bot/healbot/internal/socket"
)

// ErrLost is the error of a request whose answer never came: the keeper is gone, and
// the request may or may not have been carried out.
var ErrLost = errors.New("the keeper is gone")

// A MuteError is that of a request that the keeper has not answered in time: it is
// stopped, or hangs. The request may be carried out yet.
type MuteError struct {
	PID  int // of the keeper; 0 if not known
	Wait time.Duration
}

func (e *MuteError) Error() string {
	return fmt.Sprintf("the keeper, pid %d, has not answered for %s: kill -CONT %[1]d wakes it if it is stopped; "+
		"after kill -9 %[1]d a new one takes over, and services live on", e.PID, e.Wait)
}

// patience is how long an answer may take that has to wait for nothing, and longest how
// long one that starts or ends processes.
const (
	patience = 10 * time.Second
	longest  = 15 * time.Second
)

// A Client speaks to one keeper. Its methods may be called from several goroutines.
type Client struct {
	conn  net.Conn
	pid   int // of the keeper; 0 if not known
	ended func(Unit)
	done  chan struct{}

	mu      sync.Mutex // guards what follows
	next    int
	waiting map[int]chan reply // nil once the connection is gone
}

// Dial connects to the keeper of the project in dir and calls ended for each
// instance that has ended, once for those that ended before. The calls come one after
// another, from a goroutine of the client's. An error that is ECONNREFUSED or ENOENT
// says that there is no keeper.
func Dial(ctx context.Context, dir string, ended func(Unit)) (*Client, error) {
	conn, err := socket.Dial(ctx, filepath.Join(dir, ".healbot"), "keeper.sock")
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, ended: ended, done: make(chan struct{}), waiting: map[int]chan reply{}}
	if peer, err := socket.Peer(conn); err == nil {
		c.pid = int(peer.Pid)
	}
	go c.read()
	r, err := c.ask(ctx, request{Verb: "hello", Version: Version})
	if err != nil {
		c.Close()
		return nil, err
	}
	for _, u := range r.Units {
		if u.Exit != nil {
			ended(u)
		}
	}
	return c, nil
}

// Launch starts a keeper for the project in dir with argv, to which dir is appended,
// and returns when it answers. It is no error if another one is there by then.
func Launch(ctx context.Context, dir string, argv []string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], dir)...)
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for _, kv := range os.Environ() {
		// A keeper that a service starts is no part of that service.
		if !strings.HasPrefix(kv, "HEALBOT_ID=") && !strings.HasPrefix(kv, "HEALBOT_LOCK_FD=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, readyEnv+"=3")
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("cannot start the keeper: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	defer stop()
	said, err := io.ReadAll(io.LimitReader(r, 4096))
	word := strings.TrimSpace(string(said))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case word == "ready" || word == errTaken.Error():
		return nil
	case word == "" || err != nil:
		return fmt.Errorf("cannot start the keeper: it ended at once; see %s", filepath.Join(dir, ".healbot", "keeper.log"))
	}
	return fmt.Errorf("cannot start the keeper: %s", word)
}

// read takes answers and news until the connection ends.
func (c *Client) read() {
	dec := json.NewDecoder(bufio.NewReader(c.conn))
	for {
		var r reply
		if dec.Decode(&r) != nil {
			break
		}
		if r.ID == 0 {
			for _, u := range r.Units {
				c.ended(u)
			}
			continue
		}
		c.mu.Lock()
		if ch := c.waiting[r.ID]; ch != nil {
			delete(c.waiting, r.ID)
			ch <- r
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	c.waiting = nil
	c.mu.Unlock()
	c.conn.Close()
	close(c.done)
}

// ask sends one request and waits for its answer.
func (c *Client) ask(ctx context.Context, q request) (reply, error) {
	answer := make(chan reply, 1)
	limit := patience
	if q.Verb == "spawn" || q.Verb == "kill" {
		limit = longest
	}
	q.Until = time.Now().Add(limit)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return reply{}, ErrLost
	}
	c.next++
	q.ID = c.next
	c.waiting[q.ID] = answer
	_ = c.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	err := json.NewEncoder(c.conn).Encode(q)
	c.mu.Unlock()
	if err != nil {
		c.conn.Close()
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case r := <-answer:
		if r.Fault != nil {
			return r, r.Fault
		}
		return r, nil
	case <-c.done:
		select {
		case r := <-answer:
			if r.Fault != nil {
				return r, r.Fault
			}
			return r, nil
		default:
			return reply{}, ErrLost
		}
	case <-late.C:
		return reply{}, &MuteError{PID: c.pid, Wait: limit}
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// Spawn starts an instance and returns once its leader runs.
func (c *Client) Spawn(ctx context.Context, s Spec) (Unit, error) {
	r, err := c.ask(ctx, request{Verb: "spawn", Spec: &s})
	if err != nil {
		return Unit{}, err
	}
	if len(r.Units) != 1 {
		return Unit{}, errors.New("the keeper did not say what it started")
	}
	return r.Units[0], nil
}

// Signal sends a signal to the process group of an instance. One that has ended is no
// error.
func (c *Client) Signal(ctx context.Context, id string, sig int) error {
	_, err := c.ask(ctx, request{Verb: "signal", Unit: id, Signal: sig})
	return err
}

// Kill ends everything of an instance and returns when that was tried; its end is
// told as any other.
func (c *Client) Kill(ctx context.Context, id string) error {
	_, err := c.ask(ctx, request{Verb: "kill", Unit: id})
	return err
}

// List gives every instance that the keeper remembers, by name.
func (c *Client) List(ctx context.Context) ([]Unit, error) {
	r, err := c.ask(ctx, request{Verb: "list"})
	return r.Units, err
}

// Forget makes the keeper forget an instance that has ended.
func (c *Client) Forget(ctx context.Context, id string) error {
	_, err := c.ask(ctx, request{Verb: "forget", Unit: id})
	return err
}

// Quit ends the keeper. It refuses with EBUSY while an instance lives.
func (c *Client) Quit(ctx context.Context) error {
	_, err := c.ask(ctx, request{Verb: "quit"})
	if err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done is closed when the connection is gone.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection and leaves the keeper and its instances as they are.
func (c *Client) Close() {
	c.conn.Close()
	<-c.done
}
