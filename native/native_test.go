package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// The test binary is also the keeper, and the services that the shell can't be.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "keeper":
			os.Exit(Main(os.Args[2:]...))
		case "fixture":
			os.Exit(fixture(os.Args[2:]))
		}
	}
	// Keepers and fixtures need not linger for reports of the race detector.
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// fixture plays a service that the shell can't be.
func fixture(args []string) int {
	switch args[0] {
	case "lines": // one write(2) a line, with a pause after each 200
		pause := time.Millisecond
		if len(args) > 3 {
			pause, _ = time.ParseDuration(args[3])
		}
		atLeast(args[1], args[min(len(args), 4):], func(i int) {
			fmt.Printf("line %09d %s\n", i, strings.Repeat("x", i%97))
			if i%200 == 0 {
				time.Sleep(pause)
			}
		})
		code, _ := strconv.Atoi(args[2])
		return code
	case "clock": // a line a millisecond that says when it is written
		atLeast(args[1], args[2:], func(int) {
			fmt.Println(time.Now().UnixNano(), "x")
			time.Sleep(time.Millisecond)
		})
	case "both": // lines of 3000 bytes through both streams at once
		n, _ := strconv.Atoi(args[1])
		done := make(chan bool)
		for f, c := range map[*os.File]string{os.Stdout: "o", os.Stderr: "e"} {
			go func() {
				for range n {
					fmt.Fprintln(f, strings.Repeat(c, 2999))
				}
				done <- true
			}()
		}
		<-done
		<-done
	case "answer": // an HTTP server that says who it is
		err := http.ListenAndServe(args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, os.Getpid())
		}))
		fmt.Println(err)
		return 1
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "heir": // a supervisor that adopts what runs in args[1]
		found, err := New(args[1], []string{os.Args[0], "keeper"}).Adopt(context.Background(), "test")
		if err != nil || len(found) != 1 {
			fmt.Println("adopt:", found, err)
			return 1
		}
		fmt.Println("adopted")
		e, err := found[0].Wait(context.Background())
		fmt.Println("ended with", e.Code, err)
	case "stranger": // a supervisor that starts args[2:] in args[1] and waits to be killed
		b := New(args[1], []string{os.Args[0], "keeper"})
		in, err := b.Start(context.Background(), testService(args[1], args[2:]...), 1, 1)
		fmt.Println(in.About().PID, err)
		time.Sleep(time.Hour)
	}
	return 0
}

// atLeast does something n times; given a file, more often until that is there, and
// then writes into it how often.
func atLeast(n string, enough []string, do func(i int)) {
	least, _ := strconv.Atoi(n)
	over := func() bool {
		if len(enough) == 0 {
			return true
		}
		_, err := os.Stat(enough[0])
		return err == nil
	}
	i := 0
	for ; i < least || !over(); i++ {
		do(i + 1)
	}
	if len(enough) > 0 {
		_ = os.WriteFile(enough[0], []byte(strconv.Itoa(i)), 0o600)
	}
}

func testService(dir string, argv ...string) service.Service {
	return service.Service{
		Name: "web", Kind: service.Native, Project: "test", Dir: dir, Title: "web", Replicas: 1,
		StopSignal: "SIGTERM", Grace: 5 * time.Second, Hash: "h1",
		Process: &service.Process{
			Argv: argv, Dir: dir, Env: append(os.Environ(), "CANARY=s3cret"),
			Log: service.Log{MaxSize: 10 << 20, MaxFiles: 30},
		},
	}
}

func sh(dir, script string) service.Service { return testService(dir, "sh", "-c", script) }

func self(dir string, args ...string) service.Service {
	exe, _ := os.Executable()
	return testService(dir, append([]string{exe, "fixture"}, args...)...)
}

// newBackend gives a backend whose services and keeper are gone when the test ends.
func newBackend(t *testing.T, dir string) *Backend {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := New(dir, []string{exe, "keeper"})
	t.Cleanup(func() {
		ctx := deadline(t)
		said := read(t, filepath.Join(dir, ".healbot", "keeper.log"))
		if strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic") || t.Failed() {
			t.Errorf("keeper.log: %s", said)
		}
		last := New(dir, []string{exe, "keeper"})
		all, _ := last.Adopt(ctx, "test")
		for _, in := range all {
			_ = in.Kill(ctx)
			_, _ = in.Wait(ctx)
		}
		if err := last.Remove(ctx, "test"); err != nil {
			t.Errorf("remove: %v", err)
		}
		last.Close()
		b.Close()
	})
	return b
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), healtest.Deadline)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, b *Backend, svc service.Service) *Instance {
	t.Helper()
	in, err := b.Start(deadline(t), svc, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func wait(t *testing.T, in *Instance) service.Exit {
	t.Helper()
	e, err := in.Wait(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// until waits for a condition that no event announces.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(healtest.Deadline); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, healtest.Deadline)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// logOf waits until the log of web has something like want, and gives it.
func logOf(t *testing.T, dir, want string) string {
	t.Helper()
	var s string
	until(t, "log with "+want, func() bool {
		s = read(t, filepath.Join(dir, "logs", "web.log"))
		return strings.Contains(s, want)
	})
	return s
}

func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return f[0] != "Z" && f[0] != "X"
}

// pidAfter reads a number that follows word in the log of web.
func pidAfter(t *testing.T, dir, word string) int {
	t.Helper()
	s := logOf(t, dir, word)
	var pid int
	if _, err := fmt.Sscanf(s[strings.Index(s, word)+len(word):], "%d", &pid); err != nil {
		t.Fatalf("no pid after %q in %q", word, s)
	}
	return pid
}

func keeperPID(t *testing.T, dir string) int {
	t.Helper()
	return findKeeper(dir)
}

// findKeeper gives the pid of the keeper of dir; 0 if there is none.
func findKeeper(dir string) int {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		b, _ := os.ReadFile(p)
		f := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		if len(f) == 3 && f[1] == "keeper" && f[2] == dir {
			pid, _ := strconv.Atoi(strings.Split(p, "/")[2])
			return pid
		}
	}
	return 0
}

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
