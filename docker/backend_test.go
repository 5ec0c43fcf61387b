package docker_test

import (
	"context"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"go.uber.org/goleak"

	"github.com/healing-bot/healbot/docker"
	"github.com/healing-bot/healbot/internal/healtest"
	"github.com/healing-bot/healbot/runner"
	"github.com/healing-bot/healbot/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	w := newWorld(t)
	healtest.TestBackend(t, runner.Of(w.backend), func(_ *testing.T, name string, args ...string) service.Service {
		return w.service(name, args...)
	}, func(t *testing.T) runner.Backend { return runner.Of(open(t)) })
}

// A world is one project with a backend, the fixture's image and the engine beside it.
type world struct {
	t       *testing.T
	project string
	image   string
	backend *docker.Backend
	engine  *client.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, engine: healtest.NeedEngine(t), image: healtest.Image(t), project: healtest.Unique("docker")}
	b := open(t)
	w.backend = b
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), healtest.Deadline)
		defer cancel()
		if err := b.Remove(ctx, w.project); err != nil {
			t.Errorf("cannot clean up: %v", err)
		}
	})
	return w
}

func open(t *testing.T) *docker.Backend {
	b := docker.New(docker.Options{})
	t.Cleanup(func() { b.Close() })
	return b
}

// service gives a container that runs the fixture with args, without network.
func (w *world) service(name string, args ...string) service.Service {
	return service.Service{
		Name: name, Kind: service.Container, Project: w.project, Dir: w.t.TempDir(), Title: name,
		Replicas: 1, StopSignal: "SIGTERM", Grace: 10 * time.Second, Hash: "hash-" + name,
		Image: &service.Image{
			Config: types.ServiceConfig{
				Name: name,
				ContainerSpec: types.ContainerSpec{
					Image: w.image, Command: args, NetworkMode: "none", PullPolicy: types.PullPolicyNever,
				},
			},
			Networks: types.Networks{},
			Volumes:  types.Volumes{},
		},
	}
}

func (w *world) start(svc service.Service, run int) *docker.Instance {
	w.t.Helper()
	i, err := w.tryStart(svc, run)
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

func (w *world) tryStart(svc service.Service, run int) (*docker.Instance, error) {
	w.t.Helper()
	if err := w.backend.Prepare(w.within(), svc, func(string) {}); err != nil {
		return nil, err
	}
	return w.backend.Start(w.within(), svc, 1, run)
}

func (w *world) wait(i *docker.Instance) service.Exit {
	w.t.Helper()
	e, err := i.Wait(w.within())
	if err != nil {
		w.t.Fatalf("Wait: %v", err)
	}
	return e
}

func (w *world) inspect(id string) container.InspectResponse {
	w.t.Helper()
	c, err := w.engine.ContainerInspect(w.within(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), healtest.Deadline)
	w.t.Cleanup(cancel)
	return ctx
}
