package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/internal/socket"
)

// Main is the relay of the project in dir. It runs until it is killed, and returns the
// exit code of its process if it can't.
func Main(dir string) int {
	debug.SetMemoryLimit(128 << 20)
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE)
	l, err := socket.Listen(filepath.Join(dir, ".healbot"), socketName)
	if err != nil {
		log.Print(err)
		return 1
	}
	open := map[Forward]*door{}
	for {
		c, err := l.Accept()
		if err != nil { // out of descriptors, most likely: it passes
			time.Sleep(100 * time.Millisecond)
			continue
		}
		answer(c, open)
	}
}

// answer takes one table. A client that does not speak is not waited for.
func answer(c net.Conn, open map[Forward]*door) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	var q request
	if json.NewDecoder(c).Decode(&q) != nil {
		return
	}
	var r reply
	if q.Version == Version {
		r.Faults = apply(q.Table, open)
	} else {
		r.Faults = []string{fmt.Sprintf("the relay speaks version %d and this healbot version %d: run healbot down first", Version, q.Version)}
	}
	_ = json.NewEncoder(c).Encode(r)
}

// apply closes what is no longer wanted, and then opens what is new.
func apply(table []Forward, open map[Forward]*door) (faults []string) {
	wanted := map[Forward]bool{}
	for _, f := range table {
		wanted[f] = true
	}
	for f, d := range open {
		if !wanted[f] {
			d.close()
			delete(open, f)
		}
	}
	for f := range wanted {
		if open[f] != nil {
			continue
		}
		d, err := openDoor(f)
		if err != nil {
			faults = append(faults, explain(f, err))
			continue
		}
		open[f] = d
	}
	return faults
}

func explain(f Forward, err error) string {
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Sprintf("containers can't reach port %d: the gateway %s of their network is no address of this host; is the engine rootless or on another machine?", f.Listen.Port(), f.Listen.Addr())
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Sprintf("containers can't reach port %d: another process holds %s", f.Listen.Port(), f.Listen)
	}
	return fmt.Sprintf("containers can't reach port %d: %v", f.Listen.Port(), err)
}
