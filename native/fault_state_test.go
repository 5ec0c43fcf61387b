package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// Records that are torn or alien are set aside, and a start goes on.
func TestFaultF3(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "cut": `{"id":"x","na`, "alien": `[1,2]`, "binary": "\x00\xff\x00", "huge": strings.Repeat(" ", 2<<20),
		"pid 1": `{"id":"x","name":"web","pid":1}`, "negative": `{"id":"x","name":"web","pid":-1}`,
		"path": `{"id":"../../x","name":"web","pid":0}`, "other name": `{"id":"x","name":"db","pid":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			run := filepath.Join(dir, ".healbot", "run")
			if err := os.MkdirAll(run, 0o700); err != nil {
				t.Fatal(err)
			}
			file(t, filepath.Join(run, "web.json"), text)
			b := newBackend(t, dir)
			if found, err := b.Adopt(deadline(t), "test"); err != nil || len(found) != 0 {
				t.Errorf("adopt: %v %v", found, err)
			}
			if got := read(t, filepath.Join(run, "web.json.bad")); got != text {
				t.Error("the record is not set aside")
			}
			if e := wait(t, start(t, b, sh(dir, "exit 4"))); e.Code != 4 {
				t.Errorf("exit: %v", e)
			}
		})
	}
}

// State that can't be written is refused before anything starts, with its path.
func TestFaultF5(t *testing.T) {
	for name, spoil := range map[string]func(state string) error{
		"a file":   func(s string) error { return os.WriteFile(s, nil, 0o600) },
		"open":     func(s string) error { return errors.Join(os.Mkdir(s, 0o700), os.Chmod(s, 0o777)) },
		"a link":   func(s string) error { return os.Symlink(t.TempDir(), s) },
		"readonly": func(s string) error { return syscall.Mount("tmpfs", filepath.Dir(s), "tmpfs", syscall.MS_RDONLY, "") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "p")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := spoil(filepath.Join(dir, ".healbot")); err != nil {
				healtest.Lacks(t, "%v", err)
			}
			defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
			exe, _ := os.Executable()
			b := New(dir, []string{exe, "keeper"})
			defer b.Close()
			_, err := b.Start(deadline(t), sh("/", "exec sleep 1000"), 1, 1)
			if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, ".healbot")) {
				t.Errorf("start: %v", err)
			}
			until(t, "no keeper runs", func() bool { return findKeeper(dir) == 0 })
		})
	}
}

// A keeper without descriptors goes on with what it has; starts fail for a reason that
// passes.
func TestFaultF6(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "while ! test -e go; do sleep 0.01; done; echo still here; exit 3"))
	k := keeperPID(t, dir)
	var before unix.Rlimit
	if err := unix.Prlimit(k, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", k))
	if err := unix.Prlimit(k, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(len(fds)), Max: before.Max}, nil); err != nil {
		healtest.Lacks(t, "%v", err)
	}
	other := sh(dir, "exit 6")
	other.Name, other.Title = "other", "other"
	for range 5 {
		if _, err := b.Start(deadline(t), other, 1, 1); !errors.Is(err, service.ErrOutside) || !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("start: %v", err)
		}
	}
	if _, err := b.Adopt(deadline(t), "test"); err != nil {
		t.Errorf("the keeper does not answer: %v", err)
	}
	file(t, filepath.Join(dir, "go"), "")
	logOf(t, dir, "still here")
	if err := unix.Prlimit(k, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, in); e.Code != 3 {
		t.Errorf("exit: %v", e)
	}
	if e := wait(t, start(t, b, other)); e.Code != 6 {
		t.Errorf("exit: %v", e)
	}
	if keeperPID(t, dir) != k {
		t.Error("the keeper died over it")
	}
}

// No process can be made: a start fails for a reason that passes.
func TestFaultF7(t *testing.T) {
	controllerOf(t, "pids")
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	k := keeperPID(t, dir)
	group := filepath.Join(controllers()["pids"].dir, b.groupName("fault"))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = os.WriteFile(filepath.Join(controllers()["pids"].dir, "cgroup.procs"), []byte(strconv.Itoa(k)), 0)
		_ = unix.Rmdir(group)
	}()
	file(t, filepath.Join(group, "cgroup.procs"), strconv.Itoa(k))
	file(t, filepath.Join(group, "pids.max"), strconv.Itoa(tasks()[k].threads))
	other := sh(dir, "exit 6")
	other.Name, other.Title = "other", "other"
	ctx, cancel := context.WithTimeout(deadline(t), 5*time.Second)
	defer cancel()
	if _, err := b.Start(ctx, other, 1, 1); !errors.Is(err, service.ErrOutside) {
		t.Errorf("start: %v", err)
	}
	if !alive(in.About().PID) {
		t.Error("another service died of it")
	}
	file(t, filepath.Join(group, "pids.max"), "max")
	if e := wait(t, start(t, b, other)); e.Code != 6 {
		t.Errorf("exit: %v", e)
	}
}

// What an earlier crash left is replaced; what is not ours is refused.
func TestFaultF9(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, ".healbot")
	for _, d := range []string{"run", "fifo", "locks"} {
		if err := os.MkdirAll(filepath.Join(state, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"keeper.sock", ".keeper.sock", "keeper.lock", "run/.web", "fifo/web.old", "locks/web"} {
		file(t, filepath.Join(state, f), "stale")
	}
	if e := wait(t, start(t, newBackend(t, dir), sh(dir, "exit 2"))); e.Code != 2 {
		t.Errorf("exit: %v", e)
	}
	if left, _ := filepath.Glob(filepath.Join(state, "fifo", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
