package docker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/service"
)

// theirs makes a container as docker compose does, and removes it in the end.
func (w *world) theirs(svc service.Service, oneOff string) string {
	w.t.Helper()
	made, err := w.engine.ContainerCreate(w.within(), &container.Config{
		Image: w.image, Cmd: []string(svc.Image.Config.Command), Labels: map[string]string{
			"com.docker.compose.project": w.project, "com.docker.compose.service": svc.Name,
			"com.docker.compose.container-number": "1", "com.docker.compose.oneoff": oneOff,
			"com.docker.compose.config-hash": "other",
		},
	}, &container.HostConfig{NetworkMode: "none"}, &network.NetworkingConfig{}, nil, w.project+"-"+svc.Name+"-"+oneOff)
	w.must(err)
	w.t.Cleanup(func() {
		w.must(w.engine.ContainerRemove(w.within(), made.ID, container.RemoveOptions{Force: true}))
	})
	return made.ID
}

// TestContainerOfDockerCompose: it is followed like one of ours, and never touched.
func TestContainerOfDockerCompose(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "term", "3")
	id := w.theirs(svc, "False")
	if _, err := w.tryStart(svc, 1); !errors.Is(err, service.ErrOutside) || !strings.Contains(err.Error(), "docker compose start web") {
		t.Errorf("made but not running: %v", err)
	}
	w.must(w.engine.ContainerStart(w.within(), id, container.StartOptions{}))
	i := w.start(svc, 1)
	if about := i.About(); about.ID != id || about.Hash != "" || about.Key != (service.Key{Service: "web", Replica: 1}) {
		t.Errorf("taken as it is: %+v", about)
	}
	healtest.Ready(t, i.About().PID)
	adopted, err := open(t).Adopt(w.within(), w.project)
	w.must(err)
	if len(adopted) != 1 || adopted[0].About().ID != id {
		t.Errorf("adopted %v", adopted)
	}

	for _, end := range []func(*docker.Instance) error{
		func(i *docker.Instance) error { return i.Signal(w.within(), "SIGTERM") },
		func(i *docker.Instance) error { return i.Kill(w.within()) },
	} {
		w.must(end(i))
		if e := w.wait(i); !e.Kept || e.OK() {
			t.Errorf("let go of, it ended as %+v", e)
		}
		i = w.start(svc, 2)
	}
	w.must(w.backend.Remove(w.within(), w.project))
	if now := w.inspect(id).State; !now.Running || now.Pid != i.About().PID {
		t.Errorf("it was touched: %+v", now)
	}

	w.must(w.engine.ContainerKill(w.within(), id, "SIGTERM"))
	if e := w.wait(i); e.Code != 3 || e.Kept {
		t.Errorf("it ended as %+v", e)
	}
}

// TestOneOffOfDockerCompose: what it runs for a single command is no instance.
func TestOneOffOfDockerCompose(t *testing.T) {
	w := newWorld(t)
	svc := w.service("web", "sleep")
	id := w.theirs(svc, "True")
	w.must(w.engine.ContainerStart(w.within(), id, container.StartOptions{}))
	adopted, err := w.backend.Adopt(w.within(), w.project)
	w.must(err)
	if i := w.start(svc, 1); i.About().ID == id || len(adopted) > 0 {
		t.Errorf("a one-off is taken for the service: %+v, %v", i.About(), adopted)
	}
}
