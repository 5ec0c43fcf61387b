package native

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// needsGroups says where this machine has control groups of version 2.
func needsGroups(t *testing.T) string {
	t.Helper()
	if nursery() == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no cgroup v2 that we may write to")
		}
		t.Skip("there is no cgroup v2 that we may write to")
	}
	return nursery()
}

// without lets the rest of a test do without control groups of version 2, as most
// users have to.
func without(t *testing.T) {
	was := nursery
	nursery = func() string { return "" }
	t.Cleanup(func() { nursery = was })
}

func TestTreesWithoutGroups(t *testing.T) {
	without(t)
	t.Run("crash", TestLeaderCrashesAndLeavesItsTree)
	t.Run("kill", TestKillTakesTheWholeTree)
	t.Run("comets", TestComets)
	t.Run("stop", TestWorkerThatWillNotEndAfterAStop)
	t.Run("workers", TestFaultA5)
	dir := t.TempDir()
	b := newBackend(t, dir)
	start(t, b, sh(dir, "exec sleep 1000"))
	if err := b.Pause(deadline(t), "web"); err == nil || !strings.Contains(err.Error(), "no control group of version 2") {
		t.Errorf("pause: %v", err)
	}
}

// A process that gave up its session, its environment, its parent and its lock is in
// nothing but the control group.
func TestHermit(t *testing.T) {
	in := needsGroups(t)
	dir := t.TempDir()
	b := newBackend(t, dir)
	web := start(t, b, sh(dir, `(setsid env -i sh -c 'exec 3>&-; echo left $$; mkdir "$1"; echo $$ >"$1/cgroup.procs"; echo moved; exec sleep 1000' - `+
		filepath.Join(in, b.groupName("web"), "below")+` &); exec sleep 1001`))
	left := pidAfter(t, dir, "left ")
	logOf(t, dir, "moved")
	if !killKeeper(t, dir) {
		t.Fatal("no keeper to kill")
	}
	if err := syscall.Kill(web.About().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, web); e.Left != 1 {
		t.Errorf("exit: %v", e)
	}
	gone(t, left, "hermit")
	if groups, _ := filepath.Glob(filepath.Join(in, b.groupName("*"))); len(groups) > 0 {
		t.Errorf("groups stay: %q", groups)
	}
}

func TestPause(t *testing.T) {
	needsGroups(t)
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, `trap 'echo told; exit 3' TERM; i=0; while :; do i=$((i+1)); echo $i >beat; sleep 0.01; done`))
	beats := func() bool { _, err := os.Stat(filepath.Join(dir, "beat")); return err == nil }
	until(t, "beat", beats)
	if err := b.Unpause(deadline(t), "web"); err == nil {
		t.Error("what is not paused can be unpaused")
	}
	if err := b.Pause(deadline(t), "web"); err != nil || !in.Paused() {
		t.Fatalf("pause: %v, paused: %v", err, in.Paused())
	}
	events := filepath.Join(nursery(), b.groupName("web"), "cgroup.events")
	until(t, "freeze", func() bool { return strings.Contains(read(t, events), "frozen 1") })
	if err := os.Remove(filepath.Join(dir, "beat")); err != nil {
		t.Fatal(err)
	}
	if err := b.Unpause(deadline(t), "web"); err != nil || in.Paused() {
		t.Fatalf("unpause: %v, paused: %v", err, in.Paused())
	}
	until(t, "beat", beats)
	if err := b.Pause(deadline(t), "web"); err != nil {
		t.Fatal(err)
	}
	stop(t, in)
	if e := wait(t, in); e.Code != 3 {
		t.Errorf("stopped while it was paused: %v", e)
	}
}
