package native

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func stop(t *testing.T, in *Instance) {
	t.Helper()
	if err := in.Signal(deadline(t), "SIGTERM"); err != nil {
		t.Fatal(err)
	}
}

func gone(t *testing.T, pid int, what string) {
	t.Helper()
	if alive(pid) {
		t.Errorf("%s, pid %d, is still alive", what, pid)
	}
}

func TestTermIgnored(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), self(dir, "deaf"))
	logOf(t, dir, "ready")
	stop(t, in)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if e, err := in.Wait(ctx); err == nil {
		t.Fatalf("it ended by itself: %v", e)
	}
	if err := in.Kill(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, in); e.Signal != "SIGKILL" {
		t.Errorf("exit: %v", e)
	}
}

func TestGroupGetsTheStopSignal(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, `trap 'wait; exit 7' TERM; sh -c 'trap "echo child told; exit" TERM; echo child $$; while :; do sleep 0.01; done' & wait`))
	child := pidAfter(t, dir, "child ")
	stop(t, in)
	if e := wait(t, in); e.Code != 7 || e.Left != 0 {
		t.Errorf("exit: %v", e)
	}
	gone(t, child, "child")
	logOf(t, dir, "child told")
}

// The leader ends on the signal, a worker takes longer: the exit waits for it.
func TestWorkerOutlivesAStoppedLeader(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, `trap 'exit 0' TERM; sh -c 'trap "" TERM; echo worker $$; while ! test -e go; do sleep 0.01; done; echo worker done' & wait`))
	worker := pidAfter(t, dir, "worker ")
	stop(t, in)
	until(t, "end of the leader", func() bool { return !alive(in.About().PID) })
	if !alive(worker) {
		t.Fatal("the worker got no time")
	}
	file(t, filepath.Join(dir, "go"), "")
	if e := wait(t, in); e.Code != 0 || e.Left != 0 {
		t.Errorf("exit: %v", e)
	}
	gone(t, worker, "worker")
	logOf(t, dir, "worker done")
}

func TestWorkerThatWillNotEndAfterAStop(t *testing.T) {
	dir := t.TempDir()
	svc := sh(dir, `trap 'exit 0' TERM; sh -c 'trap "" TERM; echo worker $$; while :; do sleep 0.01; done' & wait`)
	svc.Grace = 300 * time.Millisecond
	in := start(t, newBackend(t, dir), svc)
	worker := pidAfter(t, dir, "worker ")
	stop(t, in)
	if e := wait(t, in); e.Code != 0 || e.Left == 0 {
		t.Errorf("exit: %v", e)
	}
	gone(t, worker, "worker")
}

func TestLeaderCrashesAndLeavesItsTree(t *testing.T) {
	for name, script := range map[string]string{
		"child":           `sleep 1000 & echo left $!; exec sleep 1001`,
		"own session":     `setsid sh -c 'echo left $$; exec sleep 1000' & exec sleep 1001`,
		"daemon":          `(setsid sh -c 'echo left $$; exec sleep 1000' &); exec sleep 1001`,
		"no environment":  `env -i sh -c 'echo left $$; exec sleep 1000' & exec sleep 1001`,
		"only its lock":   `(setsid env -i sh -c 'echo left $$; exec sleep 1000' &); exec sleep 1001`,
		"deaf and forked": `(trap "" TERM; setsid sh -c 'echo left $$; while :; do sleep 0.01; done' &); exec sleep 1001`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in := start(t, newBackend(t, dir), sh(dir, script))
			left := pidAfter(t, dir, "left ")
			if err := syscall.Kill(in.About().PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if e := wait(t, in); e.Signal != "SIGKILL" || e.Left == 0 {
				t.Errorf("exit: %v", e)
			}
			gone(t, left, "what was left")
		})
	}
}

func TestKillTakesTheWholeTree(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, `(setsid sh -c 'trap "" TERM; echo left $$; while :; do sleep 0.01; done' &); sleep 1000 & exec sleep 1001`))
	left := pidAfter(t, dir, "left ")
	if err := in.Kill(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, in); e.Left != 0 {
		t.Errorf("exit: %v", e)
	}
	gone(t, left, "the daemon")
}

func TestStoppedServiceStops(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, `trap 'exit 6' TERM; echo up; while :; do sleep 0.01; done`))
	logOf(t, dir, "up")
	if err := syscall.Kill(in.About().PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stop(t, in)
	if e := wait(t, in); e.Code != 6 {
		t.Errorf("exit: %v", e)
	}
}

// A signal that asks for something else does not count as a stop: what a later crash
// leaves gets no time.
func TestReloadIsNoStop(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, `trap 'echo reloaded' HUP; sh -c 'trap "" HUP; exec sleep 1000' & echo left $!; while ! test -e go; do sleep 0.01; done; exit 3`))
	left := pidAfter(t, dir, "left ")
	if err := in.Signal(deadline(t), "hup"); err != nil {
		t.Fatal(err)
	}
	logOf(t, dir, "reloaded")
	file(t, filepath.Join(dir, "go"), "")
	if e := wait(t, in); e.Code != 3 {
		t.Errorf("exit: %v", e)
	}
	gone(t, left, "what was left")
	if err := in.Signal(deadline(t), "no such"); err == nil {
		t.Error("a signal that does not exist was sent")
	}
}

// Orphans that end are reaped; a keeper has no zombies.
func TestNoZombies(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, `for i in 1 2 3 4 5; do (sleep 0.01 & sleep 0.02 &); done; echo done; exec sleep 1000`))
	logOf(t, dir, "done")
	keeper := strconv.Itoa(keeperPID(t, dir))
	until(t, "no zombies", func() bool {
		out, _ := exec.Command("ps", "-o", "stat=", "--ppid", keeper).Output()
		return len(strings.Fields(string(out))) == 1 && !strings.Contains(string(out), "Z")
	})
	_ = in
}

// A stranger that got the pid of a record, or a record of another boot, is neither
// adopted nor harmed.
func TestStrangersAreLeftAlone(t *testing.T) {
	for name, change := range map[string][2]string{
		"start time": {`"ticks":`, `"ticks":1`},
		"boot":       {`"boot":"`, `"boot":"x`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := newBackend(t, dir)
			in := start(t, b, sh(dir, "exec sleep 1000"))
			decoy := exec.Command("sleep", "1000")
			decoy.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := decoy.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = decoy.Process.Kill(); _ = decoy.Wait() }()
			path := filepath.Join(dir, ".healbot", "run", "web.json")
			record := read(t, path)
			b.Close()
			if err := syscall.Kill(keeperPID(t, dir), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(in.About().PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			record = strings.Replace(record, change[0], change[1], 1)
			record = strings.Replace(record, `"pid":`+in.About().ID, `"pid":`+strconv.Itoa(decoy.Process.Pid), 1)
			if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
				t.Fatal(err)
			}
			again := New(dir, b.argv)
			defer again.Close()
			found, err := again.Adopt(deadline(t), "test")
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range found {
				if e := wait(t, in); e.Code != -1 || e.Signal != "" || e.Left != 0 {
					t.Errorf("exit of one that is gone: %v", e)
				}
			}
			if !alive(decoy.Process.Pid) {
				t.Error("a stranger was killed")
			}
		})
	}
}

// A keeper that died between the fork and the note of the pid.
func TestRecordWithoutPID(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	b.Close()
	path := filepath.Join(dir, ".healbot", "run", "web.json")
	record := strings.Replace(read(t, path), `"pid":`+in.About().ID, `"pid":0`, 1)
	if err := syscall.Kill(keeperPID(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	again := New(dir, b.argv)
	defer again.Close()
	heir := adopted(t, again)
	if pid := heir.About().PID; pid != in.About().PID {
		t.Fatalf("adopted pid %d, not %d", pid, in.About().PID)
	}
}

// All records are gone: the lock that the service holds still keeps a second one away.
func TestLockFencesWithoutRecords(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	defer func() { _ = syscall.Kill(in.About().PID, syscall.SIGKILL) }()
	b.Close()
	if err := syscall.Kill(keeperPID(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, ".healbot", "run", "web.json")); err != nil {
		t.Fatal(err)
	}
	again := New(dir, b.argv)
	defer again.Close()
	if _, err := again.Start(deadline(t), sh(dir, "exec sleep 1000"), 1, 2); err == nil || !strings.Contains(err.Error(), "still holds") {
		t.Errorf("second start: %v", err)
	}
}

// Somebody removes the whole of .healbot: the keeper makes it again.
func TestStateRemoved(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, `trap 'exit 8' TERM; echo up; while :; do sleep 0.01; done`))
	logOf(t, dir, "up")
	if err := os.RemoveAll(filepath.Join(dir, ".healbot")); err != nil {
		t.Fatal(err)
	}
	until(t, "the socket", func() bool { _, err := os.Stat(filepath.Join(dir, ".healbot", "keeper.sock")); return err == nil })
	again := New(dir, b.argv)
	defer again.Close()
	heir := adopted(t, again)
	if pid := heir.About().PID; pid != in.About().PID {
		t.Fatalf("adopted pid %d, not %d", pid, in.About().PID)
	}
	stop(t, heir)
	if e := wait(t, in); e.Code != 8 {
		t.Errorf("exit: %v", e)
	}
}

// A keeper that comes while another serves the project goes away again.
func TestOneKeeper(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	start(t, b, sh(dir, "exec sleep 1000"))
	pid := keeperPID(t, dir)
	for range 5 {
		if err := exec.Command(b.argv[0], "keeper", dir).Run(); err != nil {
			t.Errorf("second keeper: %v", err)
		}
	}
	if now := keeperPID(t, dir); now != pid {
		t.Errorf("keeper %d, was %d", now, pid)
	}
}

// Processes that fork and end at once, faster than anybody can look for them, are caught.
func TestComets(t *testing.T) {
	dir := t.TempDir()
	svc := sh(dir, "f() { f & }; for i in 1 2 3 4 5; do f; done; echo flying; sleep 100")
	svc.Process.Env = append(svc.Process.Env, "ORPHAN="+dir)
	in := start(t, newBackend(t, dir), svc)
	logOf(t, dir, "flying")
	began := time.Now()
	if err := in.Kill(deadline(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, in)
	if n := carriers(dir); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	t.Logf("gone after %v", time.Since(began))
}
