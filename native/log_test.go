package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/native/keeper"
	"github.com/healing-bot/healbot/service"
)

// rotated gives the files of the log of web but the live one, the oldest first.
func rotated(t *testing.T, dir string) (files []string) {
	t.Helper()
	all, _ := filepath.Glob(filepath.Join(dir, "logs", "web.log.*"))
	for i := len(all); i > 0; i-- {
		files = append(files, filepath.Join(dir, "logs", fmt.Sprintf("web.log.%d", i)))
	}
	return files
}

// numbered checks that the log of web holds lines 1 to n of the fixture once each, whole
// and in order.
func numbered(t *testing.T, n int, dir string) {
	t.Helper()
	var all strings.Builder
	for _, f := range append(rotated(t, dir), filepath.Join(dir, "logs", "web.log")) {
		s := read(t, f)
		if s != "" && !strings.HasSuffix(s, "\n") {
			t.Errorf("%s does not end at a line end", f)
		}
		all.WriteString(s)
	}
	i := 0
	for line := range strings.Lines(all.String()) {
		i++
		if want := fmt.Sprintf("line %09d %s\n", i, strings.Repeat("x", i%97)); line != want {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if i != n {
		t.Errorf("%d lines, want %d", i, n)
	}
}

// killKeeper kills the keeper, if there is one that answers.
func killKeeper(t *testing.T, dir string) bool {
	c, err := keeper.Dial(deadline(t), dir, func(keeper.Unit) {})
	if err != nil {
		return false
	}
	defer c.Close()
	pid := keeperPID(t, dir)
	return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
}

// killing kills the keeper of an instance after each pause until that ends, which it
// does once enough is there, and so after 5 kills at the least. It gives what the instance
// wrote into that file: how many lines it wrote.
func killing(t *testing.T, dir string, in *Instance, enough string, pause time.Duration) (lines int) {
	t.Helper()
	kills := 0
	for !ended(in, pause) {
		if killKeeper(t, dir) {
			if kills++; kills == 5 {
				file(t, enough, "")
			}
		}
	}
	if _, err := fmt.Sscan(read(t, enough), &lines); err != nil {
		t.Fatalf("after %d kills of the keeper: %v", kills, err)
	}
	t.Logf("%d lines, %d kills of the keeper", lines, kills)
	return lines
}

func TestLinesUnderKills(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	enough := filepath.Join(dir, "enough")
	in := start(t, b, self(dir, "lines", "60000", "9", "1ms", enough))
	n := killing(t, dir, in, enough, 15*time.Millisecond)
	if e := wait(t, in); e.Code != 9 {
		t.Errorf("exit: %v", e)
	}
	numbered(t, n, dir)
}

func TestRotation(t *testing.T) {
	const n = 50000
	dir := t.TempDir()
	b := newBackend(t, dir)
	svc := self(dir, "lines", fmt.Sprint(n), "0")
	svc.Process.Log = service.Log{MaxSize: 256 << 10, MaxFiles: 100}
	wait(t, start(t, b, svc))
	files := rotated(t, dir)
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || st.Size() < 256<<10 || st.Size() > 256<<10+200 {
			t.Errorf("%s: %v, %v", f, st, err)
		}
	}
	if len(files) < 5 {
		t.Errorf("%d rotated files", len(files))
	}
	numbered(t, n, dir)
}

func TestRotationKeepsMaxFiles(t *testing.T) {
	dir := t.TempDir()
	b := newBackend(t, dir)
	for max := 3; max > 0; max-- {
		svc := self(dir, "lines", "5000", "0")
		svc.Process.Log = service.Log{MaxSize: 20 << 10, MaxFiles: max}
		wait(t, start(t, b, svc))
		if files, _ := filepath.Glob(filepath.Join(dir, "logs", "web*")); len(files) != max {
			t.Errorf("max-file %d: %v", max, files)
		}
	}
}

func TestRotationUnderKills(t *testing.T) {
	const n = 60000
	dir := t.TempDir()
	b := newBackend(t, dir)
	svc := self(dir, "lines", fmt.Sprint(n), "0")
	svc.Process.Log = service.Log{MaxSize: 64 << 10, MaxFiles: 500}
	in := start(t, b, svc)
	for !ended(in, 20*time.Millisecond) {
		killKeeper(t, dir)
	}
	numbered(t, n, dir)
}

func TestLastLineWithoutNewline(t *testing.T) {
	dir := t.TempDir()
	wait(t, start(t, newBackend(t, dir), sh(dir, `printf 'one\ntwo\000\377'`)))
	path := filepath.Join(dir, "logs", "web.log")
	if got := read(t, path); got != "one\ntwo\000\377" {
		t.Errorf("log: %q", got)
	}
	if diff := cmp.Diff([]string{"one", "two\000\377"}, tail(t, path, -1)); diff != "" {
		t.Error(diff)
	}
}

func TestLogNone(t *testing.T) {
	dir := t.TempDir()
	svc := sh(dir, "head -c 3000000 /dev/zero; exit 2")
	svc.Process.Log = service.Log{None: true}
	if e := wait(t, start(t, newBackend(t, dir), svc)); e.Code != 2 {
		t.Errorf("exit: %v", e)
	}
	if _, err := os.Stat(filepath.Join(dir, "logs")); err == nil {
		t.Error("a folder for logs was made")
	}
}

func TestLogChangedByHand(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "logs", "web.log")
	step := func(n int) string { return filepath.Join(dir, fmt.Sprintf("step%d", n)) }
	start(t, newBackend(t, dir), sh(dir, `i=1; while test $i -le 4; do echo part $i; while ! test -e step$i; do sleep 0.01; done; i=$((i+1)); done; exec sleep 1000`))
	for i, change := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.Truncate(path, 0) },
		func() error { return os.RemoveAll(filepath.Dir(path)) },
	} {
		logOf(t, dir, fmt.Sprintf("part %d\n", i+1))
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(step(i+1), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, want := logOf(t, dir, "\n"), fmt.Sprintf("part %d\n", i+2); got != want {
			t.Errorf("log: %q, want %q", got, want)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o640 {
			t.Errorf("mode %v %v", st.Mode(), err)
		}
	}
}

func TestLogIsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	for name, plant := range map[string]func(path string) error{
		"symbolic": func(p string) error { return os.Symlink(victim, p) },
		"hard":     func(p string) error { return os.Link(victim, p) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(victim, []byte("mine\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := plant(filepath.Join(dir, "logs", "web.log")); err != nil {
				t.Fatal(err)
			}
			e := wait(t, start(t, newBackend(t, dir), sh(dir, "head -c 1000000 /dev/zero; exit 2")))
			if e.Code != 2 || !strings.Contains(e.Reason, "1000000 bytes") {
				t.Errorf("exit: %v", e)
			}
			if got := read(t, victim); got != "mine\n" {
				t.Errorf("victim: %q", got)
			}
		})
	}
}

// A full disk neither blocks nor ends the service, and the log says what is missing.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", logs, "tmpfs", 0, "size=256k"); err != nil {
		healtest.Lacks(t, "cannot mount: %v", err)
	}
	defer func() { _ = syscall.Unmount(logs, syscall.MNT_DETACH) }()
	ballast := filepath.Join(logs, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	in := start(t, newBackend(t, dir), sh(dir, "yes 0123456789 | head -n 200000; touch wrote; while ! test -e go; do sleep 0.01; done; sleep 0.3; echo again; exit 5"))
	until(t, "all is written", func() bool { _, err := os.Stat(filepath.Join(dir, "wrote")); return err == nil })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	file(t, filepath.Join(dir, "go"), "")
	if e := wait(t, in); e.Code != 5 || !strings.Contains(e.Reason, "bytes of its output are lost") {
		t.Errorf("exit: %v", e)
	}
	s := read(t, filepath.Join(logs, "web.log"))
	if !strings.Contains(s, "bytes of output are missing here: no space left on device\n") || !strings.HasSuffix(s, "again\n") {
		t.Errorf("end of the log: %q", s[max(0, len(s)-200):])
	}
}
