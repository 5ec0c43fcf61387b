package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// TestDependenciesAcrossWorlds lets a process wait for a container's completion, a
// container for a process's health, and follow its restarts.
func TestDependenciesAcrossWorlds(t *testing.T) {
	engine := healtest.NeedEngine(t)
	project := healtest.Unique("worlds")
	port := freePort(t)
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
