package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
)

// A workshop is a project of one container that commands are tried on.
type workshop struct {
	t    *testing.T
	dir  string
	name string
}

func newWorkshop(t *testing.T) *workshop {
	healtest.NeedEngine(t)
	w := &workshop{t, t.TempDir(), healtest.Unique("inside")}
	file := fmt.Sprintf(`name: %s
services:
  box:
    image: %s
    command: [sleep]
    environment: {GREETING: hello}
    ports: ["127.0.0.1::8080"]
`, w.name, healtest.Image(t))
	if err := os.WriteFile(filepath.Join(w.dir, "healbot-compose.yml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endProject(t, w.dir) })
	return w
}

// healbot runs a command and wants its exit code and something in its output.
func (w *workshop) healbot(code int, want string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = w.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Stdin = strings.NewReader("from here\n")
	err := cmd.Run()
	got := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		w.t.Fatal(err)
	}
	if got != code || !strings.Contains(out.String(), want) {
		w.t.Errorf("healbot %s: exit code %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, want, out.String())
	}
	return out.String()
}

func TestCommandsOnAContainer(t *testing.T) {
	w := newWorkshop(t)
	w.healbot(0, "", "up", "-d")
	w.healbot(0, "127.0.0.1:", "port", "box", "8080")
	w.healbot(0, "hello", "exec", "box", "/fixture", "env", "GREETING")
	w.healbot(0, "bye", "exec", "-e", "GREETING=bye", "box", "/fixture", "env", "GREETING")
	w.healbot(3, "", "exec", "box", "/fixture", "exit", "3")
	w.healbot(0, "once", "run", "--rm", "-e", "GREETING=once", "box", "env", "GREETING")
	w.healbot(4, "", "run", "--rm", "--entrypoint", "/fixture", "box", "exit", "4")
	w.healbot(0, "", "exec", "-d", "box", "/fixture", "put", "/put", "written")
	w.healbot(0, "KIND", "stats", "--no-stream")
	w.healbot(0, "sleep", "top", "box")
	w.healbot(0, "fixture", "images")
	w.healbot(0, "sha256:", "images", "-q", "box")
	w.healbot(0, "box: paused", "pause", "box")
	if err := eventually(func() bool { return (&stack{TB: t, dir: w.dir}).status("box").Paused }); err != nil {
		t.Error("its status does not say that it is paused")
	}
	w.healbot(0, `"State":"paused"`, "ps", "--format", "json", "--status", "paused")
	w.healbot(0, "paused; healbot unpause lets it go on", "ps")
	w.healbot(0, "box: unpaused", "unpause", "box")
	if err := eventually(func() bool { return !(&stack{TB: t, dir: w.dir}).status("box").Paused }); err != nil {
		t.Error("its status says that it is still paused")
	}
	w.healbot(0, "", "pause", "box")
	w.healbot(0, "", "stop", "-t", "5", "box")
	w.healbot(0, "box stopped exited false", "ps", "--format", "{{.Name}} {{.Heal}} {{.State}} {{eq .ExitCode 137}}")
	w.healbot(0, "", "start", "box")
	w.healbot(0, "box\n", "ps", "--services", "--status", "running", "-a")
	if out := w.healbot(0, "", "ps", "-q", "--filter", "status=exited"); out != "" {
		t.Errorf("what runs is shown as exited:\n%s", out)
	}
	w.healbot(1, "no such file or folder in the container: /nope", "cp", "box:/nope", "x")
	w.healbot(0, "", "cp", "box:/fixture", "taken")
	w.healbot(0, "", "cp", "healbot-compose.yml", "box:/in.yml")
	w.healbot(0, "", "cp", "box:/in.yml", ".")
	w.sameFile("in.yml", "healbot-compose.yml")
	if out := w.healbot(0, "", "ps", "-q"); strings.Count(out, "\n") != 1 {
		t.Errorf("a one-off is taken for a service:\n%s", out)
	}
}

// TestCopyFlags tries what cp can be told, there and back.
func TestCopyFlags(t *testing.T) {
	w := newWorkshop(t)
	w.healbot(0, "", "up", "-d")
	for _, err := range []error{
		os.Mkdir(filepath.Join(w.dir, "box"), 0o755),
		os.WriteFile(filepath.Join(w.dir, "box", "file"), []byte("text"), 0o644),
		os.Symlink("box/file", filepath.Join(w.dir, "link")),
		os.Symlink("file", filepath.Join(w.dir, "box", "inner")),
		os.Chown(filepath.Join(w.dir, "box", "file"), 0, 34),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.healbot(0, "", "cp", "-a", "box", "box:/kept")
	w.healbot(0, "", "cp", "-a", "box:/kept", "kept")
	w.healbot(0, "", "cp", "box:/kept", "plain")
	for path, gid := range map[string]uint32{"kept/file": 34, "plain/file": 0} {
		info, err := os.Stat(filepath.Join(w.dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Gid; got != gid {
			t.Errorf("%s is of group %d, not %d", path, got, gid)
		}
	}
	w.healbot(0, "", "cp", "-L", "link", "box:/followed")
	w.healbot(0, "", "exec", "box", "/fixture", "has", "/followed", "text")
	w.healbot(0, "", "cp", "-L", "box:/kept/inner", "inner")
	w.sameFile("inner", "box/file")
	w.healbot(0, "box-run-", "run", "-d", "box", "sleep")
	w.healbot(0, "", "cp", "--all", "box/file", "box:/everywhere")
	w.healbot(0, "", "stop", "-t", "1", "box")
	w.healbot(0, "", "rm", "-f", "box")
	w.healbot(1, "box has no such container", "cp", "box:/everywhere", "x")
	w.healbot(0, "", "cp", "--all", "box:/everywhere", "once")
	w.sameFile("once", "box/file")
	w.healbot(0, "", "down")
}

// What up --no-start made is what the next up starts, and down takes away.
func TestNoStart(t *testing.T) {
	engine := healtest.NeedEngine(t)
	w := newWorkshop(t)
	w.healbot(0, "box: ready to be started", "up", "--no-start")
	made, err := engine.ContainerInspect(t.Context(), w.name+"-box-1")
	if err != nil || made.State.Status != "created" {
		t.Fatalf("%+v %v", made.ContainerJSONBase, err)
	}
	w.healbot(0, "stopped", "ps")
	w.healbot(0, "", "up", "-d")
	if out := w.healbot(0, "", "ps", "-q"); !strings.HasPrefix(made.ID, strings.TrimSpace(out)) {
		t.Errorf("the container was not taken: %s", out)
	}
	w.healbot(1, "cannot set up what is up: another healbot", "up", "--no-start")
	w.healbot(2, "can't go with", "up", "--no-start", "-d")
	w.healbot(0, "", "down")
	w.healbot(0, "", "up", "--no-start")
	w.healbot(0, "removed container "+w.name+"-box-1", "down")
}

// TestOneOffFlags tries what run can be told of its container.
func TestOneOffFlags(t *testing.T) {
	engine := healtest.NeedEngine(t)
	w := newWorkshop(t)
	if err := os.WriteFile(filepath.Join(w.dir, "given"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.healbot(0, "", "run", "--rm", "-i=false", "-v", "./given:/in/given:ro", "box", "has", "/in/given", "text")
	if err := os.WriteFile(filepath.Join(w.dir, "vars"), []byte("GREETING=from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.healbot(0, "from a file", "run", "--rm", "-q", "--no-TTY", "--env-from-file", "vars", "box", "env", "GREETING")
	w.healbot(0, "over it", "run", "--rm", "-T", "--env-from-file", "vars", "-e", "GREETING=over it", "box", "env", "GREETING")
	w.healbot(1, "cannot read --env-from-file none", "run", "--rm", "--env-from-file", "none", "box")
	w.healbot(2, "can't go with --publish", "run", "-P", "-p", "80", "box")
	name := strings.TrimSpace(w.healbot(0, w.name+"-box-run-", "run", "-d", "--rm", "-p", "127.0.0.1::9090", "-l", "own=yes", "--cap-drop", "ALL", "box", "sleep"))
	c, err := engine.ContainerInspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if !c.HostConfig.AutoRemove || c.Config.Labels["own"] != "yes" || len(c.HostConfig.CapDrop) != 1 {
		t.Errorf("%+v %q", c.HostConfig, c.Config.Labels)
	}
	if p := c.NetworkSettings.Ports["9090/tcp"]; len(p) != 1 || p[0].HostPort == "" || len(c.NetworkSettings.Ports["8080/tcp"]) > 0 {
		t.Errorf("ports: %v", c.NetworkSettings.Ports)
	}
	w.healbot(0, "removed container "+name+", network "+w.name+"_default", "down")
	w.healbot(0, "nothing to do", "down")
}

func TestRemoveAndPull(t *testing.T) {
	w := newWorkshop(t)
	w.healbot(0, "", "up", "-d")
	w.healbot(0, "nothing to do", "rm", "-f")
	w.healbot(0, "", "stop")
	w.healbot(1, "--force does not ask", "rm")
	w.healbot(0, "removed "+w.name+"-box-1", "rm", "-f", "box")
	w.healbot(0, "", "start")
	w.healbot(0, "running", "ps")
	w.healbot(0, "removed", "rm", "-s", "-f")
	w.healbot(1, "registry", "pull")
	w.healbot(0, "registry", "pull", "--ignore-pull-failures", "-q")
	w.healbot(0, "", "pull", "--policy", "missing", "--include-deps")
	w.healbot(2, "--policy takes", "pull", "--policy", "never")
}

func (w *workshop) sameFile(a, b string) {
	w.t.Helper()
	one, err := os.ReadFile(filepath.Join(w.dir, a))
	two, other := os.ReadFile(filepath.Join(w.dir, b))
	if err := errors.Join(err, other); err != nil {
		w.t.Error(err)
	}
	if !bytes.Equal(one, two) {
		w.t.Errorf("%s and %s are not the same", a, b)
	}
}
