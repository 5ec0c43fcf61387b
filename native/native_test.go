package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/healing-bot/healbot/service"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		script string
		want   service.Exit
	}{
		{"echo hello; exit 0", service.Exit{Code: 0}},
		{"echo hello; exit 3", service.Exit{Code: 3}},
		{"echo hello; kill -KILL $$", service.Exit{Code: -1, Signal: "SIGKILL"}},
	} {
		t.Run(c.script, func(t *testing.T) {
			dir := t.TempDir()
			e := wait(t, start(t, newBackend(t, dir), sh(dir, c.script)))
			if e.Code != c.want.Code || e.Signal != c.want.Signal || e.Left != 0 {
				t.Errorf("got %v, want %v", e, c.want)
			}
			// The output is there when the exit is.
			if got := read(t, filepath.Join(dir, "logs", "web.log")); got != "hello\n" {
				t.Errorf("log: %q", got)
			}
		})
	}
}

func TestAbout(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	svc := sh(dir, `umask; echo "replica $HEALBOT_REPLICA fds $(ls /proc/$$/fd | tr '\n' ' ') $(readlink /proc/self/fd/0)"; exec sleep 1000`)
	in, err := b.Start(deadline(t), svc, 2, 7)
	if err != nil {
		t.Fatal(err)
	}
	a := in.About()
	if a.Service != "web" || a.Replica != 2 || a.Run != 7 || a.Hash != "h1" || a.ID != strconv.Itoa(a.PID) || !alive(a.PID) {
		t.Errorf("about: %+v", a)
	}
	var log string
	until(t, "output", func() bool {
		log = read(t, filepath.Join(dir, "logs", "web-2.log"))
		return strings.Contains(log, "/dev/null")
	})
	if !strings.Contains(log, "replica 2 fds 0 1 2 3") || strings.HasPrefix(log, "0077") {
		t.Errorf("log: %q", log)
	}
	for path, mode := range map[string]os.FileMode{
		".healbot": 0o700, ".healbot/keeper.sock": 0o600, ".healbot/keeper.lock": 0o600,
		".healbot/run/web-2.json": 0o600, ".healbot/locks/web-2": 0o600, "logs/web-2.log": 0o640,
	} {
		st, err := os.Stat(filepath.Join(dir, path))
		if err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want %v", path, st.Mode().Perm(), err, mode)
		}
	}
	if s := read(t, filepath.Join(dir, ".healbot", "run", "web-2.json")); strings.Contains(s, "s3cret") {
		t.Error("the record shows the environment")
	}
}

func TestSecondInstanceIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	start(t, b, sh(dir, "exec sleep 1000"))
	_, err := b.Start(deadline(t), sh(dir, "exec sleep 1000"), 1, 2)
	if !errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("second start: %v", err)
	}
}

func TestRestartOfAReplica(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	for run := 1; run <= 20; run++ {
		in, err := b.Start(deadline(t), sh(dir, "echo run; exit 1"), 1, run)
		if err != nil {
			t.Fatal(err)
		}
		wait(t, in)
	}
	if got := read(t, filepath.Join(dir, "logs", "web.log")); got != strings.Repeat("run\n", 20) {
		t.Errorf("log: %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".healbot", "fifo", "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// Whoever lets go leaves nothing behind but the service.
func TestClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	b := New(dir, newBackend(t, dir).argv)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	waiting := make(chan error, 1)
	go func() { _, err := in.Wait(context.Background()); waiting <- err }()
	b.Close()
	if err := <-waiting; err == nil {
		t.Error("a wait went on after Close")
	}
	if _, err := b.Start(deadline(t), sh(dir, "true"), 2, 1); err == nil {
		t.Error("a start after Close")
	}
	if !alive(in.About().PID) {
		t.Error("the service is gone")
	}
	// The keeper is our child, and is waited for: end it before looking for leaks.
	if err := syscall.Kill(keeperPID(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Descriptors of keeper and backend, and goroutines, stay the same over many starts.
func TestNoLeaks(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	count := func(pid int) int {
		fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		return len(fds)
	}
	run := func(n int) {
		for range n {
			wait(t, start(t, b, sh(dir, "exit 1")))
			if _, err := b.Start(deadline(t), testService(dir, "./nope"), 1, 1); err == nil {
				t.Fatal("started nothing")
			}
		}
	}
	run(5)
	goroutines := runtime.NumGoroutine()
	k, own := count(keeperPID(t, dir)), count(os.Getpid())
	run(100)
	until(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	until(t, "the keeper's descriptors are closed", func() bool { return count(keeperPID(t, dir)) <= k+2 })
	until(t, "our own descriptors are closed", func() bool { return count(os.Getpid()) <= own+2 })
}

func TestLongProjectPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120), strings.Repeat("e", 100))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, start(t, newBackend(t, dir), sh(dir, "exit 2"))); e.Code != 2 {
		t.Errorf("exit: %v", e)
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "echo hi; exec sleep 1000"))
	logOf(t, dir, "hi")
	if err := b.Remove(deadline(t), "test"); err == nil || !strings.Contains(err.Error(), "still running: web") {
		t.Errorf("remove of a live project: %v", err)
	}
	if err := in.Kill(deadline(t)); err != nil {
		t.Fatal(err)
	}
	wait(t, in)
	if err := b.Remove(deadline(t), "test"); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(filepath.Join(dir, ".healbot"))
	if len(left) != 0 || read(t, filepath.Join(dir, "logs", "web.log")) != "hi\n" {
		t.Errorf("left: %v", left)
	}
	until(t, "end of the keeper", func() bool { return keeperPID(t, dir) == 0 })
}
