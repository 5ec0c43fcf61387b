package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// TestDependenciesAcrossWorlds lets a process wait for a container's completion, a
// container for a process's health, and follow its restarts.
func TestDependenciesAcrossWorlds(t *testing.T) {
	engine := healtest.NeedEngine(t)
	project := healtest.Unique("worlds")
	port := healtest.Port(t)
	s := &stack{TB: t, dir: t.TempDir()}
	file := fmt.Sprintf(`
name: %s
services:
  job:
    image: %[2]s
    command: [exit, "0", "300ms"]
  api:
    provider: {type: healbot}
    command: [%[3]s, serve, "127.0.0.1:%[4]d"]
    healthcheck: {x-http: "http://127.0.0.1:%[4]d/health"}
    depends_on: {job: {condition: service_completed_successfully}}
  box:
    image: %[2]s
    command: [sleep]
    depends_on:
      api: {condition: service_healthy, restart: true}
      extra: {condition: service_started, required: false}
  extra:
    provider: {type: healbot}
    command: [/no/such/program]
`, project, healtest.Image(t), healtest.Fixture(t), port)
	if err := os.WriteFile(filepath.Join(s.dir, "healbot-compose.yml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endProject(t, s.dir) })
	s.healbot("up", "-d", "job", "api", "box")
	api, box := s.await("api", service.Running), s.await("box", service.Running)
	if job := s.status("job"); job.State != service.Done || !api.StartedAt.After(job.Since) {
		t.Errorf("job is %s since %s, api started at %s", job.State, job.Since, api.StartedAt)
	}
	if !box.StartedAt.After(api.Since) {
		t.Errorf("box started at %s, api is healthy since %s", box.StartedAt, api.Since)
	}

	s.healbot("restart", "api")
	if _, took := s.healed(api, *api.StartedAt); took <= 0 {
		t.Error("api was not restarted")
	}
	err := eventually(func() bool {
		now := s.status("box")
		return now.State == service.Running && now.StartedAt.After(*box.StartedAt) && now.Restarts == 0
	})
	if err != nil {
		t.Errorf("box did not follow the restart of api: %+v", s.status("box"))
	}
	s.healbot("down")
	s.nothingLeft(engine, project)
}

// await waits until a service is in a state.
func (s *stack) await(name string, state service.State) service.Status {
	s.Helper()
	if err := eventually(func() bool { return s.status(name).State == state }); err != nil {
		s.Fatalf("%s is not %s: %+v", name, state, s.status(name))
	}
	return s.status(name)
}

// TestNamesAcrossWorlds lets a container reach a process that listens on loopback only by
// its name, through all that may happen to either and to the supervisor.
func TestNamesAcrossWorlds(t *testing.T) {
	engine := healtest.NeedEngine(t)
	project := healtest.Unique("names")
	port := healtest.Port(t)
	s := &stack{TB: t, dir: t.TempDir()}
	file := fmt.Sprintf(`
name: %s
services:
  api:
    provider: {type: healbot}
    command: [%[3]s, serve, "127.0.0.1:%[4]d"]
    healthcheck: {x-http: "http://127.0.0.1:%[4]d/health"}
    ports: ["%[4]d:%[4]d"]
    restart: always
    x-healbot: {restart: {delay: 0s}}
  box:
    image: %[2]s
    command: [sleep]
    depends_on: [api]
  apart:
    image: %[2]s
    command: [sleep]
    networks: [inside]
  near:
    image: %[2]s
    command: [sleep]
    network_mode: host
networks:
  inside: {internal: true}
`, project, healtest.Image(t), healtest.Fixture(t), port)
	if err := os.WriteFile(filepath.Join(s.dir, "healbot-compose.yml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endProject(t, s.dir) })
	s.healbot("up", "-d", "--wait")
	reaches := func(when string) {
		t.Helper()
		for _, from := range []string{"box", "apart", "near"} {
			var said []byte
			err := eventually(func() bool {
				get := exec.Command(program, "exec", from, "/fixture", "get", fmt.Sprintf("http://api:%d/health", port))
				get.Dir = s.dir
				out, err := get.CombinedOutput()
				said = out
				return err == nil
			})
			if err != nil {
				t.Errorf("%s: %s can't reach api: %s", when, from, said)
			}
		}
	}
	reaches("after up")
	if out := s.healbot("exec", "box", "/fixture", "env", "API_URL"); out != fmt.Sprintf("http://api:%d\n", port) {
		t.Errorf("API_URL is %q", out)
	}
	before := s.status("api")
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.healed(before, time.Now())
	reaches("after api healed")

	boxes := s.status("box").ID
	s.killSupervisor()
	reaches("without a supervisor")
	s.healbot("up", "-d", "--wait")
	reaches("with a new supervisor")
	if s.status("box").ID != boxes {
		t.Error("box was replaced")
	}
	s.healbot("down")
	s.nothingLeft(engine, project)
}

// TestAddressOfAContainer tells a process where a container is that publishes no port, and
// tells it again when that has changed.
func TestAddressOfAContainer(t *testing.T) {
	engine := healtest.NeedEngine(t)
	project := healtest.Unique("address")
	s := &stack{TB: t, dir: t.TempDir()}
	file := fmt.Sprintf(`
name: %s
services:
  db:
    image: %[2]s
    command: [serve, ":8080"]
    expose: [8080]
    healthcheck: {test: [CMD, /fixture, get, "http://localhost:8080/health"], interval: 200ms, start_period: 1m}
    restart: always
    x-healbot: {restart: {delay: 0s}}
  api:
    provider: {type: healbot}
    command: [%[3]s, env, DB_URL]
    depends_on: {db: {condition: service_healthy}}
  app:
    provider: {type: healbot}
    entrypoint: [sh, -c]
    command: ["%[3]s get $$DB_URL/health && %[3]s env DB_URL >>told && exec sleep 1000"]
    environment: {DB_PORT: "1"}
    depends_on: {db: {condition: service_healthy}}
    restart: always
    x-healbot: {restart: {delay: 0s}}
`, project, healtest.Image(t), healtest.Fixture(t))
	file = strings.ReplaceAll(file, "$$DB_URL/health", "http://$$DB_HOST:8080/health")
	if err := os.WriteFile(filepath.Join(s.dir, "healbot-compose.yml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endProject(t, s.dir) })
	s.healbot("up", "-d")
	s.await("api", service.Done)
	told := func() []string {
		text, _ := os.ReadFile(filepath.Join(s.dir, "told"))
		return strings.Fields(string(text))
	}
	if err := eventually(func() bool { return len(told()) == 1 }); err != nil {
		t.Fatalf("app was not told where db is: %+v", s.status("app"))
	}

	// Another container gets the address of db while that is down.
	db := s.status("db")
	net := project + "_default"
	s.healbot("stop", "db")
	squatter := healtest.Unique("squatter")
	run := exec.Command("docker", "run", "-d", "--name", squatter, "--network", net, healtest.Image(t), "sleep")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", squatter).Run() })
	s.healbot("start", "db")
	if err := eventually(func() bool { return len(told()) == 2 }); err != nil {
		t.Fatalf("app was not told of another address: %q, %+v, db was %+v", told(), s.status("app"), db)
	}
	if all := told(); all[0] == all[1] {
		t.Errorf("db has the same address: %q", all)
	}
	if app := s.status("app"); app.Restarts != 0 {
		t.Errorf("that counted as a restart: %+v", app)
	}
	if err := exec.Command("docker", "rm", "-f", squatter).Run(); err != nil {
		t.Error(err)
	}
	s.healbot("down")
	s.nothingLeft(engine, project)
}

// A container of one command reaches a process on loopback, also where no other container
// is up, and through the supervisor's death.
func TestOneOffReachesNatives(t *testing.T) {
	engine := healtest.NeedEngine(t)
	port := healtest.Port(t)
	s := &stack{TB: t, dir: t.TempDir()}
	project := healtest.Unique("reach")
	s.file(project, `
  api:
    provider: {type: healbot}
    command: [%[1]s, serve, "127.0.0.1:%[2]d"]
    healthcheck: {x-http: "http://127.0.0.1:%[2]d/health"}
    ports: ["%[2]d:%[2]d"]
  box: {image: %[3]s, command: [sleep], depends_on: {api: {condition: service_healthy}}}
`, healtest.Fixture(t), port, healtest.Image(t))
	t.Cleanup(func() { endProject(t, s.dir) })
	url := fmt.Sprintf("http://api:%d/health", port)
	s.healbot("run", "--rm", "box", "get", url)
	s.healbot("down")

	s.healbot("up", "-d", "--wait", "api")
	once := strings.TrimSpace(s.healbot("run", "-d", "--rm", "box"))
	s.killSupervisor()
	api := s.status("api")
	s.healbot("up", "-d", "api")
	if now := s.supervised("api"); now.PID != api.PID {
		t.Errorf("api was %+v, is %+v", api, now)
	}
	if err := syscall.Kill(api.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.healbot("up", "-d", "--wait", "api")
	inside := func() bool {
		made, err := engine.ContainerExecCreate(t.Context(), once, container.ExecOptions{Cmd: []string{"/fixture", "get", url}})
		if err != nil {
			t.Fatal(err)
		}
		if err := engine.ContainerExecStart(t.Context(), made.ID, container.ExecStartOptions{}); err != nil {
			t.Fatal(err)
		}
		state, err := engine.ContainerExecInspect(t.Context(), made.ID)
		return err == nil && !state.Running && state.ExitCode == 0
	}
	if err := eventually(inside); err != nil {
		t.Errorf("after a new supervisor, %s does not reach api", once)
	}
}
