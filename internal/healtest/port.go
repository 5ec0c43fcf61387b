package healtest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
)

// Ports that a kernel hands out to whoever asks for any begin above those.
const firstPort, ports = 20000, 12000

var latestPort atomic.Uint32

func init() { latestPort.Store(rand.Uint32()) }

// Port gives a TCP port that nobody listens on, for a service to listen on later. No
// connection of another test gets it meanwhile, and no other call here.
func Port(t testing.TB) int {
	t.Helper()
	for range ports {
		port := firstPort + int(latestPort.Add(1)%ports)
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("there is no free port")
	return 0
}
