package keeper

import (
	"os"

	"golang.org/x/sys/unix"
)

// A Grip is what a supervisor keeps of an instance in case that the keeper dies and
// the instance ends before there is a new one: the instance's last output stays in
// its FIFO, and its exit code can be asked for.
type Grip struct{ fifo, pidfd *os.File }

// Hold takes a grip of a live instance. What it can't get it goes without.
func Hold(u Unit) *Grip {
	g := &Grip{}
	g.fifo, _ = openFIFO(u.FIFO, unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if u.Boot == bootID() {
		g.pidfd, _, _ = u.leader()
	}
	return g
}

// Complete fills in how the leader ended, if e does not say it and the kernel knows.
func (g *Grip) Complete(e *Exit) {
	if e.Code == -1 && e.Signal == 0 && g.pidfd != nil {
		_ = status(g.pidfd, e)
	}
}

// Close lets go.
func (g *Grip) Close() {
	for _, f := range []*os.File{g.fifo, g.pidfd} {
		if f != nil {
			f.Close()
		}
	}
}
