package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// A change of the requirements sets up the Python environment again, with the real venv and
// pip, and then restarts the service, which finds what is new in it.
func TestWatchRebuilds(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1.0", "2.0"} {
		healtest.Wheel(t, dir, "healbotdemo", version)
	}
	need := func(version string) {
		if err := os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte("healbotdemo=="+version+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	need("1.0")
	s := newStack(t, dir, `  web:
    provider: {type: healbot, options: {venv: .venv, requirements: [requirements.txt]}}
    command: [python, -c, "import healbotdemo, time; print('has', healbotdemo.VERSION); time.sleep(1000)"]
    environment: {PIP_NO_INDEX: "1", PIP_FIND_LINKS: "`+dir+`", PIP_CONFIG_FILE: /dev/null}
    develop: {watch: [{path: requirements.txt, action: rebuild}]}
`)
	s.healbot("up", "-d")
	before := s.await("web", service.Running)
	logged := func(what string) {
		t.Helper()
		err := eventually(func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, "logs", "web.log"))
			return strings.Contains(string(text), what)
		})
		if err != nil {
			t.Fatal(what, ": ", err)
		}
	}
	logged("has 1.0\n")
	watch := s.spectator("watch", "--no-up")
	watch.until(t, "\n")
	// It may be told before it watches; the second writing is seen then.
	last := time.Time{}
	if err := eventually(func() bool {
		if now := time.Now(); now.Sub(last) > time.Second {
			last = now
			need("2.0")
		}
		return s.status("web").PID != before.PID
	}); err != nil {
		t.Fatal(err)
	}
	logged("has 2.0\n")
	watch.signal(t, syscall.SIGINT)
	said, _ := io.ReadAll(watch.out)
	if !strings.Contains(string(said), "restarting web with its environment set up again: requirements.txt changed") {
		t.Errorf("it said %q", said)
	}
}
