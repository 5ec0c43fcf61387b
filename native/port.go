package native

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/healing-bot/healbot/service"
)

// A socket is one line of /proc/net/tcp or its like.
type socket struct {
	addr  netip.Addr
	port  int
	inode string
}

// checkPorts makes sure that nobody holds a port on which the service is to listen.
func (b *Backend) checkPorts(ports []service.Port) error {
	for _, p := range ports {
		for _, s := range listeners(p.Protocol) {
			if s.port == p.Target && overlaps(p.HostIP, s.addr) {
				return service.Outside(fmt.Errorf("port %d is held by %s", p.Target, b.holder(s.inode)))
			}
		}
	}
	return nil
}

// overlaps reports whether a service that listens on host would meet a socket on addr.
func overlaps(host string, addr netip.Addr) bool {
	own, err := netip.ParseAddr(host)
	return err != nil || own.IsUnspecified() || addr.IsUnspecified() || own == addr
}

// listeners lists the sockets of this host that wait for connections, or for
// datagrams, over protocol.
func listeners(protocol string) []socket {
	base, state := "tcp", "0A" // LISTEN
	if protocol == "udp" {
		base, state = "udp", "07" // bound
	}
	var all []socket
	for _, file := range []string{base, base + "6"} {
		b, err := os.ReadFile("/proc/net/" + file)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(b) {
			f := strings.Fields(string(line))
			if len(f) < 10 || f[3] != state {
				continue
			}
			addr, port, ok := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if ok && err == nil {
				all = append(all, socket{kernelAddr(addr), int(n), f[9]})
			}
		}
	}
	return all
}

// kernelAddr reads an address as the kernel prints it: words of four bytes in the
// machine's order.
func kernelAddr(s string) netip.Addr {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}
	}
	for i := 0; i < len(b) && littleEndian; i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1
