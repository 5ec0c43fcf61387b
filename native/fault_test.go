package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// This file does to real processes what docs/faults.md lists, as far as no other file
// here does. The names begin with the number of the case.

// kill9 ends a process and waits until it is gone.
func kill9(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "end of a process", func() bool { return !alive(pid) })
}

func file(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A service that daemonizes has ended; its daemon is no healthy service.
func TestFaultA4(t *testing.T) {
	dir := t.TempDir()
	e := wait(t, start(t, newBackend(t, dir), sh(dir, `(setsid sh -c 'echo daemon $$; exec sleep 1000' &); while ! grep -q daemon logs/web.log; do sleep 0.01; done; exit 0`)))
	gone(t, pidAfter(t, dir, "daemon "), "the daemon")
	if e.String() != "exit code 0, left 1 process behind, killed" {
		t.Errorf("exit: %s", e)
	}
}

// Workers of a killed leader keep its port no longer than its end is told.
func TestFaultA5(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	port := healtest.Port(t)
	svc := sh(dir, fmt.Sprintf("python3 -m http.server --bind 127.0.0.1 %d & exec sleep 1000", port))
	svc.Ports = []service.Port{{Target: port, Published: port, Protocol: "tcp"}}
	for run := range 3 {
		in := start(t, b, svc)
		until(t, "a listener", func() bool { return b.checkPorts(svc.Ports) != nil })
		if err := syscall.Kill(in.About().PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if e := wait(t, in); e.Left != 1 {
			t.Errorf("run %d: %v", run, e)
		}
	}
}

// A process that the kernel holds does not end. The kill says so within bounds, nothing
// new is started, and all is well once the kernel lets go.
func TestFaultA7(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	script := `truncate -s 8M ` + image + ` && mkfs.ext4 -q ` + image + ` && mkdir ` + mount + ` && mount -o loop ` + image + ` ` + mount
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		healtest.Lacks(t, "no file system can be frozen here: %s", out)
	}
	defer func() { _ = exec.Command("umount", "-l", mount).Run() }()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, `echo up; while ! test -e go; do sleep 0.01; done; exec touch mount/file`))
	logOf(t, dir, "up")
	if out, err := exec.Command("fsfreeze", "-f", mount).CombinedOutput(); err != nil {
		healtest.Lacks(t, "cannot freeze: %s", out)
	}
	thaw := func() { _ = exec.Command("fsfreeze", "-u", mount).Run() }
	defer thaw()
	file(t, filepath.Join(dir, "go"), "")
	looks := 0
	until(t, "state D, and no short wait for a disk", func() bool {
		if status := read(t, fmt.Sprintf("/proc/%s/status", in.About().ID)); !strings.Contains(status, "Name:\ttouch\n") || !strings.Contains(status, "State:\tD") {
			looks = 0
		}
		looks++
		return looks > 20
	})
	err := in.Kill(deadline(t))
	if err == nil || !strings.Contains(err.Error(), "does not end (state D)") {
		t.Errorf("kill: %v", err)
	}
	if _, err := b.Start(deadline(t), sh(dir, "true"), 1, 2); !errors.Is(err, service.ErrOutside) {
		t.Errorf("a second instance: %v", err)
	}
	thaw()
	if e := wait(t, in); e.Signal != "SIGKILL" {
		t.Errorf("exit: %v", e)
	}
}

// The same holds where the first process of a container never reaps.
func TestFaultA8(t *testing.T) {
	needsRoot(t)
	lazy := "import subprocess, sys; sys.exit(subprocess.Popen(sys.argv[1:]).wait())"
	exe, _ := os.Executable()
	cmd := exec.CommandContext(deadline(t), "unshare", "-pf", "--mount-proc", "python3", "-c", lazy, exe,
		"-test.run=^(TestStoppedServiceStops|TestWorkerThatWillNotEndAfterAStop|TestKillTakesTheWholeTree|TestFaultA4)$")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Nobody reads: 10 MiB go into the log without a supervisor, and the service goes on.
func TestFaultB3(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	pid, kill := supervisor(t, dir, "sh", "-c", "while ! test -e go; do sleep 0.01; done; head -c 10000000 /dev/zero | tr '\\0' x; touch wrote; exec sleep 1000")
	kill()
	file(t, filepath.Join(dir, "go"), "")
	until(t, "all is written", func() bool { _, err := os.Stat(filepath.Join(dir, "wrote")); return err == nil })
	if !alive(pid) {
		t.Error("the service ended")
	}
	until(t, "a whole log", func() bool { return len(read(t, filepath.Join(dir, "logs", "web.log"))) == 10_000_000 })
	_ = b
}

// The keeper is killed at any moment of a start: there are never two, and none that
// nobody knows of.
func TestFaultB5(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	svc := sh(dir, "exec sleep 1000")
	svc.Process.Env = append(svc.Process.Env, "ORPHAN="+dir)
	for round := range 8 {
		wait(t, start(t, b, sh(dir, "exit 0"))) // there is a keeper
		k := keeperPID(t, dir)
		go func() {
			time.Sleep(time.Duration(round) * time.Millisecond) // what is injected, not waited for
			_ = syscall.Kill(k, syscall.SIGKILL)
		}()
		in, err := b.Start(deadline(t), svc, 1, round)
		until(t, "end of the keeper", func() bool { return !alive(k) })
		if n := carriers(dir); n > 1 {
			t.Fatalf("round %d: %d instances, start said %v", round, n, err)
		}
		if err == nil { // its environment can't be read while it executes the next program
			until(t, "the instance is there", func() bool { return carriers(dir) == 1 })
		}
		found, err2 := b.Adopt(deadline(t), "test")
		if err2 != nil {
			t.Fatal(err2)
		}
		if err == nil {
			found = append(found, in)
		}
		for _, in := range found {
			if err := in.Kill(deadline(t)); err != nil {
				t.Fatal(err)
			}
			wait(t, in)
		}
		if n := carriers(dir); n != 0 {
			t.Fatalf("round %d: %d instances that nobody knows of", round, n)
		}
	}
}

// carriers counts the leaders that were started with ORPHAN=dir.
func carriers(dir string) (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
		if strings.Contains(string(b), "ORPHAN="+dir+"\x00") && alive(pid) {
			n++
		}
	}
	return n
}

// takePID starts a process that has that pid, which must be free.
func takePID(t *testing.T, pid int) *exec.Cmd {
	t.Helper()
	for range 500 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			healtest.Lacks(t, "%v", err)
		}
		c := exec.Command("sleep", "1000")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		if c.Process.Pid == pid {
			return c
		}
	}
	healtest.Lacks(t, "others are quicker to take pid %d", pid)
	return nil
}

// The pid of a service that ended unseen belongs to somebody else at once, who is
// neither adopted nor signalled.
func TestFaultB6(t *testing.T) { strangerWithItsPID(t, func(string, int) {}) }

// B7: so it is when he began within the same tick of the clock, as his record then says.
func TestFaultB7(t *testing.T) {
	strangerWithItsPID(t, func(record string, pid int) {
		var was map[string]any
		text := read(t, record)
		now := strings.Fields(read(t, fmt.Sprintf("/proc/%d/stat", pid)))[21]
		numbers := json.NewDecoder(strings.NewReader(text))
		numbers.UseNumber()
		if err := numbers.Decode(&was); err != nil {
			t.Fatal(err)
		}
		was["ticks"] = json.Number(now)
		changed, err := json.Marshal(was)
		if err != nil {
			t.Fatal(err)
		}
		file(t, record, string(changed))
	})
}

// strangerWithItsPID gives the pid of a service that ended unseen to a stranger, of whom
// same may make the service's record speak.
func strangerWithItsPID(t *testing.T, same func(record string, pid int)) {
	needsRoot(t)
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	pid := in.About().PID
	b.Close()
	kill9(t, keeperPID(t, dir))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "its pid is free", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	decoy := takePID(t, pid)
	same(filepath.Join(dir, ".healbot", "run", "web.json"), pid)
	again := New(dir, b.argv)
	defer again.Close()
	heir := adopted(t, again)
	stop(t, heir)
	if err := heir.Kill(deadline(t)); err != nil {
		t.Error(err)
	}
	if e := wait(t, heir); e.Code != -1 || e.Signal != "" {
		t.Errorf("exit: %v", e)
	}
	if !alive(decoy.Process.Pid) {
		t.Error("a stranger was killed")
	}
}

func TestFaultE4(t *testing.T) {
	dir := t.TempDir()
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	all = []byte(strings.Repeat(string(all), 50))
	file(t, filepath.Join(dir, "bytes"), string(all))
	wait(t, start(t, newBackend(t, dir), sh(dir, "cat bytes")))
	if got := read(t, filepath.Join(dir, "logs", "web.log")); got != string(all) {
		t.Errorf("%d bytes of %d, or others", len(got), len(all))
	}
}

// Lines of up to PIPE_BUF bytes stay whole, whichever stream they come through.
func TestFaultE10(t *testing.T) {
	dir := t.TempDir()
	wait(t, start(t, newBackend(t, dir), self(dir, "both", "1000")))
	log := read(t, filepath.Join(dir, "logs", "web.log"))
	count := map[byte]int{}
	for line := range strings.Lines(log) {
		if len(line) != 3000 || strings.Trim(line, line[:1]) != "\n" {
			t.Fatalf("a line of %d bytes is damaged", len(line))
		}
		count[line[0]]++
	}
	if count['o'] != 1000 || count['e'] != 1000 {
		t.Errorf("lines: %v", count)
	}
}

// A child that keeps the log open does not hold up the notice of its leader's end.
func TestFaultE12(t *testing.T) {
	dir := t.TempDir()
	if e := wait(t, start(t, newBackend(t, dir), sh(dir, "sleep 1000 & exit 3"))); e.Code != 3 || e.Left != 1 {
		t.Errorf("exit: %v", e)
	}
}

// Every processor is busy while a service writes 20,000 lines and ends: all of them are in
// the log by the time that its end is told.
func TestFaultE2(t *testing.T) {
	for range 2 * runtime.NumCPU() {
		busy := exec.Command("sh", "-c", "while :; do :; done")
		if err := busy.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = busy.Process.Kill()
			_ = busy.Wait()
		}()
	}
	const n = 20000
	dir := t.TempDir()
	if e := wait(t, start(t, newBackend(t, dir), self(dir, "lines", fmt.Sprint(n), "9"))); e.Code != 9 {
		t.Errorf("exit: %v", e)
	}
	numbered(t, n, dir)
}
