package native

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// supervisor is another process that starts a service and is then killed.
func supervisor(t *testing.T, dir string, argv ...string) (pid int, kill func()) {
	t.Helper()
	exe, _ := os.Executable()
	cmd := exec.Command(exe, append([]string{"fixture", "stranger", dir}, argv...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "<nil>\n") {
		t.Fatalf("supervisor: %q %v", line, err)
	}
	_, _ = fmt.Sscanf(line, "%d", &pid)
	return pid, kill
}

// adopted gives the one instance that b finds.
func adopted(t *testing.T, b *Backend) *Instance {
	t.Helper()
	found, err := b.Adopt(deadline(t), "test")
	if err != nil || len(found) != 1 {
		t.Fatalf("adopt: %v %v", found, err)
	}
	return found[0]
}

func TestSupervisorKilled(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	pid, kill := supervisor(t, dir, "sh", "-c", "exec sleep 1000")
	kill()
	heir := adopted(t, b)
	if a := heir.About(); a.PID != pid || !alive(pid) || a.Run != 1 || a.Hash != "h1" {
		t.Errorf("about: %#v, want pid %d", a, pid)
	}
}

func TestEndedWhileNobodyWasThere(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	pid, kill := supervisor(t, dir, "sh", "-c", "while ! test -e go; do sleep 0.01; done; for i in 1 2 3; do echo $i; done; exit 3")
	kill()
	file(t, filepath.Join(dir, "go"), "")
	until(t, "end", func() bool { return !alive(pid) })
	heir := adopted(t, b)
	if e := wait(t, heir); e.Code != 3 {
		t.Errorf("exit: %v", e)
	}
	if got := read(t, filepath.Join(dir, "logs", "web.log")); got != "1\n2\n3\n" {
		t.Errorf("log: %q", got)
	}
}

func TestAdoptNothing(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	found, err := b.Adopt(deadline(t), "test")
	if err != nil || len(found) != 0 || keeperPID(t, dir) != 0 {
		t.Errorf("adopt: %v %v, keeper %d", found, err, keeperPID(t, dir))
	}
}

func TestKeeperKilled(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "echo before; while ! test -e go; do sleep 0.01; done; echo after; exit 5"))
	logOf(t, dir, "before")
	old := keeperPID(t, dir)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "a new keeper", func() bool { k := keeperPID(t, dir); return k != 0 && k != old })
	if !alive(in.About().PID) {
		t.Fatal("the service died with its keeper")
	}
	if _, err := b.Adopt(deadline(t), "test"); err != nil { // the new one is ready
		t.Fatal(err)
	}
	file(t, filepath.Join(dir, "go"), "")
	if e := wait(t, in); e.Code != 5 {
		t.Errorf("exit: %v", e)
	}
	if got := read(t, filepath.Join(dir, "logs", "web.log")); got != "before\nafter\n" {
		t.Errorf("log: %q", got)
	}
}
