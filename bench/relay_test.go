package bench

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/native/relay"
)

// BenchmarkRelay is the rate at which a client sends to a server on loopback, directly and
// by way of the relay, and the time of a connection that asks and is answered.
func BenchmarkRelay(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	healtest.Accept(l, serve)
	to := netip.MustParseAddrPort(l.Addr().String())
	by := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), to.Port())
	relayTo(b, relay.Forward{Listen: by, From: netip.MustParsePrefix("127.0.0.0/8"), To: to})
	for _, way := range []struct {
		name string
		at   netip.AddrPort
	}{{"direct", to}, {"relay", by}} {
		b.Run("send/"+way.name, func(b *testing.B) {
			c := dial(b, way.at)
			chunk := make([]byte, 1<<20)
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				if _, err := c.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			finish(b, c)
		})
		b.Run("connect/"+way.name, func(b *testing.B) {
			for b.Loop() {
				finish(b, dial(b, way.at))
			}
		})
	}
}

// serve takes all that is sent, and says so when it ends.
func serve(c net.Conn) {
	_, _ = io.Copy(io.Discard, c)
	_, _ = io.WriteString(c, "ok")
}

func dial(b *testing.B, at netip.AddrPort) *net.TCPConn {
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(at))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// finish ends a connection and waits until the server has had all of it.
func finish(b *testing.B, c *net.TCPConn) {
	defer c.Close()
	_ = c.CloseWrite()
	if said, err := io.ReadAll(c); err != nil || string(said) != "ok" {
		b.Fatalf("%q, %v", said, err)
	}
}

// relayTo runs a relay with one Forward.
func relayTo(b *testing.B, f relay.Forward) {
	dir := b.TempDir()
	state := filepath.Join(dir, ".healbot")
	if err := os.Mkdir(state, 0o700); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program, "keeper", "+relay", dir)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		err := relay.Set(context.Background(), state, []relay.Forward{f})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			b.Fatal(err)
		}
	}
}
