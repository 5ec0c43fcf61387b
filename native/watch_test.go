package native

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		patterns, name string
		want           bool
	}{
		{"*.csv", "a.csv", true},
		{"*.csv", "data/a.csv", false},
		{"**/*.csv", "data/deep/a.csv", true},
		{"**/*.csv", "a.csv", true},
		{"data/", "data/x/y", true},
		{"data", "database", false},
		{"data !data/keep.py", "data/keep.py", false},
		{"data !data/keep.py", "data/other.py", true},
		{"a?c", "abc", true},
		{"[ab].py", "b.py", true},
		{"[ab].py", "c.py", false},
		{"a.c", "abc", false},
	} {
		if got := parsePatterns(strings.Fields(c.patterns)).fit(c.name); got != c.want {
			t.Errorf("%s on %s: %v", c.patterns, c.name, got)
		}
	}
}

// watching runs Watch over one service and gives what it tells.
func watching(t *testing.T, dir string, triggers ...service.Trigger) <-chan Changed {
	t.Helper()
	svc := testService(dir, "true")
	svc.Process.Watch = triggers
	svc.Process.Python = &service.Python{Venv: filepath.Join(dir, "env")}
	probe := filepath.Join(dir, "probe")
	ready, told, ended := make(chan bool, 100), make(chan Changed, 100), make(chan error, 1)
	tell := func(c Changed) {
		if c.File == probe && c.More == 0 {
			ready <- true
		} else {
			told <- c
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		ended <- Watch(ctx, []service.Service{svc}, func(s string) { t.Error(s) }, tell)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	// It watches once it tells of a file that is written over and over.
	for {
		file(t, probe, time.Now().String())
		select {
		case <-ready:
			return told
		case <-time.After(2 * calm):
		case err := <-ended:
			t.Fatal(err)
		}
	}
}

func next(t *testing.T, told <-chan Changed) Changed {
	t.Helper()
	select {
	case c := <-told:
		return c
	case <-time.After(healtest.Deadline):
		t.Fatal("nothing was told")
		return Changed{}
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src", "__pycache__"), 0o755); err != nil {
		t.Fatal(err)
	}
	file(t, filepath.Join(dir, "requirements.txt"), "")
	told := watching(t, dir,
		service.Trigger{Path: dir, Ignore: []string{"data"}},
		service.Trigger{Path: filepath.Join(dir, "requirements.txt"), Rebuild: true},
	)
	// What comes at once is one change; a new folder's files are seen from the first on.
	for _, name := range []string{"src/new/deep/a.py", "src/new/b.py", "c.py"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		file(t, path, "x")
	}
	if c := next(t, told); c.Rebuild || c.More != 2 {
		t.Errorf("%+v", c)
	}
	file(t, filepath.Join(dir, "src/new/deep/a.py"), "y")
	if c := next(t, told); c.More != 0 || !strings.HasSuffix(c.File, "deep/a.py") {
		t.Errorf("in a new folder: %+v", c)
	}
	// What is not meant is not told; the editor's way of saving is.
	for _, name := range []string{
		"data/x", "src/__pycache__/a.pyc", ".git/index", "logs/web.log", ".healbot/x", "env/lib/y", "src/.a.py.swp", "src/a.py~",
		".service_status.json", "..service_status.json123",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		file(t, path, "x")
	}
	select {
	case c := <-told:
		t.Errorf("told of what is ignored: %+v", c)
	case <-time.After(3 * calm):
	}
	file(t, filepath.Join(dir, "requirements.new~"), "x")
	if err := os.Rename(filepath.Join(dir, "requirements.new~"), filepath.Join(dir, "requirements.txt")); err != nil {
		t.Fatal(err)
	}
	if c := next(t, told); !c.Rebuild {
		t.Errorf("%+v", c)
	}
	if err := os.Remove(filepath.Join(dir, "c.py")); err != nil {
		t.Fatal(err)
	}
	next(t, told)
}

// A folder that is removed and made again, with the one around it, is watched again.
func TestWatchOfAFolderThatComesBack(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "app", "src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	file(t, filepath.Join(dir, "probe"), "")
	file(t, filepath.Join(src, "only.py"), "")
	told := watching(t, dir, service.Trigger{Path: filepath.Join(dir, "probe")}, service.Trigger{Path: src}, service.Trigger{Path: filepath.Join(src, "only.py"), Rebuild: true})
	for _, gone := range []string{src, filepath.Dir(src), src} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		next(t, told)
		if err := os.MkdirAll(src, 0o755); err != nil {
			t.Fatal(err)
		}
		file(t, filepath.Join(src, "a.py"), "x")
		if c := next(t, told); c.Rebuild || !strings.HasSuffix(c.File, "a.py") {
			t.Errorf("%+v", c)
		}
		file(t, filepath.Join(src, "only.py"), "x")
		if c := next(t, told); !c.Rebuild {
			t.Errorf("%+v", c)
		}
	}
}

// What a build does not see is no reason to restart.
func TestWatchHonoursDockerignore(t *testing.T) {
	dir := t.TempDir()
	file(t, filepath.Join(dir, ".dockerignore"), "# not for images\n*\n!probe\n!src\n**/*.csv\n!src/keep.csv\n")
	if err := os.MkdirAll(filepath.Join(dir, "src", "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	told := watching(t, dir, service.Trigger{Path: dir})
	for _, name := range []string{"notes", "src/a.csv", "src/data/b.csv"} {
		file(t, filepath.Join(dir, name), "x")
	}
	select {
	case c := <-told:
		t.Errorf("told of what is ignored: %+v", c)
	case <-time.After(3 * calm):
	}
	for _, name := range []string{"src/keep.csv", "src/data/a.py"} {
		file(t, filepath.Join(dir, name), "x")
		if c := next(t, told); !strings.HasSuffix(c.File, name) {
			t.Errorf("%+v", c)
		}
	}
}

// Changes that go on and on are told after a while; then those that follow, once it is calm.
func TestWatchWaitsForCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := &fsnotify.Watcher{Events: make(chan fsnotify.Event), Errors: make(chan error)}
		w := &watcher{events: events, pending: map[string]*Changed{}, files: map[string]bool{}}
		w.triggers = []trigger{{service: service.Service{Name: "web", Dir: "/none"}, path: "/none/src"}}
		ctx, stop := context.WithCancel(t.Context())
		begin := time.Now()
		var told []time.Duration
		ended := make(chan error)
		go func() { ended <- w.run(ctx, func(Changed) { told = append(told, time.Since(begin)) }) }()
		change := func() { events.Events <- fsnotify.Event{Name: "/none/src/a.py", Op: fsnotify.Write} }
		change()
		time.Sleep(10 * time.Second)
		for range 50 {
			change()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// The first alone; then while changes go on; then what came after that.
		if len(told) != 3 || told[0] != calm || told[1] < 10*time.Second+restless || told[1] > 10*time.Second+restless+calm || told[2] > 15*time.Second+calm {
			t.Errorf("told after %v", told)
		}
	})
}

func TestWatchOfNothing(t *testing.T) {
	dir := t.TempDir()
	svc := testService(dir, "true")
	svc.Process.Watch = []service.Trigger{{Path: filepath.Join(dir, "none")}}
	var said string
	err := Watch(deadline(t), []service.Service{svc}, func(s string) { said += s }, func(Changed) {})
	if err == nil || !strings.Contains(said, "none for web: no such file or directory: create it") {
		t.Errorf("%v %q", err, said)
	}
}
