package native

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/healing-bot/healbot/native/relay"
	"github.com/healing-bot/healbot/service"
)

// A reach knows by which ways containers reach native services: directly, where these
// listen on every address, else through the relay.
type reach struct {
	telling sync.Mutex // held while the relay is told, and while it is taken away

	mu       sync.Mutex                  // guards what follows
	networks map[netip.Prefix]bool       // of containers: the gateway's address with the network's length
	heard    map[string][]netip.AddrPort // by replica: where it listens, of its declared ports
	changes  int                         // how often these changed
	told     int                         // of which the relay knows
	relay    *instance                   // nil: none that is known
	log      *slog.Logger
}

// SetLogger has the backend say what no caller waits for: that containers can't reach a
// port.
func (b *Backend) SetLogger(log *slog.Logger) {
	b.reach.mu.Lock()
	defer b.reach.mu.Unlock()
	b.reach.log = log
}

// Reach lets the containers of a network reach the declared TCP ports of native services
// on the network's gateway, also of those that listen on loopback alone. The prefix is the
// gateway's address with the length of the network's. It fails if that is no address of
// this host: the engine is rootless, or on another machine.
func (b *Backend) Reach(ctx context.Context, network netip.Prefix) error {
	r := &b.reach
	r.mu.Lock()
	known := r.networks[network]
	r.mu.Unlock()
	if known {
		return nil
	}
	if !local(network.Addr()) {
		return fmt.Errorf("the gateway %s of its network is no address of this host: the engine is rootless or on another machine", network.Addr())
	}
	r.mu.Lock()
	r.networks[network] = true
	r.changes++
	r.mu.Unlock()
	b.mu.Lock()
	live := slices.Collect(maps.Values(b.instances))
	b.mu.Unlock()
	for _, in := range live {
		if svc, known := b.Declared(in.unit.Service); known && !in.unit.Job {
			in.hear(tcpPorts(svc)) // so that what listens already can be reached at once
		}
		go in.listenFor()
	}
	return b.tellRelay(ctx)
}

// wanted reports whether containers may want to reach native services.
func (r *reach) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.networks) > 0
}

func local(addr netip.Addr) bool {
	all, _ := net.InterfaceAddrs()
	return addr.IsLoopback() || slices.ContainsFunc(all, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == addr
	})
}

// How often it is looked where an instance listens, until it does on all of its ports.
const (
	firstLook = 20 * time.Millisecond
	lastLook  = 5 * time.Second
)

// listenFor finds out where an instance listens, once containers may want to reach it.
// There is no event to wait for.
func (in *instance) listenFor() {
	if in.unit.Job || !in.looking.CompareAndSwap(false, true) {
		return
	}
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		svc, known := in.backend.Declared(in.unit.Service)
		ports := tcpPorts(svc)
		if known && len(ports) == 0 {
			return
		}
		found, news := in.hear(ports)
		if news {
			in.backend.updateRelay()
		}
		if known && covers(found, ports) {
			return
		}
		select {
		case <-in.done:
			return
		case <-time.After(wait):
		}
	}
}

// hear notes where an instance listens, of ports, and reports whether that is news.
func (in *instance) hear(ports []int) (found []netip.AddrPort, news bool) {
	found = in.listensOn(ports)
	return found, len(found) > 0 && in.backend.heard(in, found)
}

func covers(found []netip.AddrPort, ports []int) bool {
	for _, port := range ports {
		if !slices.ContainsFunc(found, func(a netip.AddrPort) bool { return int(a.Port()) == port }) {
			return false
		}
	}
	return true
}

func tcpPorts(svc service.Service) (ports []int) {
	for _, p := range svc.Ports {
		if p.Protocol == "tcp" {
			ports = append(ports, p.Target)
		}
	}
	return ports
}

// listensOn gives the addresses on which a process of the instance listens, of ports.
func (in *instance) listensOn(ports []int) (found []netip.AddrPort) {
	var tree []Process
	for _, s := range listeners("tcp") {
		if !slices.Contains(ports, s.port) {
			continue
		}
		if tree == nil {
			tree = Processes([]int{in.unit.PID})[in.unit.PID]
		}
		if slices.ContainsFunc(tree, func(p Process) bool { return opens(p.PID, s.inode) }) {
			found = append(found, netip.AddrPortFrom(s.addr, uint16(s.port)))
		}
	}
	return found
}

// opens reports whether a process has a socket open.
func opens(pid int, inode string) bool {
	fds, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	return slices.ContainsFunc(fds, func(fd string) bool {
		to, err := os.Readlink(fd)
		return err == nil && to == "socket:["+inode+"]"
	})
}

// heard notes where a live instance listens, and reports whether that is news.
func (b *Backend) heard(in *instance, at []netip.AddrPort) bool {
	r := &b.reach
	r.mu.Lock()
	defer r.mu.Unlock()
	if in.deaf.Load() || slices.Equal(r.heard[in.unit.Name], at) {
		return false
	}
	r.heard[in.unit.Name] = at
	r.changes++
	return true
}

// unreach forgets where a replica listens; the relay is to be told.
func (b *Backend) unreach(replica string) (news bool) {
	r := &b.reach
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.heard[replica]; there {
		delete(r.heard, replica)
		r.changes++
	}
	return r.told != r.changes
}

// table says what the relay is to do, one Forward for each address, after how many
// changes.
func (r *reach) table() ([]relay.Forward, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	table := map[netip.AddrPort]relay.Forward{}
	for network := range r.networks {
		for _, at := range r.heard {
			for _, to := range at {
				f := relay.Forward{Listen: netip.AddrPortFrom(network.Addr(), to.Port()), From: network.Masked(), To: to}
				if other, double := table[f.Listen]; double && other.To.Addr().Is4() {
					continue // it listens on ::1 as well
				}
				if to.Addr().IsLoopback() && !direct(at, to.Port(), network.Addr()) {
					table[f.Listen] = f
				}
			}
		}
	}
	return slices.Collect(maps.Values(table)), r.changes
}

// direct reports whether a port is open on the gateway without a relay.
func direct(at []netip.AddrPort, port uint16, gateway netip.Addr) bool {
	return slices.ContainsFunc(at, func(a netip.AddrPort) bool {
		return a.Port() == port && (a.Addr().IsUnspecified() || a.Addr() == gateway)
	})
}
