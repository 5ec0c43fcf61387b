package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"

	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// newBuilder is a project of one container whose image is built, with a volume of each kind.
func newBuilder(t *testing.T) (*stack, *workshop) {
	t.Helper()
	engine := healtest.NeedEngine(t)
	s, project := &stack{TB: t, dir: t.TempDir()}, healtest.Unique("builder")
	program, err := os.ReadFile(healtest.Fixture(t))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "fixture"), program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.dockerfile("one")
	s.write("healbot-compose.yml", fmt.Sprintf(`name: %s
services:
  web:
    build: {context: ., network: none}
    command: [sleep]
    network_mode: none
    volumes: [/unnamed, "named:/named"]
volumes:
  named: {}
`, project))
	t.Cleanup(func() {
		endProject(t, s.dir)
		ctx, cancel := context.WithTimeout(context.Background(), healtest.Deadline)
		defer cancel()
		_, err := engine.ImageRemove(ctx, project+"-web", image.RemoveOptions{Force: true})
		err = errors.Join(err, engine.VolumeRemove(ctx, project+"_named", true))
		if err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("cannot clean up: %v", err)
		}
	})
	return s, &workshop{t, s.dir, project}
}

func (s *stack) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
}

func (s *stack) dockerfile(label string) {
	s.write("Dockerfile", "FROM scratch\nCOPY fixture /\nLABEL what="+label+"\nENTRYPOINT [\"/fixture\"]\n")
}

func TestUpFollowsImages(t *testing.T) {
	engine := healtest.NeedEngine(t)
	s, w := newBuilder(t)
	w.healbot(1, "image "+w.name+"-web not found here", "up", "-d", "--no-build", "--pull", "never")
	w.healbot(0, "", "down")
	w.healbot(0, "", "up", "-d")
	first := s.await("web", service.Running)
	w.healbot(0, "", "up", "-d")
	if again := s.await("web", service.Running); again.ID != first.ID {
		t.Error("an up of what did not change replaced it")
	}
	s.dockerfile("two")
	w.healbot(0, "web: replaced, its image changed", "up", "-d", "--build")
	second := s.await("web", service.Running)
	c, err := engine.ContainerInspect(t.Context(), second.ID)
	if err != nil || c.Config.Labels["what"] != "two" {
		t.Fatalf("the container has labels %q, %v", c.Config.Labels, err)
	}
	unnamed := volumeAt(t, s, second.ID, "/unnamed")
	w.healbot(0, "", "up", "-d", "--force-recreate", "-t", "1")
	third := s.await("web", service.Running)
	if third.ID == second.ID || volumeAt(t, s, third.ID, "/unnamed") != unnamed {
		t.Error("--force-recreate did not make a new container with the volumes of the old one")
	}
	w.healbot(0, "", "up", "-d", "--force-recreate", "-V")
	if fourth := s.await("web", service.Running); volumeAt(t, s, fourth.ID, "/unnamed") == unnamed {
		t.Error("-V kept the unnamed volume")
	}
	s.dockerfile("three")
	w.healbot(0, "", "build", "-q")
	before := s.await("web", service.Running)
	w.healbot(0, "", "up", "-d", "--no-recreate")
	if kept := s.await("web", service.Running); kept.ID != before.ID {
		t.Error("--no-recreate replaced it")
	}
	w.healbot(0, "", "up", "-d")
	if new := s.await("web", service.Running); new.ID == before.ID {
		t.Error("an up after a build did not replace it")
	}
	w.healbot(0, "", "down")
	if _, err := engine.VolumeInspect(t.Context(), w.name+"_named"); err != nil {
		t.Errorf("down took the named volume: %v", err)
	}
	w.healbot(0, "removed volume "+w.name+"_named", "down", "-v")
	w.healbot(0, "removed image "+w.name+"-web", "down", "--rmi", "local")
}

func volumeAt(t *testing.T, s *stack, id, target string) string {
	t.Helper()
	c, err := healtest.NeedEngine(t).ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Mounts {
		if m.Destination == target {
			return m.Name
		}
	}
	t.Fatalf("nothing is mounted at %s", target)
	return ""
}
