package native

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/healing-bot/healbot/service"
)

func TestStartsThatCannotWork(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "x", 0o644)
	write("lost", "#!/no/such/interpreter\n", 0o755)
	write("alien", "\x7fELFnothing", 0o755)
	gone := testService(dir, "true")
	gone.Process.Dir = filepath.Join(dir, "nowhere")
	for _, c := range []struct {
		svc  service.Service
		want string
	}{
		{testService(dir, "pyhton"), "no such command: pyhton (looked up on PATH; a program in working_dir " + dir + " is written ./pyhton)"},
		{testService(dir, "./server"), "no such command: ./server (looked up from working_dir " + dir + ")"},
		{testService(dir, "./plain"), "cannot run ./plain: permission denied (looked up from working_dir " + dir + "): chmod +x it"},
		{testService(dir, "."+string(filepath.Separator)), "is a directory"},
		{testService(dir, "./lost"), "its interpreter, the program on its #! line, is not there"},
		{testService(dir, "./alien"), "neither a program for this machine"},
		{testService(dir), "it has no command"},
		{gone, "no such directory: " + filepath.Join(dir, "nowhere") + " (working_dir)"},
	} {
		_, err := b.Start(deadline(t), c.svc, 1, 1)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, service.ErrOutside) {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error shows the environment: %v", err)
		}
	}
	for _, d := range []string{"fifo", "run"} {
		if left, _ := filepath.Glob(filepath.Join(dir, ".healbot", d, "*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

func TestPortHeld(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	svc := sh(dir, "exec sleep 1000")
	svc.Ports = []service.Port{{Target: port, Published: port, Protocol: "tcp"}}
	_, err = b.Start(deadline(t), svc, 1, 1)
	want := "port " + strconv.Itoa(port) + " is held by pid " + strconv.Itoa(os.Getpid()) + " (native.test)"
	if !errors.Is(err, service.ErrOutside) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	svc.Ports[0].HostIP = "127.0.0.2"
	start(t, b, svc) // another address is free
}

func TestKernelAddr(t *testing.T) {
	if !littleEndian {
		t.Skip("written for a little-endian machine")
	}
	for s, want := range map[string]string{
		"0100007F":                         "127.0.0.1",
		"00000000":                         "0.0.0.0",
		"00000000000000000000000001000000": "::1",
		"0000000000000000FFFF00000100007F": "127.0.0.1",
	} {
		if got := kernelAddr(s); got != netip.MustParseAddr(want) {
			t.Errorf("%s is %v, want %s", s, got, want)
		}
	}
}

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]int{"SIGTERM": 15, "term": 15, "9": 9, "SIGUSR1": 10, "nope": 0, "": 0, "-1": 0} {
		if got, err := signalNumber(name); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %d, %v", name, got, err)
		}
	}
}

func TestPortHeldByAService(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	first, port := server(t, dir, "first", "127.0.0.1")
	start(t, b, first)
	until(t, "listener", func() bool { return b.checkPorts(first.Ports) != nil })
	second := first
	second.Name, second.Title = "second", "second"
	_, err := b.Start(deadline(t), second, 1, 1)
	if want := fmt.Sprintf("^port %d is held by pid [0-9]+ \\(native.test, of the project in %s\\)$", port, dir); err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestOwner(t *testing.T) {
	names := map[string]string{"172.18.0.3": "db", strings.Repeat("4f", 32): "web, service web of project shop"}
	for name, c := range map[string]struct{ file, text, want string }{
		"unit":            {"cgroup", "3:cpu:/\n0::/system.slice/postgresql.service\n", "postgresql.service"},
		"container":       {"cgroup", "0::/system.slice/docker-" + strings.Repeat("3f", 32) + ".scope\n", "in container 3f3f3f3f3f3f"},
		"proxy":           {"cmdline", "/usr/bin/docker-proxy\x00-proto\x00tcp\x00-container-ip\x00172.18.0.2\x00-container-port\x0080\x00", "for the container at 172.18.0.2"},
		"known container": {"cgroup", "0::/system.slice/docker-" + strings.Repeat("4f", 32) + ".scope\n", "in container web, service web of project shop"},
		"known proxy":     {"cmdline", "/usr/bin/docker-proxy\x00-container-ip\x00172.18.0.3\x00", "for container db"},
		"healbot's":       {"environ", "A=1\x00HEALBOT_ID=x\x00HEALBOT_PROJECT_DIR=/srv/shop\x00", "of the project in /srv/shop"},
		"nobody's":        {"cgroup", "0::/user.slice/session-2.scope\n", ""},
	} {
		proc := t.TempDir()
		if err := os.WriteFile(filepath.Join(proc, c.file), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		b := &Backend{namer: func(_ context.Context, which string) string { return names[which] }}
		if got := b.owner(proc); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
