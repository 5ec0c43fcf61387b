package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

func TestSatisfies(t *testing.T) {
	for _, c := range []struct {
		version, constraint string
		want                bool
	}{
		{"3.11.7", "", true},
		{"3.11.7", ">=3.8", true},
		{"3.7.9", ">=3.8", false},
		{"3.11.7", ">=3.8, <3.11", false},
		{"3.11.7", "<3.12,!=3.11.4", true},
		{"3.8.0", "==3.8", true},
		{"3.8.1", "==3.8", false},
		{"3.8.1", "==3.8.*", true},
		{"3.9.1", "3.9", true},
		{"3.10.0", "3.1", false},
		{"3.10.0", ">3.9.9", true},
		{"3.11.2", "~=3.8", true},
		{"4.0.0", "~=3.8", false},
		{"3.9.0", "~=3.8.2", false},
		{"3.9.1", "!=3.9.*", false},
		{"3.11.0", "<=3.11", true},
	} {
		got, err := satisfies(c.version, c.constraint)
		if err != nil || got != c.want {
			t.Errorf("%s %q: %v, %v", c.version, c.constraint, got, err)
		}
	}
	for _, bad := range []string{"three", ">=", "=>3.8", ">>3", "3.x"} {
		if _, err := satisfies("3.11.7", bad); err == nil {
			t.Errorf("%q is taken for a constraint", bad)
		}
	}
}

// pythonProject has a service that needs the package healbotdemo, and wheels of it.
func pythonProject(t *testing.T) (dir string, svc service.Service) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		healtest.Lacks(t, "no python3")
	}
	dir = t.TempDir()
	healtest.Wheel(t, dir, "healbotdemo", "1.0")
	healtest.Wheel(t, dir, "healbotdemo", "2.0")
	requirements(t, dir, "# what it needs\n-r base.txt\n")
	if err := os.WriteFile(filepath.Join(dir, "base.txt"), []byte("healbotdemo==1.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	svc = testService(dir, "python", "-c", "import healbotdemo, sys; print(healbotdemo.VERSION, sys.prefix)")
	venv := filepath.Join(dir, ".venv")
	svc.Process.Python = &service.Python{Version: ">=3.8", Venv: venv, Requirements: []string{filepath.Join(dir, "requirements.txt")}}
	svc.Process.Env = append(svc.Process.Env, "PIP_NO_INDEX=1", "PIP_FIND_LINKS="+dir, "PIP_CONFIG_FILE=/dev/null",
		"VIRTUAL_ENV="+venv, "PATH="+filepath.Join(venv, "bin")+":"+os.Getenv("PATH"))
	return dir, svc
}

func requirements(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func notes() (func(string), func() []string) {
	var mu sync.Mutex
	var all []string
	return func(s string) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, s)
		}, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return all
		}
}

func TestPythonEnvironment(t *testing.T) {
	dir, svc := pythonProject(t)
	b := newBackend(t, dir)
	note, noted := notes()
	var all sync.WaitGroup
	for range 3 { // three replicas share one build
		all.Go(func() {
			if err := b.Prepare(deadline(t), svc, note); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := noted(); len(got) != 1 || got[0] != "building the Python environment .venv" {
		t.Errorf("notes: %q", got)
	}
	wait(t, start(t, b, svc))
	log := read(t, filepath.Join(dir, "logs", "web.log"))
	if !strings.HasSuffix(log, "1.0 "+filepath.Join(dir, ".venv")+"\n") || !strings.Contains(log, "Successfully installed healbotdemo-1.0") {
		t.Errorf("log: %s", log)
	}

	// Current: nothing is started, not even a Python.
	again := svc
	process := *svc.Process
	process.Env = []string{"PATH=/nowhere"}
	again.Process = &process
	if err := b.Prepare(deadline(t), again, note); err != nil || len(noted()) != 1 {
		t.Errorf("a current environment: %v, %q", err, noted())
	}

	// An included file changed.
	if err := os.WriteFile(filepath.Join(dir, "base.txt"), []byte("healbotdemo==2.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Prepare(deadline(t), svc, note); err != nil || len(noted()) != 2 {
		t.Errorf("a changed file: %v, %q", err, noted())
	}
	wait(t, start(t, b, svc))
	if log := read(t, filepath.Join(dir, "logs", "web.log")); !strings.Contains(log, "\n2.0 ") {
		t.Errorf("log: %s", log)
	}

	// Its interpreter is gone.
	python := filepath.Join(dir, ".venv", "bin", "python")
	if err := os.Remove(python); err != nil {
		t.Fatal(err)
	}
	if err := b.Prepare(deadline(t), svc, note); err != nil || executable(python) != nil {
		t.Errorf("an environment without interpreter: %v", err)
	}
	out, err := exec.Command(filepath.Join(dir, ".venv", "bin", "pip"), "list").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "healbotdemo") {
		t.Errorf("pip of the environment: %v\n%s", err, out)
	}
}

func TestBuildFails(t *testing.T) {
	dir, svc := pythonProject(t)
	b := newBackend(t, dir)
	note, _ := notes()
	requirements(t, dir, "healbotdemo==9.9\n")
	for range 2 { // a failed build is not taken for a finished one
		err := b.Prepare(deadline(t), svc, note)
		if err == nil || !strings.Contains(err.Error(), "No matching distribution found for healbotdemo==9.9") || errors.Is(err, service.ErrOutside) {
			t.Errorf("got %v", err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Error("the error shows the environment")
		}
	}
}

func TestPythonThatIsNotThere(t *testing.T) {
	dir, svc := pythonProject(t)
	b := newBackend(t, dir)
	note, _ := notes()
	for what, c := range map[string]struct {
		change func(p *service.Process)
		want   string
	}{
		"version":      {func(p *service.Process) { p.Python.Version = ">=9" }, "Python >=9 is needed, found only 3."},
		"none":         {func(p *service.Process) { p.Env = []string{"PATH=/nowhere"} }, "Python >=3.8 is needed and no Python is on PATH"},
		"requirements": {func(p *service.Process) { p.Python.Requirements = []string{dir + "/nope.txt"} }, "cannot read the requirements " + dir + "/nope.txt: no such file or directory"},
		"include":      {func(*service.Process) { requirements(t, dir, "-c lost.txt\n") }, "lost.txt, which " + dir + "/requirements.txt includes"},
		"constraint":   {func(p *service.Process) { p.Python.Version = "new" }, `bad python version constraint "new"`},
		"no venv":      {func(p *service.Process) { p.Python.Venv = "" }, "set the option venv"},
		"alien":        {func(p *service.Process) { p.Python.Venv = dir }, "is no Python environment"},
	} {
		requirements(t, dir, "healbotdemo\n")
		changed := svc
		process, python := *svc.Process, *svc.Process.Python
		process.Python, changed.Process = &python, &process
		c.change(&process)
		err := b.Prepare(deadline(t), changed, note)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", what, err, c.want)
		}
	}
}

// A build that is under way is waited for by a later supervisor, and ends with a
// cancelled Prepare.
func TestBuildIsCancelled(t *testing.T) {
	dir, svc := pythonProject(t)
	b := newBackend(t, dir)
	ctx, cancel := context.WithCancel(deadline(t))
	err := b.Prepare(ctx, svc, func(string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	note, _ := notes()
	if err := b.Prepare(deadline(t), svc, note); err != nil {
		t.Errorf("after a cancelled build: %v", err)
	}
}

func TestPrepareWithoutPython(t *testing.T) {
	if err := New(t.TempDir(), nil).Prepare(deadline(t), sh("/", "true"), nil); err != nil {
		t.Error(err)
	}
}

func TestUV(t *testing.T) {
	dir, svc := pythonProject(t)
	b := newBackend(t, dir)
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "uv"), []byte("#!/bin/sh\necho uv was told: \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	svc.Process.Env = append(svc.Process.Env, "PATH="+bin+":"+os.Getenv("PATH"))
	note, _ := notes()
	if err := b.Prepare(deadline(t), svc, note); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("uv was told: pip install --python %s/.venv/bin/python -r %s/requirements.txt\n", dir, dir)
	if log := read(t, filepath.Join(dir, "logs", "web.log")); !strings.Contains(log, want) {
		t.Errorf("log: %s", log)
	}
}
