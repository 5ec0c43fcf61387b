package keeper

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/internal/socket"
)

// A conn is one client.
type conn struct {
	net.Conn
	out chan reply // closed never; full means that the client does not read
}

// listen makes the keeper reachable.
func (k *keeper) listen() error {
	l, err := socket.Listen(k.path(), "keeper.sock")
	if err != nil {
		return err
	}
	if err := unix.Lstat(k.path("keeper.sock"), &k.socket); err != nil {
		l.Close()
		return err
	}
	k.listener = l
	go k.accept(l)
	return nil
}

func (k *keeper) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, most likely: it passes
			time.Sleep(100 * time.Millisecond)
			continue
		}
		client := &conn{c, make(chan reply, 1024)}
		k.mu.Lock()
		k.conns[client] = false
		k.mu.Unlock()
		go client.write()
		go k.serve(client)
	}
}

// write sends what is queued. It ends when the connection does.
func (c *conn) write() {
	enc := json.NewEncoder(c)
	for r := range c.out {
		_ = c.SetWriteDeadline(time.Now().Add(30 * time.Second))
		if enc.Encode(r) != nil {
			c.Close()
			return
		}
	}
}

// serve answers one client until it leaves. What it left running runs on.
func (k *keeper) serve(c *conn) {
	dec := json.NewDecoder(bufio.NewReader(c))
	for {
		var q request
		if dec.Decode(&q) != nil {
			break
		}
		if q.Verb == "kill" { // may take a while
			go k.answer(c, q)
			continue
		}
		k.answer(c, q)
	}
	k.mu.Lock()
	delete(k.conns, c)
	close(c.out)
	last := len(k.conns) == 0
	k.mu.Unlock()
	c.Close()
	if last {
		_ = k.close() // refused while something lives; how the rest ended stands in the records
	}
}

func (k *keeper) answer(c *conn, q request) {
	units, err := k.do(c, q)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.put(c, reply{ID: q.ID, PID: os.Getpid(), Units: units, Fault: faultOf(err)})
}

// put queues a reply; a client that does not read is dropped. k.mu is held.
func (k *keeper) put(c *conn, r reply) {
	if _, here := k.conns[c]; !here {
		return
	}
	select {
	case c.out <- r:
	default:
		c.Close()
	}
}

// tell tells every subscriber that u ended. k.mu is held.
func (k *keeper) tell(u Unit) {
	for c, listens := range k.conns {
		if listens {
			k.put(c, reply{Units: []Unit{u}})
		}
	}
}

// do carries out one request. Nothing is done for a client that was not understood.
func (k *keeper) do(c *conn, q request) ([]Unit, error) {
	if q.Verb != "hello" && !k.greeted(c) {
		return nil, errors.New("say hello first")
	}
	switch q.Verb {
	case "hello":
		return k.hello(c, q.Version)
	case "list":
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.list(), nil
	case "quit":
		return nil, k.close()
	case "spawn":
		if q.Spec == nil || len(q.Spec.Argv) == 0 {
			return nil, errors.New("nothing to spawn")
		}
		if !q.Until.IsZero() && time.Now().After(q.Until) {
			return nil, errors.New("it came too late to be started")
		}
		u, err := k.spawn(*q.Spec)
		return []Unit{u}, err
	}
	k.mu.Lock()
	u := k.units[q.Unit]
	ended := u != nil && u.Exit != nil
	k.mu.Unlock()
	switch {
	case u == nil:
		return nil, &Fault{Text: "no such instance", Errno: syscall.ESRCH}
	case q.Verb == "forget" && ended:
		k.forget(u)
		return nil, nil
	case q.Verb == "forget":
		return nil, &Fault{Text: u.Name + " still runs", Errno: syscall.EBUSY}
	case ended:
		return nil, nil
	case q.Verb == "signal":
		return nil, k.signal(u, unix.Signal(q.Signal))
	case q.Verb == "kill":
		return nil, k.killTree(u)
	}
	return nil, fmt.Errorf("no such verb: %q", q.Verb)
}

// hello opens a conversation: the client hears of every end from now on, and at once
// of those it may have missed.
func (k *keeper) hello(c *conn, version int) ([]Unit, error) {
	if version != Version {
		return nil, fmt.Errorf("the keeper of this project, pid %d, speaks version %d and this healbot version %d: use the healbot that started it, or run its down first", os.Getpid(), Version, version)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns[c] = true
	return k.list(), nil
}

func (k *keeper) greeted(c *conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.conns[c]
}

// list is what the keeper knows, by name. k.mu is held.
func (k *keeper) list() []Unit {
	var all []Unit
	for _, u := range k.units {
		all = append(all, u.Unit)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

func (k *keeper) forget(u *unit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.units[u.ID] == u {
		delete(k.units, u.ID)
		k.erase(u)
	}
}

// close ends the keeper, unless something lives.
func (k *keeper) close() error {
	k.forks.Lock()
	defer k.forks.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	var live []string
	for _, u := range k.units {
		if u.Exit == nil {
			live = append(live, u.Name)
		}
	}
	if len(live) > 0 {
		sort.Strings(live)
		return &Fault{Text: "still running: " + strings.Join(live, ", "), Errno: syscall.EBUSY}
	}
	if !k.closed {
		k.closed = true
		close(k.quit)
	}
	return nil
}
