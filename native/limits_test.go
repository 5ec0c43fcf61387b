package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		healtest.Lacks(t, "only root can do this")
	}
}

// openTo gives a directory that another user can look into, as the test's own is not.
func openTo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestUser(t *testing.T) {
	needsRoot(t)
	for _, c := range []struct {
		user   string
		groups []string
		want   string
	}{
		{"nobody", nil, "65534 65534 65534 nobody /nonexistent"},
		{"65534", nil, "65534 65534 65534 nobody /nonexistent"},
		{"nobody:daemon", []string{"adm", "4321"}, "65534 1 1 4 4321 nobody /nonexistent"},
		{"4321:1234", nil, "4321 1234 1234 - -"},
	} {
		t.Run(c.user, func(t *testing.T) {
			dir := openTo(t)
			svc := sh(dir, `echo who $(id -u) $(id -g) $(id -G | tr ' ' '\n' | sort -n) ${USER:--} ${HOME:--}; echo again >/dev/stdout; cat /proc/self/status | grep CapEff`)
			svc.Process.Env = []string{"PATH=" + os.Getenv("PATH")}
			svc.Process.Limits = service.Limits{User: c.user, Groups: c.groups}
			e := wait(t, start(t, newBackend(t, dir), svc))
			log := read(t, filepath.Join(dir, "logs", "web.log"))
			if !strings.HasPrefix(log, "who "+c.want+"\nagain\nCapEff:\t0000000000000000\n") || e.Code != 0 {
				t.Errorf("exit %v, log %q, want who %s", e, log, c.want)
			}
		})
	}
}

func TestUserThatIsNotThere(t *testing.T) {
	for _, c := range []struct {
		limits service.Limits
		want   string
	}{
		{service.Limits{User: "nosuchuser"}, "cannot start web: there is no user nosuchuser on this machine: create it, or correct user"},
		{service.Limits{User: "root:nosuchgroup"}, "there is no group nosuchgroup"},
		{service.Limits{Groups: []string{"nosuchgroup"}}, "there is no group nosuchgroup on this machine: create it, or correct its name (group_add)"},
		{service.Limits{User: "4321"}, `user 4321 has no name on this machine and so no group: write user: "4321:GID"`},
		{service.Limits{Ulimits: []service.Ulimit{{Name: "nofile", Soft: 1 << 40, Hard: 1 << 40}}}, "cannot set ulimits"},
	} {
		dir := t.TempDir()
		svc := sh(dir, "exec sleep 1000")
		svc.Process.Limits = c.limits
		_, err := newBackend(t, dir).Start(deadline(t), svc, 1, 1)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, service.ErrOutside) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// Another user can read its own secrets, and neither list nor change them.
func TestSecretsOfAnotherUser(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	b := newBackend(t, dir)
	svc := sh(dir, `cat $HEALBOT_SECRET_A; d=$(dirname $HEALBOT_SECRET_A); ls $d; rm -f $HEALBOT_SECRET_A; echo x >$d/b; stat -c '%a %U' $HEALBOT_SECRET_A`)
	svc.Process.Dir = "/"
	svc.Process.Limits.User = "nobody"
	svc.Process.Files = []service.File{{Variable: "HEALBOT_SECRET_A", Name: "a", Content: "hunter2\n"}}
	wait(t, start(t, b, svc))
	log := read(t, filepath.Join(dir, "logs", "web.log"))
	if !strings.HasPrefix(log, "hunter2\n") || strings.Count(log, "ermission denied") != 3 || !strings.HasSuffix(log, "600 nobody\n") {
		t.Errorf("log: %s", log)
	}
	file := filepath.Join(b.outside(), "web", "a")
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	svc.Process.Limits.User = ""
	wait(t, start(t, b, svc))
	if _, err := os.Stat(file); err == nil {
		t.Error("what another user read stays when the service has that user no more")
	}
	svc.Process.Limits.User = "nobody"
	wait(t, start(t, b, svc))
	if err := b.Remove(deadline(t), "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.outside()); err == nil {
		t.Error("secrets stay after down")
	}
}

// What the service can't execute is told as ever, though another program begins.
func TestEntryOfWhatCannotRun(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := newBackend(t, dir)
	svc := testService(dir, "./mine")
	svc.Process.Limits.User = "nobody"
	if _, err := b.Start(deadline(t), svc, 1, 1); err == nil || !strings.Contains(err.Error(), "permission denied") || strings.Contains(err.Error(), "+enter") {
		t.Errorf("start: %v", err)
	}
	svc.Process.Limits.User = ""
	wait(t, start(t, b, svc)) // nothing of the failed start is in the way
}

func TestProcessLimits(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	svc := sh(dir, `echo $(ulimit -Sn) $(ulimit -Hn) $(ulimit -c) $(cat /proc/self/oom_score_adj) $(umask); exec sleep 1000`)
	score, mask := 321, 0o27
	svc.Process.Limits = service.Limits{
		OOMScore: &score, Umask: &mask,
		Ulimits: []service.Ulimit{{Name: "core", Soft: 0, Hard: 0}, {Name: "nofile", Soft: 100, Hard: 200}},
	}
	in := start(t, newBackend(t, dir), svc)
	if got := logOf(t, dir, "\n"); got != "100 200 0 321 0027\n" {
		t.Errorf("log: %q", got)
	}
	until(t, "nothing but 0, 1, 2 and the lock is open", func() bool {
		fds, _ := os.ReadDir("/proc/" + in.About().ID + "/fd")
		return len(fds) == 4
	})
}

func controllerOf(t *testing.T, kind string) {
	t.Helper()
	if _, there := controllers()[kind]; !there {
		healtest.Lacks(t, "no control group for %s can be made here", kind)
	}
}

// A service that takes more memory than it may is killed, and that is its reason.
func TestMemoryLimit(t *testing.T) {
	controllerOf(t, "memory")
	dir := t.TempDir()
	b := newBackend(t, dir)
	svc := sh(dir, `exec python3 -c "x = bytearray(200 << 20); print('not killed')"`)
	svc.Process.Limits.Memory = 32 << 20
	e := wait(t, start(t, b, svc))
	if !e.OOM || e.Signal != "SIGKILL" || e.String() != "killed for using too much memory" {
		t.Errorf("exit: %v", e)
	}
	if left, _ := filepath.Glob(filepath.Join(controllers()["memory"].dir, b.groupName("*"))); len(left) > 0 {
		t.Errorf("control groups are left: %v", left)
	}
	svc.Process.Argv = []string{"sh", "-c", "kill -KILL $$"}
	if e := wait(t, start(t, b, svc)); e.OOM {
		t.Errorf("the next run is blamed for the last one's memory: %v", e)
	}
}

func TestLimitOfProcesses(t *testing.T) {
	controllerOf(t, "pids")
	dir := t.TempDir()
	svc := sh(dir, `for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done; echo started all; exec sleep 1000`)
	svc.Process.Limits.PIDs = 5
	e := wait(t, start(t, newBackend(t, dir), svc))
	log := read(t, filepath.Join(dir, "logs", "web.log"))
	if e.Code == 0 || strings.Contains(log, "started all") || !strings.Contains(strings.ToLower(log), "fork") {
		t.Errorf("exit %v, log %q", e, log)
	}
}

func TestLimitOfProcessors(t *testing.T) {
	controllerOf(t, "cpu")
	dir := t.TempDir()
	svc := sh(dir, "while :; do :; done")
	svc.Process.Limits.CPUs = 0.1
	in := start(t, newBackend(t, dir), svc)
	pid := in.About().PID
	// The kernel counts the periods in which the group was held back.
	stat := filepath.Join(controllers()["cpu"].dir, in.backend.groupName("web"), "cpu.stat")
	until(t, "throttling", func() bool {
		var held int
		_, rest, _ := strings.Cut(read(t, stat), "nr_throttled ")
		_, _ = fmt.Sscan(rest, &held)
		return held >= 3
	})
	if !alive(pid) {
		t.Error("the service ended")
	}
}

// Limits stay with an instance that a new supervisor takes over, and so does what the
// kernel did to it.
func TestMemoryLimitOfAnAdoptedInstance(t *testing.T) {
	controllerOf(t, "memory")
	dir := t.TempDir()
	b := newBackend(t, dir)
	svc := sh(dir, `while ! test -e go; do sleep 0.01; done; exec python3 -c "x = bytearray(200 << 20)"`)
	svc.Process.Limits.Memory = 32 << 20
	start(t, b, svc)
	b.Close()
	again := New(dir, b.argv)
	defer again.Close()
	heir := adopted(t, again)
	file(t, filepath.Join(dir, "go"), "")
	if e := wait(t, heir); !e.OOM {
		t.Errorf("exit: %v", e)
	}
}

func TestWarnings(t *testing.T) {
	svc := testService("/", "x")
	svc.Process.Limits.Memory = 1 << 30
	_, there := controllers()["memory"]
	if got := Warnings([]service.Service{svc, {Name: "db"}}); (len(got) == 0) != there {
		t.Errorf("warnings: %v, memory can be limited: %v", got, there)
	}
	svc.Process.Limits = service.Limits{}
	if got := Warnings([]service.Service{svc}); len(got) != 0 {
		t.Errorf("warnings without a limit: %v", got)
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	source := filepath.Join(dir, "pw")
	if err := os.WriteFile(source, []byte("from a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	svc := sh(dir, `echo $(cat $HEALBOT_SECRET_PW) $(cat $HEALBOT_CONFIG_C) $(stat -c %a $HEALBOT_SECRET_PW $(dirname $HEALBOT_SECRET_PW))`)
	svc.Process.Files = []service.File{
		{Variable: "HEALBOT_SECRET_PW", Name: "pw", Path: source},
		{Variable: "HEALBOT_CONFIG_C", Name: "c.conf", Content: "hunter2"},
	}
	wait(t, start(t, b, svc))
	if got := read(t, filepath.Join(dir, "logs", "web.log")); got != "from a file hunter2 600 700\n" {
		t.Errorf("log: %q", got)
	}
	if s := read(t, filepath.Join(dir, ".healbot", "run", "web.json")); strings.Contains(s, "hunter2") {
		t.Error("the record shows a config")
	}
	svc.Process.Files = svc.Process.Files[1:]
	wait(t, start(t, b, svc))
	if _, err := os.Stat(filepath.Join(dir, ".healbot", "secrets", "web", "pw")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a secret stays that the service has no more")
	}
	svc.Process.Files[0] = service.File{Variable: "HEALBOT_SECRET_PW", Name: "pw", Path: source + "-nowhere"}
	if _, err := b.Start(deadline(t), svc, 1, 3); err == nil || !strings.Contains(err.Error(), "cannot read "+source+"-nowhere for $HEALBOT_SECRET_PW: no such file") {
		t.Errorf("start: %v", err)
	}
	if err := b.Remove(deadline(t), "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".healbot", "secrets")); !errors.Is(err, os.ErrNotExist) {
		t.Error("secrets stay after down")
	}
}

// B11: a keeper that is protected from the kernel's choice does not hand that on.
func TestOOMScoreOfAProtectedKeeper(t *testing.T) {
	needsRoot(t)
	const own = "/proc/self/oom_score_adj"
	before := read(t, own)
	if err := os.WriteFile(own, []byte("-900"), 0); errors.Is(err, os.ErrPermission) {
		t.Skip("only a root with CAP_SYS_RESOURCE can lower an oom score")
	} else if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.WriteFile(own, []byte(strings.TrimSpace(before)), 0) }()
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	score := func(pid int) string { return strings.TrimSpace(read(t, fmt.Sprintf("/proc/%d/oom_score_adj", pid))) }
	if k, s := score(keeperPID(t, dir)), score(in.About().PID); k != "-900" || s != "0" {
		t.Errorf("keeper %s, service %s", k, s)
	}
	adj := -500
	svc := sh(dir, "exec sleep 1000")
	svc.Name, svc.Title, svc.Process.Limits.OOMScore = "b", "b", &adj
	if s := score(start(t, b, svc).About().PID); s != "-500" {
		t.Errorf("asked for -500, got %s", s)
	}
}

// A hook's output is in the service's log, where a reason for its failure is found.
func TestHooks(t *testing.T) {
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, "exec sleep 1000"))
	run := func(ctx context.Context, script string) error {
		return in.Hook(ctx, "post_start-1", service.Hook{Argv: []string{"sh", "-c", script}, Dir: dir, Env: os.Environ()})
	}
	if err := run(deadline(t), "echo first; echo second of $HEALBOT_PID"); err != nil {
		t.Error(err)
	}
	if log, want := read(t, filepath.Join(dir, "logs", "web.log")), fmt.Sprintf("first\nsecond of %d\n", in.About().PID); log != want {
		t.Errorf("log: %q, want %q", log, want)
	}
	if err := run(deadline(t), "echo fatal: no database; exit 3"); err == nil || err.Error() != "sh: exit code 3 (fatal: no database)" {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(deadline(t))
	gone := make(chan error)
	go func() { gone <- run(ctx, "echo hook $$; exec sleep 1000") }()
	hook := pidAfter(t, dir, "hook ")
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	until(t, "end of the hook", func() bool { return syscall.Kill(hook, 0) != nil })
}
