package native

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

func TestReasons(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	for _, c := range []struct{ script, want string }{
		{`python3 -c 'import no_such_thing.sub'`, "exit code 1 (missing Python module no_such_thing: add it to requirements)"},
		{`python3 -c 'raise ValueError("bad value")'; exit 1`, "exit code 1 (ValueError: bad value)"},
		{`echo 'error: early'; echo "fatal: late"; echo bye; exit 2`, "exit code 2 (fatal: late)"},
		{`printf 'nothing special\n'; exit 2`, "exit code 2"},
		{`printf '\033[31mERROR\033[0m: \007coloured\n'; exit 2`, "exit code 2 (ERROR: coloured)"},
		{`echo "error: cannot log in with s3cret as $USERX"; exit 2`, "exit code 2 (error: cannot log in with *** as ***)"},
		{`echo "error: key TOPSECRETKEY is wrong"; exit 2`, "exit code 2 (error: key *** is wrong)"},
		{`printf 'error: ` + long + `'; exit 2`, "exit code 2"}, // begins out of sight
		{`echo "error: first"; echo ` + long + `; exit 2`, "exit code 2"},
		{`echo "panic: oh no"; echo; echo "goroutine 1 [running]:"; exit 2`, "exit code 2 (panic: oh no)"},
		{`echo "error: nothing came of it"; exit 0`, "exit code 0"},
		{`kill -TERM $$`, "killed by SIGTERM (sent from outside healbot)"},
		{`ulimit -c 0; kill -SEGV $$`, "killed by SIGSEGV"},
	} {
		dir := t.TempDir()
		svc := sh(dir, c.script)
		svc.Process.Env = append(svc.Process.Env, "USERX=alice@example", "PORTX=8080")
		svc.Process.Files = []service.File{{Variable: "HEALBOT_SECRET_A", Name: "a", Content: "one line\nTOPSECRETKEY\n"}}
		if got := wait(t, start(t, newBackend(t, dir), svc)).String(); got != c.want {
			t.Errorf("%.60s: got %s, want %s", c.script, got, c.want)
		}
	}
}

// A reason is looked for in what this run wrote, not in what stands before it.
func TestReasonOfAnEarlierRun(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	if e := wait(t, start(t, b, sh(dir, "echo error: of the first run; exit 1"))); e.Reason == "" {
		t.Errorf("first run: %v", e)
	}
	if e := wait(t, start(t, b, sh(dir, "exit 1"))); e.Reason != "" {
		t.Errorf("second run: %v", e)
	}
}

func TestReasonOfAPortInUse(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	svc := sh(dir, "exec python3 -m http.server --bind 127.0.0.1 "+port)
	e := wait(t, start(t, newBackend(t, dir), svc))
	if want := "exit code 1 (a port was in use)"; e.String() != want {
		t.Errorf("a line without a port: got %s, want %s", e, want)
	}
	svc = sh(dir, "echo 'listen tcp 127.0.0.1:"+port+": bind: address already in use'; exit 1")
	e = wait(t, start(t, newBackend(t, dir), svc))
	if want := "exit code 1 (port " + port + " is held by pid " + strconv.Itoa(os.Getpid()) + " (native.test))"; e.String() != want {
		t.Errorf("got %s, want %s", e, want)
	}
	l.Close()
	e = wait(t, start(t, newBackend(t, dir), svc))
	if want := "exit code 1 (port " + port + " was in use)"; e.String() != want {
		t.Errorf("got %s, want %s", e, want)
	}
}

// What healbot itself did is no riddle.
func TestNoReasonForWhatWasAskedFor(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	in := start(t, b, sh(dir, "exec sleep 1000"))
	stop(t, in)
	if e := wait(t, in); e.String() != "killed by SIGTERM" {
		t.Errorf("exit: %s", e)
	}
	in = start(t, b, sh(dir, "exec sleep 1000"))
	if err := in.Kill(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, in); e.String() != "killed by SIGKILL" {
		t.Errorf("exit: %s", e)
	}
}

func TestCoreDump(t *testing.T) {
	pattern := strings.TrimSpace(read(t, "/proc/sys/kernel/core_pattern"))
	if strings.HasPrefix(pattern, "|") || strings.Contains(pattern, "/") {
		healtest.Lacks(t, "cores do not land in the working directory here: %s", pattern)
	}
	dir := t.TempDir()
	in := start(t, newBackend(t, dir), sh(dir, `ulimit -c unlimited; echo ready; exec sleep 1000`))
	logOf(t, dir, "ready")
	until(t, "exec", func() bool {
		return strings.HasPrefix(read(t, filepath.Join("/proc", in.About().ID, "cmdline")), "sleep")
	})
	if err := syscall.Kill(in.About().PID, syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	if e := wait(t, in); e.String() != "killed by SIGABRT (core dumped)" {
		t.Errorf("exit: %s", e)
	}
}
