package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// A stack is a project directory in which the real healbot is called.
type stack struct {
	testing.TB
	dir string
	env []string
}

func (s *stack) healbot(args ...string) string {
	s.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), s.env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		s.Fatalf("healbot %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String()
}

func (s *stack) all() map[string]object {
	s.Helper()
	all, err := objectsIn(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// healed waits until a service runs and is healthy as another instance than before,
// and says how long that took.
func (s *stack) healed(before service.Status, since time.Time) (service.Status, time.Duration) {
	s.Helper()
	var now service.Status
	err := eventually(func() bool {
		now = s.status(before.Name)
		return now.State == service.Running && now.Health == service.HealthHealthy && !now.StartedAt.Equal(*before.StartedAt)
	})
	if err != nil {
		s.Fatalf("%s did not heal: it is %s (%s)", before.Name, now.State, now.Reason)
	}
	return now, now.Since.Sub(since)
}

func (s *stack) status(name string) service.Status {
	s.Helper()
	all, err := statusFile(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	return all[name]
}

// TestHealingBotStack runs the stack of this repository with the stand-in for the log
// shipper: every address answers, two kills heal, and nothing is left in the end.
func TestHealingBotStack(t *testing.T) {
	engine := healtest.NeedEngine(t)
	s := &stack{t, healingBotDir(t), []string{
		"FLUENT_BIT_IMAGE=" + healtest.StandIn(t), "RESTART_DELAY=0", "MONITOR_INTERVAL=1", "HEALING_BOT_FAULTS=1",
	}}
	t.Cleanup(func() { endProject(t, s.dir) })
	s.healbot("up", "--wait", "--wait-timeout", "300")

	for name, url := range map[string]string{
		"model": "http://localhost:8080/health", "network-analyzer": "http://localhost:8000/health",
		"dashboard": "http://localhost:3001/", "incident-bot": "http://localhost:8001/health",
		"monitoring-server": "http://localhost:5000/health", "healing-dashboard": "http://localhost:5001/",
		"fluent-bit": "http://localhost:2020/api/v1/health", "fluent-bit, its other port": "http://localhost:8888/api/v1/health",
	} {
		resp, err := http.Get(url)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s at %s: %v, %v", name, url, resp, err)
			continue
		}
		resp.Body.Close()
	}

	before, _ := statusFile(s.dir)
	began := time.Now()
	if err := syscall.Kill(before["model"].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	model, took := s.healed(before["model"], began)
	t.Logf("kill -9 of model to running again: %.2fs", took.Seconds())

	began = time.Now()
	if err := engine.ContainerKill(t.Context(), before["fluent-bit"].ID, "KILL"); err != nil {
		t.Fatal(err)
	}
	shipper, took := s.healed(before["fluent-bit"], began)
	t.Logf("docker kill of fluent-bit to running again: %.2fs", took.Seconds())
	for _, o := range []service.Status{model, shipper} {
		if o.Restarts != 1 || o.RestartsTotal != 1 {
			t.Errorf("%s has %d restarts (%d in all), want 1", o.Name, o.Restarts, o.RestartsTotal)
		}
	}
	t.Log("\n" + s.healbot("ps"))
	s.faultsHeal()

	s.healbot("down")
	s.nothingLeft(engine, "healing-bot")
}

// faultsHeal posts a fault to each of the six services, one after the other.
func (s *stack) faultsHeal() {
	s.Helper()
	for _, f := range []struct{ name, port, fault, reason string }{
		{"dashboard", "3001", "crash", "exit code 1"},
		{"healing-dashboard", "5001", "crash", "exit code 1"},
		{"network-analyzer", "8000", "hang", "no answer within 3s"},
		{"incident-bot", "8001", "unhealthy", "status 503"},
		{"monitoring-server", "5000", "unhealthy", "status 503"},
		{"model", "8080", "crash", "exit code 1"},
	} {
		before, began := s.status(f.name), time.Now()
		resp, err := http.Post("http://localhost:"+f.port+"/fault/"+f.fault, "", nil)
		if err != nil {
			s.Fatalf("POST %s to %s: %v", f.fault, f.name, err)
		}
		resp.Body.Close()
		after, took := s.healed(before, began)
		s.Logf("%s of %s to running again: %.2fs", f.fault, f.name, took.Seconds())
		if after.Restarts != before.Restarts+1 || !strings.Contains(after.Reason, f.reason) {
			s.Errorf("after %s %s has %d restarts (before: %d): %s", f.fault, f.name, after.Restarts, before.Restarts, after.Reason)
		}
	}
}

// healingBotDir copies what the stack is made of, so that the test's state is its own.
func healingBotDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"healbot-compose.yml", "examples/healing-bot", "images/fluent-bit"} {
		from, to := filepath.Join("../..", name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if err == nil && info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else if err == nil {
			var data []byte
			if data, err = os.ReadFile(from); err == nil {
				err = os.WriteFile(to, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// nothingLeft checks that `down` left no process, container, network, pid file or
// socket.
func (s *stack) nothingLeft(engine *client.Client, project string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), healtest.Deadline)
	defer cancel()
	ours := filters.NewArgs(filters.Arg("label", "healbot.project="+project))
	containers, err := engine.ContainerList(ctx, container.ListOptions{All: true, Filters: ours})
	if err != nil || len(containers) > 0 {
		s.Errorf("containers left: %v, %v", containers, err)
	}
	networks, err := engine.NetworkList(ctx, network.ListOptions{Filters: ours})
	if err != nil || len(networks) > 0 {
		s.Errorf("networks left: %v, %v", networks, err)
	}
	for _, name := range []string{".pids", ".service_status.json", ".healbot/control.sock", ".healbot/keeper.sock"} {
		if _, err := os.Lstat(filepath.Join(s.dir, name)); !os.IsNotExist(err) {
			s.Errorf("%s is left", name)
		}
	}
	s.noProcesses()
}

// noProcesses checks that `down` left no process.
func (s *stack) noProcesses() {
	s.Helper()
	var left []string
	// The supervisor lets go of the project a moment before its process is gone.
	if err := eventually(func() bool { left = s.processes(); return len(left) == 0 }); err != nil {
		s.Errorf("processes left:\n%s", strings.Join(left, "\n"))
	}
}

// processes lists those that work in the stack's directory or name it.
func (s *stack) processes() (left []string) {
	s.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.Fatal(err)
	}
	for _, dir := range dirs {
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if strings.HasPrefix(cwd, s.dir) || bytes.Contains(cmdline, []byte(s.dir)) {
			left = append(left, filepath.Base(dir)+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return left
}

// TestSupervisorKilled proves that the supervisor's death harms nobody, in either
// world: same pids, same containers, and not a line lost.
func TestSupervisorKilled(t *testing.T) {
	engine := healtest.NeedEngine(t)
	project := healtest.Unique("smoke")
	s := &stack{TB: t, dir: t.TempDir()}
	file := fmt.Sprintf(`
name: %s
x-healbot: {restart: {condition: any, delay: 0s}}
services:
  writer:
    provider: {type: healbot}
    command: [%s, lines, "200000", sleep]
  box:
    image: %s
    command: [sleep]
    networks: [net]
networks:
  net: {}
`, project, healtest.Fixture(t), healtest.Image(t))
	if err := os.WriteFile(filepath.Join(s.dir, "healbot-compose.yml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endProject(t, s.dir) })
	s.healbot("up", "-d")
	before := s.all()
	for range 5 {
		s.killSupervisor()
		s.healbot("up", "-d")
		after := s.all()
		for name, b := range before {
			if a := after[name]; a.PID != b.PID || a.ID != b.ID || a.RestartsTotal != 0 {
				t.Fatalf("%s was pid %d, id %s; now pid %d, id %s, %d restarts", name, b.PID, b.ID, a.PID, a.ID, a.RestartsTotal)
			}
		}
	}
	logged := func() []string {
		data, err := os.ReadFile(filepath.Join(s.dir, "logs/writer.log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	}
	if err := eventually(func() bool { return slices.Contains(logged(), "line 200000") }); err != nil {
		t.Fatal("the last line is not in the log:", err)
	}
	for i, line := range logged() {
		if want := fmt.Sprintf("line %d", i+1); line != want {
			t.Fatalf("line %d of the log is %q, want %q", i+1, line, want)
		}
	}
	s.killSupervisor()
	s.healbot("down")
	s.nothingLeft(engine, project)
}

func (s *stack) killSupervisor() {
	s.Helper()
	var pid int
	data, err := os.ReadFile(filepath.Join(s.dir, ".healbot/lock"))
	if err == nil {
		_, err = fmt.Sscan(string(data), &pid)
	}
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		s.Fatal(err)
	}
	healtest.Eventually(s, "the supervisor is gone", func() bool { return !healtest.Alive(pid) })
}
