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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
