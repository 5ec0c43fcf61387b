package native

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// bridge stands for a container network: its gateway is another address of loopback.
var bridge = netip.MustParsePrefix("127.0.0.2/8")

// server is a service that answers on an address with its pid.
func server(t *testing.T, dir, name, host string) (service.Service, int) {
	t.Helper()
	port := healtest.Port(t)
	svc := self(dir, "answer", fmt.Sprintf("%s:%d", host, port))
	svc.Name, svc.Title = name, name
	svc.Ports = []service.Port{{Target: port, Published: port, Protocol: "tcp"}}
	return svc, port
}

// answer asks a port on the gateway who answers; "" if nobody does.
func answer(port int) string {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(fmt.Sprintf("http://127.0.0.2:%d/", port))
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return string(text)
}

func relayPID(t *testing.T, b *Backend) int {
	t.Helper()
	b.reach.mu.Lock()
	defer b.reach.mu.Unlock()
	if b.reach.relay == nil {
		return 0
	}
	return b.reach.relay.unit.PID
}

func TestReach(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	inside, port := server(t, dir, "inside", "127.0.0.1")
	everywhere, open := server(t, dir, "everywhere", "")
	in := start(t, b, inside)
	if answer(port) != "" {
		t.Error("it can be reached before anybody asked for it")
	}
	if err := b.Reach(deadline(t), bridge); err != nil {
		t.Fatal(err)
	}
	reached := func(in *Instance, port int) func() bool {
		return func() bool { return answer(port) == fmt.Sprint(in.About().PID) }
	}
	until(t, "way to a service that was there", reached(in, port))
	until(t, "way to a service that listens everywhere", reached(start(t, b, everywhere), open))

	// Its next instance may listen everywhere: the relay is out of its way by then.
	if err := in.Kill(deadline(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, in)
	until(t, "end of the way", func() bool {
		_, err := net.Dial("tcp", fmt.Sprintf("127.0.0.2:%d", port))
		return err != nil
	})
	inside.Process.Argv[len(inside.Process.Argv)-1] = fmt.Sprintf(":%d", port)
	in = start(t, b, inside)
	until(t, "direct way", reached(in, port))
	if err := in.Kill(deadline(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, in)
	inside.Process.Argv[len(inside.Process.Argv)-1] = fmt.Sprintf("127.0.0.1:%d", port)
	in = start(t, b, inside)
	until(t, "way by relay again", reached(in, port))

	// A relay that died is replaced, and so is one that hangs when it is needed next.
	kill9(t, relayPID(t, b))
	until(t, "new relay", reached(in, port))
	if err := syscall.Kill(relayPID(t, b), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := in.Kill(deadline(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, in)
	in = start(t, b, inside)
	until(t, "way by a relay that answers", reached(in, port))

	// A later supervisor finds the relay at work, and puts it to its own.
	pid := relayPID(t, b)
	b.Close()
	if answer(port) != fmt.Sprint(in.About().PID) {
		t.Error("the way ends with the supervisor")
	}
	again := New(dir, b.argv)
	defer again.Close()
	again.Declare([]service.Service{inside, everywhere})
	found, err := again.Adopt(deadline(t), "test")
	if err != nil || len(found) != 2 {
		t.Fatalf("adopt: %v %v", found, err)
	}
	if err := again.Reach(deadline(t), bridge); err != nil {
		t.Fatal(err)
	}
	until(t, "way after adoption", func() bool { return reached(in, port)() && relayPID(t, again) == pid })
	for _, in := range found {
		if err := in.Kill(deadline(t)); err != nil {
			t.Fatal(err)
		}
		wait(t, in)
	}
	if err := again.Remove(deadline(t), "test"); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("the relay outlives down")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".healbot", "relay*")); len(left) > 0 {
		t.Errorf("%q stay", left)
	}
}

// A supervisor whose services have ended leaves nothing running.
func TestRelayEndsWithTheLastSupervisor(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	if err := b.Reach(deadline(t), bridge); err != nil {
		t.Fatal(err)
	}
	svc, port := server(t, dir, "web", "127.0.0.1")
	in := start(t, b, svc)
	until(t, "way", func() bool { return answer(port) != "" })
	pid := relayPID(t, b)
	stop(t, in)
	wait(t, in)
	b.Close()
	if alive(pid) {
		t.Error("the relay lives on")
	}
	until(t, "end of the keeper", func() bool { return keeperPID(t, dir) == 0 })
}

// What a stranger offers on loopback is nobody's to reach.
func TestReachOfAStranger(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	if err := b.Reach(deadline(t), bridge); err != nil {
		t.Fatal(err)
	}
	svc, port := server(t, dir, "web", "127.0.0.1")
	svc.Process.Argv = sh(dir, "echo up; exec sleep 1000").Process.Argv
	in := start(t, b, svc)
	logOf(t, dir, "up")
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if at := in.listensOn([]int{port}); len(at) > 0 {
		t.Errorf("a stranger's port is taken for the service's: %v", at)
	}
}

func TestReachFarAway(t *testing.T) {
	b := New(t.TempDir(), []string{os.Args[0]})
	defer b.Close()
	if err := b.Reach(deadline(t), netip.MustParsePrefix("192.0.2.1/24")); err == nil {
		t.Error("another machine's address is taken for one of this host")
	}
}
