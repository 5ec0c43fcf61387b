package main

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// TestWatchContainers copies into a container, runs a command there, restarts it and
// builds its image again, as its files change.
func TestWatchContainers(t *testing.T) {
	engine := healtest.NeedEngine(t)
	s, w := newBuilder(t)
	for _, dir := range []string{"src", "conf", "cmd"} {
		if err := os.Mkdir(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write("src/first.txt", "there before")
	s.write("conf/a.conf", "old")
	s.write("cmd/run", "old")
	file := strings.Replace(readAll(t, filepath.Join(s.dir, "healbot-compose.yml")), "    volumes:", `    develop:
      watch:
        - {path: src, action: sync, target: /app, initial_sync: true, ignore: ["*.log"]}
        - {path: conf, action: sync+restart, target: /etc/conf}
        - {path: cmd/run, action: sync+exec, target: /bin/run, exec: {command: [/fixture, put, /ran, ran]}}
        - {path: Dockerfile, action: rebuild}
    volumes:`, 1)
	s.write("healbot-compose.yml", file)
	w.healbot(0, "", "up", "-d")
	before := s.await("web", service.Running)

	watching := s.spectator("watch", "--no-up")
	output := filepath.Join(t.TempDir(), "said")
	said := func() string { return readAll(t, output) }
	keep(t, watching, output)
	w.has("/app/first.txt", "there before")
	s.write("src/new.txt", "new")
	s.write("src/new.log", "ignored")
	w.has("/app/new.txt", "new")
	if _, err := engine.ContainerStatPath(t.Context(), before.ID, "/app/new.log"); err == nil {
		t.Error("what is ignored was copied")
	}
	s.write("cmd/run", "new")
	w.has("/bin/run", "new")
	w.has("/ran", "ran\n")

	s.write("conf/a.conf", "new")
	restarted := s.another(before)
	if restarted.ID != before.ID {
		t.Error("sync+restart made another container")
	}
	w.has("/etc/conf/a.conf", "new")
	w.has("/app/new.txt", "new")

	s.dockerfile("two")
	rebuilt := s.another(restarted)
	c, err := engine.ContainerInspect(t.Context(), rebuilt.ID)
	if err != nil || c.Config.Labels["what"] != "two" {
		t.Errorf("rebuilt: %v %q", err, c.Config.Labels)
	}
	if err := os.Remove(filepath.Join(s.dir, "src/first.txt")); err != nil {
		t.Fatal(err)
	}
	if err := eventually(func() bool { return strings.Contains(said(), "cannot remove /app/first.txt") }); err != nil {
		t.Errorf("an image without rm: %v", err)
	}
	watching.signal(t, syscall.SIGINT)
	for _, want := range []string{"copying into web: src/first.txt", "running /fixture in web", "restarting web: conf/a.conf changed", "rebuilding web: Dockerfile changed", "web: replaced, its image changed"} {
		if !strings.Contains(said(), want) {
			t.Errorf("it did not say %q:\n%s", want, said())
		}
	}
}

// has waits until a file of the container holds a text.
func (w *workshop) has(file, text string) {
	w.t.Helper()
	s := &stack{TB: w.t, dir: w.dir}
	err := eventually(func() bool {
		id := s.status("web").ID
		return id != "" && fileIn(w.t, id, file) == text
	})
	if err != nil {
		w.t.Fatalf("%s does not hold %q: %v", file, text, err)
	}
}

// another waits until a service runs as another instance than before.
func (s *stack) another(before service.Status) service.Status {
	s.Helper()
	var now service.Status
	err := eventually(func() bool {
		now = s.status("web")
		return now.State == service.Running && now.StartedAt != nil && now.StartedAt.After(*before.StartedAt)
	})
	if err != nil {
		s.Fatalf("it was not started again: %+v", now)
	}
	return now
}

// fileIn gives what a file of a container holds; "" if it is not there.
func fileIn(t *testing.T, id, file string) string {
	t.Helper()
	archive, _, err := healtest.NeedEngine(t).CopyFromContainer(t.Context(), id, file)
	if err != nil {
		return ""
	}
	defer archive.Close()
	in := tar.NewReader(archive)
	if _, err = in.Next(); err != nil {
		return ""
	}
	text, _ := io.ReadAll(in)
	return string(text)
}

// keep writes what a command says to a file.
func keep(t *testing.T, from *spectator, to string) {
	t.Helper()
	file, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(file, from.out)
		file.Close()
	}()
	t.Cleanup(func() { _ = from.Process.Kill(); <-done })
}

func readAll(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
