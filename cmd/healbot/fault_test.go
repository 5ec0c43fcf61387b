package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/control"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

// newStack is a project of native services in dir, which is brought down in the end.
func newStack(t *testing.T, dir, services string) *stack {
	t.Helper()
	text := "name: faults\nservices:\n" + strings.ReplaceAll(services, "FIXTURE", healtest.Fixture(t))
	if err := os.WriteFile(filepath.Join(dir, "healbot-compose.yml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endProject(t, dir) })
	return &stack{TB: t, dir: dir}
}

// pidIn reads a file that holds a pid first.
func (s *stack) pidIn(elem ...string) int {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{s.dir}, elem...)...))
	pid, perr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || perr != nil {
		s.Fatalf("%v: %v %v", elem, err, perr)
	}
	return pid
}

// supervised asks the supervisor itself how a service is.
func (s *stack) supervised(name string) service.Status {
	s.Helper()
	client, err := control.Dial(context.Background(), runner.StateDir(s.dir))
	if err != nil {
		s.Fatal(err)
	}
	defer client.Close()
	all, err := client.Status(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	for _, st := range all {
		if st.Name == name {
			return st
		}
	}
	return service.Status{}
}

// keeper finds the project's keeper.
func (s *stack) keeper() int {
	s.Helper()
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if text, _ := os.ReadFile(path); string(text) == program+"\x00keeper\x00"+s.dir+"\x00" {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			return pid
		}
	}
	s.Fatal("no keeper")
	return 0
}

// F2: the disk of the project is full. The status file stays whole, the supervisor goes
// on and says what is in the way, and all is well once there is room.
func TestFaultF2(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		healtest.Lacks(t, "cannot mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	s := newStack(t, dir, "  web:\n    provider: {type: healbot}\n    command: [FIXTURE, sleep]\n    deploy: {restart_policy: {delay: 10ms}}\n")
	s.healbot("up", "-d")
	before := s.await("web", service.Running)

	ballast := filepath.Join(dir, "ballast")
	for size := 2 << 20; size > 0; size /= 2 {
		f, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		f.Close()
	}
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var last service.Status
	err := eventually(func() bool {
		last = s.supervised("web")
		// The old pid file's place may be all that the next start needs.
		return last.State == service.Pending && strings.Contains(last.Reason, "no space left on device") || last.PID != 0 && last.PID != before.PID
	})
	if err != nil {
		t.Errorf("on a full disk: %s (%s)", last.State, last.Reason)
	}
	var all map[string]service.Status
	text, err := os.ReadFile(runner.StatusPath(dir))
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || len(all) != 1 {
		t.Errorf("the status file: %v: %q", err, text)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	err = eventually(func() bool {
		now := s.status("web")
		return now.Seq > before.Seq && now.State == service.Running && now.PID != before.PID
	})
	if err != nil {
		t.Errorf("with room again: %+v", s.status("web"))
	}
	err = eventually(func() bool {
		history, err := runner.History(dir)
		return err == nil && slices.ContainsFunc(history, func(c service.Change) bool { return c.Status.State == service.Crashed })
	})
	if err != nil {
		t.Error("the history does not tell what happened on the full disk")
	}
}

// F4: .healbot is removed under a live supervisor: it makes it anew, and an up that comes
// before that gets no second one.
func TestFaultF4(t *testing.T) {
	s := &stack{TB: t, dir: t.TempDir()}
	file := "name: f4\nservices:\n  web:\n    provider: {type: healbot}\n    command: [" + healtest.Fixture(t) + ", sleep]\n    restart: always\n"
	if err := os.WriteFile(filepath.Join(s.dir, "healbot-compose.yml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endProject(t, s.dir) })
	s.healbot("up", "-d")
	before, supervisor := s.await("web", service.Running), s.pidIn(".healbot", "lock")
	for range 2 {
		if err := os.RemoveAll(filepath.Join(s.dir, ".healbot")); err != nil {
			t.Fatal(err)
		}
		s.healbot("up", "-d")
		if now := s.supervised("web"); now.PID != before.PID || s.pidIn(".healbot", "lock") != supervisor {
			t.Errorf("pid %d, was %d; supervisor %d, was %d", now.PID, before.PID, s.pidIn(".healbot", "lock"), supervisor)
		}
	}
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := eventually(func() bool { now := s.status("web"); return now.State == service.Running && now.PID != before.PID }); err != nil {
		t.Errorf("web did not heal: %+v", s.status("web"))
	}
	s.healbot("down")
	s.noProcesses()
}

// F8: over 500 restarts and 1,000 questions, supervisor and keeper grow in nothing.
func TestFaultF8(t *testing.T) {
	s := newStack(t, t.TempDir(), "  web:\n    provider: {type: healbot}\n    command: [FIXTURE, exit, \"1\"]\n    deploy: {restart_policy: {delay: 1ms, window: 0s, x-factor: 1}}\n")
	s.healbot("up", "-d")
	client, err := control.Dial(t.Context(), runner.StateDir(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	total := func() int {
		all, err := client.Status(context.Background())
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0].RestartsTotal
	}
	// restarts waits for n more, a few at a time, and looks meanwhile.
	restarts := func(n int, look func()) {
		for end := total() + n; total() < end; {
			next := min(total()+10, end)
			if err := eventually(func() bool { look(); return total() >= next }); err != nil {
				t.Fatalf("restart %d did not come: %+v", next, s.supervised("web"))
			}
		}
	}
	// leastOf gives figures between restarts, each of which needs some descriptors.
	leastOf := func(pid int) figures {
		least := figuresOf(t, pid)
		restarts(20, func() {
			now := figuresOf(t, pid)
			least = figures{min(least.files, now.files), min(least.threads, now.threads), min(least.memory, now.memory)}
		})
		return least
	}
	restarts(150, func() {})
	supervisor, keeper := s.pidIn(".healbot", "lock"), s.keeper()
	was := []figures{leastOf(supervisor), leastOf(keeper)}
	for range 1000 {
		total()
	}
	restarts(500, func() {})
	for i, pid := range []int{supervisor, keeper} {
		now := leastOf(pid)
		t.Logf("pid %d: %+v, then %+v", pid, was[i], now)
		// A start under way has some descriptors, and a busy machine makes the runtime start
		// threads; what grows, grows by hundreds.
		if now.files > was[i].files+20 || now.threads > was[i].threads+20 || now.memory > was[i].memory*5/4+4<<10 {
			t.Errorf("pid %d grew from %+v to %+v", pid, was[i], now)
		}
	}
}

// figures are what a process uses; memory in KiB.
type figures struct{ files, threads, memory int }

func figuresOf(t *testing.T, pid int) (f figures) {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	f.files = len(fds)
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "Threads: %d", &f.threads)
		fmt.Sscanf(line, "VmRSS: %d", &f.memory)
	}
	return f
}

// A11: the terminal closes. That is nothing to a project in the background; in the
// foreground it ends everything.
func TestFaultA11(t *testing.T) {
	s := newStack(t, t.TempDir(), "  web:\n    provider: {type: healbot}\n    command: [FIXTURE, sleep]\n")
	master, background := s.inTerminal("up", "-d")
	if err := background.Wait(); err != nil {
		t.Fatal(err)
	}
	before, supervisor := s.await("web", service.Running), s.pidIn(".healbot", "lock")
	master.Close()
	if now := s.supervised("web"); now.PID != before.PID || now.State != service.Running || s.pidIn(".healbot", "lock") != supervisor {
		t.Errorf("after the terminal was closed: %+v", now)
	}
	for _, pid := range []int{supervisor, before.PID} {
		if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Fields(string(stat))[6] != "0" {
			t.Errorf("%d has a terminal: %s", pid, stat)
		}
	}
	s.healbot("down")

	master, foreground := s.inTerminal("up")
	_ = eventually(func() bool { _, err := os.Stat(runner.StatusPath(s.dir)); return err == nil })
	before = s.await("web", service.Running)
	master.Close()
	if err := foreground.Wait(); err != nil {
		t.Errorf("up in a terminal that was closed: %v", err)
	}
	if healtest.Alive(before.PID) {
		t.Error("the service lives on")
	}
}

// inTerminal starts healbot as the leader of a session on a new terminal, whose other
// end it gives.
func (s *stack) inTerminal(args ...string) (*os.File, *exec.Cmd) {
	s.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		healtest.Lacks(s, "no terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		s.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.Fatal(err)
	}
	defer terminal.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), s.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	time.AfterFunc(healtest.Deadline, func() { _ = cmd.Process.Kill() })
	return master, cmd
}
