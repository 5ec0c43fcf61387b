package relay

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// dialTime is how long a service on loopback may take to accept: it is full if it does
// not at once.
const dialTime = 5 * time.Second

// A door is one open Forward.
type door struct {
	Forward
	listener *net.TCPListener
	done     chan struct{} // closed when nobody accepts any more
}

func openDoor(f Forward) (*door, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(f.Listen))
	if err != nil {
		return nil, err
	}
	d := &door{Forward: f, listener: l, done: make(chan struct{})}
	go d.accept()
	return d, nil
}

// close stops listening, and returns when the port is free.
func (d *door) close() {
	d.listener.Close()
	<-d.done
}

func (d *door) accept() {
	defer close(d.done)
	for {
		c, err := d.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, most likely: it passes
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if peer, err := netip.ParseAddrPort(c.RemoteAddr().String()); err != nil || !d.From.Contains(peer.Addr().Unmap()) {
			reset(c)
			continue
		}
		go d.pass(c)
	}
}

// pass connects two ends and copies both ways until both directions ended.
func (d *door) pass(outer *net.TCPConn) {
	c, err := net.DialTimeout("tcp", d.To.String(), dialTime)
	if err != nil {
		reset(outer)
		return
	}
	inner, ok := c.(*net.TCPConn)
	if !ok {
		reset(outer)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { move(inner, outer) })
	both.Go(func() { move(outer, inner) })
	both.Wait()
	outer.Close()
	inner.Close()
}

// move copies one direction and passes its end on. One that breaks breaks both ends.
func move(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil || to.CloseWrite() != nil {
		reset(to)
		reset(from)
	}
}

// reset ends a connection so that the other end sees that it did not end well.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}
