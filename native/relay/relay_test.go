package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/healing-bot/healbot/internal/healtest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "relay" {
		os.Exit(Main(os.Args[2]))
	}
	os.Exit(m.Run())
}

// run starts a relay and gives its .healbot.
func run(t testing.TB) (state string, pid int) {
	t.Helper()
	dir := t.TempDir()
	state = filepath.Join(dir, ".healbot")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(os.Args[0], "relay", dir)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if said.Len() > 0 {
			t.Errorf("the relay said: %s", said.String())
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		err := Set(within(t), state, nil)
		if err == nil {
			return state, cmd.Process.Pid
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// listen makes a service on loopback that treats each connection with handle.
func listen(t testing.TB, handle func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	healtest.Accept(l, func(c net.Conn) { handle(c.(*net.TCPConn)) })
	return netip.MustParseAddrPort(l.Addr().String())
}

// forward is a Forward from another loopback address to a service.
func forward(to netip.AddrPort) Forward {
	return Forward{
		Listen: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), to.Port()),
		From:   netip.MustParsePrefix("127.0.0.0/8"), To: to,
	}
}

func dial(t testing.TB, f Forward) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(f.Listen))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	return c
}

func set(t testing.TB, state string, table ...Forward) {
	t.Helper()
	if err := Set(within(t), state, table); err != nil {
		t.Fatal(err)
	}
}

// The service answers when its peer has finished, and only then.
func TestHalfClose(t *testing.T) {
	state, _ := run(t)
	f := forward(listen(t, func(c *net.TCPConn) {
		got, _ := io.ReadAll(c)
		fmt.Fprintf(c, "got %d bytes", len(got))
	}))
	set(t, state, f)
	c := dial(t, f)
	if _, err := c.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || string(answer) != "got 1048576 bytes" {
		t.Errorf("%q, %v", answer, err)
	}
}

func echo(c *net.TCPConn) { _, _ = io.Copy(c, c) }

func TestThousandConnections(t *testing.T) {
	state, pid := run(t)
	f := forward(listen(t, echo))
	set(t, state, f)
	conns := make([]*net.TCPConn, 1000)
	for i := range conns {
		conns[i] = dial(t, f)
	}
	var all sync.WaitGroup
	for i, c := range conns { // all of them are open now
		all.Go(func() {
			word := fmt.Sprintf("connection %d", i)
			got := make([]byte, len(word))
			if _, err := io.WriteString(c, word); err != nil {
				t.Error(err)
			} else if _, err := io.ReadFull(c, got); err != nil || string(got) != word {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	all.Wait()
	t.Logf("memory with 1000 connections: %s", memory(pid))
	set(t, state) // they stay
	if _, err := io.WriteString(conns[7], "still"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conns[7], got); err != nil || string(got) != "still" {
		t.Errorf("after the door was closed: %q, %v", got, err)
	}
	for _, c := range conns {
		c.Close()
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		sockets := 0
		for _, fd := range fds {
			if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name())); strings.HasPrefix(to, "socket:") {
				sockets++
			}
		}
		if sockets <= 2 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d sockets stay open", sockets)
		}
	}
}

func memory(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(text)) {
		if pss, ok := strings.CutPrefix(line, "Pss:"); ok {
			return strings.TrimSpace(pss)
		}
	}
	return "unknown"
}

func TestNobodyOnLoopback(t *testing.T) {
	state, _ := run(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := forward(netip.MustParseAddrPort(l.Addr().String()))
	l.Close()
	set(t, state, f)
	if _, err := greet(f); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("want a reset, got %v", err)
	}
}

// greet says something where nobody will listen; the connection may be reset before it
// is known to be made.
func greet(f Forward) ([]byte, error) {
	c, err := net.Dial("tcp", f.Listen.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	_, _ = io.WriteString(c, "hello")
	return io.ReadAll(c)
}

// A service that breaks a connection is seen to break it.
func TestResetIsPassedOn(t *testing.T) {
	state, _ := run(t)
	f := forward(listen(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetLinger(0)
	}))
	set(t, state, f)
	c := dial(t, f)
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("want a reset, got %v", err)
	}
}

func TestStrangersAreTurnedAway(t *testing.T) {
	state, _ := run(t)
	f := forward(listen(t, echo))
	f.From = netip.MustParsePrefix("10.0.0.0/8")
	set(t, state, f)
	if got, err := greet(f); len(got) > 0 || err == nil {
		t.Errorf("a stranger got %q, %v", got, err)
	}
}

// A port is free once a table without it was set, so that a service may take it.
func TestTable(t *testing.T) {
	state, _ := run(t)
	f := forward(listen(t, echo))
	for range 20 {
		set(t, state, f)
		dial(t, f)
		set(t, state)
		l, err := net.Listen("tcp", f.Listen.String())
		if err != nil {
			t.Fatal(err)
		}
		err = Set(within(t), state, []Forward{f})
		if want := fmt.Sprintf("containers can't reach port %d: another process holds %s", f.Listen.Port(), f.Listen); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		l.Close()
	}
	f.Listen = netip.MustParseAddrPort("192.0.2.1:1")
	if err := Set(within(t), state, []Forward{f}); err == nil || !strings.Contains(err.Error(), "no address of this host") {
		t.Errorf("error %v", err)
	}
}

func TestAbsent(t *testing.T) {
	if err := Set(within(t), t.TempDir(), nil); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("error %v", err)
	}
}

// What it can't read does not end it.
func TestBadRequests(t *testing.T) {
	state, _ := run(t)
	for _, text := range []string{"", "{", "\x00", `{"version":99}`, `{"version":1,"table":[{"listen":"x"}]}`} {
		c, err := net.Dial("unix", filepath.Join(state, socketName))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.(*net.UnixConn).CloseWrite()
		_, _ = io.ReadAll(c)
		c.Close()
	}
	set(t, state)
}
